import { newToken, readToken } from "../context/crypto.ts";
import type { OneTimeTokenRow, Prisma } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";

/** What a token that works once is for, how it is marked, and how long it works. */
const TOKEN_PURPOSES = {
  /** Proves an address and sets a first password. A week, because people are on holiday. */
  invitation: { mark: "atr_m", minutes: 7 * 24 * 60 },
  /** Proves an address. */
  verification: { mark: "atr_m", minutes: 24 * 60 },
  /** Sets a new password. */
  reset: { mark: "atr_m", minutes: 60 },
  /** Waits for a browser to come back from an outside provider. */
  outside_state: { mark: "atr_o", minutes: 10 },
  /** Is exchanged for tokens by whoever the browser came back to. */
  outside_code: { mark: "atr_o", minutes: 1 },
} as const;
export type TokenPurpose = keyof typeof TOKEN_PURPOSES;

/** Makes a token; only its hash is kept. Expired ones of the tenant are cleared away at the same time. @returns its text. */
export async function make(
  tx: TenantContext,
  purpose: TokenPurpose,
  about: { readonly userId?: string; readonly data?: Prisma.InputJsonObject },
): Promise<string> {
  const now = tx.clock.now();
  const { mark, minutes } = TOKEN_PURPOSES[purpose];
  const { text, hash } = newToken(mark, tx.tenant.id);
  await tx.db.oneTimeToken.deleteMany({ where: { expiresAt: { lte: now } } });
  await tx.db.oneTimeToken.create({
    data: {
      purpose,
      tokenHash: hash,
      userId: about.userId ?? null,
      data: about.data ?? {},
      createdAt: now,
      expiresAt: new Date(now.getTime() + minutes * 60_000),
    },
  });
  return text;
}

/**
 * The tenant that a token names, for the door; null for a text that is no token of this mark.
 * Proves nothing: `find` and `take` do.
 */
export function tenantOf(purpose: TokenPurpose, text: string): string | null {
  return readToken(TOKEN_PURPOSES[purpose].mark, text)?.tenantId ?? null;
}

/** What a token stands for, without using it up; null when it is unknown, used, expired or for something else. */
export async function find(
  tx: TenantContext,
  purposes: readonly TokenPurpose[],
  text: string,
): Promise<OneTimeTokenRow | null> {
  const [purpose] = purposes;
  const read = purpose && readToken(TOKEN_PURPOSES[purpose].mark, text);
  if (!read || read.tenantId !== tx.tenant.id) return null;
  return tx.db.oneTimeToken.findFirst({
    where: { tokenHash: read.hash, purpose: { in: [...purposes] }, expiresAt: { gt: tx.clock.now() } },
  });
}

/** Uses a token up: of several who try at once, one gets it. @returns what it stood for; null as for `find`. */
export async function take(
  tx: TenantContext,
  purposes: readonly TokenPurpose[],
  text: string,
): Promise<OneTimeTokenRow | null> {
  const token = await find(tx, purposes, text);
  if (!token) return null;
  const { count } = await tx.db.oneTimeToken.deleteMany({ where: { id: token.id } });
  return count > 0 ? token : null;
}

/** Makes all tokens of a person for these purposes useless. */
export async function drop(tx: TenantContext, purposes: readonly TokenPurpose[], userId: string): Promise<void> {
  await tx.db.oneTimeToken.deleteMany({ where: { userId, purpose: { in: [...purposes] } } });
}
