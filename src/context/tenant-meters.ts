import type pg from "pg";
import { isUnreachable, translateDatabaseError } from "./database-errors.ts";
import { describeException } from "./exceptions.ts";
import type { Logger } from "./log.ts";
import { openTotals } from "./meter-totals.ts";
import type { Totals } from "./meter-totals.ts";
import { addCounts, CLIENTS_NAMED_MAX, levelsOf, OTHERS, sumsOf, wasCommitted } from "./tenant-counts.ts";
import type { Counts, CountsQuery, OpenRequests, PeriodValue, UsedInHour } from "./tenant-counts.ts";
import type { Connections } from "./tenant-pool.ts";

export { PERIODS } from "./tenant-counts.ts";
export type { Period } from "./tenant-counts.ts";

/** How long a count waits before it is written: what a process that is killed loses at most, with what its last write had not finished. */
const FLUSH_EVERY_MS = 5_000;
/** Tenants that are written at the same time: requests need the pool's connections more. */
const WRITERS = 2;
/** Of all tenants together, some 20 MB. Nobody gets far without a database, so even a long outage does not come near. */
const WAITING_MAX = 100_000;
const HOUR_MS = 3_600_000;
const TENANT_IS_GONE = "23503"; // the row would refer to a tenant that is no more

/** Counts what one tenant uses. In memory: a row for each request would double its work. */
export interface TenantMeter {
  /** Adds to what was used of a metric in the hour of `at`. @param amount a whole number, 0 or more. */
  readonly add: (metric: string, amount: number, at: Date) => void;
  /** Adds a request of a client that showed no credential. */
  readonly addOpen: (client: string, via: string, at: Date) => void;
  /** Writes what this process has counted for the tenant so far. @throws UNAVAILABLE when that is not possible now. */
  readonly settle: () => Promise<void>;
  /** What was used, by metric and period, in no order; periods without anything are left out. */
  readonly sums: (
    metrics: readonly string[],
    query: CountsQuery,
  ) => Promise<(PeriodValue & { readonly metric: string })[]>;
  /** The last values of a metric that is a level, by period, oldest first, and the one before `from`. */
  readonly levels: (metric: string, query: CountsQuery) => Promise<PeriodValue[]>;
}

/** What the meters of all tenants tell the operator. */
interface MeterState {
  /** Counts that wait to be written: by tenant, metric and hour, and by client. */
  readonly waiting: number;
  /** Writes that failed, since the start. What they held is written later. */
  readonly failures: number;
  /** Counts that found no room, since the start. */
  readonly lost: number;
}

export interface TenantMeters {
  readonly of: (tenantId: string) => TenantMeter;
  readonly state: () => MeterState;
  readonly totals: Totals;
  /** Writes what waits, for all tenants. Never throws: what cannot be written goes on waiting. */
  readonly flush: () => Promise<void>;
  /** Writes what waits for the last time. */
  readonly close: () => Promise<void>;
}

interface Waiting {
  readonly used: Map<string, UsedInHour>;
  readonly open: Map<string, OpenRequests>;
}

interface Account {
  waiting: Waiting;
  /** Sent, and the end of the transaction was not answered: nobody knows yet whether it is written. */
  doubtful: { readonly transactionId: string; readonly sent: Waiting }[];
  writing: Promise<void> | undefined;
}

/**
 * The meters of all tenants, over the pool: counts of a tenant that floods its own connections are not in their way. What is counted is added up in memory and written every 5 s, one row for each tenant, metric and
 * hour. A write that fails is done again later; one whose end was not answered only after PostgreSQL has said what became of it, so that
 * nothing is counted twice.
 */
export function openMeters(
  pool: pg.Pool,
  { connectionsOf, log }: { readonly connectionsOf: (tenantId: string) => Connections; readonly log: Logger },
): TenantMeters {
  const accounts = new Map<string, Account>();
  const totals = openTotals();
  const state = { waiting: 0, failures: 0, lost: 0 };
  let timer: NodeJS.Timeout | undefined;
  let round: Promise<void> | undefined;
  let isClosed = false;
  let isFailing = false;

  function accountOf(tenantId: string): Account {
    const account = accounts.get(tenantId) ?? { waiting: nothing(), doubtful: [], writing: undefined };
    accounts.set(tenantId, account);
    return account;
  }

  function put<Count>(counts: Map<string, Count>, key: string, join: (known: Count | undefined) => Count): void {
    const known = counts.get(key);
    if (known === undefined && state.waiting >= WAITING_MAX) {
      state.lost += 1;
      return;
    }
    if (known === undefined) state.waiting += 1;
    counts.set(key, join(known));
  }

  function add(tenantId: string, metric: string, amount: number, at: Date): void {
    if (!Number.isSafeInteger(amount) || amount < 0) throw new Error(`${amount} is no amount of ${metric}`);
    if (amount === 0) return;
    totals.add(tenantId, metric, amount);
    putUsed(accountOf(tenantId).waiting, {
      metric,
      hour: new Date(Math.floor(at.getTime() / HOUR_MS) * HOUR_MS),
      amount,
    });
    arm();
  }

  function putUsed({ used }: Waiting, one: UsedInHour): void {
    const key = `${one.metric} ${one.hour.getTime()}`;
    put(used, key, (known) => ({ ...one, amount: (known?.amount ?? 0) + one.amount }));
  }

  function putOpen({ open }: Waiting, one: OpenRequests): void {
    put(open, JSON.stringify([one.via, one.client]), (known) =>
      known
        ? {
            ...one,
            requests: known.requests + one.requests,
            firstSeenAt: known.firstSeenAt < one.firstSeenAt ? known.firstSeenAt : one.firstSeenAt,
            lastSeenAt: known.lastSeenAt > one.lastSeenAt ? known.lastSeenAt : one.lastSeenAt,
          }
        : one,
    );
  }

  function addOpen(tenantId: string, name: string, via: string, at: Date): void {
    totals.addOpen(name, via);
    const { waiting } = accountOf(tenantId);
    const hasRoom = waiting.open.has(JSON.stringify([via, name])) || waiting.open.size < CLIENTS_NAMED_MAX;
    putOpen(waiting, { client: hasRoom ? name : OTHERS, via, requests: 1, firstSeenAt: at, lastSeenAt: at });
    arm();
  }

  function putBack(account: Account, { used, open }: Waiting): void {
    state.waiting -= used.size + open.size;
    for (const one of used.values()) putUsed(account.waiting, one);
    for (const one of open.values()) putOpen(account.waiting, one);
  }

  /** Asks what became of writes that were not answered. */
  async function settleDoubts(account: Account): Promise<void> {
    for (const doubt of account.doubtful) {
      const answer = await wasCommitted(pool, doubt.transactionId);
      if (answer === "in progress") continue;
      account.doubtful = account.doubtful.filter((other) => other !== doubt);
      if (answer === false) putBack(account, doubt.sent);
      // Not known any more counts as written: rather too little on a bill than too much.
      else state.waiting -= sizeOf(doubt.sent);
    }
  }

  async function writeOut(tenantId: string, account: Account): Promise<void> {
    await settleDoubts(account);
    const sent = account.waiting;
    if (sizeOf(sent) === 0) return;
    account.waiting = nothing();
    try {
      const written = await addCounts(pool, tenantId, asCounts(sent));
      if (written.kind === "written") state.waiting -= sizeOf(sent);
      else account.doubtful.push({ transactionId: written.transactionId, sent });
    } catch (error) {
      if (error instanceof Error && Reflect.get(error, "code") === TENANT_IS_GONE) {
        state.waiting -= sizeOf(sent);
        return;
      }
      putBack(account, sent);
      throw error;
    }
  }

  /** One write at a time for a tenant. Whoever comes while one runs gets that one's end. */
  async function write(tenantId: string): Promise<void> {
    const account = accounts.get(tenantId);
    if (!account) return;
    account.writing ??= writeOut(tenantId, account).finally(() => {
      account.writing = undefined;
      if (sizeOf(account.waiting) === 0 && account.doubtful.length === 0) accounts.delete(tenantId);
    });
    return account.writing;
  }

  async function settle(tenantId: string): Promise<void> {
    // What runs may have begun before the latest count.
    await accounts.get(tenantId)?.writing?.catch(() => undefined);
    await write(tenantId).catch(translateDatabaseError);
  }

  async function writeAll(): Promise<void> {
    const tenantIds = [...accounts.keys()];
    const seen = { isAway: false, failures: 0 };
    async function work(): Promise<void> {
      for (let id = tenantIds.shift(); id !== undefined && !seen.isAway; id = tenantIds.shift()) {
        try {
          await write(id);
        } catch (error) {
          seen.isAway ||= isUnreachable(error);
          seen.failures += 1;
          state.failures += 1;
          if (!isFailing) log.warn({ cause: describeException(error) }, "usage not written; kept for later");
          isFailing = true;
        }
      }
    }
    await Promise.all(Array.from({ length: WRITERS }, work));
    const hasFailed = seen.failures > 0;
    if (isFailing && !hasFailed) log.info("usage written again");
    isFailing = hasFailed;
  }

  async function flush(): Promise<void> {
    round ??= writeAll().finally(() => {
      round = undefined;
      if (accounts.size > 0) arm();
    });
    return round;
  }

  function arm(): void {
    if (timer || isClosed) return;
    timer = setTimeout(() => {
      timer = undefined;
      void flush();
    }, FLUSH_EVERY_MS);
    timer.unref();
  }

  return {
    of: (tenantId) => ({
      add: (metric, amount, at) => add(tenantId, metric, amount, at),
      addOpen: (name, via, at) => addOpen(tenantId, name, via, at),
      settle: () => settle(tenantId),
      sums: (metrics, query) => sumsOf(connectionsOf(tenantId), tenantId, metrics, query),
      levels: (metric, query) => levelsOf(connectionsOf(tenantId), tenantId, metric, query),
    }),
    state: () => ({ ...state }),
    totals,
    flush,
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await round;
      await flush();
    },
  };
}

function nothing(): Waiting {
  return { used: new Map(), open: new Map() };
}

function sizeOf({ used, open }: Waiting): number {
  return used.size + open.size;
}

function asCounts({ used, open }: Waiting): Counts {
  return { used: [...used.values()], open: [...open.values()] };
}
