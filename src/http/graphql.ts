import { fastifyApolloHandler } from "@as-integrations/fastify";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { lexicographicSortSchema, printSchema } from "graphql";
import type { GraphQLSchema } from "graphql";
import { z } from "zod";
import type { Config } from "../config.ts";
import type { AppContext } from "../context/app-context.ts";
import type { Guest } from "../context/fair-share.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError } from "../errors.ts";
import { openApollo, reportOutside } from "../resolvers/server.ts";
import type { GraphqlServer, TrustedDocuments } from "../resolvers/server.ts";
import * as usage from "../services/usage.ts";
import { contextWithoutTenant, credentialHeaders, exchangeOf, laneOf, resolve, tenantIdOf } from "./exchange.ts";
import type { Exchange } from "./exchange.ts";
import { challenge } from "./failures.ts";
import { openRequestLimits } from "./limits.ts";
import { noteOpenAccess } from "./open-access.ts";

/** A message may have 1,000,000 characters, each written in up to 12 bytes of JSON ("\ud83d\ude00"), and the operation comes on top. */
const BODY_MAX_BYTES = 13_000_000;
/** Enough to sign in with; more than that is not read from somebody who shows no credential and has no tenant. */
const BODY_WITHOUT_TENANT_MAX_BYTES = 16_384;

const errorBody = z.object({
  errors: z.array(z.object({ message: z.string(), extensions: z.record(z.string(), z.unknown()).optional() })),
});

export interface GraphqlMount {
  readonly app: AppContext;
  readonly schema: GraphQLSchema;
  readonly introspection: Config["introspection"];
  /** What becomes of documents that are not among the trusted ones. */
  readonly documentMode: Config["trustedDocuments"];
  readonly trustedDocuments: TrustedDocuments;
  /** How long an execution may take, in milliseconds. */
  readonly deadlineMs: number;
  /** Whether requests without a credential are told that this way will end. */
  readonly openAccessDeprecated: boolean;
}

/** The public schema as text. */
export function schemaText(schema: GraphQLSchema): string {
  return `${printSchema(lexicographicSortSchema(schema))}\n`;
}

/** Mounts GraphQL at /graphql. Who asks is decided before the body is read, so that nobody unknown fills the memory. */
export async function mountGraphql(server: FastifyInstance, mount: GraphqlMount): Promise<GraphqlServer> {
  const { app } = mount;
  const deprecatedSince = mount.openAccessDeprecated ? app.clock.now() : undefined;
  // By its loaders, of which every request has its own: Apollo hands a copy of the context on.
  const exchanges = new WeakMap<TenantContext["loaders"], Exchange>();
  const limits = openRequestLimits(app);
  const apollo = openApollo(mount.schema, {
    charge: limits.cost,
    introspection: mount.introspection,
    documents: { mode: mount.documentMode, trusted: mount.trustedDocuments, tenantIdOf },
    refusalOf: (ctx) => exchanges.get(ctx.loaders)?.refusal,
    onOperation(ctx, { name, kind, codes, isAtDoor, document }) {
      const exchange = exchanges.get(ctx.loaders);
      const asksForData = !isAtDoor && tenantIdOf(exchange?.ctx) !== undefined;
      if (exchange) Object.assign(exchange, { operation: name, kind, codes, asksForData, document });
    },
  });
  await apollo.start();
  const execute = fastifyApolloHandler(apollo, {
    context: async (request: FastifyRequest) => exchangeOf(request).ctx ?? contextWithoutTenant(app, request),
  });

  async function onRequest(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const exchange = exchangeOf(request);
    void reply.header("Cache-Control", "private, no-store");
    void reply.header(
      "Vary",
      ["Authorization, X-API-Key, X-Tenant-ID", reply.getHeader("Vary") ?? []].flat().join(", "),
    );
    exchange.ctx = await resolve(app, request).catch(async (error: unknown) => {
      const stranger = contextWithoutTenant(app, request);
      // Counted like everything else, so that guessing credentials is limited, too.
      if (isRefusal(error)) await limits.request(stranger, reply);
      exchange.refusal = refusalFrom(error, request);
      return stranger;
    });
    exchanges.set(exchange.ctx.loaders, exchange);
    const tenantId = tenantIdOf(exchange.ctx);
    if (tenantId !== undefined) void reply.header("X-Tenant-ID", tenantId);
    if (!exchange.refusal) await limits.request(exchange.ctx, reply);
    exchange.guest = admit(app, exchange.ctx, request, reply);
    if (tenantId !== undefined) usage.count(exchange.ctx, usage.USAGE_METRICS.REQUESTS, 1);
  }

  server.route<{ Reply: string }>({
    method: ["GET", "POST"],
    url: "/graphql",
    bodyLimit: BODY_MAX_BYTES,
    onRequest,
    async handler(request, reply) {
      const body = await inTime(
        mount.deadlineMs,
        inTurn(request, async () => execute.call(server, request, reply)),
      );
      void reply.header("Cache-Control", "private, no-store");
      noteOpenAccess(request, reply, deprecatedSince);
      challenge(reply, reply.statusCode);
      return typeof body !== "string" || reply.statusCode < 400 ? body : completed(body, request);
    },
  });
  return apollo;
}

/** Whether somebody was refused, and not merely not served. */
function isRefusal(error: unknown): boolean {
  return error instanceof AppError && error.code !== "UNAVAILABLE";
}

/**
 * Somebody who shows no credential where no tenant is given to such callers may still sign in, in the tenant that the header names, and see
 * that this is a GraphQL server, as the specification of GraphQL over HTTP wants it: `{ __typename }` needs no tenant.
 *
 * @throws every other refusal: a credential that is wrong, a header that is none.
 */
function refusalFrom(error: unknown, request: FastifyRequest): AppError {
  const length = request.method === "GET" ? 0 : Number(request.headers["content-length"] ?? Number.NaN);
  const { apiKey, authorization } = credentialHeaders(request);
  const showsNone = apiKey.length === 0 && authorization.length === 0;
  const mayStay =
    error instanceof AppError &&
    (error.code === "TENANT_REQUIRED" || (error.code === "UNAUTHENTICATED" && showsNone)) &&
    length <= BODY_WITHOUT_TENANT_MAX_BYTES;
  if (mayStay) return error;
  throw error;
}

/** Counts the request to its tenant until its end, however it ends. @throws RATE_LIMITED when too many are under way. */
function admit(app: AppContext, ctx: TenantContext, { raw }: FastifyRequest, reply: FastifyReply): Guest {
  const guest = app.fairShare.arrive(laneOf(ctx));
  // The end of the answer, or of its connection. A request that is sent behind another on one connection has none of its own yet.
  reply.raw.once("close", guest.leave);
  raw.once("close", () => {
    if (!raw.complete) guest.leave();
  });
  // Gone while the credential was looked up: these events have passed.
  if (raw.socket.destroyed) guest.leave();
  return guest;
}

/** Waits until it is the turn of this tenant. @throws UNAVAILABLE when that takes too long. */
async function inTurn<Answer>(request: FastifyRequest, work: () => Promise<Answer>): Promise<Answer> {
  const { guest } = exchangeOf(request);
  if (!guest) return work();
  try {
    return await guest.inTurn(work);
  } finally {
    guest.leave();
  }
}

/** @throws UNAVAILABLE when the answer is late. What runs is not stopped: its statements have an end of their own. */
async function inTime<Answer>(deadlineMs: number, answer: Promise<Answer>): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const message = "There was no answer in time; what was asked for may still happen";
      const cause = new Error(`no answer in ${deadlineMs} ms`);
      reject(new AppError("UNAVAILABLE", message, { cause }));
    }, deadlineMs);
  });
  try {
    return await Promise.race([answer, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

/** Gives errors that no operation came to (no query, a batch, CSRF) the code and request id that all errors have. */
function completed(body: string, request: FastifyRequest): string {
  const exchange = exchangeOf(request);
  const parsed = errorBody.safeParse(JSON.parse(body));
  if (!parsed.success || parsed.data.errors.some(({ extensions }) => extensions?.["requestId"] !== undefined))
    return body;
  if (exchange.refusal) throw exchange.refusal;
  const reports = parsed.data.errors.map((error) => reportOutside(error, request.id));
  exchange.codes = [...new Set(reports.map(({ code }) => code))];
  return JSON.stringify({ errors: reports.map(({ formatted }) => formatted) });
}
