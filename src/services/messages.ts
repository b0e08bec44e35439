import { defineLoader } from "../context/loaders.ts";
import { ownRows, requireScope, SCOPES } from "../context/permissions.ts";
import type { MessageRow, Prisma } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import * as audit from "./audit.ts";
import { Problems } from "./checks.ts";
import { once } from "./idempotency.ts";
import { definePageLoader } from "./paging.ts";
import type { Page, PageArgs } from "./paging.ts";
import * as sessions from "./sessions.ts";
import { wordOf, wordsFilter } from "./stored-words.ts";

export const MESSAGE_ROLES = { USER: "user", ASSISTANT: "assistant", SYSTEM: "system", TOOL: "tool" } as const;
export type MessageRole = (typeof MESSAGE_ROLES)[keyof typeof MESSAGE_ROLES];

const CONTENT_LENGTH_MAX = 1_000_000;
const METADATA_BYTES_MAX = 65_536;

export interface NewMessage {
  readonly sessionId: string;
  readonly role: MessageRole;
  /** Plain text, 1 to 1,000,000 characters. */
  readonly content: string;
  readonly metadata?: Prisma.InputJsonObject | null | undefined;
  readonly idempotencyKey?: string | null | undefined;
}

/** One message by its id; null when there is none. */
export async function find(ctx: TenantContext, id: string): Promise<MessageRow | null> {
  requireScope(ctx, SCOPES.SESSIONS_READ);
  return byId(ctx).load(id);
}

/** Messages by id; all that are asked for in one tick come from one statement. */
const byId = defineLoader(async (ctx: TenantContext, ids: readonly string[]) => {
  requireScope(ctx, SCOPES.SESSIONS_READ);
  const found = await ctx.db.message.findMany({ where: { id: { in: [...ids] } } });
  const rows = await sessions.withVisibleSession(ctx, found);
  return new Map(rows.map((row) => [row.id, row]));
});

/** What was said in a session, oldest first. `roles` absent or null: all of it. */
export async function pageOfSession(
  ctx: TenantContext,
  sessionId: string,
  roles: readonly MessageRole[] | null | undefined,
  page: PageArgs,
): Promise<Page<MessageRow>> {
  requireScope(ctx, SCOPES.SESSIONS_READ);
  return loadPage(ctx, sessionId, roles ?? undefined, page);
}

/** How many messages a session has; counts asked for in one tick come from one statement. */
export async function countOfSession(ctx: TenantContext, sessionId: string): Promise<number> {
  const nothing = await pageOfSession(ctx, sessionId, undefined, { first: 0 });
  return nothing.count();
}

/**
 * Stores a message, and notes on its session that it changed.
 *
 * @throws NOT_FOUND when the session is missing, another tenant's or another person's.
 * @throws CONFLICT when the session is deleted or archived.
 */
export async function create(ctx: TenantContext, input: NewMessage): Promise<MessageRow> {
  requireScope(ctx, SCOPES.SESSIONS_WRITE);
  new Problems()
    .text("input.content", input.content, 1, CONTENT_LENGTH_MAX)
    .json("input.metadata", input.metadata, METADATA_BYTES_MAX)
    .throwIfAny();
  const { idempotencyKey, ...asked } = input;
  return once(ctx, { operation: "createMessage", key: idempotencyKey, input: asked }, async (tx) => {
    const now = tx.clock.now();
    await sessions.touchOpen(tx, input.sessionId, now);
    const message = await tx.db.message.create({
      data: {
        sessionId: input.sessionId,
        role: input.role,
        content: input.content,
        metadata: input.metadata ?? {},
        createdAt: now,
      },
    });
    await audit.record(tx, { action: "message.create", target: message.id, details: { sessionId: input.sessionId } });
    return message;
  });
}

/** What a message's role reads as: a word that nobody knows is SYSTEM. */
export function roleOf(message: Pick<MessageRow, "role">): MessageRole {
  return wordOf(MESSAGE_ROLES, message.role, MESSAGE_ROLES.SYSTEM);
}

const loadPage = definePageLoader<MessageRow, readonly MessageRole[] | undefined>({
  list: "session.messages",
  order: { field: "createdAt", direction: "asc" },
  async read(ctx, sessionIds, roles, window) {
    const found = await ctx.db.session.findMany({
      relationLoadStrategy: "join", // the limit applies to each session; without it every message of every session is read
      where: { AND: [ownRows(ctx), { id: { in: [...sessionIds] } }] },
      select: { id: true, messages: { ...window, where: { AND: [visible(roles), window.where] } } },
    });
    return new Map(found.map((session) => [session.id, session.messages]));
  },
  async count(ctx, sessionIds, roles) {
    const ids = await sessions.visibleAmong(ctx, sessionIds);
    const counts = await ctx.db.message.groupBy({
      by: ["sessionId"],
      where: { AND: [{ sessionId: { in: [...ids] } }, visible(roles)] },
      _count: { _all: true },
    });
    return new Map(counts.map(({ sessionId, _count }) => [sessionId, _count?._all ?? 0]));
  },
});

/** Which messages a list shows to this caller. */
function visible(roles: readonly MessageRole[] | undefined) {
  return roles ? { role: wordsFilter(MESSAGE_ROLES, roles, MESSAGE_ROLES.SYSTEM) } : {};
}
