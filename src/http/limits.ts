import type { FastifyReply } from "fastify";
import type { AppContext } from "../context/app-context.ts";
import { networkOf } from "../context/networks.ts";
import type { Allowance, Standing } from "../context/rate-limits.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError } from "../errors.ts";
import { limitsOf } from "../services/tenant-limits.ts";
import * as usage from "../services/usage.ts";
import { tenantIdOf } from "./exchange.ts";

const SECONDS = 60;
/** Requests a minute from one address that belong to no tenant: signing in, and credentials that are none. An office behind one address stays below it. */
const ADDRESS_REQUESTS = 600;

/** Limits of what a caller may ask for in a minute: of the credential first, so that what goes beyond it takes nothing from its tenant. */
export interface RequestLimits {
  /**
   * Counts a request, and says in the answer's RateLimit headers what is left of the tighter limit.
   *
   * @throws RATE_LIMITED; UNAVAILABLE while limits cannot be counted and fail closed.
   */
  readonly request: (ctx: TenantContext, reply: FastifyReply) => Promise<void>;
  /** Counts the price of an operation of that request. @throws as request. */
  readonly cost: (ctx: TenantContext, cost: number) => Promise<void>;
}

/** One count that a request adds to. */
interface Limit {
  readonly allowance: Allowance;
  readonly key: string;
  /** For the message: "tenant", "API key". */
  readonly whose: string;
}

/** Who may be limited on their own within a tenant. */
interface Caller {
  readonly key: string;
  readonly whose: string;
}

/** The limits of requests and prices, counted for all processes together. The platform administrator has none. */
export function openRequestLimits({ accounts: { limits } }: Pick<AppContext, "accounts">): RequestLimits {
  // By a context's loaders, of which every request has its own: Apollo hands a copy of the context on.
  const replies = new WeakMap<TenantContext["loaders"], FastifyReply>();

  async function request(ctx: TenantContext, reply: FastifyReply): Promise<void> {
    replies.set(ctx.loaders, reply);
    let tightest: { readonly allowance: Allowance; readonly standing: Standing } | undefined;
    for (const { allowance, key, whose } of requestLimitsOf(ctx)) {
      const standing = await limits.take(allowance, key, 1);
      if (!tightest || standing.remaining < tightest.standing.remaining) tightest = { allowance, standing };
      announce(reply, tightest.allowance, tightest.standing);
      if (!standing.isWithin)
        throw limited(`Too many requests: this ${whose} may send ${allowance.points} a minute`, standing);
    }
  }

  async function cost(ctx: TenantContext, points: number): Promise<void> {
    for (const { allowance, key, whose } of costLimitsOf(ctx)) {
      const standing = await limits.take(allowance, key, points);
      if (standing.isWithin) continue;
      const reply = replies.get(ctx.loaders);
      if (reply) announce(reply, allowance, standing).header("Retry-After", String(standing.resetSeconds));
      const message = `Too much at once: the operation costs ${points}, and this ${whose} may spend ${allowance.points} a minute`;
      throw limited(message, standing);
    }
    if (tenantIdOf(ctx) !== undefined) usage.count(ctx, usage.USAGE_METRICS.COMPLEXITY, points);
  }

  return { request, cost };
}

function announce(reply: FastifyReply, { points }: Allowance, { remaining, resetSeconds }: Standing): FastifyReply {
  return reply.headers({
    "RateLimit-Limit": String(points),
    "RateLimit-Remaining": String(remaining),
    "RateLimit-Reset": String(resetSeconds),
  });
}

function limited(message: string, { resetSeconds }: Standing): AppError {
  return new AppError("RATE_LIMITED", message, { retryAfterSeconds: resetSeconds });
}

function requestLimitsOf(ctx: TenantContext): Limit[] {
  if (ctx.actor.kind === "platform") return [];
  const tenantId = tenantIdOf(ctx);
  if (tenantId === undefined) {
    const { key, whose } = addressOf(ctx);
    return [{ allowance: { name: "address_requests", points: ADDRESS_REQUESTS, seconds: SECONDS }, key, whose }];
  }
  const { requestsPerMinutePerCredential, requestsPerMinute } = limitsOf(ctx.tenant);
  return [
    limitOf("credential_requests", requestsPerMinutePerCredential, tenantId, callerOf(ctx)),
    limitOf("tenant_requests", requestsPerMinute, tenantId, TENANT),
  ];
}

function costLimitsOf(ctx: TenantContext): Limit[] {
  const tenantId = tenantIdOf(ctx);
  if (ctx.actor.kind === "platform" || tenantId === undefined) return [];
  const { complexityPerMinutePerCredential, complexityPerMinute } = limitsOf(ctx.tenant);
  return [
    limitOf("credential_cost", complexityPerMinutePerCredential, tenantId, callerOf(ctx)),
    limitOf("tenant_cost", complexityPerMinute, tenantId, TENANT),
  ];
}

const TENANT: Caller = { key: "", whose: "tenant" };

function limitOf(name: string, points: number, tenantId: string, { key, whose }: Caller): Limit {
  return { allowance: { name, points, seconds: SECONDS }, key: `${tenantId} ${key}`, whose };
}

function callerOf(ctx: TenantContext): Caller {
  const { actor } = ctx;
  switch (actor.kind) {
    case "apiKey":
      return { key: `key ${actor.apiKeyId}`, whose: "API key" };
    case "person":
      return { key: `person ${actor.userId}`, whose: "person" };
    case "anonymous":
    case "platform":
    case "system":
      return addressOf(ctx);
  }
}

function addressOf({ ip }: TenantContext): Caller {
  return { key: `address ${networkOf(ip)}`, whose: "address" };
}
