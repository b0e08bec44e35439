import type { UserRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import * as mail from "./mail/mail.ts";
import * as oneTimeTokens from "./one-time-tokens.ts";
import * as signIns from "./sign-ins.ts";

const MAILED_TOKENS = ["invitation", "verification", "reset"] as const;

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
