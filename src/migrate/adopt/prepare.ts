import type pg from "pg";
import { exclusively, type LockWatch } from "./locks.ts";
import { readWanted, type WantedConstraint, type WantedIndex } from "./wanted.ts";

export interface PrepareOptions {
  /** Tables whose rows were written, to be vacuumed. */
  readonly tables: readonly string[];
  readonly watch: LockWatch;
  readonly onStep: (message: string) => void;
  /** Repairs a table's rows once more, because clients wrote some that a key cannot hold. */
  readonly refill: (table: string) => Promise<void>;
}

const ROUNDS_MAX = 5;

/**
 * Builds the indexes and proves the keys that the contract step needs, while clients read and write. What is there already
 * stays; an index that an interrupted run left half-built is built again.
 */
export async function prepareContract(client: pg.Client, options: PrepareOptions): Promise<void> {
  const wanted = await readWanted();
  for (const table of options.tables) {
    options.onStep(`tidying ${table} after the fill`);
    await client.query(`VACUUM (ANALYZE) ${table}`);
  }
  const indexes = await missingIndexes(client, wanted.indexes);
  for (const [position, index] of indexes.entries()) {
    options.onStep(`building ${index.name} (${position + 1} of ${indexes.length})`);
    await client.query(`DROP INDEX CONCURRENTLY IF EXISTS ${index.name}`);
    await client.query(
      `CREATE ${index.isUnique ? "UNIQUE " : ""}INDEX CONCURRENTLY ${index.name} ON ${index.table} ${index.columns}`,
    );
  }
  const missing = await missingConstraints(client, wanted.constraints);
  const tables = [...new Set(missing.map(({ table }) => table))];
  if (missing.length > 0) {
    options.onStep("adding keys that hold for what is written from now on");
    await exclusively(client, options.watch, tables, async () => {
      await clearNames(client, missing);
      for (const { table, name, definition } of missing) {
        await client.query(`ALTER TABLE ${table} ADD CONSTRAINT ${name} ${definition} NOT VALID`);
      }
    });
  }
  await validate(client, wanted.constraints, options);
}

/** Proves for the old rows what the NOT VALID constraints say. Blocks neither readers nor writers. */
async function validate(
  client: pg.Client,
  constraints: readonly WantedConstraint[],
  options: PrepareOptions,
): Promise<void> {
  for (let round = 1; ; round += 1) {
    const broken = new Set<string>();
    let tableBefore = "";
    for (const { table, name } of await unproven(client, constraints)) {
      if (table !== tableBefore) options.onStep(`proving the keys of ${table}`);
      tableBefore = table;
      try {
        await client.query(`ALTER TABLE ${table} VALIDATE CONSTRAINT ${name}`);
      } catch (error) {
        if (!isBroken(error) || round === ROUNDS_MAX) throw error;
        broken.add(table);
      }
    }
    if (broken.size === 0) return;
    for (const table of broken) await options.refill(table);
  }
}

async function missingIndexes(client: pg.Client, indexes: readonly WantedIndex[]): Promise<WantedIndex[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT i.indexrelid::regclass::text AS name FROM pg_index AS i WHERE i.indisvalid AND i.indexrelid = ANY (
       SELECT to_regclass(n) FROM unnest($1::text[]) AS n)`,
    [indexes.map(({ name }) => name)],
  );
  const there = new Set(rows.map(({ name }) => name));
  const keyed = new Set(await tablesWithTenantKey(client));
  return indexes.filter(({ name, table, isUnique }) => !there.has(name) && !(isUnique && keyed.has(table)));
}

/** Tables made with the key that is wanted. */
async function tablesWithTenantKey(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT c.conrelid::regclass::text AS name FROM pg_constraint AS c
     JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
     WHERE c.contype = 'p' AND a.attname = 'tenant_id' AND cardinality(c.conkey) = 2`,
  );
  return rows.map(({ name }) => name);
}

async function missingConstraints(
  client: pg.Client,
  constraints: readonly WantedConstraint[],
): Promise<WantedConstraint[]> {
  const missing: WantedConstraint[] = [];
  for (const constraint of constraints) {
    const { table, name, filledColumn, definition } = constraint;
    const there = await client.query(
      filledColumn === undefined
        ? `SELECT FROM pg_constraint WHERE conrelid = $1::regclass AND conname = $2 AND replace(pg_get_constraintdef(oid), ' NOT VALID', '') = $3`
        : `SELECT FROM pg_attribute WHERE attrelid = $1::regclass AND attname = $3 AND attnotnull
           UNION ALL SELECT FROM pg_constraint WHERE conrelid = $1::regclass AND conname = $2`,
      [table, name, filledColumn ?? definition],
    );
    if (there.rowCount === 0) missing.push(constraint);
  }
  return missing;
}

/** Moves constraints of the predecessor out of the way that bear a wanted name and say something else; the contract step drops them. */
async function clearNames(client: pg.Client, missing: readonly WantedConstraint[]): Promise<void> {
  for (const { table, name } of missing) {
    const taken = await client.query("SELECT FROM pg_constraint WHERE conrelid = $1::regclass AND conname = $2", [
      table,
      name,
    ]);
    if (taken.rowCount !== 0) await client.query(`ALTER TABLE ${table} RENAME CONSTRAINT ${name} TO ${name}_old`);
  }
}

async function unproven(client: pg.Client, constraints: readonly WantedConstraint[]): Promise<WantedConstraint[]> {
  const { rows } = await client.query<{ name: string }>(
    "SELECT conname AS name FROM pg_constraint WHERE NOT convalidated",
  );
  const names = new Set(rows.map(({ name }) => name));
  return constraints.filter(({ name }) => names.has(name)).sort((a, b) => a.table.localeCompare(b.table));
}

function isBroken(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "23503" || error.code === "23514");
}
