/**
 * Every code a client can meet, with its HTTP status when the request fails before execution, and whether trying again later may help.
 * The list is closed: contract/schema.graphql names it, docs/api.md explains it.
 */
export const ERROR_CODES = {
  UNAUTHENTICATED: { status: 401, retry: false },
  FORBIDDEN: { status: 403, retry: false },
  NOT_FOUND: { status: 404, retry: false },
  CONFLICT: { status: 409, retry: false },
  BAD_USER_INPUT: { status: 400, retry: false },
  PAYLOAD_TOO_LARGE: { status: 413, retry: false },
  RATE_LIMITED: { status: 429, retry: true },
  QUERY_TOO_COMPLEX: { status: 400, retry: false },
  QUOTA_EXCEEDED: { status: 429, retry: true },
  TENANT_REQUIRED: { status: 401, retry: false },
  TENANT_INVALID_ID: { status: 400, retry: false },
  TENANT_NOT_FOUND: { status: 404, retry: false },
  TENANT_INACTIVE: { status: 403, retry: false },
  TENANT_MISMATCH: { status: 403, retry: false },
  TENANT_MOVING: { status: 503, retry: true },
  API_KEY_EXPIRED: { status: 401, retry: false },
  INTEGRATION_AUTH_REQUIRED: { status: 409, retry: false },
  UPSTREAM_FAILED: { status: 502, retry: true },
  UNAVAILABLE: { status: 503, retry: true },
  INTERNAL_SERVER_ERROR: { status: 500, retry: false },
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** One wrong input: where it stands in the arguments ("input.name") and what is wrong with it. */
export interface FieldProblem {
  readonly path: string;
  readonly message: string;
}

interface AppErrorOptions {
  readonly cause?: unknown;
  readonly fields?: readonly FieldProblem[];
  readonly retryAfterSeconds?: number;
}

/** An error that a caller may see. The message is for the person who called; the cause is for us and never leaves the process. */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly code: ErrorCode;
  readonly fields: readonly FieldProblem[] | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.fields = options.fields;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  get status(): number {
    return ERROR_CODES[this.code].status;
  }
}

/** The one answer for what does not exist and for what belongs to another tenant. */
export function notFound(thing: string, cause?: unknown): AppError {
  return new AppError("NOT_FOUND", `${thing} not found`, { cause });
}

/** Wrong input, with every problem found. */
export function badInput(...problems: FieldProblem[]): AppError {
  const message = problems.map((problem) => `${problem.path}: ${problem.message}`).join("; ");
  return new AppError("BAD_USER_INPUT", message, { fields: problems });
}

/** A standing quota is used up: more of it comes with time, with deleting, or with another plan. */
export function quotaExceeded(what: string, limit: number): AppError {
  return new AppError("QUOTA_EXCEEDED", `There can be at most ${limit.toLocaleString("en")} ${what}`);
}

/** The database, or a part of it that the request needs, does not answer; trying again later may help. */
export function unavailable(cause: unknown): AppError {
  return new AppError("UNAVAILABLE", "The service is temporarily unavailable, please try again", { cause });
}
