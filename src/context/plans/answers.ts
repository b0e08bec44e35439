import type pg from "pg";
import { notFound } from "../../errors.ts";
import type { ModelDescription } from "../generated/tenancy/models.ts";
import type { StatementKind } from "./tenancy-proof.ts";
import { decodingOf } from "./wire.ts";
import type { Decode } from "./wire.ts";

/** A result whose rows are lists of columns. */
export type Result = Pick<pg.QueryArrayResult<unknown[]>, "rows" | "rowCount">;
/** Makes what the call answers. @throws NOT_FOUND where a row had to be there. */
export type Answer = (result: Result) => unknown;
type Row = Record<string, unknown>;
type ReadRow = (columns: readonly unknown[]) => Row;

const ALL = "_count$_all"; // what Prisma calls the number of rows of a group

/** The operations that are planned, and what the statement of each does. */
export const PLANNED: Readonly<Record<string, StatementKind>> = {
  findUnique: "SelectStmt",
  findFirst: "SelectStmt",
  findMany: "SelectStmt",
  count: "SelectStmt",
  groupBy: "SelectStmt",
  create: "InsertStmt",
  createMany: "InsertStmt",
  update: "UpdateStmt",
  updateMany: "UpdateStmt",
  delete: "DeleteStmt",
  deleteMany: "DeleteStmt",
};

/**
 * How the answer of an operation is made from its statement's result: what Prisma's client would give.
 *
 * @param fields the fields that are asked for of each row.
 * @returns undefined where a field cannot be read.
 */
export function answerOf(
  operation: string,
  model: ModelDescription,
  fields: readonly string[],
  columns: readonly string[],
): Answer | undefined {
  switch (operation) {
    case "count":
      return ({ rows: [row] }) => Number(row?.[0]);
    case "createMany":
    case "updateMany":
    case "deleteMany":
      return ({ rowCount }) => ({ count: rowCount ?? 0 });
    case "groupBy":
      return groupsOf(model, columns);
  }
  const read = rowReader(model, fields, columns);
  if (!read) return undefined;
  switch (operation) {
    case "findMany":
      return ({ rows }) => rows.map(read);
    case "findUnique":
    case "findFirst":
      return ({ rows: [row] }) => (row ? read(row) : null);
    default:
      return ({ rows: [row] }) => {
        if (!row) throw notFound("Object");
        return read(row);
      };
  }
}

/** How rows with a list below each are made: the first column is the id of the row above. */
export function answerWithLists(
  list: string,
  model: ModelDescription,
  fields: readonly string[],
  columns: readonly string[],
): Answer | undefined {
  const read = rowReader(model, fields, columns);
  if (!read) return undefined;
  // No row has no tenant: a line without one stands for an empty list.
  const tenant = columns.indexOf("tenantId");
  const mark = tenant < 0 ? columns.indexOf("id", 1) : tenant;
  if (mark < 1) return undefined;
  return ({ rows }) => {
    const above = new Map<unknown, Row[]>();
    for (const columns of rows) {
      const below = above.get(columns[0]) ?? [];
      if (columns[mark] !== null) below.push(read(columns));
      above.set(columns[0], below);
    }
    return Array.from(above, ([id, below]) => ({ id, [list]: below }));
  };
}

function rowReader(
  model: ModelDescription,
  fields: readonly string[],
  columns: readonly string[],
): ReadRow | undefined {
  const parts: { readonly field: string; readonly index: number; readonly decode: Decode }[] = [];
  for (const field of fields) {
    // Reads name columns by their field, what is returned by writes by their name in the database. From the end: a list's come last.
    const index = Math.max(columns.lastIndexOf(field), columns.lastIndexOf(model.columns[field] ?? field));
    const decode = decodingOf(model.types[field] ?? "");
    if (index < 0 || !decode) return undefined;
    parts.push({ field, index, decode });
  }
  return (values) => {
    const row: Row = {};
    for (const { field, index, decode } of parts) row[field] = decode(values[index]);
    return row;
  };
}

function groupsOf(model: ModelDescription, columns: readonly string[]): Answer | undefined {
  const by = Object.keys(model.columns).filter((field) => columns.includes(model.columns[field] ?? ""));
  const read = rowReader(model, by, columns);
  const all = columns.indexOf(ALL);
  if (!read || all < 0 || by.length !== columns.length - 1) return undefined;
  return ({ rows }) => rows.map((row) => ({ ...read(row), _count: { _all: Number(row[all]) } }));
}
