import { readFile } from "node:fs/promises";
import path from "node:path";
import type pg from "pg";
import { migrationsFolder } from "../files.ts";

/** The steps that turn a database of the predecessor into the current one. Applied steps are never renamed, so neither are these. */
export const STEPS = {
  legacy: "20261123090000_legacy_schema",
  expand: ["20261123090100_tenants_users_api_keys", "20261123090200_add_tenant_id"],
  fill: "20261123090300_fill_tenant_id",
  keys: "20261123090400_keys_carry_the_tenant",
  switch: [
    "20261123090400_keys_carry_the_tenant",
    "20261123090500_validate_keys",
    "20261123090600_tasks_audit_idempotency",
    "20261123090700_walls",
  ],
} as const;

// Prisma Migrate's own definition: its engine and its command line find the table as they would have made it.
const MIGRATIONS_TABLE = `
CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
    "id"                    VARCHAR(36) PRIMARY KEY NOT NULL,
    "checksum"              VARCHAR(64) NOT NULL,
    "finished_at"           TIMESTAMPTZ,
    "migration_name"        VARCHAR(255) NOT NULL,
    "logs"                  TEXT,
    "rolled_back_at"        TIMESTAMPTZ,
    "started_at"            TIMESTAMPTZ NOT NULL DEFAULT now(),
    "applied_steps_count"   INTEGER NOT NULL DEFAULT 0
)`;

/** The SQL of a step. */
export async function readStep(name: string): Promise<string> {
  return readFile(path.join(migrationsFolder(), name, "migration.sql"), "utf8");
}

/** Names of the steps that the database has finished; empty when it has never been migrated. */
export async function appliedSteps(client: pg.Client): Promise<Set<string>> {
  const table = await client.query("SELECT FROM pg_class WHERE oid = to_regclass('public._prisma_migrations')");
  if (table.rowCount === 0) return new Set();
  const steps = await client.query<{ migration_name: string }>(
    "SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL",
  );
  return new Set(steps.rows.map((row) => row.migration_name));
}

/** Records that the database has a step already, without running it. Call inside a transaction. */
export async function markApplied(client: pg.Client, name: string): Promise<void> {
  await client.query(MIGRATIONS_TABLE);
  await record(client, name, await readStep(name), 0);
}

/**
 * Records that a step has begun and is not finished. Any deploy then refuses to go on, ours and the stock one alike: it would
 * contract tables that are not filled. Call inside a transaction.
 */
export async function markBegun(client: pg.Client, name: string): Promise<void> {
  await client.query(
    `INSERT INTO _prisma_migrations (id, checksum, migration_name, logs)
     VALUES (gen_random_uuid(), encode(sha256(convert_to($1, 'UTF8')), 'hex'), $2, 'An adoption is under way: run atrium adopt again.')`,
    [await readStep(name), name],
  );
}

/**
 * Runs a step and records it, both in the caller's transaction: a process that dies leaves the step either done and
 * recorded or neither, which the engine cannot promise, because it records in a transaction of its own.
 */
export async function applyStep(client: pg.Client, name: string): Promise<void> {
  const sql = await readStep(name);
  await client.query(sql);
  const begun = await client.query(
    `UPDATE _prisma_migrations SET finished_at = clock_timestamp(), applied_steps_count = 1, logs = NULL
     WHERE migration_name = $1 AND finished_at IS NULL AND rolled_back_at IS NULL`,
    [name],
  );
  if (begun.rowCount === 0) await record(client, name, sql, 1);
}

async function record(client: pg.Client, name: string, sql: string, stepsRun: number): Promise<void> {
  await client.query(
    `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
     VALUES (gen_random_uuid(), encode(sha256(convert_to($1, 'UTF8')), 'hex'), $2, clock_timestamp(), clock_timestamp(), $3)`,
    [sql, name, stepsRun],
  );
}
