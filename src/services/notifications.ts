import { defineLoader } from "../context/loaders.ts";
import { ownRows, requireScope, SCOPES } from "../context/permissions.ts";
import type { NotificationRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { notFound } from "../errors.ts";
import * as audit from "./audit.ts";
import { Problems } from "./checks.ts";
import { definePageLoader, pageOf } from "./paging.ts";
import type { Page, PageArgs } from "./paging.ts";
import { wordOf, wordsFilter } from "./stored-words.ts";
import { write } from "./writes.ts";

export const NOTIFICATION_TYPES = {
  CONTRADICTION: "contradiction",
  EMAIL_RECEIVED: "email_received",
  CALENDAR_EVENT_STARTING: "calendar_event_starting",
  TASK: "task",
  TODO: "todo",
  SERVICE_HEALTH: "service_health",
  OTHER: "other",
} as const;
export type NotificationType = (typeof NOTIFICATION_TYPES)[keyof typeof NOTIFICATION_TYPES];

export const URGENCIES = { HIGH: "high", MEDIUM: "medium", LOW: "low" } as const;
export type Urgency = (typeof URGENCIES)[keyof typeof URGENCIES];

const EVENT = "event"; // how the predecessor's documents call a calendar event that starts
const STORED_TYPES = { ...NOTIFICATION_TYPES, EVENT } as const;
const ORDER = { field: "createdAt", direction: "desc" } as const;
const IDS_MAX = 100;

/** Which notifications are meant; what is absent or null does not restrict them, and an empty list matches none. */
export interface NotificationFilter {
  readonly read?: boolean | null | undefined;
  readonly urgency?: readonly Urgency[] | null | undefined;
  readonly type?: readonly NotificationType[] | null | undefined;
  /** A session that does not exist has no notifications. */
  readonly sessionId?: string | null | undefined;
}

/** The notifications that the actor may see, newest first. */
export async function list(
  ctx: TenantContext,
  page: PageArgs,
  filter: NotificationFilter,
): Promise<Page<NotificationRow>> {
  requireScope(ctx, SCOPES.NOTIFICATIONS_READ);
  const where = visible(ctx, filter);
  return pageOf(ctx, { list: "notifications", order: ORDER }, page, {
    read: (window) =>
      ctx.db.notification.findMany({
        where: { AND: [where, window.where] },
        orderBy: window.orderBy,
        take: window.take,
      }),
    count: () => ctx.db.notification.count({ where }),
  });
}

/** One page of notifications for each session asked for in the same tick, newest first. */
export async function pageOfSession(
  ctx: TenantContext,
  sessionId: string,
  page: PageArgs,
  filter: NotificationFilter,
): Promise<Page<NotificationRow>> {
  requireScope(ctx, SCOPES.NOTIFICATIONS_READ);
  return loadPage(ctx, sessionId, filter, page);
}

/** How many notifications nobody has read yet. */
export async function countUnread(ctx: TenantContext, filter: NotificationFilter): Promise<number> {
  requireScope(ctx, SCOPES.NOTIFICATIONS_READ);
  return ctx.db.notification.count({ where: { AND: [visible(ctx, filter), { read: false }] } });
}

/** One notification; null when there is none. All that are asked for in one tick come from one statement. */
export async function find(ctx: TenantContext, id: string): Promise<NotificationRow | null> {
  requireScope(ctx, SCOPES.NOTIFICATIONS_READ);
  return byId(ctx).load(id);
}

/** Marks a notification as read; one that was read before keeps its time. @throws NOT_FOUND. */
export async function markRead(ctx: TenantContext, id: string): Promise<NotificationRow> {
  requireScope(ctx, SCOPES.NOTIFICATIONS_WRITE);
  return write(ctx, async (tx) => {
    const { count } = await tx.db.notification.updateMany({
      where: { AND: [visible(tx, { read: false }), { id }] },
      data: { read: true, readAt: tx.clock.now() },
    });
    const notification = await tx.db.notification.findFirst({ where: { AND: [visible(tx, {}), { id }] } });
    if (!notification) throw notFound("Notification");
    if (count > 0) await audit.record(tx, { action: "notification.read", target: id });
    return notification;
  });
}

/** Marks all that match as read. @returns how many were unread until then. */
export async function markAllRead(ctx: TenantContext, filter: NotificationFilter): Promise<number> {
  requireScope(ctx, SCOPES.NOTIFICATIONS_WRITE);
  return write(ctx, async (tx) => {
    const { count } = await tx.db.notification.updateMany({
      where: { AND: [visible(tx, filter), { read: false }] },
      data: { read: true, readAt: tx.clock.now() },
    });
    if (count > 0) await audit.record(tx, { action: "notification.read_all", details: { count } });
    return count;
  });
}

/**
 * Deletes notifications for good.
 *
 * @returns the ids that are gone, in the order given; unknown ones and those of other tenants are left out.
 * @throws BAD_USER_INPUT for more than 100 ids.
 */
export async function remove(ctx: TenantContext, ids: readonly string[]): Promise<readonly string[]> {
  requireScope(ctx, SCOPES.NOTIFICATIONS_WRITE);
  new Problems().size("ids", ids, IDS_MAX).throwIfAny();
  return write(ctx, async (tx) => {
    const where = { AND: [visible(tx, {}), { id: { in: [...ids] } }] };
    const rows = await tx.db.notification.findMany({ where, select: { id: true } });
    if (rows.length === 0) return [];
    await tx.db.notification.deleteMany({ where });
    const found = new Set(rows.map((row) => row.id));
    const gone = [...new Set(ids)].filter((id) => found.has(id));
    await audit.record(tx, { action: "notification.delete", details: { ids: gone } });
    return gone;
  });
}

/** What a notification's type reads as; a word that nobody knows is OTHER. */
export function typeOf(notification: Pick<NotificationRow, "type">): NotificationType {
  const word = wordOf(STORED_TYPES, notification.type, NOTIFICATION_TYPES.OTHER);
  return word === EVENT ? NOTIFICATION_TYPES.CALENDAR_EVENT_STARTING : word;
}

/** How much a notification presses; a word that nobody knows does not press. */
export function urgencyOf(notification: Pick<NotificationRow, "urgency">): Urgency {
  return wordOf(URGENCIES, notification.urgency, URGENCIES.LOW);
}

const byId = defineLoader(async (ctx: TenantContext, ids: readonly string[]) => {
  const rows = await ctx.db.notification.findMany({ where: { AND: [visible(ctx, {}), { id: { in: [...ids] } }] } });
  return new Map(rows.map((row) => [row.id, row]));
});

const loadPage = definePageLoader<NotificationRow, NotificationFilter>({
  list: "session.notifications",
  order: ORDER,
  async read(ctx, sessionIds, filter, { where, orderBy, take }) {
    const sessions = await ctx.db.session.findMany({
      relationLoadStrategy: "join",
      where: { id: { in: [...sessionIds] } },
      select: { id: true, notifications: { where: { AND: [visible(ctx, filter), where] }, orderBy, take } },
    });
    return new Map(sessions.map((session) => [session.id, session.notifications]));
  },
  async count(ctx, sessionIds, filter) {
    const counts = await ctx.db.notification.groupBy({
      by: ["sessionId"],
      where: { AND: [visible(ctx, filter), { sessionId: { in: [...sessionIds] } }] },
      _count: { _all: true },
    });
    return new Map(counts.map(({ sessionId, _count }) => [sessionId ?? "", _count?._all ?? 0]));
  },
});

/** Which notifications a caller may see and change: every read and write of this file goes through it. */
function visible(ctx: TenantContext, { read, urgency, type, sessionId }: NotificationFilter) {
  const asked = {
    ...(read != null && { read }),
    ...(urgency && { urgency: wordsFilter(URGENCIES, urgency, URGENCIES.LOW) }),
    ...(type && { type: wordsFilter(STORED_TYPES, type.flatMap(storedAs), NOTIFICATION_TYPES.OTHER) }),
    ...(sessionId != null && { sessionId }),
  };
  return { AND: [ownRows(ctx), asked] };
}

function storedAs(type: NotificationType): (NotificationType | typeof EVENT)[] {
  return type === NOTIFICATION_TYPES.CALENDAR_EVENT_STARTING ? [type, EVENT] : [type];
}
