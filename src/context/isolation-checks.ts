import type pg from "pg";
import { z } from "zod";
import { GLOBAL_CHECKS } from "./isolation-catalogue.ts";
import { TABLE_CHECKS } from "./isolation-tables.ts";
import type { CatalogueCheck } from "./isolation-tables.ts";
import { tenantTables } from "./tenant-scope.ts";

/** One thing that was looked at, and whether it is as it must be. */
export interface Check {
  readonly name: string;
  readonly table: string | null;
  readonly ok: boolean;
  /** What was found; for a failure, what is wrong and what to do about it. */
  readonly detail: string;
}

const answer = z.array(z.object({ table: z.string().nullable(), problem: z.string().nullable() }));

/** What the live database is held against. */
export interface WallExpectations {
  /** The name of the last migration of this version. */
  readonly expectedMigration: string;
}

/** The walls do not stand; the message names each gap with its remedy. */
export class WallsError extends Error {
  override readonly name = "WallsError";
  constructor(readonly failures: readonly Check[]) {
    super(
      [
        "The walls between tenants do not stand, so nothing is served:",
        ...failures.map(({ name, table, detail }) => `- ${table === null ? "" : `${table}: `}${name}: ${detail}`),
      ].join("\n"),
    );
  }
}

/**
 * Holds walls two and three against the live catalogue, as the gateway's role sees it: the same connections that serve. Every table is
 * covered, known or not. Never throws for what it finds: a check that cannot run counts as failed.
 *
 * Some twenty statements on the catalogue; no row of a tenant is read.
 */
export async function checkWalls(pool: pg.Pool, expected: WallExpectations): Promise<Check[]> {
  const checks: Check[] = [];
  for (const check of [...GLOBAL_CHECKS, ...TABLE_CHECKS]) checks.push(...(await ask(pool, check)));
  checks.push(...(await checkModels(pool)), await checkMigrations(pool, expected.expectedMigration));
  return checks;
}

/** The boot guard. @throws WallsError unless every check of `checkWalls` is passed. */
export async function assertWalls(pool: pg.Pool, expected: WallExpectations): Promise<void> {
  const failures = (await checkWalls(pool, expected)).filter((check) => !check.ok);
  if (failures.length > 0) throw new WallsError(failures);
}

async function ask(pool: pg.Pool, { name, remedy, sql }: CatalogueCheck): Promise<Check[]> {
  return orFailed(name, async () => {
    const rows = answer.parse((await pool.query(sql)).rows);
    if (rows.length === 0) return [failed(name, null, "there was nothing to look at: migrations are missing", remedy)];
    return rows.map(({ table, problem }) =>
      problem === null || problem === "" ? passed(name, table) : failed(name, table, problem, remedy),
    );
  });
}

/** A table that lost its tenant_id, or itself, is in none of the other answers. */
async function checkModels(pool: pg.Pool): Promise<Check[]> {
  const name = "every model's table is there and has a tenant";
  return orFailed(name, async () => {
    const { rows } = await pool.query(
      `SELECT t.name AS "table", CASE WHEN a.attnum IS NULL THEN 'no such table, or it has no tenant_id' END AS problem
       FROM unnest($1::text[]) AS t (name)
       LEFT JOIN pg_attribute AS a ON a.attrelid = to_regclass('public.' || quote_ident(t.name)) AND a.attname = 'tenant_id' AND NOT a.attisdropped`,
      [tenantTables()],
    );
    const remedy = "restore the table from a backup, then `atrium migrate status`";
    return answer
      .parse(rows)
      .map(({ table, problem }) => (problem === null ? passed(name, table) : failed(name, table, problem, remedy)));
  });
}

async function checkMigrations(pool: pg.Pool, expected: string): Promise<Check> {
  const name = "migrations are at the step that this version expects";
  const [check] = await orFailed(name, async () => {
    const { rows } = await pool.query<{ is_there: boolean; unfinished: string | null }>(
      `SELECT coalesce(bool_or(migration_name = $1 AND finished_at IS NOT NULL AND rolled_back_at IS NULL), false) AS is_there,
         string_agg(migration_name, ', ') FILTER (WHERE finished_at IS NULL AND rolled_back_at IS NULL) AS unfinished
       FROM public._prisma_migrations`,
      [expected],
    );
    const [found] = rows;
    const problem =
      found?.is_there !== true
        ? `${expected} is not applied`
        : found.unfinished === null
          ? null
          : `${found.unfinished} did not end`;
    return [problem === null ? passed(name, null) : failed(name, null, problem, "`atrium migrate deploy`")];
  });
  return check ?? failed(name, null, "could not be checked", "`atrium migrate status`");
}

/** A check that cannot run counts as failed. */
export async function orFailed(name: string, look: () => Promise<Check[]>): Promise<Check[]> {
  try {
    return await look();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return [
      failed(name, null, `could not be checked: ${why}`, "see that migrations are applied and the database answers"),
    ];
  }
}

export function passed(name: string, table: string | null): Check {
  return { name, table, ok: true, detail: "as it must be" };
}

export function failed(name: string, table: string | null, problem: string, remedy: string): Check {
  return { name, table, ok: false, detail: `${problem}. Remedy: ${remedy}` };
}
