import { z } from "zod";
import type { TrustedIssuer } from "../config.ts";
import { USER_ROLES } from "./permissions.ts";
import type { UserRole } from "./permissions.ts";

const SUBJECT_LENGTH_MAX = 255; // as in prisma/models/identity-providers.prisma
const EMAIL_LENGTH_MAX = 255; // as in prisma/models/users.prisma
const NAME_LENGTH_MAX = 255;
/** ASCII alone: lower case by Unicode makes a k of the Kelvin sign, and so somebody else of whoever has one in their address. */
const EMAIL = /^[!-?A-~]+@[!-?A-~]+$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** What becomes of people whom the tenant does not know. The GraphQL name is the key, the stored word the value. */
export const UNKNOWN_PEOPLE = { REFUSE: "refuse", LINK: "link", CREATE: "create" } as const;
export type UnknownPeople = (typeof UNKNOWN_PEOPLE)[keyof typeof UNKNOWN_PEOPLE];

/** Claims as providers usually call them: OpenID Connect Core §5.1, and the claim in which our own tokens carry the tenant. */
const USUAL_CLAIMS = {
  tenant: "tenant_id",
  user: "sub",
  email: "email",
  emailVerified: "email_verified",
  name: "name",
};

/** Names of claims; a role is looked for only where somebody said in which. */
type ClaimNames = typeof USUAL_CLAIMS & { readonly role?: string | undefined };

/** An outside provider of identities as the gateway trusts it, whether the operator named it or a tenant did. */
export interface TrustedProvider {
  /** Whether the operator named it. Only such a provider speaks for several tenants, and only by it does anybody become OWNER. */
  readonly isInstallations: boolean;
  readonly issuer: string;
  /** What an access token must be meant for. */
  readonly audience: string;
  /** The tenants it may speak for. */
  readonly tenants: "*" | readonly string[];
  readonly claims: ClaimNames;
  /** The provider's word for a role, and ours. */
  readonly roles: Readonly<Record<string, UserRole>>;
  readonly unknownPeople: UnknownPeople;
  readonly defaultRole: UserRole;
  /** In lower case; an empty list restricts nothing. */
  readonly emailDomains: readonly string[];
}

/** How a provider describes a person. What is missing or malformed is undefined. */
export interface Outsider {
  readonly issuer: string;
  readonly subject: string;
  /** In lower case. */
  readonly email: string | undefined;
  /** Whether the provider says that the address is the person's. Only then it counts. */
  readonly isEmailVerified: boolean;
  readonly name: string | undefined;
  /** The highest role that the provider's words are mapped to. */
  readonly role: UserRole | undefined;
}

/** A provider that OIDC_ISSUERS names. */
export function installationProvider(trusted: TrustedIssuer): TrustedProvider {
  const { issuer, audience, tenants, roles, unknownPeople, defaultRole } = trusted;
  return {
    isInstallations: true,
    issuer,
    audience,
    tenants,
    claims: { ...USUAL_CLAIMS, ...trusted.claims },
    roles,
    unknownPeople,
    defaultRole,
    emailDomains: trusted.emailDomains.map((domain) => domain.toLowerCase()),
  };
}

const words = z.record(z.string(), z.string()).catch({});
const storedProvider = z.object({
  tenantId: z.string(),
  issuer: z.string(),
  audience: z.string(),
  claims: words,
  roles: words,
  // Words that nobody knows mean the least.
  unknownPeople: z.enum(Object.values(UNKNOWN_PEOPLE)).catch("refuse"),
  defaultRole: z.enum(["admin", "user", "viewer"]).catch("viewer"),
  emailDomains: z.array(z.string()).catch([]),
});

/** A provider that a tenant has stored: it speaks for that tenant and no other, whatever its tokens say, and never makes an OWNER. */
export function tenantProvider(row: Readonly<Record<keyof z.infer<typeof storedProvider>, unknown>>): TrustedProvider {
  const { tenantId, issuer, audience, claims, roles, unknownPeople, defaultRole, emailDomains } =
    storedProvider.parse(row);
  const mapped = Object.entries(roles).flatMap(([word, role]): [string, UserRole][] =>
    isRole(role) && role !== USER_ROLES.OWNER ? [[word, role]] : [],
  );
  return {
    isInstallations: false,
    issuer,
    audience,
    tenants: [tenantId],
    claims: { ...USUAL_CLAIMS, ...claims },
    roles: Object.fromEntries(mapped),
    unknownPeople,
    defaultRole,
    emailDomains: emailDomains.map((domain) => domain.toLowerCase()),
  };
}

/**
 * The tenants that a provider may speak for with these claims: the one that they name, if it is trusted for it; without such a claim all
 * that it is trusted for. A claim that names another tenant leaves none.
 */
export function tenantsOf(provider: TrustedProvider, claims: object): "*" | readonly string[] {
  if (!provider.isInstallations) return provider.tenants;
  const named = claimOf(claims, provider.claims.tenant);
  if (named === undefined || named === null) return provider.tenants;
  const id = typeof named === "string" ? named.toLowerCase() : "";
  return UUID.test(id) && includesTenant(provider.tenants, id) ? [id] : [];
}

export function includesTenant(tenants: "*" | readonly string[], id: string): boolean {
  return tenants === "*" || tenants.includes(id);
}

/** The person of whom verified claims speak; null where they name nobody. */
export function outsiderFrom(provider: TrustedProvider, claims: object): Outsider | null {
  const named = claimOf(claims, provider.claims.user);
  const subject = typeof named === "string" || typeof named === "number" ? String(named) : "";
  if (subject === "" || subject.length > SUBJECT_LENGTH_MAX || subject.includes("\0")) return null;
  const verified = claimOf(claims, provider.claims.emailVerified);
  return {
    issuer: provider.issuer,
    subject,
    email: textOf(claimOf(claims, provider.claims.email), EMAIL_LENGTH_MAX, EMAIL)?.toLowerCase(),
    isEmailVerified: verified === true || verified === "true", // some providers write it as a text
    name: textOf(claimOf(claims, provider.claims.name), NAME_LENGTH_MAX, /\S/),
    role: mappedRole(provider, claims),
  };
}

/** Whether a provider may speak for this address. Where no address came along, nothing contradicts. */
export function isAllowedAddress({ emailDomains }: TrustedProvider, email: string | undefined): boolean {
  if (emailDomains.length === 0 || email === undefined) return true;
  return emailDomains.includes(email.slice(email.lastIndexOf("@") + 1));
}

function mappedRole({ claims: names, roles }: TrustedProvider, claims: object): UserRole | undefined {
  const said = names.role === undefined ? undefined : claimOf(claims, names.role);
  const meant = [said]
    .flat()
    .flatMap((word) => (typeof word === "string" && Object.hasOwn(roles, word) ? [roles[word]] : []));
  return Object.values(USER_ROLES).find((role) => meant.includes(role));
}

/** A claim by its name; or, as some providers nest them, by the names on the way to it, with dots between (`realm_access.roles`). */
function claimOf(claims: object, name: string): unknown {
  if (Object.hasOwn(claims, name)) return Reflect.get(claims, name);
  return name
    .split(".")
    .reduce<unknown>(
      (inner, part) =>
        typeof inner === "object" && inner !== null && Object.hasOwn(inner, part)
          ? Reflect.get(inner, part)
          : undefined,
      claims,
    );
}

function textOf(value: unknown, lengthMax: number, form: RegExp): string | undefined {
  const isRight = typeof value === "string" && value.length <= lengthMax && form.test(value) && !value.includes("\0");
  return isRight ? value : undefined;
}

function isRole(word: string): word is UserRole {
  return Object.values<string>(USER_ROLES).includes(word);
}
