import { defineLoader } from "../../context/loaders.ts";
import { ownRows, requireScope, SCOPES } from "../../context/permissions.ts";
import type { MemoryShortRow, Prisma } from "../../context/rows.ts";
import type { TenantContext } from "../../context/tenant-context.ts";
import { notFound } from "../../errors.ts";
import * as audit from "../audit.ts";
import { Problems } from "../checks.ts";
import * as sessions from "../sessions.ts";
import { write } from "../writes.ts";

const TTL_SECONDS_MAX = 2_592_000; // 30 days
const CONTEXT_BYTES_MAX = 65_536;

/** What is kept in mind during a session; null when there is nothing, or it has expired. */
export async function ofSession(ctx: TenantContext, sessionId: string): Promise<MemoryShortRow | null> {
  requireScope(ctx, SCOPES.MEMORY_READ);
  return bySession(ctx).load(sessionId);
}

/**
 * Keeps something in mind during a session, in place of what was there.
 *
 * @param input.ttlSeconds when it expires: 1 second to 30 days from now.
 * @throws BAD_USER_INPUT for another time, or a context over 64 KiB of JSON.
 * @throws NOT_FOUND when the session is missing, another tenant's or another person's.
 */
export async function set(
  ctx: TenantContext,
  input: { readonly sessionId: string; readonly context: Prisma.InputJsonObject; readonly ttlSeconds: number },
): Promise<MemoryShortRow> {
  requireScope(ctx, SCOPES.MEMORY_WRITE);
  const { sessionId, context, ttlSeconds } = input;
  new Problems()
    .json("input.context", context, CONTEXT_BYTES_MAX)
    .within("input.ttlSeconds", ttlSeconds, 1, TTL_SECONDS_MAX)
    .throwIfAny();
  return write(ctx, async (tx) => {
    await requireSession(tx, sessionId);
    const expiresAt = new Date(tx.clock.now().getTime() + ttlSeconds * 1_000);
    const data = { contextData: context, expiresAt };
    // Not an upsert: two first writes at the same time would make one of them fail.
    await tx.db.memoryShort.createMany({ data: [{ sessionId, ...data }], skipDuplicates: true });
    const memory = await tx.db.memoryShort.update({ where: { sessionId }, data });
    await audit.record(tx, { action: "memory.set_short_term", target: sessionId });
    return memory;
  });
}

/**
 * Clears what is kept in mind during a session.
 *
 * @returns whether there was something that had not expired.
 * @throws NOT_FOUND when the session is missing, another tenant's or another person's.
 */
export async function clear(ctx: TenantContext, sessionId: string): Promise<boolean> {
  requireScope(ctx, SCOPES.MEMORY_WRITE);
  return write(ctx, async (tx) => {
    await requireSession(tx, sessionId);
    const { count } = await tx.db.memoryShort.deleteMany({ where: { sessionId, ...unexpired(tx) } });
    if (count > 0) await audit.record(tx, { action: "memory.clear_short_term", target: sessionId });
    return count > 0;
  });
}

const bySession = defineLoader(async (ctx: TenantContext, sessionIds: readonly string[]) => {
  const ids = await sessions.visibleAmong(ctx, sessionIds);
  const rows = await ctx.db.memoryShort.findMany({ where: { sessionId: { in: [...ids] }, ...unexpired(ctx) } });
  return new Map(rows.map((row) => [row.sessionId, row]));
});

function unexpired(ctx: TenantContext) {
  return { expiresAt: { gt: ctx.clock.now() } };
}

// A key that may only write memory may name a session, so this does not go through the reads of sessions.
async function requireSession(tx: TenantContext, id: string): Promise<void> {
  const session = await tx.db.session.findUnique({ where: { id, AND: [ownRows(tx)] }, select: { id: true } });
  if (!session) throw notFound("Session");
}
