import { AppError, notFound, unavailable } from "../errors.ts";
import { Prisma } from "./generated/client/client.ts";

// Prisma: cannot reach, times out, connection closed, too many connections, transaction could not start.
const UNREACHABLE = new Set(["P1000", "P1001", "P1002", "P1003", "P1008", "P1011", "P1017", "P2024", "P2028", "P2037"]);
// PostgreSQL: class 08 (connection), 53 (resources), 57 (operator intervention), 40001 and 40P01 (try again).
const UNREACHABLE_SQLSTATE = /^(08...|53...|57...|40001|40P01|25P02|25006)$/;
const UNREACHABLE_TEXT =
  /ECONNREFUSED|ECONNRESET|EPIPE|ENOTFOUND|ETIMEDOUT|EHOSTUNREACH|Connection terminated|connection timeout|timeout exceeded when trying to connect|Query read timeout|not queryable|Connection ended|Cannot use a pool after/i;

/**
 * Turns the database's own refusals into the codes a client knows: missing row and missing reference → NOT_FOUND, duplicate → CONFLICT,
 * no connection → UNAVAILABLE. Anything else goes on unchanged, and is masked at the edge.
 */
export function translateDatabaseError(error: unknown): never {
  if (error instanceof AppError) throw error;
  if (isUnreachable(error)) throw unavailable(error);
  if (error instanceof Prisma.PrismaClientKnownRequestError) {
    if (error.code === "P2025" || error.code === "P2003") throw notFound("Object", error);
    if (error.code === "P2002") throw new AppError("CONFLICT", "This exists already", { cause: error });
    if (error.code === "P2034") throw unavailable(error);
  }
  // The same two, where a statement ran without Prisma.
  const code: unknown = isObject(error) ? Reflect.get(error, "code") : undefined;
  if (code === "23503") throw notFound("Object", error);
  if (code === "23505") throw new AppError("CONFLICT", "This exists already", { cause: error });
  throw error;
}

/** Whether an error of Prisma or pg says that the database could not be reached, or refused to work for now. */
export function isUnreachable(error: unknown): boolean {
  for (let current = error, depth = 0; isObject(current) && depth < 6; depth += 1) {
    const code: unknown =
      Reflect.get(current, "code") ?? Reflect.get(current, "originalCode") ?? Reflect.get(current, "errorCode");
    if (
      typeof code === "string" &&
      (UNREACHABLE.has(code) || UNREACHABLE_SQLSTATE.test(code) || UNREACHABLE_TEXT.test(code))
    )
      return true;
    const kind: unknown = Reflect.get(current, "kind");
    if (
      typeof kind === "string" &&
      /^(DatabaseNotReachable|ConnectionClosed|SocketTimeout|TooManyConnections|TransactionWriteConflict)$/.test(kind)
    )
      return true;
    const message: unknown = Reflect.get(current, "message");
    if (typeof message === "string" && UNREACHABLE_TEXT.test(message)) return true;
    const meta: unknown = Reflect.get(current, "meta");
    current = Reflect.get(current, "cause") ?? (isObject(meta) ? Reflect.get(meta, "driverAdapterError") : undefined);
  }
  return false;
}

/** Whether PostgreSQL ended a transaction in favour of another one that waited for it (40P01). */
export function isDeadlock(error: unknown): boolean {
  for (let current = error, depth = 0; isObject(current) && depth < 6; depth += 1) {
    const code: unknown = Reflect.get(current, "code");
    // The last two are what Prisma and its adapter make of it.
    if (code === "40P01" || code === "P2034" || Reflect.get(current, "kind") === "TransactionWriteConflict")
      return true;
    const meta: unknown = Reflect.get(current, "meta");
    current = Reflect.get(current, "cause") ?? (isObject(meta) ? Reflect.get(meta, "driverAdapterError") : undefined);
  }
  return false;
}

/** Not instanceof: errors of the system come from another realm where modules run in a VM, as under Jest. */
function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
