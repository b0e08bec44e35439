import { GraphQLError } from "graphql";
import type { GraphQLFormattedError } from "graphql";
import { isUnreachable } from "../context/database-errors.ts";
import { AppError, unavailable } from "../errors.ts";
import type { ErrorCode, FieldProblem } from "../errors.ts";

/** What a client is told of one error, and what it is not told. */
export interface ErrorReport {
  readonly code: ErrorCode;
  readonly formatted: GraphQLFormattedError;
  /** The exception behind an answer that says nothing but "Internal server error", and behind UNAVAILABLE; for the log. */
  readonly cause: unknown;
}

// Apollo's own words for requests that never ran; the contract's list of codes is closed and has one for all of them.
const REFUSED_BY_APOLLO = new Set<unknown>([
  "GRAPHQL_PARSE_FAILED",
  "GRAPHQL_VALIDATION_FAILED",
  "PERSISTED_QUERY_NOT_FOUND",
  "PERSISTED_QUERY_NOT_SUPPORTED",
  "BAD_USER_INPUT",
  "OPERATION_RESOLUTION_FAILURE",
  "BAD_REQUEST",
]);
// No fault but a step of automatic persisted queries: clients know it by this code or by its message, and send the text.
const SEND_THE_TEXT = { code: "PERSISTED_QUERY_NOT_FOUND", message: "PersistedQueryNotFound" };
const TOO_MANY_TOKENS = /Document contains more tha[nt] \d+ tokens/;
const SUGGESTION = / Did you mean [^?]*\?/g;
const VARIABLE_AT = /^Variable "\$(\w+)" got invalid value [^]* at "([\w.[\]]+)"; ([^]*)$/;
const VARIABLE = /^Variable "\$(\w+)" ([^]*)$/;
const ARGUMENT = /^Argument "(\w+)" ([^]*)$/;

/**
 * Turns any error into what the client may see: an AppError as it is, a fault of the request as BAD_USER_INPUT or QUERY_TOO_COMPLEX, a
 * database that is away as UNAVAILABLE, and everything else as "Internal server error".
 *
 * @param hidesSchema whether "Did you mean …?" is cut off: suggestions tell the schema to somebody who may not introspect it.
 */
export function reportError(error: GraphQLError, requestId: string, hidesSchema: boolean): ErrorReport {
  const seen = judge(error);
  const message = hidesSchema && seen.isFromGraphQL ? seen.message.replace(SUGGESTION, "") : seen.message;
  const fields = seen.fields?.map((field) =>
    hidesSchema ? { ...field, message: field.message.replace(SUGGESTION, "") } : field,
  );
  return {
    code: seen.code,
    cause: seen.cause,
    formatted: {
      message,
      ...(error.locations && error.locations.length > 0 && { locations: error.locations }),
      ...(error.path && { path: error.path }),
      extensions: {
        code: seen.signal ?? seen.code,
        ...(fields && { fields }),
        ...(seen.retryAfterSeconds !== undefined && { retryAfterSeconds: seen.retryAfterSeconds }),
        requestId,
      },
    },
  };
}

/** Whether Apollo refused the operation because of what it says, not because of how it was sent. */
export function isOperationFault(error: GraphQLError): boolean {
  const { code } = error.extensions;
  return code !== "BAD_REQUEST" && REFUSED_BY_APOLLO.has(code) && judge(error).code === "BAD_USER_INPUT";
}

/** A validation error that says an operation asks for too much. */
export function tooComplex(message: string): GraphQLError {
  const originalError = new AppError("QUERY_TOO_COMPLEX", message);
  return new GraphQLError(message, { originalError, extensions: { http: { status: originalError.status } } });
}

/** The answer to an id of a document that is not known here. To clients that take plain JSON it comes with 200, as they expect it. */
export function documentNotFound(): GraphQLError {
  const { code, message } = SEND_THE_TEXT;
  return new GraphQLError(message, { extensions: { code } });
}

/** An AppError on its way through Apollo before execution, with the HTTP status that belongs to its code. */
export function beforeExecution(error: AppError): GraphQLError {
  return new GraphQLError(error.message, { originalError: error, extensions: { http: { status: error.status } } });
}

interface Judgement {
  readonly code: ErrorCode;
  /** What the client is told in place of the code, where that is a word of a protocol and not of ours. */
  readonly signal?: string;
  readonly message: string;
  readonly isFromGraphQL?: boolean;
  readonly fields?: readonly FieldProblem[] | undefined;
  readonly retryAfterSeconds?: number | undefined;
  readonly cause?: unknown;
}

function judge(error: GraphQLError): Judgement {
  const cause = rootOf(error);
  if (cause instanceof AppError) return fromApp(cause);
  if (error.extensions["code"] === SEND_THE_TEXT.code)
    return { code: "BAD_USER_INPUT", signal: SEND_THE_TEXT.code, message: SEND_THE_TEXT.message };
  if (isTooComplex(error)) return { code: "QUERY_TOO_COMPLEX", message: withoutPrefix(error.message) };
  // Before the database is suspected: the message of a refused value quotes what the client sent.
  if (isClientFault(error, cause)) {
    const { message } = error;
    return { code: "BAD_USER_INPUT", message, isFromGraphQL: true, fields: [fieldOf(message)] };
  }
  if (isUnreachable(cause)) return fromApp(unavailable(cause));
  return { code: "INTERNAL_SERVER_ERROR", message: "Internal server error", cause };
}

function fromApp(error: AppError): Judgement {
  const { code, message, fields, retryAfterSeconds } = error;
  const isOurs = code === "UNAVAILABLE" || code === "INTERNAL_SERVER_ERROR";
  return { code, message, fields, retryAfterSeconds, ...(isOurs && { cause: error.cause ?? error }) };
}

function rootOf(error: GraphQLError): unknown {
  let root: unknown = error;
  // Errors of the database carry their own chain, which is left whole for the log.
  while (root instanceof GraphQLError && root.originalError) root = root.originalError;
  return root;
}

function isTooComplex(error: GraphQLError): boolean {
  return (
    TOO_MANY_TOKENS.test(error.message) ||
    error.extensions["validationErrorCode"] === "MAX_RECURSIVE_SELECTIONS_EXCEEDED"
  );
}

function isClientFault(error: GraphQLError, cause: unknown): boolean {
  if (!error.path) {
    // Before execution: graphql-js points at the document, Apollo gives a code, and an exception of ours has neither.
    const { code } = error.extensions;
    const isPlain = code === undefined && !error.originalError;
    return REFUSED_BY_APOLLO.has(code) || (error.nodes?.length ?? 0) > 0 || isPlain;
  }
  // During execution: an argument's value was refused, or a service's result could not be written, and only the former is the client's doing.
  return cause instanceof GraphQLError && cause.message === error.message && ARGUMENT.test(error.message);
}

function fieldOf(message: string): FieldProblem {
  const [, , at, problem] = VARIABLE_AT.exec(message) ?? [];
  if (at !== undefined && problem !== undefined) return { path: at, message: problem };
  const [, name, rest] = VARIABLE.exec(message) ?? ARGUMENT.exec(message) ?? [];
  return name === undefined || rest === undefined ? { path: "query", message } : { path: name, message: rest };
}

function withoutPrefix(message: string): string {
  return message.replace(/^Syntax Error: /, "");
}
