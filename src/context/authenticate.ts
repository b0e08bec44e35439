import { AppError } from "../errors.ts";
import { isWellFormedKey, looksLikeKey, safeEqual, sha256 } from "./crypto.ts";
import type { CrossTenant, KeyRecord } from "./cross-tenant.ts";
import type { Clock } from "./tenant-context.ts";

const LAST_USED_EVERY_MS = 60_000; // isolation.md §4: last used is noted at most once a minute

/** The headers that decide who asks. A header that came more than once has all of its values. */
export interface CredentialHeaders {
  readonly tenantId: readonly string[];
  readonly apiKey: readonly string[];
  readonly authorization: readonly string[];
}

/** Who presents a credential, before a tenant is chosen. */
export type Principal =
  { readonly kind: "none" } | { readonly kind: "platform" } | { readonly kind: "apiKey"; readonly key: KeyRecord };

export interface AuthenticationParts {
  readonly crossTenant: CrossTenant;
  readonly platformAdminKey: string;
  readonly clock: Clock;
  /** Told of a key's use; notes it without keeping the request waiting. */
  readonly onKeyUse: (key: KeyRecord, at: Date) => void;
}

/**
 * Turns the credential headers into a principal. What is present must be right: a bad credential is never passed over for another one.
 *
 * @throws UNAUTHENTICATED for an unknown, revoked or malformed credential; API_KEY_EXPIRED; TENANT_MISMATCH when two credentials disagree.
 */
export async function authenticate(parts: AuthenticationParts, headers: CredentialHeaders): Promise<Principal> {
  const texts = [single(headers.apiKey, "X-API-Key"), bearer(single(headers.authorization, "Authorization"))];
  const given = texts.filter((text) => text !== undefined);
  const principals = await Promise.all(given.map((text) => recognise(parts, text)));
  const [first, second] = principals;
  if (!first) return { kind: "none" };
  if (second && !isSame(first, second))
    throw new AppError("TENANT_MISMATCH", "The credentials belong to different tenants");
  return first;
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

async function recognise(parts: AuthenticationParts, text: string): Promise<Principal> {
  if (safeEqual(text, parts.platformAdminKey)) return { kind: "platform" };
  if (!looksLikeKey(text)) throw new AppError("UNAUTHENTICATED", "The credential is not known");
  const hash = sha256(text);
  const key = isWellFormedKey(text) ? await parts.crossTenant.keyByHash(hash) : null;
  // Compared even when there is nothing to compare with, so that an unknown key takes as long as a known one.
  const isRight = safeEqual(hash, key?.hash ?? "");
  if (!key || !isRight || !key.active) throw new AppError("UNAUTHENTICATED", "Invalid or inactive API key");
  const now = parts.clock.now();
  if (key.expiresAt && key.expiresAt <= now) throw new AppError("API_KEY_EXPIRED", "API key has expired");
  if (!key.lastUsedAt || now.getTime() - key.lastUsedAt.getTime() >= LAST_USED_EVERY_MS) parts.onKeyUse(key, now);
  return { kind: "apiKey", key };
}

function isSame(left: Principal, right: Principal): boolean {
  return left.kind === "apiKey" && right.kind === "apiKey"
    ? left.key.tenantId === right.key.tenantId
    : left.kind === right.kind;
}
