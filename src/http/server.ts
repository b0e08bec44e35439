import cors from "@fastify/cors";
import helmet from "@fastify/helmet";
import { fastify } from "fastify";
import type { FastifyInstance } from "fastify";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Config } from "../config.ts";
import type { AppContext } from "../context/app-context.ts";
import { newRequestId } from "../context/crypto.ts";
import { answerFailures } from "./failures.ts";
import { mountAccountPages } from "./account-pages.ts";
import { mountGraphql, schemaText } from "./graphql.ts";
import type { GraphqlMount } from "./graphql.ts";
import { mountHealth } from "./health.ts";
import type { Metrics } from "./metrics.ts";
import { mountOutsideSignIn } from "./outside-sign-in.ts";
import { mountPages } from "./pages.ts";
import { recordRequests } from "./request-log.ts";
import { mountWellKnown } from "./well-known.ts";

const DEADLINE_MS = 30_000; // twice what one statement or transaction may take
const DRAIN_MS = 8_000; // of the ten seconds in which the process must have ended
const BODY_MAX_BYTES = 65_536; // for every route but /graphql, which has its own
const PREFLIGHT_SECONDS = 600;
const LIMIT_HEADERS = ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"];
const REQUEST_ID = /^[\w-]{8,64}$/;

export interface HttpOptions {
  readonly app: AppContext;
  readonly schema: GraphqlMount["schema"];
  readonly config: Pick<
    Config,
    "host" | "port" | "introspection" | "trustedDocuments" | "corsOrigins" | "openAccessDeprecated" | "trustedProxies"
  >;
  readonly trustedDocuments: GraphqlMount["trustedDocuments"];
  readonly metrics: Metrics;
  /** The last migration that this version knows; /readyz is 503 until it is applied. */
  readonly expectedMigration: string;
  /** A key of a sample tenant, filled in at /playground for somebody at this machine. */
  readonly sampleKey?: string | undefined;
  /** How long a request may take, in milliseconds; shorter in tests. */
  readonly deadlineMs?: number | undefined;
}

export interface HttpServer {
  /** Where it answers: `http://host:port`. */
  readonly url: string;
  /** Unready at once; no new connections; requests under way are finished, for at most 8 seconds. */
  readonly close: () => Promise<void>;
}

/** The HTTP edge: every route, and what holds for all of them. */
export async function openHttpServer(options: HttpOptions): Promise<HttpServer> {
  const { app, schema, config, metrics } = options;
  let isStopping = false;
  const deadlineMs = options.deadlineMs ?? DEADLINE_MS;
  const server = fastify({
    trustProxy: config.trustedProxies.length > 0 ? [...config.trustedProxies] : false,
    genReqId: requestIdOf,
    bodyLimit: BODY_MAX_BYTES,
    requestTimeout: deadlineMs,
    forceCloseConnections: "idle",
    // Requests on connections that are still open are answered: nobody sees the stop as an error.
    return503OnClosing: false,
  });
  recordRequests(server, app.log, metrics);
  answerFailures(server, app.log);
  await secure(server, config.corsOrigins);
  server.addHook("onSend", async (request, reply) => {
    void reply.header("X-Request-ID", request.id);
    if (isStopping) void reply.header("Connection", "close");
  });
  metrics.observe(app);
  const apollo = await mountGraphql(server, {
    app,
    schema,
    introspection: config.introspection,
    documentMode: config.trustedDocuments,
    trustedDocuments: options.trustedDocuments,
    deadlineMs,
    openAccessDeprecated: config.openAccessDeprecated,
  });
  mountHealth(server, {
    app,
    metrics,
    expectedMigration: options.expectedMigration,
    isStopping: () => isStopping,
  });
  await mountOutsideSignIn(server, app);
  mountPages(server, {
    app,
    introspection: config.introspection,
    schemaText: schemaText(schema),
    sampleKey: options.sampleKey,
  });
  mountAccountPages(server);
  mountWellKnown(server, app);
  const sockets = new Set<Socket>();
  server.server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });

  const url = await server.listen({ host: config.host, port: config.port });

  async function drain(): Promise<void> {
    isStopping = true;
    // Browsers connect before they have anything to say; Node does not count these as idle, and would wait for them.
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
    const timer = setTimeout(() => server.server.closeAllConnections(), DRAIN_MS);
    await server.close();
    clearTimeout(timer);
    await apollo.stop();
  }

  let draining: Promise<void> | undefined;
  return { url, close: () => (draining ??= drain()) };
}

/** Headers that tell browsers what they may do with answers; pages say more for themselves. */
async function secure(server: FastifyInstance, corsOrigins: readonly string[]): Promise<void> {
  await server.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  });
  if (corsOrigins.length === 0) return;
  await server.register(cors, {
    origin: [...corsOrigins],
    methods: ["GET", "POST"],
    allowedHeaders: [
      "Content-Type",
      "Authorization",
      "X-API-Key",
      "X-Tenant-ID",
      "X-Request-ID",
      "X-Cost-Only",
      "Apollo-Require-Preflight",
    ],
    exposedHeaders: ["X-Request-ID", "X-Tenant-ID", "Retry-After", ...LIMIT_HEADERS, "Deprecation"],
    maxAge: PREFLIGHT_SECONDS,
  });
}

/** The caller's own id for a request, where it has the form of one: what joins its log with ours. */
function requestIdOf(request: IncomingMessage): string {
  const given = request.headers["x-request-id"];
  return typeof given === "string" && REQUEST_ID.test(given) ? given : newRequestId();
}
