import { decodeJwt, decodeProtectedHeader } from "jose";
import type { JWTPayload } from "jose";
import { AppError } from "../errors.ts";
import type { OutsideTokens, Person } from "./authenticate.ts";
import type { CrossTenant, PersonRecord } from "./cross-tenant.ts";
import { looksRight } from "./oidc-issuers.ts";
import type { Issuers } from "./oidc-issuers.ts";
import {
  includesTenant,
  isAllowedAddress,
  outsiderFrom,
  tenantProvider,
  tenantsOf,
  UNKNOWN_PEOPLE,
} from "./oidc-trust.ts";
import type { Outsider, TrustedProvider } from "./oidc-trust.ts";
import type { TenantContext } from "./tenant-context.ts";

const ISSUER_LENGTH_MAX = 500; // as in prisma/models/identity-providers.prisma
const TENANTS_ASKED_MAX = 50; // tenants that trust one issuer for one audience; beyond, the header has to choose
/** What an access token calls itself: RFC 9068, and the many providers that say nothing, or only that it is a JWT. */
const TYPES = ["at+jwt", "application/at+jwt", "jwt", undefined];
/** What only an ID token has: hashes of what was issued beside it (OpenID Connect Core §3.3.2.11). */
const ID_TOKEN_CLAIMS = ["at_hash", "c_hash", "s_hash"];

/** Somebody whom a trusted provider vouches for. */
export interface Introduction {
  readonly provider: TrustedProvider;
  readonly outsider: Outsider;
  /** Whether the operator's configuration, the token or the tenant itself names the tenant; false where only the person chose it. */
  readonly isTenantNamed: boolean;
}

/**
 * Finds, links or adds the person who is introduced, as the provider's policy says.
 *
 * @returns null where the policy refuses.
 */
export type MeetOutsider = (ctx: TenantContext, introduction: Introduction) => Promise<PersonRecord | null>;

export interface OutsideTokenParts {
  /** The providers that the operator named. */
  readonly installation: readonly TrustedProvider[];
  readonly issuers: Issuers;
  readonly crossTenant: CrossTenant;
  readonly meet: MeetOutsider;
  /** A context at the door of an active tenant; null when there is no such tenant. */
  readonly enter: (tenantId: string) => Promise<TenantContext | null>;
}

/** A provider that vouches for the token, and for which tenants. */
interface Voucher {
  readonly provider: TrustedProvider;
  readonly tenants: "*" | readonly string[];
}

interface Choice {
  readonly voucher: Voucher;
  readonly tenantId: string;
}

/** Reads access tokens of the providers that the operator or a tenant trusts. docs/security.md says what is accepted. */
export function openOutsideTokens(parts: OutsideTokenParts): OutsideTokens {
  const { installation, issuers, crossTenant, meet, enter } = parts;

  async function providersOf(issuer: string): Promise<readonly TrustedProvider[]> {
    const stored = await crossTenant.providersOf(issuer);
    return [...installation.filter((provider) => provider.issuer === issuer), ...stored.map(tenantProvider)];
  }

  /** Whom the token means in a tenant, if somebody is known there. */
  async function known({ provider }: Voucher, claims: JWTPayload, tenantId: string): Promise<PersonRecord | null> {
    const outsider = outsiderFrom(provider, claims);
    return outsider && crossTenant.outsidePerson(tenantId, provider.issuer, outsider.subject);
  }

  /** The tenant that the header names, by whoever vouches for it. A tenant's own provider says more about its people than the installation's. */
  function bySelection(vouchers: readonly Voucher[], tenantId: string): Choice {
    const able = vouchers.filter(({ tenants }) => includesTenant(tenants, tenantId));
    const voucher = able.find(({ provider }) => !provider.isInstallations) ?? able[0];
    if (voucher) return { voucher, tenantId };
    throw new AppError("TENANT_MISMATCH", "The credential does not belong to the tenant that X-Tenant-ID names");
  }

  /**
   * The tenant that is meant where no header chooses: the only one that the operator's issuer speaks for; or else of the tenants that trust
   * the issuer by themselves the one that knows the person already. Any tenant may name any issuer and audience, which are no secrets: it
   * must neither make another's tokens ambiguous by that, nor get hold of people whom the other does not know, or no longer lets in.
   */
  async function byItself(vouchers: readonly Voucher[], claims: JWTPayload): Promise<Choice> {
    const installations = vouchers.filter(({ provider }) => provider.isInstallations);
    const isOperators = installations.length > 0;
    const named = (isOperators ? installations : vouchers).flatMap((voucher) =>
      voucher.tenants === "*" ? [] : voucher.tenants.map((tenantId): Choice => ({ voucher, tenantId })),
    );
    const isOpen = installations.some(({ tenants }) => tenants === "*");
    const only = isOperators && !isOpen ? onlyOne(named) : undefined;
    if (only) return only;
    if (isOperators || new Set(named.map(({ tenantId }) => tenantId)).size > TENANTS_ASKED_MAX) throw ambiguous();
    const found = await Promise.all(named.map((choice) => known(choice.voucher, claims, choice.tenantId)));
    const knowing = named.filter((_, index) => found[index] !== null);
    const active = named.filter((_, index) => found[index]?.active);
    const meant = onlyOne(active) ?? onlyOne(knowing);
    if (meant) return meant;
    const isWelcome = named.some(({ voucher }) => voucher.provider.unknownPeople !== UNKNOWN_PEOPLE.REFUSE);
    if (knowing.length === 0 && !isWelcome) throw unknownHere();
    throw ambiguous();
  }

  async function personOf({ provider, tenants }: Voucher, claims: JWTPayload, tenantId: string): Promise<Person> {
    const outsider = outsiderFrom(provider, claims);
    if (!outsider || !isAllowedAddress(provider, outsider.email)) throw unknownHere();
    const found = await crossTenant.outsidePerson(tenantId, outsider.issuer, outsider.subject);
    const person = found ?? (await meetAt(tenantId, { provider, outsider, isTenantNamed: tenants !== "*" }));
    if (!person?.active) throw unknownHere();
    return { tenantId, userId: person.userId, role: outsider.role ?? person.role, signInId: undefined };
  }

  async function meetAt(tenantId: string, introduction: Introduction): Promise<PersonRecord | null> {
    const ctx = await enter(tenantId);
    if (ctx) return meet(ctx, introduction);
    const isThere = await crossTenant.tenantById(tenantId);
    throw isThere ? new AppError("TENANT_INACTIVE", "The tenant is not active") : unknownHere();
  }

  return {
    async read(text, selected) {
      const issuer = claimedIssuer(text);
      const providers = await providersOf(issuer);
      if (providers.length === 0) throw notTrusted();
      const audiences = new Set(providers.map(({ audience }) => audience));
      const { payload } = await issuers.verify(issuer, text, [...audiences]);
      const meantFor = [payload.aud].flat();
      const vouchers = providers
        .filter(({ audience }) => meantFor.includes(audience))
        .map((provider) => ({ provider, tenants: tenantsOf(provider, payload) }))
        .filter(({ tenants }) => tenants.length > 0);
      if (vouchers.length === 0) throw notTrusted();
      const isSelected = selected !== undefined;
      const { voucher, tenantId } = isSelected ? bySelection(vouchers, selected) : await byItself(vouchers, payload);
      return personOf(voucher, payload, tenantId);
    },
  };
}

/**
 * The issuer that a token names, which proves nothing. Refuses what could not be an access token, before anything is looked up for it.
 *
 * @throws UNAUTHENTICATED
 */
function claimedIssuer(text: string): string {
  const { header, claims } = decode(text);
  const { iss } = claims;
  const type = header.typ?.toLowerCase();
  const isIdToken =
    type !== "at+jwt" && (claims["typ"] === "ID" || ID_TOKEN_CLAIMS.some((name) => claims[name] !== undefined));
  // Bound to a key whose possession nobody proves here (RFC 7800): taken as a bearer token, it would be worth stealing.
  const isBound = claims["cnf"] !== undefined;
  const isRight = looksRight(header, claims) && TYPES.includes(type) && !isIdToken && !isBound;
  if (iss === undefined || iss.length > ISSUER_LENGTH_MAX || !isRight) throw notTrusted();
  return iss;
}

function decode(text: string) {
  try {
    return { header: decodeProtectedHeader(text), claims: decodeJwt(text) };
  } catch (error) {
    throw new AppError("UNAUTHENTICATED", "The token is not valid", { cause: error });
  }
}

/** The choice, where all are the same tenant's: it may have named an issuer for each of several clients. */
function onlyOne(choices: readonly Choice[]): Choice | undefined {
  const [first] = choices;
  return choices.every(({ tenantId }) => tenantId === first?.tenantId) ? first : undefined;
}

function ambiguous(): AppError {
  return new AppError(
    "TENANT_REQUIRED",
    "Name a tenant with the X-Tenant-ID header: the token does not tell which is meant",
  );
}

function notTrusted(): AppError {
  return new AppError("UNAUTHENTICATED", "The token's issuer is not trusted");
}

function unknownHere(): AppError {
  return new AppError("UNAUTHENTICATED", "The token's person is not known here");
}
