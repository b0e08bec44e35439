import type { FastifyRequest } from "fastify";
import type { AppContext } from "../context/app-context.ts";
import type { CredentialHeaders } from "../context/authenticate.ts";
import type { Guest } from "../context/fair-share.ts";
import { networkOf } from "../context/networks.ts";
import { resolveRequest } from "../context/request.ts";
import { createPlatformContext } from "../context/tenant-context.ts";
import type { RequestFacts, TenantContext } from "../context/tenant-context.ts";
import type { AppError } from "../errors.ts";
import type { ErrorCode } from "../errors.ts";

/** What is known of one request while it is answered; ends as one log line and some counts. Holds no contents and no secret. */
export interface Exchange {
  readonly startedAt: number;
  ctx?: TenantContext;
  /** Why this caller may ask for nothing that belongs to a tenant. */
  refusal?: AppError;
  /** Its place among the requests of its tenant. */
  guest?: Guest;
  /** Whether it asked for more than a way to sign in, in a tenant. */
  asksForData?: boolean;
  operation?: string;
  kind?: string;
  /** What became of the document that it named, in the words of the metrics. */
  document?: { readonly document: string; readonly sentAs: string; readonly hash: string | undefined } | undefined;
  codes: readonly ErrorCode[];
}

const exchanges = new WeakMap<FastifyRequest, Exchange>();

/** The exchange that a request belongs to; begins at the first call. */
export function exchangeOf(request: FastifyRequest): Exchange {
  const known = exchanges.get(request) ?? { startedAt: performance.now(), codes: [] };
  exchanges.set(request, known);
  return known;
}

/** What came with a request that decides who asks. */
export function credentialHeaders(request: FastifyRequest): CredentialHeaders {
  return {
    tenantId: headerValues(request, "x-tenant-id"),
    apiKey: headerValues(request, "x-api-key"),
    authorization: headerValues(request, "authorization"),
  };
}

/** The context of a request. @throws AppError as resolveRequest does. */
export async function resolve(app: AppContext, request: FastifyRequest): Promise<TenantContext> {
  return resolveRequest(app, credentialHeaders(request), factsOf(app, request));
}

/** A context for somebody without a tenant: no scopes, no rows, a refusal for everything that belongs to a tenant, and a way to sign in. */
export function contextWithoutTenant(app: AppContext, request: FastifyRequest): TenantContext {
  const [named] = headerValues(request, "x-tenant-id");
  return createPlatformContext(
    app,
    { kind: "anonymous", scopes: new Set() },
    factsOf(app, request),
    named?.toLowerCase(),
  );
}

/** A context for a browser that follows a link: nobody acts, and no header names a tenant. */
export function contextAtDoor(app: AppContext, request: FastifyRequest): TenantContext {
  return createPlatformContext(app, { kind: "anonymous", scopes: new Set() }, factsOf(app, request));
}

/** The tenant of a context, if it has one: the platform administrator may name none. */
export function tenantIdOf(ctx: TenantContext | undefined): string | undefined {
  return ctx && Object.prototype.propertyIsEnumerable.call(ctx, "tenant") ? ctx.tenant.id : undefined;
}

/** Whose share a request counts towards: its tenant's, or that of the network it comes from, of whose addresses one caller may have many. */
export function laneOf(ctx: TenantContext): string {
  if (ctx.actor.kind === "platform") return "platform";
  return tenantIdOf(ctx) ?? `address ${networkOf(ctx.ip)}`;
}

function factsOf(app: AppContext, request: FastifyRequest): RequestFacts {
  return { requestId: request.id, ip: request.ip, log: app.log, clock: app.clock };
}

/** All values of a header, as sent: Node would join or drop the repeated ones. */
function headerValues(request: FastifyRequest, name: string): string[] {
  const raw = request.raw.rawHeaders;
  const values: string[] = [];
  for (let index = 0; index < raw.length; index += 2) {
    const given = raw[index] ?? "";
    if (given.length === name.length && given.toLowerCase() === name) values.push(raw[index + 1] ?? "");
  }
  return values;
}
