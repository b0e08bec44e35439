import { AppError } from "../errors.ts";
import type { Accounts } from "./accounts.ts";
import type { CrossTenant, TenantRecord } from "./cross-tenant.ts";
import type { Isolation } from "./isolation-probe.ts";
import { newLoaders } from "./loaders.ts";
import type { Loaders } from "./loaders.ts";
import type { Logger } from "./log.ts";
import type { Actor } from "./permissions.ts";
import type { TenantClient, TenantClients, TenantDb } from "./tenant-client.ts";
import type { TenantMeter, TenantMeters } from "./tenant-meters.ts";

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

/**
 * The way in for somebody who has no credential yet: signing in is how one gets it. What comes out is a context of that tenant in which
 * nobody acts, without scopes; whoever proves to be a person goes on with `asPerson`.
 */
interface Door {
  /** The id of the tenant that the request names, whether or not there is one: under it, attempts at signing in are counted. */
  readonly name: string | undefined;
  /**
   * The tenant that the request names without having to prove anything: by its header, its credential, or by being in the default tenant.
   *
   * @returns null when the header names no active tenant, which must look like a person who is not known.
   * @throws TENANT_REQUIRED when nothing names a tenant.
   */
  readonly named: () => Promise<TenantContext | null>;
  /**
   * The tenant that a token in the request's arguments names.
   *
   * @returns null when that is no active tenant.
   * @throws TENANT_MISMATCH when the request's header or credential names another tenant.
   */
  readonly of: (tenantId: string) => Promise<TenantContext | null>;
}

/** Who acts, for which tenant, and what they may reach. Everything here is bound to the tenant before a service sees it. */
export interface TenantContext extends RequestFacts {
  readonly tenant: TenantRecord;
  readonly source: TenantSource;
  readonly actor: Actor;
  readonly db: TenantDb;
  /** Use `inTransaction`; this is its motor. */
  readonly transact: TenantClient["transact"];
  /** Counts what the tenant uses. Services reach it through usage.ts and open-access.ts. */
  readonly meter: TenantMeter;
  /** Runs `work` once what is being written is there for everybody: at once outside of a transaction, never when it is rolled back. */
  readonly afterCommit: (work: () => void) => void;
  readonly loaders: Loaders;
  /** What spans tenants. Services reach it through `requirePlatform` alone. */
  readonly crossTenant: CrossTenant;
  /** Shows that tenants are kept apart; concerns no tenant's rows. */
  readonly isolation: Isolation;
  readonly accounts: Accounts;
  readonly door: Door;
}

/** What lives as long as the process and every context is made from. */
export interface ContextParts {
  readonly clients: TenantClients;
  readonly meters: TenantMeters;
  readonly crossTenant: CrossTenant;
  readonly isolation: Isolation;
  readonly accounts: Accounts;
}

/** The one way to act for a tenant: GraphQL, HTTP, jobs and tests all come through here. */
export function createTenantContext(
  parts: ContextParts,
  who: { readonly tenant: TenantRecord; readonly source: TenantSource; readonly actor: Actor },
  facts: RequestFacts,
): TenantContext {
  const client = parts.clients.of(who.tenant.id);
  const meter = parts.meters.of(who.tenant.id);
  // The default tenant is where requests go that name none: it does not contradict a token.
  const named = who.source === TENANT_SOURCES.DEFAULT ? undefined : who.tenant.id;
  const door = new RequestDoor(parts, facts, named, who.tenant.id);
  return { ...facts, ...who, db: client.db, transact: client.transact, meter, ...common(parts), door };
}

/**
 * Somebody who is in no tenant: the platform administrator who named none, or a caller without a credential who may at most sign in.
 * Whatever needs a tenant answers TENANT_REQUIRED; there is none to fall back to.
 *
 * @param named the tenant that the request's header names, which counts at the door and nowhere else.
 */
export function createPlatformContext(
  parts: ContextParts,
  actor: Actor,
  facts: RequestFacts,
  named?: string,
): TenantContext {
  const without = { ...facts, actor, ...common(parts), door: new RequestDoor(parts, facts, named, named) };
  const tenantBound: (keyof TenantContext)[] = ["tenant", "source", "db", "transact", "meter"];
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

/** The same context, with somebody acting in it who has just proven who they are. */
export function asActor(ctx: TenantContext, actor: Actor): TenantContext {
  return { ...ctx, actor, source: TENANT_SOURCES.TOKEN, loaders: newLoaders() };
}

/**
 * Runs `work` with the same context inside one transaction: all of its writes happen, or none. No network call belongs inside. It runs
 * again when PostgreSQL ended it in favour of another transaction, so it changes nothing else.
 * Loaders start empty, because what was read before may not be what the transaction sees.
 */
export async function inTransaction<Result>(
  ctx: TenantContext,
  work: (tx: TenantContext) => Promise<Result>,
): Promise<Result> {
  const afterwards: (() => void)[] = [];
  const afterCommit = (later: () => void): void => void afterwards.push(later);
  const result = await ctx.transact((db) => {
    // An attempt before this one, which was rolled back, leaves nothing to be done.
    afterwards.length = 0;
    return work({ ...ctx, db, transact: (inner) => inner(db), loaders: newLoaders(), afterCommit });
  });
  // One transaction inside of another has not committed yet: what it leaves goes to the outer one.
  for (const later of afterwards) ctx.afterCommit(later);
  return result;
}

function common({ crossTenant, isolation, accounts }: ContextParts) {
  return { loaders: newLoaders(), crossTenant, isolation, accounts, afterCommit: (work: () => void) => work() };
}

/** Every request has one, and hardly any goes through it. */
class RequestDoor implements Door {
  readonly name: string | undefined;
  readonly #parts: ContextParts;
  readonly #facts: RequestFacts;
  readonly #own: string | undefined;

  /** @param own the tenant that the request is in, or else names. */
  constructor(parts: ContextParts, facts: RequestFacts, name: string | undefined, own: string | undefined) {
    this.name = name;
    this.#parts = parts;
    this.#facts = facts;
    this.#own = own;
  }

  async named(): Promise<TenantContext | null> {
    if (this.#own === undefined) throw new AppError("TENANT_REQUIRED", "Name a tenant with the X-Tenant-ID header");
    return enter(this.#parts, this.#facts, this.#own);
  }

  async of(tenantId: string): Promise<TenantContext | null> {
    if (this.name !== undefined && this.name !== tenantId)
      throw new AppError("TENANT_MISMATCH", "The token does not belong to the tenant that the request names");
    return enter(this.#parts, this.#facts, tenantId);
  }
}

const AT_THE_DOOR: Actor = { kind: "system", task: "sign-in", scopes: new Set() };

async function enter(parts: ContextParts, facts: RequestFacts, tenantId: string): Promise<TenantContext | null> {
  const tenant = await parts.crossTenant.tenantById(tenantId);
  if (!tenant?.active) return null;
  return createTenantContext(parts, { tenant, source: TENANT_SOURCES.TOKEN, actor: AT_THE_DOOR }, facts);
}

function refuseWithoutTenant(): never {
  throw new AppError("TENANT_REQUIRED", "Name a tenant with the X-Tenant-ID header");
}
