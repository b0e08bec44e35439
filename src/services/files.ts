import { defineLoader } from "../context/loaders.ts";
import { ownRows, requireScope, SCOPES } from "../context/permissions.ts";
import type { FileRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { notFound } from "../errors.ts";
import * as audit from "./audit.ts";
import { Problems } from "./checks.ts";
import { definePageLoader, pageOf } from "./paging.ts";
import type { ListOrder, Page, PageArgs } from "./paging.ts";
import { wordOf } from "./stored-words.ts";
import * as usage from "./usage.ts";
import { write } from "./writes.ts";

export const FILE_STATUSES = {
  AWAITING_UPLOAD: "awaiting_upload",
  PROCESSING: "processing",
  READY: "ready",
  FAILED: "failed",
} as const;
export type FileStatus = (typeof FILE_STATUSES)[keyof typeof FILE_STATUSES];

/** A file without its text, which may be long and is read only where it is asked for. */
export type FileFacts = Omit<FileRow, "textContent">;

const PREVIEW_LENGTH_MAX = 10_000;
const ORDER: ListOrder = { field: "uploadedAt", direction: "desc" };
const WITHOUT_TEXT = { textContent: true } as const;

/** The files that the actor may see, newest first; only one session's, if one is named. */
export async function list(
  ctx: TenantContext,
  page: PageArgs,
  filter: { readonly sessionId?: string | null | undefined },
): Promise<Page<FileFacts>> {
  requireScope(ctx, SCOPES.FILES_READ);
  const where = { AND: [ownRows(ctx), typeof filter.sessionId === "string" ? { sessionId: filter.sessionId } : {}] };
  return pageOf(ctx, { list: "files", order: ORDER }, page, {
    read: (window) => ctx.db.file.findMany({ ...window, where: { AND: [where, window.where] }, omit: WITHOUT_TEXT }),
    count: () => ctx.db.file.count({ where }),
  });
}

/** One file by its id; null when there is none. */
export async function find(ctx: TenantContext, id: string): Promise<FileFacts | null> {
  requireScope(ctx, SCOPES.FILES_READ);
  return byId(ctx).load(id);
}

/** Files by id; all that are asked for in one tick come from one statement. */
const byId = defineLoader(async (ctx: TenantContext, ids: readonly string[]) => {
  requireScope(ctx, SCOPES.FILES_READ);
  const where = { AND: [ownRows(ctx), { id: { in: [...ids] } }] };
  const rows: FileFacts[] = await ctx.db.file.findMany({ where, omit: WITHOUT_TEXT });
  return new Map(rows.map((row) => [row.id, row]));
});

/** The files of a session, newest first. */
export async function pageOfSession(ctx: TenantContext, sessionId: string, page: PageArgs): Promise<Page<FileFacts>> {
  requireScope(ctx, SCOPES.FILES_READ);
  return loadPage(ctx, sessionId, undefined, page);
}

/**
 * The beginning of what a file says, cut between characters; null where no text was found in it.
 *
 * @param length characters (code points), 0 to 10,000; outside of that BAD_USER_INPUT.
 */
export async function textPreview(ctx: TenantContext, fileId: string, length: number): Promise<string | null> {
  requireScope(ctx, SCOPES.FILES_READ);
  new Problems().within("length", length, 0, PREVIEW_LENGTH_MAX).throwIfAny();
  const text = await textOf(ctx).load(fileId);
  // A character is at most two UTF-16 units: only that much of a long text is taken apart.
  return text === null
    ? null
    : Array.from(text.slice(0, 2 * length))
        .slice(0, length)
        .join("");
}

/** Deletes a file with the text taken out of it. @throws NOT_FOUND when it is missing, another tenant's or another person's. */
export async function remove(ctx: TenantContext, id: string): Promise<void> {
  requireScope(ctx, SCOPES.FILES_WRITE);
  await write(ctx, async (tx) => {
    const { count } = await tx.db.file.deleteMany({ where: { AND: [ownRows(tx), { id }] } });
    if (count === 0) throw notFound("File");
    await usage.measureStorage(tx);
    await audit.record(tx, { action: "file.delete", target: id });
  });
}

/** What a file's status reads as: a word that nobody knows is READY, like the files of the predecessor, which had none. */
export function statusOf(file: Pick<FileRow, "status">): FileStatus {
  return wordOf(FILE_STATUSES, file.status, FILE_STATUSES.READY);
}

const textOf = defineLoader(async (ctx: TenantContext, ids: readonly string[]) => {
  const rows = await ctx.db.file.findMany({
    where: { AND: [ownRows(ctx), { id: { in: [...ids] }, textContent: { not: null } }] },
    select: { id: true, textContent: true },
  });
  return new Map(rows.map((row) => [row.id, row.textContent]));
});

const loadPage = definePageLoader<FileFacts>({
  list: "session.files",
  order: ORDER,
  async read(ctx, sessionIds, _filter, window) {
    const found = await ctx.db.session.findMany({
      relationLoadStrategy: "join", // the limit applies to each session; without it every file of every session is read
      where: { id: { in: [...sessionIds] } },
      select: { id: true, files: { ...window, where: { AND: [ownRows(ctx), window.where] }, omit: WITHOUT_TEXT } },
    });
    return new Map(found.map((session) => [session.id, session.files]));
  },
  async count(ctx, sessionIds) {
    const counts = await ctx.db.file.groupBy({
      by: ["sessionId"],
      where: { AND: [ownRows(ctx), { sessionId: { in: [...sessionIds] } }] },
      _count: { _all: true },
    });
    return new Map(counts.flatMap(({ sessionId, _count }) => (sessionId ? [[sessionId, _count?._all ?? 0]] : [])));
  },
});
