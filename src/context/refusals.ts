import type pg from "pg";
import { describeException } from "./exceptions.ts";
import type { Logger } from "./log.ts";
import { tenantPool } from "./tenant-pool.ts";

const FLUSH_EVERY_MS = 5_000; // what a process that is killed can lose
/** Different refusals of one tenant in one interval; what goes beyond is counted in one event of its own. */
export const KINDS_OF_A_TENANT_MAX = 50;
const KINDS_MAX = 10_000; // of all tenants, some 5 MB; what goes beyond is in the log alone
const OTHERS = "system:audit";

/** What the trail calls it when somebody may not do what they asked for, or may not come in. */
export const ACCESS_REFUSED = "access.refused";

/** Something that was refused to somebody whose tenant is known. */
interface Refusal {
  readonly tenantId: string;
  /** The thing and the verb: `access.refused`. */
  readonly action: string;
  readonly actor: string;
  readonly target?: string | undefined;
  readonly ip: string | undefined;
  readonly requestId: string;
  readonly at: Date;
  /** Names alone: refusals that differ in them are kept apart. */
  readonly details: Readonly<Record<string, string>>;
}

/** Refusals on their way into tenants' audit trails. */
export interface Refusals {
  /** Takes note, without waiting and without a statement: whoever is refused a thousand times a second must not write as often. */
  readonly add: (refusal: Refusal) => void;
  /** Writes what was noted. Never throws: what cannot be written is tried again with what comes next. */
  readonly flush: () => Promise<void>;
  /** The last flush; what is added afterwards is lost. */
  readonly close: () => Promise<void>;
}

interface Counted extends Refusal {
  readonly count: number;
  readonly last: Date;
}

/**
 * Collects refusals in the process: what is equal in tenant, action, actor, target, address and details within five seconds becomes one
 * event with a count. At most 50 such events of one tenant and one for the others, so that nobody floods a trail, and 10,000 altogether.
 */
export function openRefusals(pool: pg.Pool, log: Logger): Refusals {
  let noted = new Map<string, Map<string, Counted>>();
  let kinds = 0;
  let dropped = 0;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  let flushing: Promise<void> = Promise.resolve();

  function add(refusal: Refusal): void {
    if (isClosed) return;
    count({ ...refusal, count: 1, last: refusal.at });
    schedule();
  }

  function schedule(): void {
    timer ??= setTimeout(() => void flush(), FLUSH_EVERY_MS).unref();
  }

  function count(refusal: Counted): void {
    const ofTenant = noted.get(refusal.tenantId) ?? new Map<string, Counted>();
    const isKnown = ofTenant.has(keyOf(refusal));
    const kept = isKnown || ofTenant.size < KINDS_OF_A_TENANT_MAX ? refusal : asOther(refusal);
    const key = keyOf(kept);
    const found = ofTenant.get(key);
    if (found) {
      const [at, last] = [kept.at < found.at ? kept.at : found.at, kept.last > found.last ? kept.last : found.last];
      ofTenant.set(key, { ...found, count: found.count + kept.count, at, last });
    } else if (kinds >= KINDS_MAX) {
      dropped += kept.count;
    } else {
      kinds += 1;
      noted.set(kept.tenantId, ofTenant.set(key, kept));
    }
  }

  async function write(): Promise<void> {
    const taken = noted;
    if (dropped > 0) log.warn({ dropped }, "refusals of too many kinds at once: some are in no audit trail");
    noted = new Map();
    kinds = 0;
    dropped = 0;
    clearTimeout(timer);
    timer = undefined;
    // One tenant after another: never more than one connection of those that requests wait for.
    for (const [tenantId, ofTenant] of taken) {
      const refusals = [...ofTenant.values()];
      try {
        await insert(pool, tenantId, refusals);
      } catch (error) {
        // Of a tenant that is gone, nothing can be written, now or later.
        if (isGone(error)) continue;
        log.warn({ cause: describeException(error) }, "refusals not written to the audit trail, will try again");
        for (const refusal of refusals) count(refusal);
        if (!isClosed) schedule();
      }
    }
  }

  function flush(): Promise<void> {
    flushing = flushing.then(write);
    return flushing;
  }

  return {
    add,
    flush,
    async close() {
      isClosed = true;
      await flush();
    },
  };
}

function keyOf({ action, actor, target, ip, details }: Refusal): string {
  return JSON.stringify([action, actor, target, ip, details]);
}

function asOther(refusal: Counted): Counted {
  return {
    ...refusal,
    actor: OTHERS,
    target: undefined,
    ip: undefined,
    details: { of: "many callers and operations" },
  };
}

async function insert(pool: pg.Pool, tenantId: string, refusals: readonly Counted[]): Promise<void> {
  const rows = refusals.map(({ action, actor, target, ip, requestId, details, count, at, last }) => ({
    action,
    actor,
    target,
    ip,
    request_id: requestId,
    details: { ...details, count, from: at.toISOString(), until: last.toISOString() },
  }));
  await tenantPool(pool, tenantId).query({
    text: `INSERT INTO public.audit_events (tenant_id, action, actor, target, ip, request_id, details)
      SELECT $1, action, actor, target, ip, request_id, details FROM jsonb_to_recordset($2)
        AS r (action text, actor text, target text, ip text, request_id text, details jsonb)`,
    values: [tenantId, JSON.stringify(rows)],
  });
}

function isGone(error: unknown): boolean {
  return error instanceof Error && Reflect.get(error, "code") === "23503";
}
