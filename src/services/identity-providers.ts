import { z } from "zod";
import type { ProviderClient } from "../context/oidc.ts";
import { redirectAddress } from "../context/oidc-client.ts";
import { tenantProvider } from "../context/oidc-trust.ts";
import type { UnknownPeople } from "../context/oidc-trust.ts";
import { requireOwner } from "../context/permissions.ts";
import type { UserRole } from "../context/permissions.ts";
import type { IdentityProviderRow, Prisma } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError, notFound } from "../errors.ts";
import * as audit from "./audit.ts";
import { Problems } from "./checks.ts";
import { write } from "./writes.ts";

export { UNKNOWN_PEOPLE } from "../context/oidc-trust.ts";
export type { UnknownPeople } from "../context/oidc-trust.ts";

/** A role that a provider's word can mean. OWNER is not among them: an owner is made by an owner. */
export const GIVEN_ROLES = { ADMIN: "admin", USER: "user", VIEWER: "viewer" } as const;
export type GivenRole = (typeof GIVEN_ROLES)[keyof typeof GIVEN_ROLES];

const PROVIDERS_MAX = 20; // each is asked for when a token names its issuer
const NAME_LENGTH_MAX = 255; // these four as in prisma/models/identity-providers.prisma
const ISSUER_LENGTH_MAX = 500;
const CLIENT_ID_LENGTH_MAX = 255;
const AUDIENCE_LENGTH_MAX = 500;
const SECRET_LENGTH_MAX = 1_000;
const WORD_LENGTH_MAX = 255;
const ROLES_MAX = 50;
const DOMAINS_MAX = 50;
const DOMAIN = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i;

/** Names of claims that differ from what providers usually call them. */
interface ClaimNamesInput {
  readonly user?: string | null | undefined;
  readonly email?: string | null | undefined;
  readonly emailVerified?: string | null | undefined;
  readonly name?: string | null | undefined;
  readonly role?: string | null | undefined;
}

/** What both kinds of change have in common. Absent stays, or gets its default; null is refused but for what may be cleared. */
interface ProviderSettings {
  /** Null clears it. */
  readonly clientSecret?: string | null | undefined;
  readonly claims?: ClaimNamesInput | null | undefined;
  readonly roles?: readonly { readonly word: string; readonly role: GivenRole }[] | null | undefined;
  readonly unknownPeople?: UnknownPeople | null | undefined;
  readonly defaultRole?: GivenRole | null | undefined;
  readonly emailDomains?: readonly string[] | null | undefined;
}

export interface NewProviderInput extends ProviderSettings {
  readonly name: string;
  readonly issuer: string;
  readonly clientId: string;
  /** The client's id without one. */
  readonly audience?: string | null | undefined;
}

export interface ProviderUpdate extends ProviderSettings {
  readonly id: string;
  readonly name?: string | null | undefined;
  readonly clientId?: string | null | undefined;
  readonly audience?: string | null | undefined;
  readonly active?: boolean | null | undefined;
}

/** The tenant's providers, oldest first. For its owners. */
export async function list(ctx: TenantContext): Promise<IdentityProviderRow[]> {
  requireOwner(ctx);
  return ctx.db.identityProvider.findMany({ orderBy: [{ createdAt: "asc" }, { id: "asc" }], take: PROVIDERS_MAX });
}

/**
 * Makes a provider that the tenant trusts from now on. For its owners.
 *
 * @throws BAD_USER_INPUT for a value out of bounds, and an issuer that is no https address in the public internet.
 * @throws CONFLICT when the tenant has this client of this issuer already; QUOTA_EXCEEDED beyond 20 providers.
 */
export async function create(ctx: TenantContext, input: NewProviderInput): Promise<IdentityProviderRow> {
  requireOwner(ctx);
  const problems = problemsOf(input);
  const issuerProblem = issuerProblemOf(ctx, input.issuer);
  if (issuerProblem !== undefined) problems.add("input.issuer", issuerProblem);
  problems.throwIfAny();
  return write(ctx, async (tx) => {
    const count = await tx.db.identityProvider.count();
    if (count >= PROVIDERS_MAX)
      throw new AppError("QUOTA_EXCEEDED", `A tenant has at most ${PROVIDERS_MAX} identity providers`);
    const { name, issuer, clientId } = input;
    const made = await tx.db.identityProvider.create({
      data: { name, issuer, clientId, audience: input.audience ?? clientId, ...settingsOf(input) },
    });
    const provider = await keepSecret(tx, made, input.clientSecret);
    await audit.record(tx, { action: "identity_provider.create", target: made.id, details: { issuer } });
    return provider;
  });
}

/**
 * Changes a provider; what its tokens may do follows within a second. Its issuer stays: people are linked by it. For the tenant's owners.
 *
 * @throws BAD_USER_INPUT for a value out of bounds; NOT_FOUND; CONFLICT when the tenant has this client of this issuer already.
 */
export async function update(ctx: TenantContext, input: ProviderUpdate): Promise<IdentityProviderRow> {
  requireOwner(ctx);
  const { id, name, clientId, audience, active } = input;
  problemsOf(input)
    .notNull("input.name", name)
    .notNull("input.clientId", clientId)
    .notNull("input.audience", audience)
    .notNull("input.active", active)
    .throwIfAny();
  return write(ctx, async (tx) => {
    const { count } = await tx.db.identityProvider.updateMany({
      where: { id },
      data: {
        ...(typeof name === "string" && { name }),
        ...(typeof clientId === "string" && { clientId }),
        ...(typeof audience === "string" && { audience }),
        ...(typeof active === "boolean" && { active }),
        ...settingsOf(input),
      },
    });
    const changed = count === 0 ? null : await tx.db.identityProvider.findUnique({ where: { id } });
    if (!changed) throw notFound("Identity provider");
    const fields = Object.keys(input).filter((field) => field !== "id");
    await audit.record(tx, { action: "identity_provider.update", target: id, details: { fields } });
    return keepSecret(tx, changed, input.clientSecret);
  });
}

/**
 * Ends the trust in a provider: its tokens are refused within a second. People stay, and so do the sign-ins that began there.
 *
 * @throws NOT_FOUND
 */
export async function remove(ctx: TenantContext, id: string): Promise<void> {
  requireOwner(ctx);
  await write(ctx, async (tx) => {
    const { count } = await tx.db.identityProvider.deleteMany({ where: { id } });
    if (count === 0) throw notFound("Identity provider");
    await audit.record(tx, { action: "identity_provider.delete", target: id });
  });
}

/** The active providers, with what signing in at them needs. Needs no scope: it is how one gets some. Secrets stay in this process. */
export async function clients(ctx: TenantContext): Promise<ProviderClient[]> {
  const rows = await ctx.db.identityProvider.findMany({
    where: { active: true },
    orderBy: [{ createdAt: "asc" }, { id: "asc" }],
    take: PROVIDERS_MAX,
  });
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    provider: tenantProvider(row),
    clientId: row.clientId,
    clientSecret: () => secretOf(ctx, row),
  }));
}

/** Whether a secret is kept that still opens; sealed by another MASTER_KEY it has to be given again. */
export function hasSecret(ctx: TenantContext, row: IdentityProviderRow): boolean {
  try {
    return secretOf(ctx, row) !== undefined;
  } catch {
    return false;
  }
}

const names = z.record(z.string(), z.string()).catch({});
const domains = z.array(z.string()).catch([]);

/** Names of claims that are not the usual ones. */
export function claimsOf(row: IdentityProviderRow): Readonly<Record<string, string>> {
  return names.parse(row.claims);
}

/** Where the provider sends browsers back to, which it wants to know beforehand. */
export function redirectAddressOf({ accounts }: TenantContext, { issuer }: IdentityProviderRow): string {
  return redirectAddress(accounts, issuer);
}

export function rolesOf(row: IdentityProviderRow): { readonly word: string; readonly role: UserRole }[] {
  return Object.entries(tenantProvider(row).roles).map(([word, role]) => ({ word, role }));
}

export function defaultRoleOf(row: IdentityProviderRow): UserRole {
  return tenantProvider(row).defaultRole;
}

export function unknownPeopleOf(row: IdentityProviderRow): UnknownPeople {
  return tenantProvider(row).unknownPeople;
}

export function emailDomainsOf(row: IdentityProviderRow): string[] {
  return domains.parse(row.emailDomains);
}

function problemsOf(input: Omit<NewProviderInput, "name" | "issuer" | "clientId"> & Partial<ProviderUpdate>): Problems {
  const problems = new Problems()
    .text("input.name", input.name, 1, NAME_LENGTH_MAX)
    .text("input.clientId", input.clientId, 1, CLIENT_ID_LENGTH_MAX)
    .text("input.clientSecret", input.clientSecret, 1, SECRET_LENGTH_MAX)
    .text("input.audience", input.audience, 1, AUDIENCE_LENGTH_MAX)
    .notNull("input.roles", input.roles)
    .size("input.roles", input.roles, ROLES_MAX)
    .notNull("input.unknownPeople", input.unknownPeople)
    .notNull("input.defaultRole", input.defaultRole)
    .notNull("input.emailDomains", input.emailDomains)
    .size("input.emailDomains", input.emailDomains, DOMAINS_MAX);
  for (const [claim, name] of Object.entries(input.claims ?? {}))
    problems.text(`input.claims.${claim}`, textOrNull(name), 1, WORD_LENGTH_MAX);
  const words = (input.roles ?? []).map(({ word }) => word);
  for (const [index, word] of words.entries()) {
    problems.text(`input.roles.${index}.word`, word, 1, WORD_LENGTH_MAX);
    if (words.indexOf(word) < index) problems.add(`input.roles.${index}.word`, "is mapped twice");
  }
  for (const [index, domain] of (input.emailDomains ?? []).entries())
    if (!DOMAIN.test(domain)) problems.add(`input.emailDomains.${index}`, "is no domain");
  return problems;
}

function issuerProblemOf({ accounts }: TenantContext, issuer: string): string | undefined {
  const { issuers } = accounts.identities;
  if (issuer.length > ISSUER_LENGTH_MAX) return `is longer than ${ISSUER_LENGTH_MAX} characters`;
  if (!URL.canParse(issuer) || !issuers.isAllowedAddress(issuer)) return "is no https address";
  const { search, hash, username, password, hostname } = new URL(issuer);
  if ([search, hash, username, password].some((part) => part !== "")) return "has more than a host and a path";
  return issuers.isAllowedHost(hostname) ? undefined : "is not in the public internet";
}

function settingsOf(input: ProviderSettings) {
  const { claims, roles, unknownPeople, defaultRole, emailDomains } = input;
  const named = Object.entries(claims ?? {}).flatMap(([claim, name]): [string, string][] =>
    typeof name === "string" ? [[claim, name]] : [],
  );
  return {
    ...(claims !== undefined && { claims: Object.fromEntries(named) satisfies Prisma.InputJsonObject }),
    ...(roles != null && { roles: Object.fromEntries(roles.map(({ word, role }) => [word, role])) }),
    ...(unknownPeople != null && { unknownPeople }),
    ...(defaultRole != null && { defaultRole }),
    ...(emailDomains != null && { emailDomains: emailDomains.map((domain) => domain.toLowerCase()) }),
  };
}

/** Sealed for its row, whose id the database makes: a secret that is copied to another row does not open there. */
async function keepSecret(
  tx: TenantContext,
  row: IdentityProviderRow,
  secret: string | null | undefined,
): Promise<IdentityProviderRow> {
  if (secret === undefined || (secret === null && row.clientSecretSealed === null)) return row;
  const clientSecretSealed = secret === null ? null : tx.accounts.sealing.seal(secret, placeOf(tx, row.id));
  return tx.db.identityProvider.update({ where: { id: row.id }, data: { clientSecretSealed } });
}

/** @throws UPSTREAM_FAILED for a secret that no longer opens. */
function secretOf(ctx: TenantContext, { id, clientSecretSealed }: IdentityProviderRow): string | undefined {
  if (clientSecretSealed === null) return undefined;
  try {
    return ctx.accounts.sealing.open(clientSecretSealed, placeOf(ctx, id));
  } catch (cause) {
    const message = "The provider's secret can no longer be read: an owner has to give it again";
    throw new AppError("UPSTREAM_FAILED", message, { cause });
  }
}

function placeOf({ tenant }: TenantContext, id: string): string {
  return `identity_provider ${tenant.id} ${id}`;
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}
