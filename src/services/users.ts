import { defineLoader } from "../context/loaders.ts";
import { requirePerson, requireScope, SCOPES, USER_ROLES } from "../context/permissions.ts";
import type { UserRole } from "../context/permissions.ts";
import type { Prisma, UserRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError, notFound } from "../errors.ts";
import * as audit from "./audit.ts";
import { Problems } from "./checks.ts";
import * as mail from "./mail/mail.ts";
import { pageOf } from "./paging.ts";
import type { Page, PageArgs } from "./paging.ts";
import * as passwords from "./passwords.ts";
import { wordOf, wordsFilter } from "./stored-words.ts";
import { countInvitation, countMove, endAccess, moveToAddress } from "./user-access.ts";
import { lockOwners, requireOwnerLeft, requireRightOver, requireScopesOf } from "./user-rights.ts";
import { write } from "./writes.ts";

export { USER_ROLES } from "../context/permissions.ts";
export type { UserRole } from "../context/permissions.ts";

const PEOPLE_MAX = 10_000; // one tenant's; what is more belongs into an outside provider
const NAME_LENGTH_MAX = 255; // as in prisma/models/users.prisma
const TIME_ZONE_LENGTH_MAX = 50; // likewise
const METADATA_BYTES_MAX = 65_536;
const SEARCH_LENGTH_MAX = 255;
const TIME_ZONE_DEFAULT = "UTC";
const ORDER = { field: "createdAt", direction: "asc" } as const;
/** What only signing in needs: everything else leaves it out when it reads a person. */
export const SECRETS = {
  passwordHash: true,
  emailVerificationToken: true,
  passwordResetToken: true,
  passwordResetExpires: true,
} as const;

/** A person without what only signing in needs. */
export type Person = Omit<UserRow, keyof typeof SECRETS>;

/** Which people a list shows; what is absent or null does not restrict it. */
export interface UserFilter {
  readonly role?: UserRole | null | undefined;
  readonly active?: boolean | null | undefined;
  /** Text that name or address contain, in upper or lower case. */
  readonly search?: string | null | undefined;
}

export interface NewUser {
  readonly email: string;
  readonly name?: string | null | undefined;
  readonly role: UserRole;
  readonly password?: string | null | undefined;
  readonly sendInvitation: boolean;
}

/** Absent stays. Null clears the name, and is refused for the rest. */
export interface UserChanges {
  readonly email?: string | null | undefined;
  readonly name?: string | null | undefined;
  readonly role?: UserRole | null | undefined;
  readonly active?: boolean | null | undefined;
}

/** Absent stays, null clears. */
export interface ProfileChanges {
  readonly name?: string | null | undefined;
  readonly timezone?: string | null | undefined;
  readonly metadata?: Prisma.InputJsonObject | null | undefined;
}

/** The people of the tenant, whoever was there first first. */
export async function list(ctx: TenantContext, page: PageArgs, filter: UserFilter): Promise<Page<Person>> {
  requireScope(ctx, SCOPES.USERS_ADMIN);
  new Problems().text("search", filter.search, 0, SEARCH_LENGTH_MAX).throwIfAny();
  const where = matching(filter);
  return pageOf<Person>(ctx, { list: "users", order: ORDER }, page, {
    read: ({ where: place, orderBy, take }) =>
      ctx.db.user.findMany({ where: { AND: [where, place] }, orderBy, take, omit: SECRETS }),
    count: () => ctx.db.user.count({ where }),
  });
}

/** The owners of things, by id. Who may see a thing may see whose it is, so no scope beyond the thing's own is asked for. */
export const byId = defineLoader(async (ctx: TenantContext, ids: readonly string[]) => {
  const rows: Person[] = await ctx.db.user.findMany({ where: { id: { in: [...ids] } }, omit: SECRETS });
  return new Map(rows.map((row) => [row.id, row]));
});

/** One person; null when there is none. */
export async function find(ctx: TenantContext, id: string): Promise<Person | null> {
  requireScope(ctx, SCOPES.USERS_ADMIN);
  return byId(ctx).load(id);
}

/** The person who acts; null for keys and for nobody. Needs no scope: everybody may know themselves. */
export async function viewer(ctx: TenantContext): Promise<Person | null> {
  return ctx.actor.kind === "person" ? byId(ctx).load(ctx.actor.userId) : null;
}

/** A role that nobody knows gets the least that a role can mean. */
export function roleOf(user: Pick<Person, "role">): UserRole {
  return wordOf(USER_ROLES, user.role, USER_ROLES.VIEWER);
}

/** The person's IANA time zone; UTC where the stored one is missing or unknown to this machine. */
export function timeZoneOf(user: Pick<Person, "timezone">): string {
  return knownTimeZone(user.timezone ?? TIME_ZONE_DEFAULT) ?? TIME_ZONE_DEFAULT;
}

/**
 * Adds a person to the tenant. An invitation, if it is asked for, goes out by mail; without one and without a password the person cannot
 * sign in until there is one.
 *
 * @param input.email trimmed and put into lower case: one address is one person of the tenant.
 * @throws BAD_USER_INPUT for a malformed address, a name out of bounds or a weak password; CONFLICT when the tenant has the address.
 * @throws FORBIDDEN for an OWNER by anybody but an owner or the platform.
 * @throws QUOTA_EXCEEDED beyond PEOPLE_MAX, give or take those who are added at the same moment; RATE_LIMITED as countInvitation.
 */
export async function create(ctx: TenantContext, input: NewUser): Promise<Person> {
  requireScope(ctx, SCOPES.USERS_ADMIN);
  const email = normalised(input.email);
  const problems = checkNames({ email, name: input.name });
  if (input.password != null)
    passwords.addProblems(problems, "input.password", input.password, [email, input.name ?? "", ctx.tenant.name]);
  problems.throwIfAny();
  requireRightOver(ctx, input.role);
  requireScopesOf(ctx, input.role);
  if (input.sendInvitation) await countInvitation(ctx);
  // Before the transaction: it takes long on purpose, and a connection should not wait for it.
  const passwordHash = input.password == null ? null : await passwords.hash(input.password, ctx.tenant.id);
  return write(ctx, async (tx) => {
    if (input.role === USER_ROLES.OWNER) await lockOwners(tx);
    if ((await tx.db.user.count()) >= PEOPLE_MAX)
      throw new AppError("QUOTA_EXCEEDED", `A tenant has at most ${PEOPLE_MAX} people`);
    const data = { email, name: input.name ?? null, role: input.role, passwordHash, createdAt: tx.clock.now() };
    const user: Person = await unlessTaken(tx.db.user.create({ data, omit: SECRETS }));
    if (input.sendInvitation) await mail.queue(tx, { kind: "invitation", userId: user.id, email });
    await audit.record(tx, {
      action: "user.create",
      target: user.id,
      details: { role: input.role, invited: input.sendInvitation },
    });
    return user;
  });
}

/**
 * Changes a person. Another role counts from the next request on. Deactivating ends the person's sign-ins within a second and makes the
 * tokens in their mailbox useless. Another address has to be proven again: a mail goes there, and a notice to the old one.
 *
 * @throws NOT_FOUND; BAD_USER_INPUT as for `create`; CONFLICT when the tenant has the address, or would lose its last active owner.
 * @throws RATE_LIMITED when one address is given and taken away again and again.
 * @throws FORBIDDEN for owners by anybody but an owner or the platform, and for one's own role and activity.
 */
export async function update(ctx: TenantContext, id: string, changes: UserChanges): Promise<Person> {
  requireScope(ctx, SCOPES.USERS_ADMIN);
  const { name, role, active } = changes;
  const email = changes.email == null ? undefined : normalised(changes.email);
  checkNames({ email, name })
    .notNull("input.email", changes.email)
    .notNull("input.role", role)
    .notNull("input.active", active)
    .throwIfAny();
  if (email !== undefined) await countMove(ctx, id, email);
  return write(ctx, async (tx) => {
    await lockOwners(tx);
    const before = await mustFind(tx, id);
    requireRightOver(tx, roleOf(before));
    const data = {
      ...(email !== undefined && email !== before.email && { email, emailVerified: false }),
      ...(name !== undefined && name !== before.name && { name }),
      ...(role != null && role !== before.role && { role }),
      ...(active != null && active !== before.active && { active }),
    };
    if (Object.keys(data).length === 0) return before;
    const concernsOwnRights = data.role !== undefined || data.active !== undefined;
    if (concernsOwnRights && tx.actor.kind === "person" && tx.actor.userId === id)
      throw new AppError("FORBIDDEN", "Nobody changes their own role or deactivates themself");
    if (data.role !== undefined) requireRightOver(tx, data.role);
    const givesAccess = data.role !== undefined || data.email !== undefined || data.active === true;
    if (givesAccess) requireScopesOf(tx, data.role ?? roleOf(before));
    const after: Person = await unlessTaken(tx.db.user.update({ where: { id }, data, omit: SECRETS }));
    await requireOwnerLeft(tx, { before, after });
    if (data.email !== undefined) await moveToAddress(tx, after, before.email);
    if (data.active === false) await endAccess(tx, id);
    const fields = Object.keys(data).filter((field) => field !== "emailVerified");
    const rights = { ...(data.role && { role: data.role }), ...(data.active !== undefined && { active: data.active }) };
    await audit.record(tx, { action: "user.update", target: id, details: { fields, ...rights } });
    return after;
  });
}

/**
 * Changes what a person says about themself.
 *
 * @throws FORBIDDEN unless a person acts; BAD_USER_INPUT for a name out of bounds, an unknown time zone or metadata beyond 64 KiB.
 */
export async function updateProfile(ctx: TenantContext, changes: ProfileChanges): Promise<Person> {
  const { userId } = requirePerson(ctx);
  const { name, timezone, metadata } = changes;
  const problems = checkNames({ name }).json("input.metadata", metadata, METADATA_BYTES_MAX);
  if (timezone != null && (timezone.length > TIME_ZONE_LENGTH_MAX || knownTimeZone(timezone) === null))
    problems.add("input.timezone", "is not the name of an IANA time zone");
  problems.throwIfAny();
  const data = {
    ...(name !== undefined && { name }),
    ...(timezone !== undefined && { timezone: timezone ?? TIME_ZONE_DEFAULT }),
    ...(metadata !== undefined && { metadata: metadata ?? {} }),
  };
  const fields = Object.keys(data);
  return write(ctx, async (tx) => {
    if (fields.length === 0) return mustFind(tx, userId);
    const user: Person = await tx.db.user.update({ where: { id: userId }, data, omit: SECRETS });
    await audit.record(tx, { action: "user.update_profile", target: userId, details: { fields } });
    return user;
  });
}

/**
 * Sends an invitation once more; links of earlier ones stop working.
 *
 * @throws NOT_FOUND; CONFLICT for somebody who is deactivated, or who has a password and a proven address and needs none.
 * @throws RATE_LIMITED as countInvitation.
 */
export async function resendInvitation(ctx: TenantContext, id: string): Promise<void> {
  requireScope(ctx, SCOPES.USERS_ADMIN);
  await countInvitation(ctx, id);
  await write(ctx, async (tx) => {
    const select = { email: true, active: true, emailVerified: true, passwordHash: true } as const;
    const user = await tx.db.user.findUnique({ where: { id }, select });
    if (!user) throw notFound("User");
    if (!user.active) throw new AppError("CONFLICT", "The person is deactivated");
    if (user.emailVerified && user.passwordHash !== null)
      throw new AppError("CONFLICT", "The person has accepted an invitation already");
    await mail.queue(tx, { kind: "invitation", userId: id, email: user.email });
    await audit.record(tx, { action: "user.invite", target: id });
  });
}

async function mustFind(tx: TenantContext, id: string): Promise<Person> {
  const user = await tx.db.user.findUnique({ where: { id }, omit: SECRETS });
  if (!user) throw notFound("User");
  return user;
}

async function unlessTaken<Row>(work: Promise<Row>): Promise<Row> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "CONFLICT") throw error;
    throw new AppError("CONFLICT", "A person with this e-mail address exists already", { cause: error });
  }
}

function matching({ role, active, search }: UserFilter): Prisma.UserWhereInput {
  const contains = { contains: (search ?? "").replaceAll(/[\\%_]/g, "\\$&"), mode: "insensitive" } as const;
  return {
    ...(role != null && { role: wordsFilter(USER_ROLES, [role], USER_ROLES.VIEWER) }),
    ...(active != null && { active }),
    ...(search && { OR: [{ name: contains }, { email: contains }] }),
  };
}

function normalised(email: string): string {
  return email.trim().toLowerCase();
}

function checkNames({
  email,
  name,
}: {
  readonly email?: string | undefined;
  readonly name?: string | null | undefined;
}) {
  const problems = new Problems().text("input.name", name, 1, NAME_LENGTH_MAX);
  if (email !== undefined && !mail.isMailAddress(email))
    problems.add("input.email", "is not an e-mail address of at most 255 characters");
  return problems;
}

/** The name by which this machine knows a time zone; null when it knows none. */
function knownTimeZone(name: string): string | null {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return null;
  }
}
