import { defineLoader } from "../context/loaders.ts";
import { USER_ROLES } from "../context/permissions.ts";
import type { UserRole } from "../context/permissions.ts";
import type { UserRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { wordOf } from "./stored-words.ts";

export { USER_ROLES } from "../context/permissions.ts";
export type { UserRole } from "../context/permissions.ts";

const TIME_ZONE_DEFAULT = "UTC";
const SECRETS = {
  passwordHash: true,
  emailVerificationToken: true,
  passwordResetToken: true,
  passwordResetExpires: true,
} as const;

/** A person without what only signing in needs. */
export type Person = Omit<UserRow, keyof typeof SECRETS>;

/** The owners of things, by id. Who may see a thing may see whose it is, so no scope beyond the thing's own is asked for. */
export const byId = defineLoader(async (ctx: TenantContext, ids: readonly string[]) => {
  const rows: Person[] = await ctx.db.user.findMany({ where: { id: { in: [...ids] } }, omit: SECRETS });
  return new Map(rows.map((row) => [row.id, row]));
});

/** A role that nobody knows gets the least that a role can mean. */
export function roleOf(user: Pick<Person, "role">): UserRole {
  return wordOf(USER_ROLES, user.role, USER_ROLES.VIEWER);
}

/** The person's IANA time zone; UTC where the stored one is missing or unknown to this machine. */
export function timeZoneOf(user: Pick<Person, "timezone">): string {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: user.timezone ?? TIME_ZONE_DEFAULT }).resolvedOptions().timeZone;
  } catch {
    return TIME_ZONE_DEFAULT;
  }
}
