import { AppError } from "../errors.ts";
import { equalHashes, isWellFormedKey, looksLikeKey, sha256 } from "./crypto.ts";
import type { CrossTenant, KeyRecord } from "./cross-tenant.ts";
import type { UserRole } from "./permissions.ts";
import type { Clock } from "./tenant-context.ts";
import type { Tokens } from "./tokens.ts";

const LAST_USED_EVERY_MS = 60_000; // isolation.md §4: last used is noted at most once a minute

/** The headers that decide who asks. A header that came more than once has all of its values. */
export interface CredentialHeaders {
  readonly tenantId: readonly string[];
  readonly apiKey: readonly string[];
  readonly authorization: readonly string[];
}

/** A person whose token was read, and who may act. */
export interface Person {
  readonly tenantId: string;
  readonly userId: string;
  readonly role: UserRole;
  /** Undefined for the token of an outside provider. */
  readonly signInId: string | undefined;
}

/** Who presents a credential, before a tenant is chosen. */
export type Principal =
  | { readonly kind: "none" }
  | { readonly kind: "platform" }
  | { readonly kind: "apiKey"; readonly key: KeyRecord }
  | { readonly kind: "person"; readonly person: Person };

/** Told whose credential is refused, and why, for that tenant's audit trail. @returns the error, to be thrown. */
export type Refused = (principal: Principal, error: AppError) => AppError;

/** Reads access tokens that were not issued here. */
export interface OutsideTokens {
  /**
   * @param selected the tenant that the header names: it chooses where an issuer speaks for several, and grants nothing.
   * @throws UNAUTHENTICATED for whatever no trusted issuer vouches for; TENANT_REQUIRED where several tenants could be meant.
   */
  readonly read: (text: string, selected: string | undefined) => Promise<Person>;
}

export interface AuthenticationParts {
  readonly crossTenant: CrossTenant;
  readonly platformAdminKey: string;
  readonly clock: Clock;
  readonly accounts: { readonly tokens: Tokens; readonly outside: OutsideTokens };
  /** Told of a key's use; notes it without keeping the request waiting. */
  readonly onKeyUse: (key: KeyRecord, at: Date) => void;
}

/**
 * Turns the credential headers into a principal. What is present must be right: a bad credential is never passed over for another one.
 *
 * @param refused notes for the audit trail whose credential was refused, where that is known.
 * @throws UNAUTHENTICATED for an unknown, revoked or malformed credential; API_KEY_EXPIRED; TENANT_MISMATCH when two credentials disagree.
 */
export async function authenticate(
  parts: AuthenticationParts,
  headers: CredentialHeaders,
  refused: Refused = (_principal, error) => error,
): Promise<Principal> {
  const texts = [single(headers.apiKey, "X-API-Key"), bearer(single(headers.authorization, "Authorization"))];
  const given = texts.filter((text) => text !== undefined);
  const selected = headers.tenantId[0]?.toLowerCase();
  const principals = await Promise.all(given.map((text) => recognise(parts, text, selected, refused)));
  const [first, second] = principals;
  if (!first) return { kind: "none" };
  if (second && !isSame(first, second)) {
    const error = new AppError("TENANT_MISMATCH", "The credentials belong to different tenants");
    throw refused(second, refused(first, error));
  }
  // A person beside a key acts as the person: that is the one whose rights and traces count.
  return second?.kind === "person" ? second : first;
}

function single(values: readonly string[], header: string): string | undefined {
  if (values.length > 1) throw new AppError("UNAUTHENTICATED", `${header} is given more than once`);
  return values[0];
}

function bearer(authorization: string | undefined): string | undefined {
  if (authorization === undefined) return undefined;
  const match = /^Bearer +(\S+) *$/i.exec(authorization);
  if (!match?.[1]) throw new AppError("UNAUTHENTICATED", "Expected: Authorization: Bearer <credential>");
  return match[1];
}

async function recognise(
  parts: AuthenticationParts,
  text: string,
  selected: string | undefined,
  refused: Refused,
): Promise<Principal> {
  const hash = sha256(text);
  if (equalHashes(hash, hashOfPlatformKey(parts))) return { kind: "platform" };
  if (looksLikeToken(text)) return { kind: "person", person: await readToken(parts, text, selected, refused) };
  if (!looksLikeKey(text)) throw new AppError("UNAUTHENTICATED", "The credential is not known");
  const key = isWellFormedKey(text) ? await parts.crossTenant.keyByHash(hash) : null;
  // Compared even when there is nothing to compare with, so that an unknown key takes as long as a known one.
  const isRight = equalHashes(hash, key?.hash ?? "".padEnd(hash.length));
  if (!key || !isRight) throw invalidKey();
  const principal: Principal = { kind: "apiKey", key };
  if (!key.active) throw refused(principal, invalidKey());
  const now = parts.clock.now();
  if (key.expiresAt && key.expiresAt <= now)
    throw refused(principal, new AppError("API_KEY_EXPIRED", "API key has expired"));
  if (!key.lastUsedAt || now.getTime() - key.lastUsedAt.getTime() >= LAST_USED_EVERY_MS) parts.onKeyUse(key, now);
  return principal;
}

const platformHashes = new WeakMap<AuthenticationParts, string>();

/** Made once: it is compared with every credential. */
function hashOfPlatformKey(parts: AuthenticationParts): string {
  const known = platformHashes.get(parts) ?? sha256(parts.platformAdminKey);
  platformHashes.set(parts, known);
  return known;
}

function invalidKey(): AppError {
  return new AppError("UNAUTHENTICATED", "Invalid or inactive API key");
}

/** Whoever the token speaks for, if they still may act: the sign-in, the person and the role are looked at each time, cached for seconds. */
async function readToken(
  parts: AuthenticationParts,
  text: string,
  selected: string | undefined,
  refused: Refused,
): Promise<Person> {
  const { tokens, outside } = parts.accounts;
  if (!tokens.claimsToBeOurs(text)) return outside.read(text, selected);
  const { tenantId, userId, signInId } = await tokens.read(text);
  const found = await parts.crossTenant.signIn(tenantId, signInId);
  if (!found || found.person.userId !== userId) throw signInOver();
  const person = { tenantId, userId, signInId, role: found.person.role };
  const isOver = found.endedAt !== null || found.expiresAt <= parts.clock.now();
  if (isOver || !found.person.active) throw refused({ kind: "person", person }, signInOver());
  return person;
}

function signInOver(): AppError {
  return new AppError("UNAUTHENTICATED", "The sign-in is over");
}

/** Three parts of base64url: whatever else it is, it is meant as a JWT. */
function looksLikeToken(text: string): boolean {
  return /^[\w-]+\.[\w-]+\.[\w-]*$/.test(text);
}

function isSame(left: Principal, right: Principal): boolean {
  const [first, second] = [left, right].map(tenantOf);
  return first === second && (left.kind === "platform") === (right.kind === "platform");
}

/** The tenant that a credential belongs to. */
export function tenantOf(principal: Principal): string | undefined {
  switch (principal.kind) {
    case "apiKey":
      return principal.key.tenantId;
    case "person":
      return principal.person.tenantId;
    case "none":
    case "platform":
      return undefined;
  }
}
