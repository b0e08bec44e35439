import { createHash } from "node:crypto";
import pg from "pg";
import { settings } from "./settings.ts";

/** A statement that each connection prepares once, under its name. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

const IDLE_TIMEOUT_MS = 30_000;
const instantType = pg.types.builtins.TIMESTAMPTZ;

/** How values of PostgreSQL are read: everything as pg does, but points in time stay text, in the form of RFC 3339. */
const types: pg.CustomTypesConfig = {
  // One signature for both formats of the protocol; pg asks for text alone.
  getTypeParser: ((type: number, format: "text") =>
    type === instantType ? instantText : pg.types.getTypeParser(type, format)) as typeof pg.types.getTypeParser,
};

/** From `2026-11-23 18:00:00.5+00`, as PostgreSQL writes it in a session whose time zone is UTC. */
export function instantText(text: string): string {
  return `${text.slice(0, 10)}T${text.slice(11, -3)}Z`;
}

export const pool = new pg.Pool({
  connectionString: settings.databaseUrl,
  max: settings.poolMax,
  idleTimeoutMillis: IDLE_TIMEOUT_MS,
  options: "-c timezone=UTC",
  pipeline: true,
  types,
});

const tenants = new Map<string, string>();

/** The tenant that an API key belongs to, kept once it has been found: nobody revokes one during a run. */
export async function tenantOf(key: string | string[] | undefined): Promise<string> {
  if (typeof key !== "string") throw new Error("an API key is required");
  const hash = createHash("sha256").update(key).digest("hex");
  const known = tenants.get(hash);
  if (known !== undefined) return known;
  const { rows } = await pool.query<{ tenant_id: string }>("SELECT tenant_id FROM atrium.find_api_key($1)", [hash]);
  const tenantId = rows[0]?.tenant_id;
  if (tenantId === undefined) throw new Error("no such API key");
  tenants.set(hash, tenantId);
  return tenantId;
}

/** Runs a statement as row-level security wants it: in a transaction with its tenant, all three parts sent without waiting in between. */
export async function inTenant<Row extends pg.QueryResultRow>(
  tenantId: string,
  statement: Statement,
  values: readonly unknown[],
): Promise<Row[]> {
  return (await transaction<pg.QueryResult<Row>>(tenantId, { ...statement, values: [...values] })).rows;
}

/** The same, with rows as lists of the very text that PostgreSQL sends. */
export async function textsInTenant(
  tenantId: string,
  statement: Statement,
  values: readonly unknown[],
): Promise<string[][]> {
  const asText = { ...statement, values: [...values], rowMode: "array" as const, types: TEXT };
  return (await transaction<pg.QueryArrayResult<string[]>>(tenantId, asText)).rows;
}

const TEXT = { getTypeParser: () => (text: string) => text } as unknown as pg.CustomTypesConfig;

async function transaction<Result>(tenantId: string, query: pg.QueryConfig | pg.QueryArrayConfig): Promise<Result> {
  const client = await pool.connect();
  const [begun, answered, committed] = await Promise.allSettled([
    client.query(`BEGIN; SET LOCAL app.tenant_id = '${tenantId}'`),
    client.query(query as pg.QueryConfig),
    client.query("COMMIT"),
  ]);
  client.release(begun.status === "rejected" || committed.status === "rejected");
  if (answered.status === "rejected") throw answered.reason;
  return answered.value as Result;
}
