import { ConfigError } from "../config.ts";
import { isUnreachable } from "../context/database-errors.ts";
import { isSystemError } from "../embedded/system-error.ts";
import { AppError } from "../errors.ts";

/** What went wrong and what to do, a line each, without a stack: whoever starts the gateway or types a command is not its developer. */
export function describeFailure(error: unknown): readonly string[] {
  if (error instanceof ConfigError) return error.problems;
  if (isSystemError(error, "EADDRINUSE"))
    return [messageOf(error), "Set PORT to another one; 0 takes any that is free."];
  const root = error instanceof AppError && error.code === "UNAVAILABLE" ? error.cause : error;
  if (isUnreachable(root)) {
    return [
      `PostgreSQL does not answer: ${messageOf(root)}`,
      "Is it running, and do DATABASE_URL and DATABASE_OWNER_URL name it?",
    ];
  }
  return [messageOf(error)];
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
