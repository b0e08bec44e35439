import { newApiKey, newSecret, sha256 } from "../context/crypto.ts";
import type { Author, CrossTenant, NewTenant, TenantChanges, TenantRecord } from "../context/cross-tenant.ts";
import { actorName, ALL_SCOPES } from "../context/permissions.ts";
import { requirePlatform } from "../context/tenant-context.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError, notFound } from "../errors.ts";
import { isId, Problems } from "./checks.ts";
import { isMailAddress } from "./mail/mail.ts";
import { pageFrom, planPage } from "./paging.ts";
import type { Page, PageArgs } from "./paging.ts";
import { wordOf } from "./stored-words.ts";
import { limitProblems } from "./tenant-limits.ts";
import type { Plan } from "./tenant-limits.ts";

export { limitsOf, planOf, PLANS } from "./tenant-limits.ts";
export type { Plan, TenantLimits } from "./tenant-limits.ts";

export const ISOLATION_MODES = { SHARED: "shared", SCHEMA: "schema" } as const;
export type IsolationMode = (typeof ISOLATION_MODES)[keyof typeof ISOLATION_MODES];

const NAME_LENGTH_MAX = 255; // as in prisma/models/tenants.prisma
const SCHEMA_NAME_LENGTH_MAX = 63; // PostgreSQL's own limit for names
const SCHEMA_NAME = /^[a-z_][a-z0-9_]{0,62}$/;
// PostgreSQL keeps pg_ for itself; canaries are made and removed by the isolation report.
const SCHEMA_NAMES_TAKEN = /^(pg_.*|canary_.*|public|atrium|information_schema)$/;
const SCHEMA_NAME_PREFIX = "tenant_";
const SUFFIX_LENGTH = 8;
const METADATA_BYTES_MAX = 65_536;
const SEARCH_LENGTH_MAX = 255;
const DEFAULT_SCHEMA_NAME = "tenant_default";
const FIRST_KEY_NAME = "First key";
const LIST = { list: "tenants", order: { field: "createdAt", direction: "asc" }, isPlatforms: true } as const;

type JsonObject = Readonly<Record<string, unknown>>;

export interface NewTenantInput {
  readonly name: string;
  /** `tenant_` and the name in plain letters when nothing is said. */
  readonly schemaName?: string | null | undefined;
  readonly isolation: IsolationMode;
  readonly plan: Plan;
  readonly metadata?: JsonObject | null | undefined;
  /** Becomes a user of the tenant, with the role OWNER, and is invited by mail. */
  readonly ownerEmail?: string | null | undefined;
}

/** Absent stays. Null clears limits and metadata, and is refused for the rest. */
export interface TenantUpdate {
  readonly name?: string | null | undefined;
  readonly active?: boolean | null | undefined;
  readonly plan?: Plan | null | undefined;
  /** All overrides of the plan's limits, by the names of TenantLimits; those not named are no longer overridden. */
  readonly limits?: JsonObject | null | undefined;
  readonly metadata?: JsonObject | null | undefined;
}

/** The tenant that the request acts for. Needs no scope: whoever got this far belongs to it. */
export function own(ctx: TenantContext): TenantRecord {
  return ctx.tenant;
}

export function isDefault(tenant: TenantRecord): boolean {
  return tenant.schemaName === DEFAULT_SCHEMA_NAME;
}

export function isolationOf(tenant: TenantRecord): IsolationMode {
  return wordOf(ISOLATION_MODES, tenant.isolation, ISOLATION_MODES.SHARED);
}

/** All tenants, oldest first. For the platform administrator. */
export async function list(
  ctx: TenantContext,
  page: PageArgs,
  filter: { readonly active?: boolean | null | undefined; readonly search?: string | null | undefined },
): Promise<Page<TenantRecord>> {
  const platform = requirePlatform(ctx);
  new Problems().text("search", filter.search, 0, SEARCH_LENGTH_MAX).throwIfAny();
  const where = { active: filter.active ?? undefined, search: filter.search ?? undefined };
  const plan = planPage(ctx, LIST, page);
  const beyond = plan.beyond && { createdAt: new Date(plan.beyond.value), id: plan.beyond.id };
  const direction = plan.isBackward ? "desc" : "asc";
  const rows = plan.size === 0 ? [] : await platform.listTenants(where, { direction, beyond, take: plan.size + 1 });
  return pageFrom(ctx, LIST, plan, rows, () => platform.countTenants(where));
}

/** Any tenant, active or not; null when there is none. For the platform administrator. */
export async function find(ctx: TenantContext, id: string): Promise<TenantRecord | null> {
  const platform = requirePlatform(ctx);
  return isId(id) ? platform.tenantById(id) : null;
}

/**
 * Makes a tenant with its first API key, which may do everything in it. For the platform administrator.
 *
 * @returns the tenant, and the key's text, which nobody can see again.
 * @throws BAD_USER_INPUT for a name, a schema name or metadata out of bounds, and for the isolation SCHEMA.
 * @throws CONFLICT when the name is taken, or the schema name that was asked for.
 */
export async function create(
  ctx: TenantContext,
  input: NewTenantInput,
): Promise<{ readonly tenant: TenantRecord; readonly apiKey: string }> {
  const platform = requirePlatform(ctx);
  const problems = new Problems()
    .text("input.name", input.name, 1, NAME_LENGTH_MAX)
    .json("input.metadata", input.metadata, METADATA_BYTES_MAX);
  const email = input.ownerEmail?.trim().toLowerCase();
  if (email !== undefined && !isMailAddress(email))
    problems.add("input.ownerEmail", "is not an e-mail address of at most 255 characters");
  const wanted = input.schemaName ?? undefined;
  if (wanted !== undefined && (!SCHEMA_NAME.test(wanted) || SCHEMA_NAMES_TAKEN.test(wanted))) {
    problems.add(
      "input.schemaName",
      "is not 1 to 63 lower-case letters, digits and _ without a digit in front, or is reserved",
    );
  }
  if (input.isolation === ISOLATION_MODES.SCHEMA) {
    problems.add("input.isolation", "a tenant begins in the shared tables: SHARED is the only choice here");
  }
  problems.throwIfAny();

  const key = newApiKey();
  const tenant = {
    name: input.name,
    plan: input.plan,
    isolation: input.isolation,
    metadata: input.metadata ?? {},
    ownerEmail: email,
    key: { hash: key.hash, prefix: key.prefix, name: FIRST_KEY_NAME, scopes: ALL_SCOPES },
  };
  const made =
    wanted === undefined
      ? await createUnderFreeName(platform, tenant, authorOf(ctx))
      : await platform.createTenant({ ...tenant, schemaName: wanted }, authorOf(ctx));
  if (email !== undefined) ctx.accounts.mail.ring(made.id);
  return { tenant: made, apiKey: key.text };
}

/**
 * Changes a tenant. Suspending it (`active: false`) ends its requests within a second in every process. Its schema name stays for good:
 * the default tenant is known by it. For the platform administrator.
 *
 * @throws BAD_USER_INPUT for a value out of bounds, an unknown limit, or null where something is required.
 * @throws NOT_FOUND when there is no such tenant; CONFLICT when the name is taken.
 */
export async function update(ctx: TenantContext, id: string, input: TenantUpdate): Promise<TenantRecord> {
  const platform = requirePlatform(ctx);
  const problems = new Problems()
    .notNull("input.name", input.name)
    .text("input.name", input.name, 1, NAME_LENGTH_MAX)
    .notNull("input.active", input.active)
    .notNull("input.plan", input.plan)
    .json("input.metadata", input.metadata, METADATA_BYTES_MAX);
  for (const { name, message } of limitProblems(input.limits ?? {})) problems.add(`input.limits.${name}`, message);
  problems.throwIfAny();
  const changes: TenantChanges = {
    ...(typeof input.name === "string" && { name: input.name }),
    ...(typeof input.active === "boolean" && { active: input.active }),
    ...(typeof input.plan === "string" && { plan: input.plan }),
    ...(input.limits !== undefined && { limits: input.limits ?? {} }),
    ...(input.metadata !== undefined && { metadata: input.metadata ?? {} }),
  };
  const tenant = isId(id) ? await platform.updateTenant(id, changes, authorOf(ctx)) : null;
  if (!tenant) throw notFound("Tenant");
  return tenant;
}

function authorOf(ctx: TenantContext): Author {
  return { actor: actorName(ctx.actor), ip: ctx.ip, requestId: ctx.requestId };
}

/** Two names may look alike in plain letters ("Acme, Inc." and "Acme Inc"): the second tenant's schema name gets random letters at its end. */
async function createUnderFreeName(
  platform: CrossTenant,
  tenant: Omit<NewTenant, "schemaName">,
  by: Author,
): Promise<TenantRecord> {
  const slug = plainLetters(tenant.name);
  try {
    if (slug !== "") return await platform.createTenant({ ...tenant, schemaName: schemaName(slug) }, by);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "CONFLICT") throw error;
  }
  // If this one is refused as well, it is the tenant's name that is taken.
  const suffix = sha256(newSecret()).slice(0, SUFFIX_LENGTH);
  return platform.createTenant({ ...tenant, schemaName: schemaName(slug, suffix) }, by);
}

function schemaName(slug: string, ...suffix: string[]): string {
  const end = suffix.join("");
  const room = SCHEMA_NAME_LENGTH_MAX - SCHEMA_NAME_PREFIX.length - SUFFIX_LENGTH - 1;
  return SCHEMA_NAME_PREFIX + [slug.slice(0, room), end].filter((part) => part !== "").join("_");
}

function plainLetters(name: string): string {
  return name
    .normalize("NFKD")
    .replaceAll(/\p{M}/gu, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "_")
    .replaceAll(/^_+|_+$/g, "");
}
