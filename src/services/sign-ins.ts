import { newToken, readToken } from "../context/crypto.ts";
import { ROLE_SCOPES } from "../context/permissions.ts";
import type { UserRow } from "../context/rows.ts";
import { asActor } from "../context/tenant-context.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { roleFrom } from "../context/tenant-records.ts";
import { AppError } from "../errors.ts";

const REFRESH_DAYS = 7; // as in the predecessor: a device that is silent for longer signs in again
const SIGN_IN_DAYS_MAX = 90; // however often it is renewed
const DAY_MS = 86_400_000;

/** How long a sign-in is remembered: where somebody signed in from tells them from somebody who guesses. */
export const REMEMBERED_MS = SIGN_IN_DAYS_MAX * DAY_MS;

/** How a sign-in began. */
export type SignInMethod = "password" | "invitation" | "reset" | "outside";
/** Why it is over. */
export type EndReason = "signed_out" | "password_changed" | "deactivated" | "token_reused";

/** What a client needs to act as a person, and to go on doing so. */
export interface Credentials {
  readonly accessToken: string;
  readonly refreshToken: string;
  /** Seconds until the access token expires. */
  readonly expiresIn: number;
}

/** What became of an attempt to renew a sign-in. */
export type Renewal =
  | { readonly kind: "renewed"; readonly userId: string; readonly signInId: string }
  /** The token was used before: whoever came second, one of the two has stolen it. The sign-in is over for both. */
  | { readonly kind: "reused"; readonly userId: string; readonly signInId: string; readonly wasOpen: boolean }
  | { readonly kind: "refused" };

/**
 * Begins a signed-in period of a person, who must have proven who they are. What is remembered for too long is forgotten at the same time.
 *
 * @param proof the hash of the password that was proven: whoever has another one by now must not come in with the old one.
 * @throws UNAUTHENTICATED when the person was deactivated, or changed their password, since they were looked at.
 */
export async function begin(
  tx: TenantContext,
  user: Pick<UserRow, "id" | "role">,
  method: SignInMethod,
  proof?: { readonly passwordHash: string },
): Promise<Credentials> {
  const now = tx.clock.now();
  const ip = tx.ip ?? null;
  // First of all, because it holds the person's row: who changes a password or deactivates somebody ends what began before, and what would
  // begin afterwards does not begin.
  const { count } = await tx.db.user.updateMany({
    where: { id: user.id, active: true, ...proof },
    data: { lastLoginAt: now, lastLoginIp: ip },
  });
  if (count === 0) throw new AppError("UNAUTHENTICATED", "The person changed in this moment, please try again");
  const forgotten = new Date(now.getTime() - REMEMBERED_MS);
  await tx.db.signIn.deleteMany({ where: { userId: user.id, createdAt: { lt: forgotten } } });
  const expiresAt = new Date(now.getTime() + SIGN_IN_DAYS_MAX * DAY_MS);
  const signIn = await tx.db.signIn.create({
    data: { userId: user.id, method, ip, createdAt: now, lastUsedAt: now, expiresAt },
  });
  return credentialsFor(tx, user, signIn.id);
}

/** The same context, in which the person acts who has just proven to be one: traces are theirs from here on. */
export function asPerson(ctx: TenantContext, user: Pick<UserRow, "id" | "role">): TenantContext {
  const role = roleFrom(user.role);
  const scopes = new Set(ROLE_SCOPES[role]);
  return asActor(ctx, { kind: "person", userId: user.id, role, signInId: undefined, scopes });
}

/** Tokens for a sign-in that exists. */
export async function credentialsFor(
  tx: TenantContext,
  user: Pick<UserRow, "id" | "role">,
  signInId: string,
): Promise<Credentials> {
  const now = tx.clock.now();
  const refresh = newToken("atr_r", tx.tenant.id);
  await tx.db.refreshToken.create({
    data: {
      signInId,
      tokenHash: refresh.hash,
      createdAt: now,
      expiresAt: new Date(now.getTime() + REFRESH_DAYS * DAY_MS),
    },
  });
  const subject = { tenantId: tx.tenant.id, userId: user.id, signInId, role: roleFrom(user.role) };
  const { text, expiresIn } = await tx.accounts.tokens.issue(subject);
  return { accessToken: text, refreshToken: refresh.text, expiresIn };
}

/** The tenant that a refresh token names; null for a text that is none. Proves nothing: `renew` does. */
export function tenantOf(refreshToken: string): string | null {
  return readToken("atr_r", refreshToken)?.tenantId ?? null;
}

/**
 * Uses a refresh token up: of several who try at once, one gets on. One that was used before ends its sign-in, so the transaction must be
 * committed whatever is answered.
 */
export async function renew(tx: TenantContext, refreshToken: string): Promise<Renewal> {
  const read = readToken("atr_r", refreshToken);
  const token = read && (await tx.db.refreshToken.findUnique({ where: { tokenHash: read.hash } }));
  const signIn = token && (await tx.db.signIn.findUnique({ where: { id: token.signInId } }));
  if (!token || !signIn) return { kind: "refused" };
  const now = tx.clock.now();
  const about = { userId: signIn.userId, signInId: signIn.id };
  const { count: used } = await tx.db.refreshToken.updateMany({
    where: { id: token.id, usedAt: null },
    data: { usedAt: now },
  });
  if (used === 0) return { kind: "reused", ...about, wasOpen: (await end(tx, about, "token_reused")) > 0 };
  if (token.expiresAt <= now) return { kind: "refused" };
  const { count: open } = await tx.db.signIn.updateMany({
    where: { id: signIn.id, endedAt: null, expiresAt: { gt: now } },
    data: { lastUsedAt: now },
  });
  return open > 0 ? { kind: "renewed", ...about } : { kind: "refused" };
}

/** Ends sign-ins of a person: their tokens are refused at once here, within a second in every other process. @returns how many were open. */
export async function end(
  tx: TenantContext,
  which: { readonly userId: string; readonly signInId?: string },
  reason: EndReason,
): Promise<number> {
  const { userId, signInId } = which;
  const { count } = await tx.db.signIn.updateMany({
    where: { userId, endedAt: null, ...(signInId !== undefined && { id: signInId }) },
    data: { endedAt: tx.clock.now(), endReason: reason },
  });
  if (count > 0) tx.afterCommit(() => tx.accounts.forget(tx.tenant.id));
  return count;
}
