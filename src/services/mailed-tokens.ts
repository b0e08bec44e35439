import { z } from "zod";
import type { OneTimeTokenRow, UserRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError } from "../errors.ts";
import { checkNew, endOldAccess, signIn } from "./accounts.ts";
import type { SignedIn } from "./accounts.ts";
import * as attempts from "./attempts.ts";
import type { Attempt } from "./attempts.ts";
import * as audit from "./audit.ts";
import * as mail from "./mail/mail.ts";
import * as oneTimeTokens from "./one-time-tokens.ts";
import type { TokenPurpose } from "./one-time-tokens.ts";
import * as passwords from "./passwords.ts";
import * as signIns from "./sign-ins.ts";
import type { Person } from "./users.ts";
import { write } from "./writes.ts";

const tokenData = z.object({ email: z.string().optional() });

/** A token that somebody has shown, and whose it is. */
interface Shown {
  readonly door: TenantContext;
  readonly token: OneTimeTokenRow;
  readonly user: UserRow;
  readonly attempt: Attempt;
}

/**
 * Queues a mail with which a new password can be set, by its address alone: whether anybody has it is found out by whoever sends it, so
 * that asking takes the same for everybody. Beyond some requests an hour nothing is sent, and nobody is told.
 *
 * @throws TENANT_REQUIRED when no tenant is named.
 */
export async function requestPasswordReset(ctx: TenantContext, text: string): Promise<void> {
  const door = await ctx.door.named();
  const email = text.toLowerCase();
  const account = { tenantId: door?.tenant.id ?? ctx.door.name ?? "", email };
  const isAllowed = await attempts.mayAskForMail(ctx, account);
  if (!door || !isAllowed || !mail.isMailAddress(email)) return;
  await write(door, async (tx) => {
    await mail.queue(tx, { kind: "password_reset", userId: null, email });
    await audit.record(tx, { action: "account.password_reset_request" });
  });
}

/**
 * Sets a password by a token that came by mail, and signs in; the token proves the address as well. All other sign-ins end. An invitation
 * sets the first password: it stops working once the person has one and the address is proven.
 *
 * @throws BAD_USER_INPUT for a weak password, which leaves the token as it is.
 * @throws UNAUTHENTICATED for a token that is unknown, used or expired, and for a person or tenant that is not active.
 * @throws TENANT_MISMATCH when the request names another tenant; RATE_LIMITED after many wrong tokens.
 */
export async function confirmPasswordReset(
  ctx: TenantContext,
  input: { readonly token: string; readonly newPassword: string },
): Promise<SignedIn> {
  const purposes = ["reset", "invitation"] as const;
  const { door, token, user, attempt } = await show(ctx, purposes, input.token);
  const isInvitation = token.purpose === "invitation";
  if (isInvitation && user.passwordHash !== null && user.emailVerified) throw invalid();
  checkNew(door, user, input.newPassword).throwIfAny();
  await attempt.succeeded();
  const passwordHash = await passwords.hash(input.newPassword, door.tenant.id);
  const method = isInvitation ? "invitation" : "reset";
  return signIn(door, user, method, async (tx) => {
    const person = signIns.asPerson(tx, user);
    await change(tx, user, { passwordHash, emailVerified: true });
    if (!(await oneTimeTokens.take(tx, purposes, input.token))) throw invalid();
    await endOldAccess(person, user);
    await audit.record(person, { action: "account.password_reset", target: user.id, details: { method } });
    if (!user.emailVerified) await noteVerified(person, user.id);
    return signIns.begin(tx, user, method, { passwordHash });
  });
}

/**
 * Takes a token that came by mail as proof of the address. An invitation does so once, and goes on being good for a first password.
 *
 * @throws as confirmPasswordReset, but for passwords.
 */
export async function verifyEmail(ctx: TenantContext, text: string): Promise<Person> {
  const purposes = ["verification", "invitation"] as const;
  const { door, token, user, attempt } = await show(ctx, purposes, text);
  if (user.emailVerified) throw invalid();
  await attempt.succeeded();
  return write(door, async (tx) => {
    const person = signIns.asPerson(tx, user);
    await change(tx, user, { emailVerified: true });
    const isSpent = token.purpose === "verification" || user.passwordHash !== null;
    if (!(await (isSpent ? oneTimeTokens.take : oneTimeTokens.find)(tx, purposes, text))) throw invalid();
    await oneTimeTokens.drop(tx, ["verification"], user.id);
    await noteVerified(person, user.id);
    return { ...user, emailVerified: true };
  });
}

/** Looks at a token and its person. @throws UNAUTHENTICATED unless both are good. */
async function show(ctx: TenantContext, purposes: readonly TokenPurpose[], text: string): Promise<Shown> {
  await attempts.countUse(ctx);
  const attempt = await attempts.countToken(ctx);
  const [purpose] = purposes;
  const tenantId = purpose === undefined ? null : oneTimeTokens.tenantOf(purpose, text);
  const door = tenantId === null ? null : await ctx.door.of(tenantId);
  const token = door && (await oneTimeTokens.find(door, purposes, text));
  const user = token?.userId == null ? null : await door?.db.user.findUnique({ where: { id: token.userId } });
  if (!door || !token || !user?.active) throw invalid();
  // A token proves the address that it went to, and no other.
  const { data } = tokenData.safeParse(token.data);
  if (data?.email !== undefined && data.email !== user.email) throw invalid();
  return { door, token, user, attempt };
}

/**
 * Changes a person's row, before anything else of the transaction: who changes the same person waits here, and sees what came of it.
 *
 * @throws UNAUTHENTICATED when the person is no longer as they were when the token was looked at.
 */
async function change(
  tx: TenantContext,
  { id, email, passwordHash, emailVerified }: UserRow,
  data: { readonly passwordHash?: string; readonly emailVerified: boolean },
): Promise<void> {
  const asSeen = { id, active: true, email, passwordHash, emailVerified };
  const { count } = await tx.db.user.updateMany({ where: asSeen, data });
  if (count === 0) throw invalid();
}

async function noteVerified(person: TenantContext, userId: string): Promise<void> {
  await audit.record(person, { action: "account.email_verified", target: userId });
}

function invalid(): AppError {
  return new AppError("UNAUTHENTICATED", "The token is unknown, was used already, or has expired");
}
