import { z } from "zod";
import { ROLE_SCOPES } from "./permissions.ts";
import type { UserRole } from "./permissions.ts";

// Rows as authentication reads them, before there is a context with a client for one tenant.

// Whatever else SQL has put there reads as nothing: one such row would take its tenant, and the list of all, out of service.
const looseObject = z.record(z.string(), z.unknown()).nullable().catch(null);

const tenantRow = z
  .object({
    id: z.string(),
    name: z.string(),
    schema_name: z.string(),
    active: z.boolean(),
    isolation: z.string(),
    plan: z.string(),
    limits: looseObject,
    metadata: looseObject,
    created_at: z.date(),
  })
  .transform((row) => ({
    id: row.id,
    name: row.name,
    schemaName: row.schema_name,
    active: row.active,
    isolation: row.isolation,
    plan: row.plan,
    limits: row.limits ?? {},
    metadata: row.metadata ?? {},
    createdAt: row.created_at,
  }));

/** A tenant as the platform knows it. */
export type TenantRecord = z.infer<typeof tenantRow>;

const keyRow = z
  .object({
    tenant_id: z.string(),
    id: z.string(),
    key_hash: z.string(),
    scopes: z.unknown(),
    active: z.boolean(),
    expires_at: z.date().nullable(),
    last_used_at: z.date().nullable(),
  })
  .transform((row) => ({
    tenantId: row.tenant_id,
    id: row.id,
    hash: row.key_hash,
    scopes: row.scopes,
    active: row.active,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
  }));

/** An API key as authentication needs it. */
export type KeyRecord = z.infer<typeof keyRow>;

/** A role that nobody knows gets the least that a role can mean. */
export function roleFrom(stored: string): UserRole {
  return isRole(stored) ? stored : "viewer";
}

function isRole(word: string): word is UserRole {
  return Object.hasOwn(ROLE_SCOPES, word);
}

const personRow = z
  .object({ user_id: z.string(), role: z.string(), active: z.boolean() })
  .transform((row) => ({ userId: row.user_id, role: roleFrom(row.role), active: row.active }));

/** A person as authentication needs them. */
export type PersonRecord = z.infer<typeof personRow>;

const signInRow = z
  .object({
    user_id: z.string(),
    role: z.string(),
    active: z.boolean(),
    ended_at: z.date().nullable(),
    expires_at: z.date(),
  })
  .transform((row) => ({
    person: personRow.parse(row),
    endedAt: row.ended_at,
    expiresAt: row.expires_at,
  }));

/** A sign-in, and the person whose it is. */
export type SignInRecord = z.infer<typeof signInRow>;

const tokenKeyRow = z
  .object({
    kid: z.string(),
    public_key: z.record(z.string(), z.unknown()),
    sealed_private_key: z.string(),
    created_at: z.date(),
  })
  .transform((row) => ({
    kid: row.kid,
    publicKey: row.public_key,
    sealedPrivateKey: row.sealed_private_key,
    createdAt: row.created_at,
  }));

/** One of the installation's signing keys. */
export type TokenKeyRecord = z.infer<typeof tokenKeyRow>;

const providerRow = z
  .object({
    tenant_id: z.string(),
    id: z.string(),
    issuer: z.string(),
    audience: z.string(),
    claims: z.record(z.string(), z.string()).catch({}),
    roles: z.record(z.string(), z.string()).catch({}),
    unknown_people: z.string(),
    default_role: z.string(),
    email_domains: z.array(z.string()).catch([]),
    active: z.boolean(),
  })
  .transform((row) => ({
    tenantId: row.tenant_id,
    id: row.id,
    issuer: row.issuer,
    audience: row.audience,
    claims: row.claims,
    roles: row.roles,
    unknownPeople: row.unknown_people,
    defaultRole: row.default_role,
    emailDomains: row.email_domains,
    active: row.active,
  }));

/** An identity provider of a tenant, as reading its tokens needs it. */
export type ProviderRecord = z.infer<typeof providerRow>;

export { keyRow, personRow, providerRow, signInRow, tenantRow, tokenKeyRow };
