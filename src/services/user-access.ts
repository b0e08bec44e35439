import type { UserRow } from "../context/rows.ts";
import type { Allowance, Standing } from "../context/rate-limits.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError } from "../errors.ts";
import * as mail from "./mail/mail.ts";
import * as oneTimeTokens from "./one-time-tokens.ts";
import * as signIns from "./sign-ins.ts";

const MAILED_TOKENS = ["invitation", "verification", "reset"] as const;
/** Changes that send mail to one address, whoever's it is or was: nobody's mailbox is flooded by moving people there and away. */
const MOVES: Allowance = { name: "address_changes", points: 5, seconds: 3_600 };

/** To one person: nobody's mailbox is flooded. */
const INVITATIONS: Allowance = { name: "invitations", points: 5, seconds: 3_600 };
/** Of one tenant, to whomever: a school year begins with some hundreds, and a sender of unwanted mail needs many thousands. */
const INVITATIONS_OF_TENANT: Allowance = { name: "tenant_invitations", points: 500, seconds: 3_600 };

/**
 * What follows from another address: tokens in the old mailbox become useless, and somebody there is told. Whoever had not accepted an
 * invitation yet gets it at the new address; everybody else is asked to prove that one.
 */
export async function moveToAddress(
  tx: TenantContext,
  user: Pick<UserRow, "id" | "email">,
  oldEmail: string,
): Promise<void> {
  const open = await tx.db.oneTimeToken.count({ where: { userId: user.id, purpose: "invitation" } });
  const waiting = await mail.withdraw(tx, ["invitation"], user.id);
  await mail.withdraw(tx, ["verification"], user.id);
  await oneTimeTokens.drop(tx, MAILED_TOKENS, user.id);
  const kind = open + waiting > 0 ? "invitation" : "verification";
  await mail.queue(tx, { kind, userId: user.id, email: user.email });
  await mail.queue(tx, { kind: "email_changed", userId: user.id, email: oldEmail });
}

/** What follows from deactivation: sign-ins end within a second, and tokens in the person's mailbox become useless. */
export async function endAccess(tx: TenantContext, userId: string): Promise<void> {
  await signIns.end(tx, { userId }, "deactivated");
  await oneTimeTokens.drop(tx, MAILED_TOKENS, userId);
  await mail.withdraw(tx, ["invitation", "verification"], userId);
}

/**
 * Counts that a person is to be moved to another address. Belongs before the transaction: whoever holds a connection must not wait for another.
 *
 * @throws RATE_LIMITED when the old or the new address took part in more than MOVES.
 */
export async function countMove(ctx: TenantContext, userId: string, email: string): Promise<void> {
  const user = await ctx.db.user.findUnique({ where: { id: userId }, select: { email: true } });
  if (!user || user.email === email) return;
  for (const address of [email, user.email]) {
    const { isWithin, resetSeconds } = await ctx.accounts.limits.take(MOVES, `${ctx.tenant.id} ${address}`, 1);
    if (isWithin) continue;
    const message = `An address takes part in at most ${MOVES.points} changes an hour`;
    throw new AppError("RATE_LIMITED", message, { retryAfterSeconds: resetSeconds });
  }
}

/**
 * Counts that an invitation is to be sent, again to somebody where a person is named. Belongs before the transaction, as `countMove`.
 *
 * @throws RATE_LIMITED beyond INVITATIONS_OF_TENANT, or INVITATIONS to that person.
 */
export async function countInvitation(ctx: TenantContext, userId?: string): Promise<void> {
  if (userId !== undefined) {
    const one = await ctx.accounts.limits.take(INVITATIONS, `${ctx.tenant.id} ${userId}`, 1);
    if (!one.isWithin) throw tooMany(`A person gets at most ${INVITATIONS.points} invitations an hour`, one);
  }
  const all = await ctx.accounts.limits.take(INVITATIONS_OF_TENANT, ctx.tenant.id, 1);
  if (!all.isWithin) throw tooMany(`A tenant sends at most ${INVITATIONS_OF_TENANT.points} invitations an hour`, all);
}

function tooMany(message: string, { resetSeconds }: Standing): AppError {
  return new AppError("RATE_LIMITED", message, { retryAfterSeconds: resetSeconds });
}
