import { newToken } from "../context/crypto.ts";
import type { UserRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { roleFrom } from "../context/tenant-records.ts";

const REFRESH_DAYS = 7; // as in the predecessor: a device that is silent for longer signs in again
const SIGN_IN_DAYS_MAX = 90; // however often it is renewed
const DAY_MS = 86_400_000;

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

/** Begins a signed-in period of a person, who must have proven who they are. */
export async function begin(
  tx: TenantContext,
  user: Pick<UserRow, "id" | "role">,
  method: SignInMethod,
): Promise<Credentials> {
  const now = tx.clock.now();
  const signIn = await tx.db.signIn.create({
    data: {
      userId: user.id,
      method,
      ip: tx.ip ?? null,
      createdAt: now,
      lastUsedAt: now,
      expiresAt: new Date(now.getTime() + SIGN_IN_DAYS_MAX * DAY_MS),
    },
  });
  await tx.db.user.update({ where: { id: user.id }, data: { lastLoginAt: now, lastLoginIp: tx.ip ?? null } });
  return credentialsFor(tx, user, signIn.id);
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

/** Ends sign-ins of a person: their tokens are refused within a second, in every process. @returns how many were open. */
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
  return count;
}
