import type { MailRow, UserRow } from "../../context/rows.ts";
import type { TenantContext } from "../../context/tenant-context.ts";
import * as oneTimeTokens from "../one-time-tokens.ts";
import { isMailAddress } from "./address.ts";
import { isMailKind, MAIL_KINDS, write } from "./letters.ts";
import type { OutgoingMail } from "./mailer.ts";

/**
 * Writes a queued mail, with a token made at this moment; what earlier attempts made stops working.
 *
 * @returns null when it has become pointless: nobody has the address, or who had it is deactivated or has another one by now.
 */
export async function prepare(tx: TenantContext, mail: MailRow): Promise<OutgoingMail | null> {
  const { kind, email } = mail;
  if (!isMailKind(kind) || !isMailAddress(email)) return null;
  const user = await recipient(tx, mail);
  if (!user) return null;
  const { purpose } = MAIL_KINDS[kind];
  let token = "";
  if (purpose !== null) {
    // A token proves the address that it went to, so it must be the person's own, and not one that they had.
    if (!user.active || user.email !== email) return null;
    if (kind === "verification" && user.emailVerified) return null;
    await oneTimeTokens.drop(tx, [purpose], user.id);
    token = await oneTimeTokens.make(tx, purpose, { userId: user.id, data: { email } });
  }
  const publicUrl = tx.accounts.publicUrl();
  return { to: email, ...write(kind, { name: user.name, tenantName: tx.tenant.name, token, publicUrl }) };
}

async function recipient(
  tx: TenantContext,
  { userId, email }: MailRow,
): Promise<Pick<UserRow, "id" | "name" | "email" | "emailVerified" | "active"> | null> {
  const select = { id: true, name: true, email: true, emailVerified: true, active: true } as const;
  if (userId === null) return tx.db.user.findUnique({ where: { email }, select });
  return tx.db.user.findUnique({ where: { id: userId }, select });
}
