import type pg from "pg";
import { translateDatabaseError } from "./database-errors.ts";
import { tenantPool } from "./tenant-pool.ts";
import type { Connections } from "./tenant-pool.ts";

// The statements behind tenant-meters.ts. In SQL, because Prisma can neither add up in one statement nor tell what became of a transaction
// whose answer was lost. Each goes through `tenantPool`, so row-level security binds it, and names its tenant besides.

/** What was used of a metric in an hour. */
export interface UsedInHour {
  readonly metric: string;
  /** The hour's beginning. */
  readonly hour: Date;
  readonly amount: number;
}

/** Requests of one client without a credential. */
export interface OpenRequests {
  readonly client: string;
  readonly via: string;
  readonly requests: number;
  readonly firstSeenAt: Date;
  readonly lastSeenAt: Date;
}

/** Something that was counted, to be added to what is kept. */
export interface Counts {
  readonly used: readonly UsedInHour[];
  readonly open: readonly OpenRequests[];
}

/** A piece of time in UTC. */
export const PERIODS = { HOUR: "hour", DAY: "day", MONTH: "month" } as const;
export type Period = (typeof PERIODS)[keyof typeof PERIODS];

/** A value of one period, which begins at `start`. */
export interface PeriodValue {
  readonly start: Date;
  readonly value: bigint;
}

export interface CountsQuery {
  readonly period: Period;
  /** The beginning of a period; hours from here on count. */
  readonly from: Date;
  /** Hours before this one count. */
  readonly before: Date;
}

/** Clients that are kept by name; the rest of a tenant's goes under `OTHERS`, because clients choose their names themselves. */
export const CLIENTS_NAMED_MAX = 100;
export const OTHERS = "others";

const INVALID_PARAMETER = "22023"; // a transaction that this server has not come to: it was restored, or is another one

/** Whether counts were added, or the transaction of which that is not known, because its end was not answered. */
export type Written = { readonly kind: "written" } | { readonly kind: "unanswered"; readonly transactionId: string };

/**
 * Adds counts to a tenant's rows: all of them, or none. Processes that add to the same row at once add up.
 *
 * @throws when nothing was added.
 */
export async function addCounts(pool: Connections, tenantId: string, { used, open }: Counts): Promise<Written> {
  const client = await tenantPool(pool, tenantId).connect();
  let isOver = false;
  try {
    await client.query({ text: "BEGIN" });
    const id = client.query<{ id: string }>({ text: "SELECT pg_current_xact_id()::text AS id" });
    const [begun] = await Promise.all([
      id,
      ...(used.length > 0 ? [addUsed(client, tenantId, used)] : []),
      ...(open.length > 0 ? [addOpen(client, tenantId, open)] : []),
    ]);
    const transactionId = begun.rows[0]?.id;
    if (transactionId === undefined) throw new Error("pg_current_xact_id() answered nothing");
    try {
      await client.query({ text: "COMMIT" });
      isOver = true;
      return { kind: "written" };
    } catch {
      return { kind: "unanswered", transactionId };
    }
  } finally {
    // A connection that is thrown away takes its transaction with it.
    client.release(isOver ? undefined : true);
  }
}

/** @returns null when the server knows nothing of it any more, which takes hundreds of millions of transactions. */
export async function wasCommitted(pool: pg.Pool, transactionId: string): Promise<boolean | "in progress" | null> {
  try {
    const { rows } = await pool.query<{ status: string | null }>("SELECT pg_xact_status($1::xid8) AS status", [
      transactionId,
    ]);
    const status = rows[0]?.status ?? null;
    return status === null ? null : status === "in progress" ? status : status === "committed";
  } catch (error) {
    if (error instanceof Error && Reflect.get(error, "code") === INVALID_PARAMETER) return false;
    throw error;
  }
}

/** Sums of metrics by period, in no particular order; periods without any count are left out. */
export async function sumsOf(
  pool: Connections,
  tenantId: string,
  metrics: readonly string[],
  { period, from, before }: CountsQuery,
): Promise<(PeriodValue & { readonly metric: string })[]> {
  const found = await tenantPool(pool, tenantId)
    .query<{ metric: string; start: Date; value: string }>({
      text: `SELECT metric, date_trunc($2, hour, 'UTC') AS start, sum(value)::text AS value FROM public.usage_counts
             WHERE tenant_id = $1 AND metric = ANY ($3) AND hour >= $4 AND hour < $5 GROUP BY 1, 2`,
      values: [tenantId, period, metrics, from, before],
    })
    .catch(translateDatabaseError);
  return found.rows.map(({ metric, start, value }) => ({ metric, start, value: BigInt(value) }));
}

/**
 * The last values of a metric that is a level, by period, oldest first. The first one may be of a period before `from`: what was the level
 * when the time that was asked for began.
 */
export async function levelsOf(
  pool: Connections,
  tenantId: string,
  metric: string,
  { period, from, before }: CountsQuery,
): Promise<PeriodValue[]> {
  const mine = "public.usage_counts WHERE tenant_id = $1 AND metric = $3";
  const found = await tenantPool(pool, tenantId)
    .query<{ start: Date; value: string }>({
      text: `SELECT DISTINCT ON (1) date_trunc($2, hour, 'UTC') AS start, value::text FROM ${mine}
             AND hour >= coalesce((SELECT max(hour) FROM ${mine} AND hour < $4), $4) AND hour < $5
             ORDER BY 1, hour DESC`,
      values: [tenantId, period, metric, from, before],
    })
    .catch(translateDatabaseError);
  return found.rows.map(({ start, value }) => ({ start, value: BigInt(value) }));
}

async function addUsed(client: pg.PoolClient, tenantId: string, used: readonly UsedInHour[]): Promise<pg.QueryResult> {
  // In one order everywhere: two processes that lock the same rows in different ones would wait for each other.
  const rows = used.toSorted((a, b) =>
    a.metric < b.metric ? -1 : a.metric > b.metric ? 1 : Number(a.hour) - Number(b.hour),
  );
  return client.query({
    text: `INSERT INTO public.usage_counts AS kept (tenant_id, metric, hour, value)
           SELECT $1, * FROM unnest($2::text[], $3::timestamptz[], $4::bigint[])
           ON CONFLICT (tenant_id, metric, hour) DO UPDATE SET value = kept.value + excluded.value`,
    values: [
      tenantId,
      rows.map(({ metric }) => metric),
      rows.map(({ hour }) => hour),
      rows.map(({ amount }) => amount),
    ],
  });
}

/** One process at a time for a tenant, so that together they keep to the number of clients. */
async function addOpen(
  client: pg.PoolClient,
  tenantId: string,
  open: readonly OpenRequests[],
): Promise<pg.QueryResult> {
  const locked = client.query({
    text: "SELECT pg_advisory_xact_lock(hashtextextended('open_access ' || $1, 0))",
    values: [tenantId],
  });
  const added = client.query({
    text: `WITH came AS (
             SELECT * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[])
               AS came (client, via, requests, first_seen_at, last_seen_at)
           ), known AS (
             SELECT DISTINCT client FROM public.open_access WHERE tenant_id = $1
           ), fresh AS (
             SELECT client, row_number() OVER (ORDER BY client) AS place
             FROM (SELECT client FROM came EXCEPT SELECT client FROM known EXCEPT SELECT $7) AS fresh
           ), room AS (
             SELECT $8 - count(*) AS places FROM known WHERE client <> $7
           )
           INSERT INTO public.open_access AS kept (tenant_id, client, via, requests, first_seen_at, last_seen_at)
           SELECT $1, CASE WHEN fresh.place > room.places THEN $7 ELSE came.client END, came.via,
                  sum(came.requests), min(came.first_seen_at), max(came.last_seen_at)
           FROM came CROSS JOIN room LEFT JOIN fresh ON fresh.client = came.client
           GROUP BY 2, 3
           ON CONFLICT (tenant_id, client, via) DO UPDATE SET
             requests = kept.requests + excluded.requests,
             first_seen_at = least(kept.first_seen_at, excluded.first_seen_at),
             last_seen_at = greatest(kept.last_seen_at, excluded.last_seen_at)`,
    values: [
      tenantId,
      open.map(({ client: name }) => name),
      open.map(({ via }) => via),
      open.map(({ requests }) => requests),
      open.map(({ firstSeenAt }) => firstSeenAt),
      open.map(({ lastSeenAt }) => lastSeenAt),
      OTHERS,
      CLIENTS_NAMED_MAX,
    ],
  });
  const [, result] = await Promise.all([locked, added]);
  return result;
}
