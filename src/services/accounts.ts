import { requirePerson } from "../context/permissions.ts";
import type { UserRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError, badInput } from "../errors.ts";
import * as attempts from "./attempts.ts";
import * as audit from "./audit.ts";
import { Problems } from "./checks.ts";
import * as mail from "./mail/mail.ts";
import * as oneTimeTokens from "./one-time-tokens.ts";
import * as passwords from "./passwords.ts";
import * as signIns from "./sign-ins.ts";
import type { Credentials } from "./sign-ins.ts";
import { SECRETS } from "./users.ts";
import type { Person } from "./users.ts";
import { write } from "./writes.ts";

/** A person who is signed in, with what their client needs to act as them. */
export interface SignedIn {
  readonly credentials: Credentials;
  readonly user: Person;
}

/**
 * Signs somebody in by address and password, in the tenant that the request names. Nobody learns by the answer, or by how long it takes,
 * whether the tenant, the person or their password exist: one password is verified in every case.
 *
 * @throws UNAUTHENTICATED, always with the same words; RATE_LIMITED as `attempts.count`; TENANT_REQUIRED when no tenant is named.
 */
export async function login(
  ctx: TenantContext,
  input: { readonly email: string; readonly password: string },
): Promise<SignedIn> {
  const door = await ctx.door.named();
  const email = input.email.toLowerCase();
  const account = { tenantId: door?.tenant.id ?? ctx.door.name ?? "", email };
  const attempt = await attempts.count(ctx, door, account);
  const user = door && (await door.db.user.findUnique({ where: { email } }));
  const passwordHash = user?.passwordHash ?? null;
  const isRight = await passwords.verify(passwordHash, input.password, door?.tenant.id);
  if (!door || !user?.active || passwordHash === null || !isRight) {
    if (door) audit.refused(door, { action: "account.sign_in_refused", ...(user && { target: user.id }) });
    throw new AppError("UNAUTHENTICATED", "Invalid e-mail address or password");
  }
  await attempt.succeeded();
  const renewedHash = passwords.isOutdated(passwordHash)
    ? await passwords.hash(input.password, door.tenant.id)
    : undefined;
  return signIn(door, user, "password", async (tx) => {
    const credentials = await signIns.begin(tx, user, "password", { passwordHash });
    if (renewedHash !== undefined)
      await tx.db.user.update({ where: { id: user.id }, data: { passwordHash: renewedHash } });
    return credentials;
  });
}

/**
 * Begins a sign-in of somebody who has proven who they are, and says so in the trail.
 *
 * @param begin calls `signIns.begin`, beside whatever else belongs into the same transaction.
 */
export async function signIn(
  door: TenantContext,
  user: Pick<UserRow, "id" | "role">,
  method: signIns.SignInMethod,
  begin: (tx: TenantContext) => Promise<Credentials>,
): Promise<SignedIn> {
  // Before the transaction: whoever holds a connection must not wait for another one.
  await door.accounts.tokens.prepare();
  return write(door, async (tx) => {
    const credentials = await begin(tx);
    const person = signIns.asPerson(tx, user);
    await audit.record(person, { action: "account.sign_in", target: user.id, details: { method } });
    const signedIn = await tx.db.user.findUnique({ where: { id: user.id }, omit: SECRETS });
    if (!signedIn) throw signInOver();
    return { credentials, user: signedIn };
  });
}

/**
 * Renews a sign-in: the token works once, and the new access token has the role that the person has now. A token that comes a second time
 * ends the sign-in, because one of the two who have it has stolen it.
 *
 * @throws UNAUTHENTICATED for a token that is unknown, expired, used, or of a sign-in, person or tenant that is over or inactive.
 * @throws TENANT_MISMATCH when the request names another tenant; RATE_LIMITED.
 */
export async function refresh(ctx: TenantContext, refreshToken: string): Promise<SignedIn> {
  await attempts.countUse(ctx);
  const tenantId = signIns.tenantOf(refreshToken);
  const door = tenantId === null ? null : await ctx.door.of(tenantId);
  if (!door) throw signInOver();
  await door.accounts.tokens.prepare();
  // Nothing is thrown inside: that a reused token ends its sign-in must be kept, although the answer is an error.
  const renewed = await write(door, async (tx): Promise<SignedIn | null> => {
    const renewal = await signIns.renew(tx, refreshToken);
    if (renewal.kind === "refused") return null;
    const user = await tx.db.user.findUnique({ where: { id: renewal.userId }, omit: SECRETS });
    if (renewal.kind === "reused") {
      const details = { signIn: renewal.signInId };
      if (renewal.wasOpen)
        await audit.record(tx, { action: "account.refresh_reused", target: renewal.userId, details });
      return null;
    }
    if (!user?.active) return null;
    return { credentials: await signIns.credentialsFor(tx, user, renewal.signInId), user };
  });
  if (!renewed) throw signInOver();
  return renewed;
}

/**
 * Ends the sign-in that acts, or all of the person's.
 *
 * @throws FORBIDDEN unless a person acts, and for one who comes with an outside provider's token and names no other sign-ins: only that
 *   provider can end it.
 */
export async function logout(ctx: TenantContext, isEverywhere: boolean): Promise<void> {
  const { userId, signInId } = requirePerson(ctx);
  if (!isEverywhere && signInId === undefined)
    throw new AppError("FORBIDDEN", "The token is an outside provider's: sign out there");
  const which = isEverywhere || signInId === undefined ? { userId } : { userId, signInId };
  await write(ctx, async (tx) => {
    const ended = await signIns.end(tx, which, "signed_out");
    await audit.record(tx, { action: "account.sign_out", target: userId, details: { ended } });
  });
}

/**
 * Changes the acting person's password. All of their sign-ins end, the acting one too; the answer begins a new one. Links to set a password
 * that are in their mailbox stop working, and a mail tells of the change.
 *
 * @throws BAD_USER_INPUT for a wrong current password, or a new one that is weak or the same; RATE_LIMITED as `attempts.count`.
 * @throws FORBIDDEN unless a person acts; CONFLICT when the password was changed by somebody else in this moment.
 */
export async function changePassword(
  ctx: TenantContext,
  input: { readonly currentPassword: string; readonly newPassword: string },
): Promise<SignedIn> {
  const { userId } = requirePerson(ctx);
  const user = await ctx.db.user.findUnique({ where: { id: userId } });
  if (!user) throw signInOver();
  // Whoever has stolen an access token guesses no better than at the door.
  const attempt = await attempts.count(ctx, ctx, { tenantId: ctx.tenant.id, email: user.email });
  const { passwordHash } = user;
  if (!(await passwords.verify(passwordHash, input.currentPassword, ctx.tenant.id)) || passwordHash === null) {
    audit.refused(ctx, { action: "account.password_change_refused", target: userId });
    throw badInput({ path: "input.currentPassword", message: "is not the current password" });
  }
  await attempt.succeeded();
  const problems = checkNew(ctx, user, input.newPassword);
  if (input.newPassword === input.currentPassword) problems.add("input.newPassword", "is the current password");
  problems.throwIfAny();
  const newHash = await passwords.hash(input.newPassword, ctx.tenant.id);
  return signIn(ctx, user, "password", async (tx) => {
    const unchanged = { id: userId, active: true, passwordHash };
    const { count } = await tx.db.user.updateMany({ where: unchanged, data: { passwordHash: newHash } });
    if (count === 0) throw new AppError("CONFLICT", "The password was changed in this moment");
    await endOldAccess(tx, user);
    await audit.record(tx, { action: "account.password_change", target: userId });
    return signIns.begin(tx, user, "password", { passwordHash: newHash });
  });
}

/** What is wrong with a new password of a person, as `input.newPassword`. */
export function checkNew(
  { tenant }: TenantContext,
  { email, name }: Pick<UserRow, "email" | "name">,
  password: string,
): Problems {
  const problems = new Problems();
  passwords.addProblems(problems, "input.newPassword", password, [email, name ?? "", tenant.name]);
  return problems;
}

/**
 * What follows when a person has another password: their sign-ins end, the tokens with which one could be set stop working, and a mail tells
 * of the change where there was one before. The caller has changed the person's row in this transaction, and so holds it.
 */
export async function endOldAccess(tx: TenantContext, { id, email, passwordHash: before }: UserRow): Promise<void> {
  await oneTimeTokens.drop(tx, ["invitation", "reset"], id);
  await mail.withdraw(tx, ["invitation"], id);
  await signIns.end(tx, { userId: id }, "password_changed");
  if (before !== null) await mail.queue(tx, { kind: "password_changed", userId: id, email });
}

function signInOver(): AppError {
  return new AppError("UNAUTHENTICATED", "The sign-in is over, please sign in again");
}
