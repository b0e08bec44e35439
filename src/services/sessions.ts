import { defineLoader } from "../context/loaders.ts";
import { ownerOfNew, ownRows, requireScope, SCOPES, seesAll } from "../context/permissions.ts";
import type { Prisma, SessionRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError, notFound } from "../errors.ts";
import * as audit from "./audit.ts";
import { Problems } from "./checks.ts";
import { once } from "./idempotency.ts";
import { pageOf } from "./paging.ts";
import type { ListOrder, Page, PageArgs } from "./paging.ts";
import { wordOf, wordsFilter } from "./stored-words.ts";
import * as usage from "./usage.ts";
import { write } from "./writes.ts";

export const SESSION_STATUSES = { ACTIVE: "active", ARCHIVED: "archived", DELETED: "deleted" } as const;
export type SessionStatus = (typeof SESSION_STATUSES)[keyof typeof SESSION_STATUSES];

export const SESSION_ORDER_FIELDS = { CREATED_AT: "createdAt", UPDATED_AT: "updatedAt", NAME: "name" } as const;
export type SessionOrderField = (typeof SESSION_ORDER_FIELDS)[keyof typeof SESSION_ORDER_FIELDS];
export type SessionOrder = ListOrder<SessionOrderField>;

const NAME_LENGTH_MAX = 255; // as in prisma/models/sessions.prisma
const DESCRIPTION_LENGTH_MAX = 10_000;
const METADATA_BYTES_MAX = 65_536;
const SEARCH_LENGTH_MAX = 255;
const ORDER_DEFAULT: SessionOrder = { field: SESSION_ORDER_FIELDS.UPDATED_AT, direction: "desc" };

/** Which sessions a list shows; what is absent or null does not restrict it. */
export interface SessionFilter {
  /** All but deleted ones when nothing is said. */
  readonly status?: readonly SessionStatus[] | null | undefined;
  /** Text that name, title or description contain, in upper or lower case. */
  readonly search?: string | null | undefined;
  readonly userId?: string | null | undefined;
  /** Exclusive, like `createdBefore`. */
  readonly createdAfter?: Date | null | undefined;
  readonly createdBefore?: Date | null | undefined;
}

interface SessionTexts {
  readonly title?: string | null | undefined;
  readonly description?: string | null | undefined;
  readonly metadata?: Prisma.InputJsonObject | null | undefined;
}

export interface NewSession extends SessionTexts {
  readonly name: string;
  readonly idempotencyKey?: string | null | undefined;
}

/** Absent stays, null clears; a name cannot be cleared. */
export interface SessionChanges extends SessionTexts {
  readonly name?: string | null | undefined;
}

/** The sessions that the actor may see, changed last first unless another order is asked for. */
export async function list(
  ctx: TenantContext,
  page: PageArgs,
  filter: SessionFilter,
  order: SessionOrder = ORDER_DEFAULT,
): Promise<Page<SessionRow>> {
  requireScope(ctx, SCOPES.SESSIONS_READ);
  new Problems().text("filter.search", filter.search, 0, SEARCH_LENGTH_MAX).throwIfAny();
  const where = visible(ctx, filter);
  return pageOf(ctx, { list: "sessions", order }, page, {
    read: (window) =>
      ctx.db.session.findMany({ where: { AND: [where, window.where] }, orderBy: window.orderBy, take: window.take }),
    count: () => ctx.db.session.count({ where }),
  });
}

/** Sessions by id, deleted ones included; all that are asked for in one tick come from one statement. */
export const byId = defineLoader(async (ctx: TenantContext, ids: readonly string[]) => {
  requireScope(ctx, SCOPES.SESSIONS_READ);
  const rows = await ctx.db.session.findMany({ where: { AND: [ownRows(ctx), { id: { in: [...ids] } }] } });
  return new Map(rows.map((row) => [row.id, row]));
});

/**
 * Of some sessions those that the actor may see: for what hangs on a session and has no owner of its own. Asks for no scope, because each
 * of those things has its own; takes a statement only for people who do not see all of the tenant.
 */
export async function visibleAmong(ctx: TenantContext, ids: readonly string[]): Promise<readonly string[]> {
  if (seesAll(ctx)) return ids;
  const found = await Promise.all(ids.map((id) => isVisible(ctx).load(id)));
  return ids.filter((_id, index) => found[index]);
}

/** Rows that hang on a session, without those whose session the actor may not see. */
export async function withVisibleSession<Row extends { readonly sessionId: string }>(
  ctx: TenantContext,
  rows: readonly Row[],
): Promise<Row[]> {
  const ids = new Set(await visibleAmong(ctx, [...new Set(rows.map(({ sessionId }) => sessionId))]));
  return rows.filter(({ sessionId }) => ids.has(sessionId));
}

/** One session, deleted or not; null when there is none. */
export async function find(ctx: TenantContext, id: string): Promise<SessionRow | null> {
  requireScope(ctx, SCOPES.SESSIONS_READ);
  return byId(ctx).load(id);
}

/** One session, deleted or not. @throws NOT_FOUND when it is missing, another tenant's or another person's, which all look alike. */
export async function mustFind(ctx: TenantContext, id: string): Promise<SessionRow> {
  const session = await find(ctx, id);
  if (!session) throw notFound("Session");
  return session;
}

/** Begins a session. @throws BAD_USER_INPUT for a missing name or anything too long. */
export async function create(ctx: TenantContext, input: NewSession): Promise<SessionRow> {
  requireScope(ctx, SCOPES.SESSIONS_WRITE);
  checkTexts(input).throwIfAny();
  const { idempotencyKey, ...asked } = input;
  return once(ctx, { operation: "createSession", key: idempotencyKey, input: asked }, async (tx) => {
    const now = tx.clock.now();
    const session = await tx.db.session.create({
      data: {
        userId: ownerOfNew(tx),
        name: input.name,
        title: input.title ?? null,
        description: input.description ?? null,
        metadata: input.metadata ?? {},
        createdAt: now,
        updatedAt: now,
      },
    });
    await audit.record(tx, { action: "session.create", target: session.id });
    return session;
  });
}

/** Changes what is said about a session, whatever its status. @throws NOT_FOUND, BAD_USER_INPUT. */
export async function update(ctx: TenantContext, id: string, changes: SessionChanges): Promise<SessionRow> {
  requireScope(ctx, SCOPES.SESSIONS_WRITE);
  checkTexts(changes).notNull("input.name", changes.name).throwIfAny();
  const { name, title, description, metadata } = changes;
  const data = {
    ...(typeof name === "string" && { name }),
    ...(title !== undefined && { title }),
    ...(description !== undefined && { description }),
    ...(metadata !== undefined && { metadata: metadata ?? {} }),
  };
  const fields = Object.keys(data);
  return write(ctx, async (tx) => {
    if (fields.length === 0) return reread(tx, id);
    const session = await change(tx, id, data);
    await audit.record(tx, { action: "session.update", target: id, details: { fields } });
    return session;
  });
}

/**
 * Archives a session; indexing it into memory is the caller's part, in the same transaction. A deleted session can be archived, which
 * together with `restore` is the way back from a soft deletion.
 *
 * @throws NOT_FOUND, and CONFLICT when the session is archived already.
 */
export async function archive(tx: TenantContext, id: string): Promise<SessionRow> {
  requireScope(tx, SCOPES.SESSIONS_WRITE);
  const isOpen = { status: { not: SESSION_STATUSES.ARCHIVED } };
  const session = await changeIf(tx, id, isOpen, { status: SESSION_STATUSES.ARCHIVED, archivedAt: tx.clock.now() });
  if (!session) throw new AppError("CONFLICT", "Session is already archived");
  await audit.record(tx, { action: "session.archive", target: id });
  return session;
}

/** Makes an archived session active again and clears the time it was archived. @throws NOT_FOUND, and CONFLICT when it is not archived. */
export async function restore(ctx: TenantContext, id: string): Promise<SessionRow> {
  requireScope(ctx, SCOPES.SESSIONS_WRITE);
  return write(ctx, async (tx) => {
    const isArchived = { status: SESSION_STATUSES.ARCHIVED };
    const session = await changeIf(tx, id, isArchived, { status: SESSION_STATUSES.ACTIVE, archivedAt: null });
    if (!session) throw new AppError("CONFLICT", "Session is not archived");
    await audit.record(tx, { action: "session.restore", target: id });
    return session;
  });
}

/**
 * Deletes a session. Soft: it is hidden from lists and stays readable by its id; `archivedAt` stays as it is; doing it twice is harmless.
 * Hard: it is gone, with its messages, files, memories, notifications and tasks.
 *
 * @throws NOT_FOUND.
 */
export async function remove(ctx: TenantContext, id: string, { hard }: { readonly hard: boolean }): Promise<void> {
  requireScope(ctx, SCOPES.SESSIONS_WRITE);
  await write(ctx, async (tx) => {
    if (hard) {
      const files = await tx.db.file.count({ where: { sessionId: id } });
      const { count } = await tx.db.session.deleteMany({ where: { AND: [ownRows(tx), { id }] } });
      if (count === 0) throw notFound("Session");
      if (files > 0) await usage.measureStorage(tx);
    } else {
      await change(tx, id, { status: SESSION_STATUSES.DELETED });
    }
    await audit.record(tx, { action: "session.delete", target: id, details: { hard } });
  });
}

/**
 * Notes that something was added to a session at that instant, and keeps its status as it is until the transaction ends.
 *
 * @throws NOT_FOUND, and CONFLICT when the session is closed: a deleted one takes nothing any more, and an archived one has been indexed
 * as it was and is restored before it goes on.
 */
export async function touchOpen(tx: TenantContext, id: string, at: Date): Promise<void> {
  const { ARCHIVED, DELETED } = SESSION_STATUSES;
  const { count } = await tx.db.session.updateMany({
    where: { AND: [ownRows(tx), { id, status: { notIn: [ARCHIVED, DELETED] } }] },
    data: { updatedAt: at },
  });
  if (count > 0) return;
  const { status } = await reread(tx, id);
  throw new AppError("CONFLICT", `Session is ${status}`);
}

/** What a session's status reads as: a word that nobody knows is ACTIVE. */
export function statusOf(session: Pick<SessionRow, "status">): SessionStatus {
  return wordOf(SESSION_STATUSES, session.status, SESSION_STATUSES.ACTIVE);
}

const isVisible = defineLoader(async (ctx: TenantContext, ids: readonly string[]) => {
  const where = { AND: [ownRows(ctx), { id: { in: [...ids] } }] };
  const rows = await ctx.db.session.findMany({ where, select: { id: true } });
  return new Map(rows.map(({ id }) => [id, true]));
});

/** Which sessions a list shows to this caller. */
function visible(
  ctx: TenantContext,
  { status, search, userId, createdAfter, createdBefore }: SessionFilter,
): Prisma.SessionWhereInput {
  const contains = { contains: (search ?? "").replaceAll(/[\\%_]/g, "\\$&"), mode: "insensitive" } as const;
  const asked = {
    status: status ? wordsFilter(SESSION_STATUSES, status, SESSION_STATUSES.ACTIVE) : { not: SESSION_STATUSES.DELETED },
    ...(search && { OR: [{ name: contains }, { title: contains }, { description: contains }] }),
    ...(typeof userId === "string" && { userId }),
    createdAt: { ...(createdAfter && { gt: createdAfter }), ...(createdBefore && { lt: createdBefore }) },
  };
  return { AND: [ownRows(ctx), asked] };
}

async function change(
  tx: TenantContext,
  id: string,
  data: Prisma.SessionUncheckedUpdateManyInput,
): Promise<SessionRow> {
  const session = await changeIf(tx, id, {}, data);
  if (!session) throw notFound("Session");
  return session;
}

/** Changes a session that meets a condition, which is checked by the writing statement itself; null when it does not meet it. */
async function changeIf(
  tx: TenantContext,
  id: string,
  condition: { readonly status?: Prisma.StringFilter | string },
  data: Prisma.SessionUncheckedUpdateManyInput,
): Promise<SessionRow | null> {
  const { count } = await tx.db.session.updateMany({
    where: { AND: [ownRows(tx), { id, ...condition }] },
    data: { updatedAt: tx.clock.now(), ...data },
  });
  const session = await reread(tx, id);
  return count > 0 ? session : null;
}

/** What stands in the transaction now, past the loaders. */
async function reread(tx: TenantContext, id: string): Promise<SessionRow> {
  const session = await tx.db.session.findUnique({ where: { id, AND: [ownRows(tx)] } });
  if (!session) throw notFound("Session");
  return session;
}

function checkTexts({ name, title, description, metadata }: SessionChanges): Problems {
  return new Problems()
    .text("input.name", name, 1, NAME_LENGTH_MAX)
    .text("input.title", title, 0, NAME_LENGTH_MAX)
    .text("input.description", description, 0, DESCRIPTION_LENGTH_MAX)
    .json("input.metadata", metadata, METADATA_BYTES_MAX);
}
