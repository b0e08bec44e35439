import { defineLoader } from "../../context/loaders.ts";
import { ownerOfNew, ownRows, requireScope, SCOPES } from "../../context/permissions.ts";
import type { MemoryLongRow, SessionRow } from "../../context/rows.ts";
import type { TenantContext } from "../../context/tenant-context.ts";
import { notFound } from "../../errors.ts";
import * as audit from "../audit.ts";
import { isId, Problems } from "../checks.ts";
import { pageOf } from "../paging.ts";
import type { Page, PageArgs } from "../paging.ts";
import * as sessions from "../sessions.ts";
import { wordOf, wordsFilter } from "../stored-words.ts";
import { write } from "../writes.ts";

export const MEMORY_KINDS = {
  FACT: "fact",
  PREFERENCE: "preference",
  PERSONAL_INFO: "personal_info",
  CONTACT: "contact",
  PROJECT: "project",
  EMAIL: "email",
  WEB: "web",
  SUMMARY: "summary",
  GENERAL: "general",
} as const;
export type MemoryKind = (typeof MEMORY_KINDS)[keyof typeof MEMORY_KINDS];

export const MEMORY_LENGTH_MAX = 20_000;
const IDS_MAX = 100;
const ORDER = { field: "createdAt", direction: "desc" } as const;

/** Which memories are meant; what is absent or null does not restrict them, and an empty list matches none. */
export interface MemoryFilter {
  /** 0 to 1. A memory without importance, as the predecessor wrote them, has 0. */
  readonly minImportance?: number | null | undefined;
  readonly kind?: readonly MemoryKind[] | null | undefined;
  /** Learned from at least one of these. */
  readonly sessionIds?: readonly string[] | null | undefined;
  /** Exclusive, like `createdBefore`. */
  readonly createdAfter?: Date | null | undefined;
  readonly createdBefore?: Date | null | undefined;
}

export interface NewMemory {
  readonly content: string;
  readonly kind: MemoryKind;
  /** 0 to 1. */
  readonly importance: number;
  readonly learnedFromSessionIds: readonly string[];
}

/** Absent stays; nothing of a memory can be cleared. */
export interface MemoryChanges {
  readonly content?: string | null | undefined;
  readonly kind?: MemoryKind | null | undefined;
  readonly importance?: number | null | undefined;
}

/** What was learned for good, as far as the actor may see it, newest first. */
export async function list(ctx: TenantContext, page: PageArgs, filter: MemoryFilter): Promise<Page<MemoryLongRow>> {
  requireScope(ctx, SCOPES.MEMORY_READ);
  new Problems()
    .within("filter.minImportance", filter.minImportance, 0, 1)
    .size("filter.sessionIds", filter.sessionIds, IDS_MAX)
    .throwIfAny();
  // A session that the actor may not see answers like one that does not exist, although memories of the tenant may name it.
  const sessionIds = filter.sessionIds && (await sessions.visibleAmong(ctx, filter.sessionIds));
  const where = visible(ctx, { ...filter, sessionIds });
  return pageOf(ctx, { list: "longTermMemories", order: ORDER }, page, {
    read: (window) =>
      ctx.db.memoryLong.findMany({ where: { AND: [where, window.where] }, orderBy: window.orderBy, take: window.take }),
    count: () => ctx.db.memoryLong.count({ where }),
  });
}

/** One memory; null when there is none. All that are asked for in one tick come from one statement. */
export async function find(ctx: TenantContext, id: string): Promise<MemoryLongRow | null> {
  requireScope(ctx, SCOPES.MEMORY_READ);
  return byId(ctx).load(id);
}

/**
 * Adds a memory.
 *
 * @throws BAD_USER_INPUT for an empty content, one over 20,000 characters, an importance outside 0 to 1, or more than 100 sessions.
 * @throws NOT_FOUND when one of the sessions is missing, another tenant's or another person's.
 */
export async function remember(ctx: TenantContext, input: NewMemory): Promise<MemoryLongRow> {
  requireScope(ctx, SCOPES.MEMORY_WRITE);
  const { content, kind, importance, learnedFromSessionIds } = input;
  checkTexts({ content, importance }).size("input.learnedFromSessionIds", learnedFromSessionIds, IDS_MAX).throwIfAny();
  const sessionIds = [...new Set(learnedFromSessionIds)];
  return write(ctx, async (tx) => {
    await requireSessions(tx, sessionIds);
    const now = tx.clock.now();
    const memory = await tx.db.memoryLong.create({
      data: {
        userId: ownerOfNew(tx),
        content,
        kind,
        importanceScore: importance,
        learnedFromSessions: sessionIds,
        createdAt: now,
        updatedAt: now,
      },
    });
    await audit.record(tx, { action: "memory.remember", target: memory.id });
    return memory;
  });
}

/** Changes a memory. @throws NOT_FOUND, and BAD_USER_INPUT as for `remember`. */
export async function update(ctx: TenantContext, id: string, changes: MemoryChanges): Promise<MemoryLongRow> {
  requireScope(ctx, SCOPES.MEMORY_WRITE);
  const { content, kind, importance } = changes;
  checkTexts(changes)
    .notNull("input.content", content)
    .notNull("input.kind", kind)
    .notNull("input.importance", importance)
    .throwIfAny();
  const data = {
    ...(content != null && { content }),
    ...(kind != null && { kind }),
    ...(importance != null && { importanceScore: importance }),
  };
  const fields = Object.keys(data);
  return write(ctx, async (tx) => {
    const where = { AND: [visible(tx, {}), { id }] };
    if (fields.length > 0) {
      const { count } = await tx.db.memoryLong.updateMany({ where, data: { ...data, updatedAt: tx.clock.now() } });
      if (count > 0) await audit.record(tx, { action: "memory.update", target: id, details: { fields } });
    }
    const memory = await tx.db.memoryLong.findFirst({ where });
    if (!memory) throw notFound("Memory");
    return memory;
  });
}

/**
 * Deletes memories for good.
 *
 * @returns the ids that are gone, in the order given; unknown ones and those of other tenants are left out.
 * @throws BAD_USER_INPUT for more than 100 ids.
 */
export async function forget(ctx: TenantContext, ids: readonly string[]): Promise<readonly string[]> {
  requireScope(ctx, SCOPES.MEMORY_WRITE);
  new Problems().size("ids", ids, IDS_MAX).throwIfAny();
  return write(ctx, async (tx) => {
    const where = { AND: [visible(tx, {}), { id: { in: [...ids] } }] };
    const rows = await tx.db.memoryLong.findMany({ where, select: { id: true } });
    if (rows.length === 0) return [];
    await tx.db.memoryLong.deleteMany({ where });
    const found = new Set(rows.map((row) => row.id));
    const gone = [...new Set(ids)].filter((id) => found.has(id));
    await audit.record(tx, { action: "memory.forget", details: { ids: gone } });
    return gone;
  });
}

/**
 * The sessions that a memory was learned from: those that the actor may see and that are not deleted, in the order noted. One statement
 * for all memories asked for in the same tick. What else the column holds is passed over: no key guards it.
 */
export async function sessionsOf(ctx: TenantContext, memory: MemoryLongRow): Promise<readonly SessionRow[]> {
  requireScope(ctx, SCOPES.SESSIONS_READ); // also where a memory notes none: whether it does is a fact about sessions
  const noted: unknown[] = Array.isArray(memory.learnedFromSessions) ? memory.learnedFromSessions : [];
  const ids = noted.filter((id) => typeof id === "string").filter(isId);
  const unique = [...new Set(ids.map((id) => id.toLowerCase()))];
  const found = await Promise.all(unique.map((id) => sessions.byId(ctx).load(id)));
  return found.flatMap((session) => (session && sessions.statusOf(session) !== "deleted" ? [session] : []));
}

/** What a memory is about; a word that nobody knows is GENERAL. */
export function kindOf(memory: Pick<MemoryLongRow, "kind">): MemoryKind {
  return wordOf(MEMORY_KINDS, memory.kind, MEMORY_KINDS.GENERAL);
}

/** How much a memory matters, 0 to 1. The predecessor left it out at times, which reads as 0, and let it have any size. */
export function importanceOf(memory: Pick<MemoryLongRow, "importanceScore">): number {
  return Math.min(Math.max(memory.importanceScore ?? 0, 0), 1);
}

const byId = defineLoader(async (ctx: TenantContext, ids: readonly string[]) => {
  const rows = await ctx.db.memoryLong.findMany({ where: { AND: [visible(ctx, {}), { id: { in: [...ids] } }] } });
  return new Map(rows.map((row) => [row.id, row]));
});

/** Which memories a caller may see and change: every read and write of this file goes through it. */
function visible(ctx: TenantContext, { minImportance, kind, sessionIds, createdAfter, createdBefore }: MemoryFilter) {
  const asked = {
    ...(minImportance != null && minImportance > 0 && { importanceScore: { gte: minImportance } }),
    ...(kind && { kind: wordsFilter(MEMORY_KINDS, kind, MEMORY_KINDS.GENERAL) }),
    ...(sessionIds && learnedFromOneOf(sessionIds)),
    createdAt: { ...(createdAfter && { gt: createdAfter }), ...(createdBefore && { lt: createdBefore }) },
  };
  return { AND: [ownRows(ctx), asked] };
}

function learnedFromOneOf(sessionIds: readonly string[]) {
  // Prisma leaves an empty OR out where it stands inside an AND, and would find everything.
  if (sessionIds.length === 0) return { id: { in: [] } };
  return { OR: sessionIds.map((id) => ({ learnedFromSessions: { array_contains: [id] } })) };
}

function checkTexts({ content, importance }: MemoryChanges): Problems {
  return new Problems()
    .text("input.content", content, 1, MEMORY_LENGTH_MAX)
    .within("input.importance", importance, 0, 1);
}

// A key that may only write memory may name sessions, so this does not go through the reads of sessions.
async function requireSessions(tx: TenantContext, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  const found = await tx.db.session.count({ where: { AND: [ownRows(tx), { id: { in: [...ids] } }] } });
  if (found < ids.length) throw notFound("Session");
}
