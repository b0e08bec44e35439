import { AppError } from "../errors.ts";
import type { CrossTenant, TenantRecord } from "./cross-tenant.ts";
import type { Isolation } from "./isolation-probe.ts";
import { newLoaders } from "./loaders.ts";
import type { Loaders } from "./loaders.ts";
import type { Logger } from "./log.ts";
import type { Actor } from "./permissions.ts";
import type { TenantClient, TenantClients, TenantDb } from "./tenant-client.ts";

/** How the tenant was found. The GraphQL name is the key, the word in logs the value. */
export const TENANT_SOURCES = { HEADER: "header", API_KEY: "api_key", TOKEN: "token", DEFAULT: "default" } as const;
export type TenantSource = (typeof TENANT_SOURCES)[keyof typeof TENANT_SOURCES];

/** Now, in one place, so that tests can hold it still. */
export interface Clock {
  readonly now: () => Date;
}

/** What a request brings along, whoever sent it. */
export interface RequestFacts {
  readonly requestId: string;
  /** The caller's address, for the audit trail. */
  readonly ip: string | undefined;
  readonly log: Logger;
  readonly clock: Clock;
}

/** Who acts, for which tenant, and what they may reach. Everything here is bound to the tenant before a service sees it. */
export interface TenantContext extends RequestFacts {
  readonly tenant: TenantRecord;
  readonly source: TenantSource;
  readonly actor: Actor;
  readonly db: TenantDb;
  /** Use `inTransaction`; this is its motor. */
  readonly transact: TenantClient["transact"];
  readonly loaders: Loaders;
  /** What spans tenants. Services reach it through `requirePlatform` alone. */
  readonly crossTenant: CrossTenant;
  /** Shows that tenants are kept apart; concerns no tenant's rows. */
  readonly isolation: Isolation;
}

/** What lives as long as the process and every context is made from. */
export interface ContextParts {
  readonly clients: TenantClients;
  readonly crossTenant: CrossTenant;
  readonly isolation: Isolation;
}

/** The one way to act for a tenant: GraphQL, HTTP, jobs and tests all come through here. */
export function createTenantContext(
  parts: ContextParts,
  who: { readonly tenant: TenantRecord; readonly source: TenantSource; readonly actor: Actor },
  facts: RequestFacts,
): TenantContext {
  const client = parts.clients.of(who.tenant.id);
  return {
    ...facts,
    ...who,
    db: client.db,
    transact: client.transact,
    loaders: newLoaders(),
    crossTenant: parts.crossTenant,
    isolation: parts.isolation,
  };
}

/**
 * The platform administrator who named no tenant: platform operations work, and whatever needs a tenant answers TENANT_REQUIRED.
 * There is no tenant to fall back to, so there is none in this context.
 */
export function createPlatformContext(parts: ContextParts, actor: Actor, facts: RequestFacts): TenantContext {
  const without = {
    ...facts,
    actor,
    loaders: newLoaders(),
    crossTenant: parts.crossTenant,
    isolation: parts.isolation,
  };
  const tenantBound: (keyof TenantContext)[] = ["tenant", "source", "db", "transact"];
  const refusals = Object.fromEntries(tenantBound.map((name) => [name, { get: refuseWithoutTenant }]));
  // On the prototype: Apollo copies a context's own properties, without getters, and keeps its prototype.
  const context: unknown = Object.setPrototypeOf(without, Object.defineProperties({}, refusals));
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- each missing property is a getter that throws, so no service ever reads an absent tenant
  return context as TenantContext;
}

/** @throws FORBIDDEN unless the platform administrator acts. The only door from a service to what spans tenants. */
export function requirePlatform(ctx: TenantContext): CrossTenant {
  if (ctx.actor.kind !== "platform") throw new AppError("FORBIDDEN", "This needs the platform administrator's key");
  return ctx.crossTenant;
}

/**
 * Runs `work` with the same context inside one transaction: all of its writes happen, or none. No network call belongs inside.
 * Loaders start empty, because what was read before may not be what the transaction sees.
 */
export async function inTransaction<Result>(
  ctx: TenantContext,
  work: (tx: TenantContext) => Promise<Result>,
): Promise<Result> {
  return ctx.transact((db) => work({ ...ctx, db, transact: (inner) => inner(db), loaders: newLoaders() }));
}

function refuseWithoutTenant(): never {
  throw new AppError("TENANT_REQUIRED", "Name a tenant with the X-Tenant-ID header");
}
