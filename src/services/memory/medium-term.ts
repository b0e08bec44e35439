import { contextLoader, defineLoader } from "../../context/loaders.ts";
import { ownRows, requireScope, SCOPES } from "../../context/permissions.ts";
import type { MemoryMediumRow } from "../../context/rows.ts";
import type { TenantContext } from "../../context/tenant-context.ts";
import { Problems } from "../checks.ts";
import * as sessions from "../sessions.ts";

const SUMMARIES_MAX = 100;

/**
 * Summaries of a session's earlier parts, newest first; one statement for all sessions asked for in the same tick.
 *
 * @throws BAD_USER_INPUT when `first` is not between 0 and 100.
 */
export async function ofSession(
  ctx: TenantContext,
  sessionId: string,
  first: number,
): Promise<readonly MemoryMediumRow[]> {
  requireScope(ctx, SCOPES.MEMORY_READ);
  new Problems().within("first", first, 0, SUMMARIES_MAX).throwIfAny();
  const summaries = contextLoader(ctx, readSummaries, String(first), (ids) => readSummaries(ctx, ids, first));
  return (await summaries.load(sessionId)) ?? [];
}

/** One summary; null when there is none. All that are asked for in one tick come from one statement. */
export async function find(ctx: TenantContext, id: string): Promise<MemoryMediumRow | null> {
  requireScope(ctx, SCOPES.MEMORY_READ);
  return byId(ctx).load(id);
}

const byId = defineLoader(async (ctx: TenantContext, ids: readonly string[]) => {
  const found = await ctx.db.memoryMedium.findMany({ where: { id: { in: [...ids] } } });
  const rows = await sessions.withVisibleSession(ctx, found);
  return new Map(rows.map((row) => [row.id, row]));
});

async function readSummaries(
  ctx: TenantContext,
  sessionIds: readonly string[],
  first: number,
): Promise<ReadonlyMap<string, readonly MemoryMediumRow[]>> {
  const found = await ctx.db.session.findMany({
    relationLoadStrategy: "join",
    where: { AND: [ownRows(ctx), { id: { in: [...sessionIds] } }] },
    select: { id: true, memoryMedium: { orderBy: [{ createdAt: "desc" }, { id: "desc" }], take: first } },
  });
  return new Map(found.map((session) => [session.id, session.memoryMedium]));
}
