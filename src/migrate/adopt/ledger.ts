import type pg from "pg";
import { AdoptError, type AdoptReport, type Found } from "./report.ts";

// What a run must know of the runs before it. It lives in the database, and changes in the transactions that it tells about.
const LEDGER = `
CREATE SCHEMA IF NOT EXISTS atrium;
CREATE TABLE atrium.adoption (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  found text NOT NULL,
  tables text[] NOT NULL,
  client_roles text[] NOT NULL,
  started_at timestamptz(3) NOT NULL DEFAULT now(),
  roles_set_at timestamptz,
  rows_before jsonb,
  connections_ended integer NOT NULL DEFAULT 0,
  longest_lock_ms double precision NOT NULL DEFAULT 0,
  fill_seconds double precision NOT NULL DEFAULT 0,
  finished_at timestamptz,
  report jsonb
);
CREATE TABLE atrium.adoption_progress (
  table_name text PRIMARY KEY,
  last_key uuid,
  done boolean NOT NULL DEFAULT false,
  rows_seen bigint NOT NULL DEFAULT 0,
  rows_repaired bigint NOT NULL DEFAULT 0,
  repairs jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE atrium.adoption_writes (table_name text NOT NULL, change bigint NOT NULL);
REVOKE ALL ON atrium.adoption, atrium.adoption_progress, atrium.adoption_writes FROM PUBLIC`;

/** What is being adopted. */
export interface Subject {
  readonly found: Found;
  /** Tables that the database had before, parents first. */
  readonly tables: readonly string[];
  /** Roles through which the old clients come in. */
  readonly clientRoles: readonly string[];
}

export interface Ledger extends Subject {
  readonly startedAt: Date;
  /** Connections that began before this do not have the default tenant; null when the roles are not set yet. */
  readonly rolesSetAt: Date | null;
  readonly rowsBefore: Readonly<Record<string, number>> | null;
  readonly connectionsEnded: number;
  readonly longestLockMs: number;
  readonly fillSeconds: number;
  readonly finished: boolean;
  /** Made when the rows have been proven complete. */
  readonly report: AdoptReport | null;
}

export interface TableProgress {
  readonly lastKey: string | null;
  readonly done: boolean;
  readonly rowsSeen: number;
  readonly rowsRepaired: number;
  readonly repairs: Readonly<Record<string, number>>;
}

const NOTHING_DONE: TableProgress = { lastKey: null, done: false, rowsSeen: 0, rowsRepaired: 0, repairs: {} };

/** The record of an adoption that began here, finished or not; undefined when none did. */
export async function readLedger(client: pg.Client): Promise<Ledger | undefined> {
  const table = await client.query("SELECT FROM pg_class WHERE oid = to_regclass('atrium.adoption')");
  if (table.rowCount === 0) return undefined;
  const { rows } = await client.query<Ledger>(`
    SELECT found, tables, client_roles AS "clientRoles", started_at AS "startedAt", roles_set_at AS "rolesSetAt",
           rows_before AS "rowsBefore", connections_ended AS "connectionsEnded", longest_lock_ms AS "longestLockMs",
           fill_seconds AS "fillSeconds", finished_at IS NOT NULL AS finished, report
    FROM atrium.adoption`);
  return rows[0];
}

/** As readLedger, where an adoption is under way. */
export async function mustReadLedger(client: pg.Client): Promise<Ledger> {
  const ledger = await readLedger(client);
  if (ledger === undefined)
    throw new AdoptError("The record of the adoption, atrium.adoption, is gone. Restore the backup.");
  return ledger;
}

/** Opens the record of an adoption. Call inside the transaction of the first step. */
export async function openLedger(client: pg.Client, { found, tables, clientRoles }: Subject): Promise<void> {
  await client.query(LEDGER);
  await client.query("INSERT INTO atrium.adoption (found, tables, client_roles) VALUES ($1, $2, $3)", [
    found,
    tables,
    clientRoles,
  ]);
}

/** The id of the tenant that everything of a single-tenant database belongs to. There from the first step on. */
export async function defaultTenant(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ id: string }>("SELECT id FROM tenants WHERE schema_name = 'tenant_default'");
  const [tenant] = rows;
  if (tenant === undefined) throw new AdoptError("There is no tenant whose schema_name is tenant_default.");
  return tenant.id;
}

/** Notes a lock or a piece of filling time, so that a later run reports the whole adoption. */
export async function noteTimes(client: pg.Client, longestLockMs: number, fillSeconds: number): Promise<void> {
  await client.query(
    "UPDATE atrium.adoption SET longest_lock_ms = greatest(longest_lock_ms, $1), fill_seconds = fill_seconds + $2",
    [longestLockMs, fillSeconds],
  );
}

export async function readProgress(client: pg.Client, table: string): Promise<TableProgress> {
  const { rows } = await client.query<TableProgress>(
    `SELECT last_key AS "lastKey", done, rows_seen::float8 AS "rowsSeen", rows_repaired::float8 AS "rowsRepaired", repairs
     FROM atrium.adoption_progress WHERE table_name = $1`,
    [table],
  );
  return rows[0] ?? NOTHING_DONE;
}

/** Replaces what is known of a table. Call inside the transaction that did the work. */
export async function writeProgress(client: pg.Client, table: string, progress: TableProgress): Promise<void> {
  await client.query(
    `INSERT INTO atrium.adoption_progress (table_name, last_key, done, rows_seen, rows_repaired, repairs)
     VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (table_name) DO UPDATE SET last_key = excluded.last_key, done = excluded.done, rows_seen = excluded.rows_seen,
       rows_repaired = excluded.rows_repaired, repairs = excluded.repairs`,
    [
      table,
      progress.lastKey,
      progress.done,
      progress.rowsSeen,
      progress.rowsRepaired,
      JSON.stringify(progress.repairs),
    ],
  );
}

/** Makes the fill look at a table's rows again; what it counted so far stays. */
export async function restartTable(client: pg.Client, table: string): Promise<void> {
  await client.query("UPDATE atrium.adoption_progress SET last_key = NULL, done = false WHERE table_name = $1", [
    table,
  ]);
}

/** Keeps the report for whoever missed it on the screen, and for a run that takes up after this one. */
export async function keepReport(client: pg.Client, report: AdoptReport): Promise<void> {
  await client.query("UPDATE atrium.adoption SET report = $1", [JSON.stringify(report)]);
}

/** Closes the record; the report stays in it. */
export async function closeLedger(client: pg.Client): Promise<void> {
  await client.query(
    "UPDATE atrium.adoption SET finished_at = now() WHERE finished_at IS NULL; DROP TABLE IF EXISTS atrium.adoption_progress, atrium.adoption_writes",
  );
}
