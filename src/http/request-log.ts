import type { FastifyInstance } from "fastify";
import type { Logger } from "../context/log.ts";
import { actorName } from "../context/permissions.ts";
import { exchangeOf, tenantIdOf } from "./exchange.ts";
import type { Exchange } from "./exchange.ts";
import type { Metrics, Outcome } from "./metrics.ts";

const NAME_MAX = 100; // a client chooses its operations' names
// Asked by machines every few seconds, or twenty times a page.
const QUIET = new Set(["/livez", "/readyz", "/metrics", "/playground/static/*"]);

/** One line and one count for each request, when its answer is out. Addresses and variables stay out: they hold contents. */
export function recordRequests(server: FastifyInstance, log: Logger, metrics: Metrics): void {
  server.addHook("onRequest", async (request) => {
    exchangeOf(request);
  });
  server.addHook("onResponse", async (request, reply) => {
    const exchange = exchangeOf(request);
    const route = request.routeOptions.url ?? "none";
    const durationMs = performance.now() - exchange.startedAt;
    const outcome = outcomeOf(reply.statusCode, exchange);
    metrics.answered(route, outcome, durationMs / 1000);
    const { ctx, operation, kind, codes, document } = exchange;
    if (document) metrics.documentAsked(document.document, document.sentAs);
    const tenantId = tenantIdOf(ctx);
    const line = {
      requestId: request.id,
      ...(tenantId !== undefined && { tenantId, source: ctx?.source }),
      ...(ctx && { actor: actorName(ctx.actor) }),
      method: request.method,
      route,
      status: reply.statusCode,
      ...(kind !== undefined && { kind }),
      ...(operation !== undefined && { operation: operation.slice(0, NAME_MAX) }),
      ...(document?.hash !== undefined && { document: document.document, documentHash: document.hash }),
      durationMs: Math.round(durationMs * 10) / 10,
      outcome,
      ...(codes.length > 0 && { codes }),
    };
    if (QUIET.has(route)) log.debug(line, "request");
    else log.info(line, "request");
  });
}

function outcomeOf(status: number, { codes }: Exchange): Outcome {
  if (codes.includes("INTERNAL_SERVER_ERROR")) return "server_error";
  if (codes.includes("UNAVAILABLE") || status === 503) return "unavailable";
  if (status >= 500) return "server_error";
  return codes.length > 0 || status >= 400 ? "client_error" : "ok";
}
