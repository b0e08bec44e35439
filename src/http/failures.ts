import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { isUnreachable } from "../context/database-errors.ts";
import { describeException } from "../context/exceptions.ts";
import type { Logger } from "../context/log.ts";
import { AppError, unavailable } from "../errors.ts";
import type { ErrorCode } from "../errors.ts";
import { exchangeOf } from "./exchange.ts";

const GRAPHQL_RESPONSE = "application/graphql-response+json";
const CREDENTIAL_SCHEMES = 'Bearer realm="atrium", ApiKey realm="atrium"';

/** An answer that says only what went wrong, in the one shape that all errors have. */
interface Failure {
  readonly status: number;
  readonly code: ErrorCode;
  readonly message: string;
  readonly fields?: AppError["fields"];
  readonly retryAfterSeconds?: number | undefined;
}

/** Gives every failure outside of GraphQL's execution the shape of a GraphQL error: a client needs one way to read them. */
export function answerFailures(server: FastifyInstance, log: Logger): void {
  server.setErrorHandler((error: FastifyError, request, reply) => {
    const failure = failureOf(error);
    // Ours without a cause was noticed elsewhere, and is logged there: once, and not for each request.
    const isLogged = error instanceof AppError && error.cause === undefined;
    if (failure.code === "INTERNAL_SERVER_ERROR" || (failure.code === "UNAVAILABLE" && !isLogged)) {
      const about = { requestId: request.id, code: failure.code, cause: describeException(rootOf(error)) };
      if (failure.code === "UNAVAILABLE") log.warn(about, "cannot serve for now");
      else log.error(about, "unexpected exception");
    }
    return fail(request, reply, failure);
  });
  server.setNotFoundHandler((request, reply) =>
    fail(request, reply, { status: 404, code: "NOT_FOUND", message: "There is nothing at this address" }),
  );
}

/** 401 says how to present a credential. */
export function challenge(reply: FastifyReply, status: number): void {
  if (status === 401) void reply.header("WWW-Authenticate", CREDENTIAL_SCHEMES);
}

/** Whether a client asked for GraphQL's own media type, which allows statuses other than 200. */
function takesGraphqlResponse(request: FastifyRequest): boolean {
  return (request.headers.accept ?? "").includes(GRAPHQL_RESPONSE);
}

function fail(request: FastifyRequest, reply: FastifyReply, failure: Failure): FastifyReply {
  const { status, code, message, fields, retryAfterSeconds } = failure;
  exchangeOf(request).codes = [code];
  challenge(reply, status);
  if (retryAfterSeconds !== undefined) void reply.header("Retry-After", String(retryAfterSeconds));
  const extensions = {
    code,
    ...(fields && { fields }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    requestId: request.id,
  };
  return reply
    .code(status)
    .type(`${takesGraphqlResponse(request) ? GRAPHQL_RESPONSE : "application/json"}; charset=utf-8`)
    .send(JSON.stringify({ errors: [{ message, extensions }] }));
}

function failureOf(error: FastifyError): Failure {
  if (error instanceof AppError) return error;
  if (isUnreachable(error)) return unavailable(error);
  const { statusCode: status = 500 } = error;
  if (status === 413) return { status, code: "PAYLOAD_TOO_LARGE", message: "The request's body is too large" };
  if (status >= 400 && status < 500) {
    const message = `The request cannot be read: ${error.message}`;
    return { status, code: "BAD_USER_INPUT", message, fields: [{ path: "body", message: error.message }] };
  }
  return { status: 500, code: "INTERNAL_SERVER_ERROR", message: "Internal server error" };
}

function rootOf(error: unknown): unknown {
  return error instanceof AppError && error.cause !== undefined ? error.cause : error;
}
