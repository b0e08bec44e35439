import type { PersonRecord } from "../context/cross-tenant.ts";
import { isAllowedAddress, UNKNOWN_PEOPLE } from "../context/oidc-trust.ts";
import type { Introduction } from "../context/outside-tokens.ts";
import type { UserRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { roleFrom } from "../context/tenant-records.ts";
import { AppError } from "../errors.ts";
import * as audit from "./audit.ts";
import { write } from "./writes.ts";

/**
 * Finds the person of the tenant whom a trusted provider introduces; links or adds them where its policy says so.
 *
 * Nobody is linked or added but by an address that the provider has verified. Somebody is linked only if the address was proven here as
 * well: whoever made an account for a stranger's address, and waits with its password, would otherwise share it with them once they come.
 * And only if no other subject of that issuer is linked already: an address that an organisation hands on to the next employee does not
 * hand on the account. Nobody is added where only they themselves chose the tenant.
 *
 * @returns the person, active or not; null where the policy refuses.
 */
export async function meet(ctx: TenantContext, introduction: Introduction): Promise<UserRow | null> {
  const { provider, outsider } = introduction;
  const known = await linkedTo(ctx, introduction);
  if (known || provider.unknownPeople === UNKNOWN_PEOPLE.REFUSE) return known;
  const { email } = outsider;
  if (email === undefined || !outsider.isEmailVerified || !isAllowedAddress(provider, email)) return null;
  const met = await write(ctx, (tx) => linkOrAdd(tx, introduction, email)).catch((error: unknown) => {
    if (error instanceof AppError && error.code === "CONFLICT") return null;
    throw error;
  });
  // That nobody was linked may have been noted for some seconds.
  ctx.accounts.forget(ctx.tenant.id);
  // Somebody may have met the same person at the same time.
  return met ?? linkedTo(ctx, introduction);
}

/** `meet`, for whoever comes with a token instead of signing in. */
export async function recognise(ctx: TenantContext, introduction: Introduction): Promise<PersonRecord | null> {
  const user = await meet(ctx, introduction);
  return user && { userId: user.id, role: roleFrom(user.role), active: user.active };
}

async function linkedTo(ctx: TenantContext, { outsider }: Introduction): Promise<UserRow | null> {
  const { issuer, subject } = outsider;
  const link = await ctx.db.outsideIdentity.findFirst({ where: { issuer, subject } });
  return link && ctx.db.user.findUnique({ where: { id: link.userId } });
}

async function linkOrAdd(tx: TenantContext, introduction: Introduction, email: string): Promise<UserRow | null> {
  const { provider, outsider, isTenantNamed } = introduction;
  const { issuer, subject } = outsider;
  const sameAddress = await tx.db.user.findFirst({ where: { email } });
  if (!sameAddress && !(provider.unknownPeople === UNKNOWN_PEOPLE.CREATE && isTenantNamed)) return null;
  if (sameAddress && !(await mayBeLinked(tx, sameAddress, issuer))) return null;
  const user = sameAddress ?? (await add(tx, introduction, email));
  await tx.db.outsideIdentity.create({ data: { userId: user.id, issuer, subject } });
  await audit.record(tx, { action: "user.link", target: user.id, details: { issuer } });
  return user;
}

async function mayBeLinked(tx: TenantContext, user: UserRow, issuer: string): Promise<boolean> {
  if (!user.active || !user.emailVerified) return false;
  return (await tx.db.outsideIdentity.count({ where: { userId: user.id, issuer } })) === 0;
}

async function add(tx: TenantContext, { provider, outsider }: Introduction, email: string): Promise<UserRow> {
  const role = outsider.role ?? provider.defaultRole;
  const user = await tx.db.user.create({
    data: { email, name: outsider.name ?? null, role, emailVerified: true, createdAt: tx.clock.now() },
  });
  await audit.record(tx, { action: "user.create", target: user.id, details: { role, issuer: provider.issuer } });
  return user;
}
