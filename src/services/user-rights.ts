import { ROLE_SCOPES, USER_ROLES } from "../context/permissions.ts";
import type { UserRole } from "../context/permissions.ts";
import type { UserRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError } from "../errors.ts";

const ACTIVE_OWNER = { role: USER_ROLES.OWNER, active: true } as const;

type Standing = Pick<UserRow, "role" | "active">;

/**
 * Owners are the business of owners and of the platform. A key with USERS_ADMIN counts as an ADMIN, whoever made it.
 *
 * @throws FORBIDDEN where somebody else makes an owner, or changes one.
 */
export function requireRightOver({ actor }: Pick<TenantContext, "actor">, role: UserRole): void {
  if (role !== USER_ROLES.OWNER || actor.kind === "platform") return;
  if (actor.kind === "person" && actor.role === USER_ROLES.OWNER) return;
  throw new AppError("FORBIDDEN", "Only an owner makes owners, or changes them");
}

/**
 * Nobody hands on more than they hold: whoever chooses a person's role or address could become that person, by a mail that sets a password.
 *
 * @throws FORBIDDEN for a role with scopes that the actor does not have. Only keys can lack one.
 */
export function requireScopesOf({ actor }: Pick<TenantContext, "actor">, role: UserRole): void {
  const beyond = ROLE_SCOPES[role].filter((scope) => !actor.scopes.has(scope));
  if (beyond.length === 0) return;
  const names = beyond.map((scope) => scope.toUpperCase()).join(", ");
  throw new AppError(
    "FORBIDDEN",
    `A person cannot get more than the scopes of who adds or changes them; beyond yours: ${names}`,
  );
}

/**
 * Lets those who change people of a tenant go one after another, until the transaction ends: whoever waited sees what the one before did.
 * Without it two owners could demote each other at the same instant, each seeing the other as the one who stays.
 *
 * What is locked is the row of the first active owner. Where that one is no owner any more when the lock is there, the next one is.
 *
 * @throws FORBIDDEN when the owner who acts was demoted or deactivated in the meantime.
 */
export async function lockOwners(tx: TenantContext): Promise<void> {
  let isLocked = false;
  while (!isLocked) {
    const first = await tx.db.user.findFirst({ where: ACTIVE_OWNER, orderBy: { id: "asc" }, select: { id: true } });
    if (!first) break; // tenants of the predecessor may have none
    const { count } = await tx.db.user.updateMany({ where: { id: first.id, ...ACTIVE_OWNER }, data: ACTIVE_OWNER });
    isLocked = count > 0;
  }
  const { actor } = tx;
  if (actor.kind !== "person" || actor.role !== USER_ROLES.OWNER) return;
  const own = await tx.db.user.count({ where: { id: actor.userId, ...ACTIVE_OWNER } });
  if (own === 0) throw new AppError("FORBIDDEN", "You are no longer an owner");
}

/** @throws CONFLICT when a change took the tenant's last active owner away. Counts after the change, under `lockOwners`. */
export async function requireOwnerLeft(
  tx: TenantContext,
  { before, after }: { readonly before: Standing; readonly after: Standing },
): Promise<void> {
  if (!isActiveOwner(before) || isActiveOwner(after)) return;
  const left = await tx.db.user.count({ where: ACTIVE_OWNER });
  if (left === 0) throw new AppError("CONFLICT", "The tenant's last active owner stays one");
}

function isActiveOwner({ role, active }: Standing): boolean {
  return role === USER_ROLES.OWNER && active;
}
