import type { FastifyReply, FastifyRequest } from "fastify";
import * as openAccess from "../services/open-access.ts";
import { exchangeOf } from "./exchange.ts";

/**
 * Counts a request that an answer was given to without a credential, and tells its client that this way will end (RFC 9745).
 *
 * @param deprecatedSince undefined where nobody is told.
 */
export function noteOpenAccess(request: FastifyRequest, reply: FastifyReply, deprecatedSince: Date | undefined): void {
  const { ctx, asksForData } = exchangeOf(request);
  const via = ctx && asksForData === true ? openAccess.wayOf(ctx) : null;
  if (!ctx || via === null) return;
  openAccess.note(ctx, openAccess.clientOf(clientHeaders(request)), via);
  if (deprecatedSince) void reply.header("Deprecation", `@${Math.floor(deprecatedSince.getTime() / 1000)}`);
}

function clientHeaders({ headers }: FastifyRequest): { name: string | undefined; userAgent: string | undefined } {
  const name = headers["apollographql-client-name"];
  return { name: typeof name === "string" ? name : undefined, userAgent: headers["user-agent"] };
}
