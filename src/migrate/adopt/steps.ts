import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Client } from "pg";
import { AdoptError } from "./report.ts";

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

/** Reads a step's SQL from prisma/migrations, next to src/ and dist/ alike. */
export async function readStep(name: string): Promise<string> {
  return readFile(join(migrationsFolder(), name, "migration.sql"), "utf8");
}

/** Names of all steps of this release, in order. */
export async function allSteps(): Promise<string[]> {
  const entries = await readdir(migrationsFolder(), { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

/** Names of the steps that the database has finished; empty when it has never been migrated. */
export async function appliedSteps(client: Client): Promise<Set<string>> {
  const table = await client.query<{ found: boolean }>("SELECT to_regclass('public._prisma_migrations') IS NOT NULL AS found");
  if (table.rows[0]?.found !== true) return new Set();
  const steps = await client.query<{ migration_name: string }>(
    "SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL",
  );
  return new Set(steps.rows.map((row) => row.migration_name));
}

/** Records that the database has a step already, without running it. Call inside a transaction. */
export async function markApplied(client: Client, name: string): Promise<void> {
  await client.query(MIGRATIONS_TABLE);
  await record(client, name, await readStep(name), 0);
}

/**
 * Runs a step and records it, both in the caller's transaction: a process that dies leaves the step either done and
 * recorded or neither, which the engine, with a connection of its own for each, cannot promise.
 */
export async function applyStep(client: Client, name: string): Promise<void> {
  const sql = await readStep(name);
  try {
    await client.query(sql);
  } catch (error) {
    if (error instanceof Error) error.message = `step ${name}: ${error.message}`;
    throw error;
  }
  await record(client, name, sql, 1);
}

async function record(client: Client, name: string, sql: string, stepsRun: number): Promise<void> {
  const checksum = createHash("sha256").update(sql).digest("hex");
  await client.query(
    `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
     VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp(), $4)`,
    [randomUUID(), checksum, name, stepsRun],
  );
}

function migrationsFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "prisma", "migrations"))) {
    const above = dirname(folder);
    if (above === folder) throw new AdoptError("prisma/migrations was not found beside the program; install it again");
    folder = above;
  }
  return join(folder, "prisma", "migrations");
}
