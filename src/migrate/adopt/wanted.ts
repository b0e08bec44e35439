import { AdoptError } from "./report.ts";
import { readStep, STEPS } from "./steps.ts";

export interface WantedIndex {
  readonly table: string;
  readonly name: string;
  readonly isUnique: boolean;
  /** The part after the table's name. */
  readonly columns: string;
}

export interface WantedConstraint {
  readonly table: string;
  readonly name: string;
  /** As in ALTER TABLE … ADD CONSTRAINT. */
  readonly definition: string;
  /** The column, where it says that it is filled; undefined for a foreign key. */
  readonly filledColumn: string | undefined;
}

/** What the contract step uses where it finds it, and would build under its exclusive lock where not. */
export interface Wanted {
  readonly indexes: readonly WantedIndex[];
  readonly constraints: readonly WantedConstraint[];
}

/**
 * Reads from the contract step's own text what it can use. An applied step is never edited, so its text is the one place
 * where this is said.
 */
export async function readWanted(): Promise<Wanted> {
  const sql = await readStep(STEPS.keys);
  const tables = quoted(/tenant_tables constant text\[\] := ARRAY\[([^\]]*)\]/.exec(sql)?.[1] ?? "");
  const foreignKeys = [...sql.matchAll(/\['(\w+)', '(\w+)', '(FOREIGN KEY [^']+)'\]/g)].map(
    ([, table = "", name = "", definition = ""]) => ({ table, name, definition, filledColumn: undefined }),
  );
  const indexes = [...sql.matchAll(/CREATE INDEX IF NOT EXISTS (\w+) ON (\w+) (\([^;]+\));/g)].map(
    ([, name = "", table = "", columns = ""]) => ({ table, name, isUnique: false, columns }),
  );
  const notNull = [...sql.matchAll(/ALTER TABLE (\w+)([^;]*);/g)].flatMap(([, table = "", changes = ""]) =>
    [...changes.matchAll(/ALTER COLUMN "?(\w+)"? SET NOT NULL/g)].map(([, column = ""]) => ({ table, column })),
  );
  if (tables.length === 0 || foreignKeys.length === 0 || indexes.length === 0 || notNull.length === 0) {
    throw new AdoptError(`The step ${STEPS.keys} is not the one that this program was made for; install it again`);
  }
  const keys = tables.map((table) => ({
    table,
    name: `${table}_tenant_pkey_new`,
    isUnique: true,
    columns: table === "memory_short" ? "(tenant_id, session_id)" : "(tenant_id, id)",
  }));
  const filled = [...tables.map((table) => ({ table, column: "tenant_id" })), ...notNull].map(({ table, column }) => ({
    table,
    name: `${table}_${column}_filled`,
    definition: `CHECK ("${column}" IS NOT NULL)`,
    filledColumn: column,
  }));
  return { indexes: [...keys, ...indexes], constraints: [...filled, ...foreignKeys] };
}

function quoted(list: string): string[] {
  return [...list.matchAll(/'(\w+)'/g)].map(([, name = ""]) => name);
}
