import { loadModule, parseSync } from "libpg-query";
import { z } from "zod";

/** What a statement does, and to which rows. */
export type StatementKind = "SelectStmt" | "InsertStmt" | "UpdateStmt" | "DeleteStmt";

type Tree = Readonly<Record<string, unknown>>;

const TENANT_COLUMN = "tenant_id";
const KINDS: readonly StatementKind[] = ["SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt"];
const tree = z.record(z.string(), z.unknown());
const relation = z.object({ relname: z.string(), alias: z.object({ aliasname: z.string() }).optional() });
const parsed = z.object({ stmts: z.array(z.object({ stmt: tree })).length(1) });

/** Loads PostgreSQL's own parser, once. */
export async function loadParser(): Promise<void> {
  await loadModule();
}

/** What is known of a statement that was proven to concern one tenant. */
export interface ProvenStatement {
  readonly kind: StatementKind;
  /** The names of the columns it gives, in their order. */
  readonly columns: readonly string[];
}

/**
 * Proves that a statement concerns one tenant's rows: every table in it is narrowed, in the very part of the statement that names it, by
 * `tenant_id = $n` as one of the conditions that must all hold, or gets `$n` as the tenant of every row that is added, where `$n` is one of
 * `tenantParameters`. Read from PostgreSQL's own parse tree, not from the text.
 *
 * @param tenantParameters the numbers of the parameters that are the tenant, from 1.
 * @returns undefined when the proof fails.
 */
export function prove(text: string, tenantParameters: ReadonlySet<number>): ProvenStatement | undefined {
  const document = parsed.safeParse(parseSync(text));
  const statement = document.data?.stmts[0]?.stmt;
  const kind = KINDS.find((candidate) => statement?.[candidate] !== undefined);
  if (!statement || !kind || !new Proof(tenantParameters).holds(statement)) return undefined;
  const body = asTree(statement[kind]);
  return { kind, columns: columnsOf(body?.[kind === "SelectStmt" ? "targetList" : "returningClause"]) };
}

class Proof {
  readonly #tenant: ReadonlySet<number>;

  constructor(tenant: ReadonlySet<number>) {
    this.#tenant = tenant;
  }

  /** Whether everything below this node is narrowed. */
  holds(node: unknown): boolean {
    if (Array.isArray(node)) return node.every((part) => this.holds(part));
    const fields = asTree(node);
    if (!fields) return true;
    return Object.entries(fields).every(([name, value]) => this.#holdsFor(name, value));
  }

  #holdsFor(name: string, value: unknown): boolean {
    const fields = asTree(value);
    switch (name) {
      case "SelectStmt":
        return fields !== undefined && this.#select(fields);
      case "UpdateStmt":
      case "DeleteStmt":
        return fields !== undefined && this.#change(fields);
      case "InsertStmt":
        return fields !== undefined && this.#insert(fields);
      // A table that was not met by one of the above, or anything that names rows in another way.
      case "RangeVar":
      case "RangeFunction":
      case "RangeTableFunc":
      case "WithClause":
      case "MergeStmt":
        return false;
      default:
        return this.holds(value);
    }
  }

  #select(select: Tree): boolean {
    // Set operations, WITH and INTO are nothing that Prisma writes here.
    if (select["op"] !== "SETOP_NONE" || select["withClause"] !== undefined || select["intoClause"] !== undefined)
      return false;
    const { fromClause, ...rest } = select;
    const sources = Array.isArray(fromClause) ? fromClause : [];
    const tables = sources.flatMap(tablesIn);
    const bound = this.#boundNames(select["whereClause"]);
    return (
      tables.every((name) => bound.has(name)) &&
      sources.every((source) => this.holds(withoutTables(source))) &&
      this.holds(rest)
    );
  }

  #change(change: Tree): boolean {
    const { relation: target, ...rest } = change;
    const name = nameOf(target);
    const movesRows = columnsOf(change["targetList"]).includes(TENANT_COLUMN);
    const isPlain = change["fromClause"] === undefined && change["usingClause"] === undefined && !movesRows;
    return isPlain && name !== undefined && this.#boundNames(change["whereClause"]).has(name) && this.holds(rest);
  }

  /** Every row names the tenant in its place. What to do about duplicates changes no row. */
  #insert(insert: Tree): boolean {
    const { cols, selectStmt, onConflictClause, returningClause } = insert;
    const place = Array.isArray(cols)
      ? cols.findIndex((column) => asTree(asTree(column)?.["ResTarget"])?.["name"] === TENANT_COLUMN)
      : -1;
    const rows = asTree(asTree(selectStmt)?.["SelectStmt"])?.["valuesLists"];
    const isQuiet = onConflictClause === undefined || asTree(onConflictClause)?.["action"] === "ONCONFLICT_NOTHING";
    if (place < 0 || !Array.isArray(rows) || rows.length === 0 || !isQuiet) return false;
    const isOurs = rows.every((row) => {
      const items = asTree(asTree(row)?.["List"])?.["items"];
      return Array.isArray(items) && this.#isTenant(items[place]) && this.holds(items);
    });
    return isOurs && insert["withClause"] === undefined && this.holds(returningClause);
  }

  /** The tables, by the names they have in this statement, for which a condition that must hold says whose rows they are. */
  #boundNames(where: unknown): ReadonlySet<string> {
    return new Set(conditionsOf(where).flatMap((condition) => this.#boundBy(condition) ?? []));
  }

  #boundBy(condition: unknown): string | undefined {
    const comparison = asTree(asTree(condition)?.["A_Expr"]);
    if (comparison?.["kind"] !== "AEXPR_OP" || namesIn(comparison["name"]).join(".") !== "=") return undefined;
    const column = namesIn(asTree(asTree(comparison["lexpr"])?.["ColumnRef"])?.["fields"]);
    if (column.at(-1) !== TENANT_COLUMN || !this.#isTenant(comparison["rexpr"])) return undefined;
    return column.at(-2);
  }

  #isTenant(node: unknown): boolean {
    const number = asTree(asTree(node)?.["ParamRef"])?.["number"];
    return typeof number === "number" && this.#tenant.has(number);
  }
}

/** The parts of a condition of which all must hold. */
function conditionsOf(where: unknown): unknown[] {
  const combined = asTree(asTree(where)?.["BoolExpr"]);
  if (combined?.["boolop"] !== "AND_EXPR") return [where];
  return Array.isArray(combined["args"]) ? combined["args"].flatMap(conditionsOf) : [];
}

/** The names of the tables among the sources of a SELECT, joins included. */
function tablesIn(source: unknown): string[] {
  const node = asTree(source);
  const table = nameOf(node?.["RangeVar"]);
  if (table !== undefined) return [table];
  const join = asTree(node?.["JoinExpr"]);
  return join ? [join["larg"], join["rarg"]].flatMap(tablesIn) : [];
}

function withoutTables(source: unknown): unknown {
  const node = asTree(source);
  if (node?.["RangeVar"] !== undefined) return undefined;
  const join = asTree(node?.["JoinExpr"]);
  return join ? [withoutTables(join["larg"]), withoutTables(join["rarg"]), join["quals"]] : source;
}

/** By which name the columns of a table are known in its statement. */
function nameOf(table: unknown): string | undefined {
  const known = relation.safeParse(table);
  return known.success ? (known.data.alias?.aliasname ?? known.data.relname) : undefined;
}

/** What the results of a list of expressions are called; PostgreSQL 18 keeps those of RETURNING one level deeper. */
function columnsOf(list: unknown): string[] {
  const items = Array.isArray(list) ? list : (asTree(list)?.["exprs"] ?? []);
  if (!Array.isArray(items)) return [];
  return items.map((item) => {
    const target = asTree(asTree(item)?.["ResTarget"]);
    const name = target?.["name"] ?? namesIn(asTree(asTree(target?.["val"])?.["ColumnRef"])?.["fields"]).at(-1);
    return typeof name === "string" ? name : "";
  });
}

function namesIn(list: unknown): string[] {
  if (!Array.isArray(list)) return [];
  return list.map((item) => {
    const name = asTree(asTree(item)?.["String"])?.["sval"];
    return typeof name === "string" ? name : "";
  });
}

function asTree(value: unknown): Tree | undefined {
  const known = tree.safeParse(value);
  return known.success ? known.data : undefined;
}
