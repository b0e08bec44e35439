import type { TenantContext } from "../../context/tenant-context.ts";
import type { MailKind } from "./letters.ts";

export { isMailAddress } from "./address.ts";
export type { MailKind } from "./letters.ts";

/** Mail that waits: of which kind, to whom, and about whom. */
export interface QueuedMail {
  readonly kind: MailKind;
  /** Null where only an address is known, which may be nobody's: the sender finds out, so that asking takes the same time for everybody. */
  readonly userId: string | null;
  readonly email: string;
}

/**
 * Puts mail into the queue, in the transaction of the write that it tells of: both happened, or neither. It goes out right after the
 * commit, and again and again for about a day while it cannot. Holds no token: the sender makes one at the moment of sending.
 */
export async function queue(tx: TenantContext, mail: QueuedMail): Promise<void> {
  const now = tx.clock.now();
  await tx.db.mail.create({ data: { ...mail, createdAt: now, nextAttemptAt: now } });
  tx.afterCommit(() => tx.accounts.mail.ring(tx.tenant.id));
}

/** Takes mail about a person back that has not gone out. @returns how many there were. */
export async function withdraw(tx: TenantContext, kinds: readonly MailKind[], userId: string): Promise<number> {
  const { count } = await tx.db.mail.deleteMany({ where: { userId, kind: { in: [...kinds] } } });
  return count;
}
