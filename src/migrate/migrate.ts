import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { MigrationList, SchemaEngine } from "@prisma/schema-engine-wasm/schema_engine_bg";
import pg from "pg";
import { unacceptedDifferences } from "./differences.ts";
import { withEngine } from "./engine.ts";
import { migrationsFolder, readModels, readSteps, stepNames } from "./files.ts";
import { grantGateway, requireGatewayRole } from "./grants.ts";

export { grantGateway } from "./grants.ts";

const OLDEST_SERVER = 150_000; // server_version_num of PostgreSQL 15
const NO_FILTER = { externalTables: [], externalEnums: [] };
/** What a deploy and an adoption take on the database, so that neither works beside the other. */
export const DEPLOY_LOCK = 4_718_235_511; // any number that nobody else uses for an advisory lock

/** What stands between a database and the steps of this version. All lists empty: it is current. */
export interface MigrationStatus {
  /** Steps that deploy would apply. */
  readonly pending: readonly string[];
  /** Steps that began and did not end; `resolve` decides what becomes of them. */
  readonly failed: readonly string[];
  /** Applied steps whose SQL was changed afterwards. */
  readonly edited: readonly string[];
  /** Steps in the database that this version does not have: a newer one was here. */
  readonly unknown: readonly string[];
}

/** A deploy that cannot go on; the message names the step, the database's answer and what to do. */
class MigrationError extends Error {
  override readonly name = "MigrationError";
}

interface ApplyOptions {
  /** The last step to apply; all of them when left out. */
  readonly until?: string;
  readonly onProgress?: (line: string) => void;
  /** Another folder of steps, for tests. */
  readonly folder?: string;
}

/**
 * Applies all steps that the database lacks, then gives the gateway's role its rights.
 * Several deploys at once take turns; the later ones find nothing to do.
 *
 * @returns the names of the steps that this call applied.
 * @throws MigrationError when a step fails (nothing of it remains), failed before, or was edited after it was applied.
 */
export async function deploy(
  ownerUrl: string,
  options: { readonly gatewayRole: string } & Omit<ApplyOptions, "until">,
): Promise<string[]> {
  return inTurn(ownerUrl, options.onProgress, async (owner) => {
    await refuseOldServer(owner);
    await requireGatewayRole(owner, options.gatewayRole);
    await refuseUnadopted(owner);
    const applied = await apply(ownerUrl, options);
    await grantGateway(owner, options.gatewayRole);
    return applied;
  });
}

/**
 * Applies the steps that the database lacks, up to and including `until`, and grants nothing.
 *
 * @throws MigrationError as deploy does.
 */
export async function applySteps(ownerUrl: string, options: ApplyOptions = {}): Promise<string[]> {
  return inTurn(ownerUrl, options.onProgress, () => apply(ownerUrl, options));
}

/** Compares the database with the steps of this version; changes nothing. */
export async function status(ownerUrl: string, folder = migrationsFolder()): Promise<MigrationStatus> {
  return withEngine(ownerUrl, (engine) => diagnose(engine, readSteps(folder)));
}

/**
 * Writes a new step: the SQL that brings what the steps make to what the models say.
 * Replays the steps in a shadow database, so the owner needs CREATEDB.
 *
 * @param name what the step does, in snake_case.
 * @returns the folder written, or undefined when steps and models agree.
 */
export async function draft(ownerUrl: string, name: string, folder = migrationsFolder()): Promise<string | undefined> {
  if (!/^[a-z][a-z0-9_]*$/.test(name))
    throw new MigrationError(`A step's name is written in snake_case; "${name}" is not.`);
  const differences = await check(ownerUrl, folder);
  if (differences.length === 0) return undefined;
  const time = new Date().toISOString().replace(/\D/g, "").slice(0, 14);
  const step = path.join(folder, `${time}_${name}`);
  mkdirSync(step);
  writeFileSync(
    path.join(step, "migration.sql"),
    [...STEP_HEADER, ...differences, ...wallsFor(differences)].join("\n") + "\n",
  );
  return step;
}

/** A table that belongs to a tenant is not finished before its walls stand; nothing in the models could say so. */
function wallsFor(differences: readonly string[]): string[] {
  const made = [...differences.join("\n").matchAll(/^CREATE TABLE "(\w+)"/gm)].flatMap(([, table]) => table ?? []);
  return made.map((table) => `\nSELECT atrium.raise_walls('${table}');`);
}

const STEP_HEADER = [
  "-- Why:",
  "-- Locks:",
  "-- Worked when:",
  "-- If it stops half-way: nothing of it remains (one transaction). `atrium migrate resolve <step> rolled-back`, then deploy again.",
  "",
];

/**
 * The statements by which models and steps disagree; empty when they agree apart from the accepted differences.
 * Replays the steps in a shadow database, so the owner needs CREATEDB.
 */
export async function check(ownerUrl: string, folder = migrationsFolder()): Promise<string[]> {
  return withEngine(ownerUrl, async (engine) => {
    const { stdout } = await engine.diff({
      from: { tag: "migrations", ...readSteps(folder) },
      to: { tag: "schemaDatamodel", files: readModels() },
      script: true,
      exitCode: true,
      filters: NO_FILTER,
    });
    return unacceptedDifferences(stdout ?? "");
  });
}

/**
 * Decides what became of a step: "rolled-back" lets deploy try a failed one again; "applied" marks one as done without running it,
 * which is also how a database that has the legacy schema already is given its first step.
 */
export async function resolve(
  ownerUrl: string,
  step: string,
  outcome: "applied" | "rolled-back",
  folder = migrationsFolder(),
): Promise<void> {
  await withEngine(ownerUrl, async (engine) => {
    if (outcome === "applied")
      await engine.markMigrationApplied({ migrationName: step, migrationsList: readSteps(folder) });
    else await engine.markMigrationRolledBack({ migrationName: step });
  });
}

/** The name of the last step: what /readyz expects to find applied. */
export function expectedMigration(): string {
  const last = stepNames().at(-1);
  if (last === undefined) throw new Error(`${migrationsFolder()} holds no steps.`);
  return last;
}

async function apply(
  ownerUrl: string,
  { until, onProgress, folder = migrationsFolder() }: ApplyOptions,
): Promise<string[]> {
  const state = await status(ownerUrl, folder);
  refuseBroken(state);
  const wanted = until === undefined ? state.pending : state.pending.filter((name) => name <= until);
  const applied: string[] = [];
  // One call for each step, so that a long one can be named while it runs.
  for (const [index, name] of wanted.entries()) {
    onProgress?.(`Applying ${name} (${index + 1} of ${wanted.length})`);
    try {
      applied.push(...(await applyOne(ownerUrl, readSteps(folder, name))));
    } catch (error) {
      throw failure(name, error);
    }
  }
  return applied;
}

async function applyOne(ownerUrl: string, migrationsList: MigrationList): Promise<string[]> {
  return withEngine(ownerUrl, async (engine) => {
    const { appliedMigrationNames } = await engine.applyMigrations({ migrationsList, filters: NO_FILTER });
    return appliedMigrationNames;
  });
}

async function diagnose(engine: SchemaEngine, migrationsList: MigrationList): Promise<MigrationStatus> {
  const { history, failedMigrationNames, editedMigrationNames } = await engine.diagnoseMigrationHistory({
    migrationsList,
    optInToShadowDatabase: false,
    filters: NO_FILTER,
  });
  return {
    pending: history !== null && "unappliedMigrationNames" in history ? history.unappliedMigrationNames : [],
    failed: failedMigrationNames,
    edited: editedMigrationNames,
    unknown: history !== null && "unpersistedMigrationNames" in history ? history.unpersistedMigrationNames : [],
  };
}

function refuseBroken({ failed, edited, unknown }: MigrationStatus): void {
  const [step] = failed;
  if (step !== undefined) throw new MigrationError(`The step ${step} failed before. ${howToResolve(step)}`);
  if (edited.length > 0) {
    throw new MigrationError(
      `Steps were edited after they were applied: ${edited.join(", ")}. Put their SQL back; corrections are steps of their own.`,
    );
  }
  if (unknown.length > 0) {
    throw new MigrationError(
      `The database has steps that this version does not know: ${unknown.join(", ")}. A newer version was here; use that one.`,
    );
  }
}

function failure(step: string, error: unknown): MigrationError {
  const message = error instanceof Error ? error.message : String(error);
  return new MigrationError(`The step ${step} failed, and nothing of it remains.\n${message}\n${howToResolve(step)}`, {
    cause: error,
  });
}

function howToResolve(step: string): string {
  return `Remove the cause (the comment at the head of the step's migration.sql says how), then: atrium migrate resolve ${step} rolled-back, and deploy again.`;
}

/** Before 15, PostgreSQL cannot clear one column of a composite key (ON DELETE SET NULL (user_id)), and a step would fail half-way through the chain. */
async function refuseOldServer(owner: pg.Client): Promise<void> {
  const { rows } = await owner.query<{ name: string; number: number }>(
    "SELECT current_setting('server_version') AS name, current_setting('server_version_num')::int AS number",
  );
  const [server] = rows;
  if (server && server.number < OLDEST_SERVER) {
    throw new MigrationError(`PostgreSQL 15 or later is needed; this one is ${server.name}.`);
  }
}

/** The chain begins by making the predecessor's tables; on a database that has them, adoption comes first, and must have come to its end. */
async function refuseUnadopted(owner: pg.Client): Promise<void> {
  const { rows } = await owner.query<{ is_old: boolean; is_begun: boolean }>(
    `SELECT to_regclass('public.sessions') IS NOT NULL AND to_regclass('public._prisma_migrations') IS NULL AS is_old,
       to_regclass('atrium.adoption') IS NOT NULL AS is_begun`,
  );
  if (rows[0]?.is_old === true) {
    throw new MigrationError(
      "This database holds tables of the predecessor. `npx atrium adopt --dry-run` says what would become of them, `npx atrium adopt` does it.",
    );
  }
  if (rows[0]?.is_begun !== true) return;
  const { rowCount } = await owner.query("SELECT FROM atrium.adoption WHERE report IS NULL");
  if (rowCount !== 0) {
    throw new MigrationError(
      "The adoption of this database was interrupted. Run `npx atrium adopt` again: it goes on where it was.",
    );
  }
}

/** One deploy at a time, however long it takes; the engine's own lock gives up after ten seconds. */
async function inTurn<T>(
  ownerUrl: string,
  onProgress: ((line: string) => void) | undefined,
  work: (owner: pg.Client) => Promise<T>,
): Promise<T> {
  const owner = new pg.Client({ connectionString: ownerUrl });
  // A lost connection is reported by the next statement; without a listener it would end the process.
  owner.on("error", () => undefined);
  await owner.connect();
  try {
    const { rows } = await owner.query<{ taken: boolean }>("SELECT pg_try_advisory_lock($1) AS taken", [DEPLOY_LOCK]);
    if (rows[0]?.taken !== true) {
      onProgress?.("Waiting for another deploy to end");
      await owner.query("SELECT pg_advisory_lock($1)", [DEPLOY_LOCK]);
    }
    return await work(owner);
  } finally {
    await owner.end();
  }
}
