import type pg from "pg";
import type { Found } from "./report.ts";
import { LEGACY_SHAPES, V1_SHAPES, V2_SHAPES, type Shapes } from "./shapes.ts";

export type Recognised =
  | { readonly found: Found }
  /** Nothing that can be adopted; `differences` compares with the nearest variant. */
  | { readonly found: "unknown"; readonly nearest: string; readonly differences: readonly string[] };

interface Catalogue {
  readonly shapes: Shapes;
  /** Table → columns of its primary key, in order. */
  readonly primaryKeys: Readonly<Record<string, readonly string[]>>;
  readonly shortMemoryHasSessionKey: boolean;
  readonly statusHasDefault: boolean;
}

/**
 * Compares the tables of schema public with those of the predecessor's releases. Reads the catalogue only.
 * Tables that no release knows are ignored; a known table with one column more or less is not recognised.
 */
export async function recogniseLegacy(client: pg.Client): Promise<Recognised> {
  const catalogue = await readCatalogue(client);
  const known = Object.keys(V2_SHAPES).filter((table) => catalogue.shapes[table] !== undefined);
  if (known.length === 0) return { found: "empty" };

  const legacyName = nameOfLegacy(catalogue);
  const candidates = [
    { found: legacyName, differences: compare(catalogue, LEGACY_SHAPES, ["session_id"]) },
    { found: "v1" as const, differences: compare(catalogue, V1_SHAPES, ["tenant_id", "session_id"]) },
    { found: "v2" as const, differences: compare(catalogue, V2_SHAPES, ["tenant_id", "session_id"]) },
  ];
  const nearest = candidates.reduce((a, b) => (b.differences.length < a.differences.length ? b : a));
  if (nearest.differences.length === 0) return { found: nearest.found };
  return { found: "unknown", nearest: nearest.found, differences: nearest.differences };
}

function nameOfLegacy(catalogue: Catalogue): "A" | "B" | "B, made by create_all" {
  if (!catalogue.shortMemoryHasSessionKey) return "A";
  return catalogue.statusHasDefault ? "B" : "B, made by create_all";
}

function compare(catalogue: Catalogue, wanted: Shapes, shortMemoryKey: readonly string[]): string[] {
  const differences: string[] = [];
  for (const table of new Set([...Object.keys(wanted), ...Object.keys(V2_SHAPES)])) {
    const there = catalogue.shapes[table];
    const expected = wanted[table];
    if (there === undefined || expected === undefined) {
      if (there !== undefined) differences.push(`table ${table} is not of this release`);
      if (expected !== undefined) differences.push(`table ${table} is missing`);
      continue;
    }
    for (const column of new Set([...Object.keys(expected), ...Object.keys(there)])) {
      if (there[column] !== expected[column]) {
        differences.push(`${table}.${column} is ${say(there[column])}, expected ${say(expected[column])}`);
      }
    }
    const key = (table === "memory_short" ? shortMemoryKey : ["id"]).join(", ");
    const keyThere = (catalogue.primaryKeys[table] ?? []).join(", ");
    if (keyThere !== key) differences.push(`the primary key of ${table} is (${keyThere}), expected (${key})`);
  }
  return differences;
}

function say(type: string | undefined): string {
  if (type === undefined) return "not there";
  return type.endsWith("!") ? `${type.slice(0, -1)} NOT NULL` : type;
}

async function readCatalogue(client: pg.Client): Promise<Catalogue> {
  const columns = await client.query<{ table: string; column: string; type: string; has_default: boolean }>(`
    SELECT t.relname AS "table", a.attname AS "column",
           format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN '!' ELSE '' END AS type,
           a.atthasdef AS has_default
    FROM pg_class AS t JOIN pg_attribute AS a ON a.attrelid = t.oid
    WHERE t.relnamespace = 'public'::regnamespace AND t.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY t.relname, a.attnum`);
  const keys = await client.query<{ table: string; columns: string[] }>(`
    SELECT t.relname AS "table",
           (SELECT array_agg(a.attname::text ORDER BY k.position)
              FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, position)
              JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.attnum) AS columns
    FROM pg_constraint AS c JOIN pg_class AS t ON t.oid = c.conrelid
    WHERE c.contype = 'p' AND t.relnamespace = 'public'::regnamespace`);
  const sessionKeys = await client.query(`
    SELECT FROM pg_constraint
    WHERE contype = 'f' AND conrelid = to_regclass('public.memory_short') AND confrelid = to_regclass('public.sessions')`);

  const shapes: Record<string, Record<string, string>> = {};
  for (const { table, column, type } of columns.rows) {
    shapes[table] = { ...shapes[table], [column]: type };
  }
  return {
    shapes,
    primaryKeys: Object.fromEntries(keys.rows.map((key) => [key.table, key.columns])),
    shortMemoryHasSessionKey: sessionKeys.rowCount !== 0,
    statusHasDefault: columns.rows.some((c) => c.table === "sessions" && c.column === "status" && c.has_default),
  };
}
