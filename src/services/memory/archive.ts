import { requireScope, SCOPES } from "../../context/permissions.ts";
import type { MessageRow, SessionRow } from "../../context/rows.ts";
import type { TenantContext } from "../../context/tenant-context.ts";
import * as audit from "../audit.ts";
import * as sessions from "../sessions.ts";
import { write } from "../writes.ts";
import { MEMORY_KINDS, MEMORY_LENGTH_MAX } from "./long-term.ts";

const ARCHIVED_IMPORTANCE = 0.8; // as in the predecessor
const MESSAGES_AT_ONCE = 20; // a message may hold a million characters, so they are read a few at a time, until the text is full

/**
 * Archives a session and remembers its conversation, both or neither. A session that is archived again has its earlier memory renewed.
 * Needs SESSIONS_WRITE alone: that an archived conversation is remembered is part of what archiving means.
 *
 * @throws NOT_FOUND, and CONFLICT when the session is archived already.
 */
export async function archiveSession(ctx: TenantContext, id: string): Promise<SessionRow> {
  requireScope(ctx, SCOPES.SESSIONS_WRITE);
  return write(ctx, async (tx) => {
    const session = await sessions.archive(tx, id);
    await rememberConversation(tx, session);
    return tx.db.session.update({ where: { id }, data: { lastIndexedAt: tx.clock.now() } });
  });
}

async function rememberConversation(tx: TenantContext, session: SessionRow): Promise<void> {
  const now = tx.clock.now();
  const data = {
    userId: session.userId,
    content: await conversationText(tx, session),
    kind: MEMORY_KINDS.SUMMARY,
    importanceScore: ARCHIVED_IMPORTANCE,
    learnedFromSessions: [session.id],
    updatedAt: now,
  };
  const earlier =
    session.lastIndexedAt === null
      ? null
      : await tx.db.memoryLong.findFirst({
          where: { AND: [ofOwner(session), { content: { startsWith: headerStart(session) } }] },
        });
  const memory = earlier
    ? await tx.db.memoryLong.update({ where: { id: earlier.id }, data })
    : await tx.db.memoryLong.create({ data: { ...data, createdAt: now } });
  await audit.record(tx, { action: "memory.remember", target: memory.id, details: { sessionId: session.id } });
}

/** The form in which the predecessor indexed conversations, which recall reads back: a header in brackets, then one line a message. */
async function conversationText(tx: TenantContext, session: SessionRow): Promise<string> {
  const title = session.title ?? session.name;
  const day = session.createdAt.toISOString().slice(0, 10);
  const head = [
    `${headerStart(session)}TITLE:${title.replaceAll(/[[\]|\s]+/g, " ")}|DATE:${day}|STATUS:${session.status}]`,
    `Session Title: ${title}`,
    `Created: ${session.createdAt.toISOString()}`,
    `Status: ${session.status}`,
    "Messages:",
  ];
  let text = firstCharacters(head.join("\n"), MEMORY_LENGTH_MAX);
  let room = MEMORY_LENGTH_MAX - characters(text).length;
  for await (const message of messagesOf(tx, session.id)) {
    const line = firstCharacters(
      `\n${message.createdAt.toISOString()} - ${speaker(message)}: ${message.content}`,
      room,
    );
    text += line;
    room -= characters(line).length;
    if (room === 0) break;
  }
  return text;
}

async function* messagesOf(tx: TenantContext, sessionId: string): AsyncGenerator<MessageRow> {
  let beyond = {};
  for (;;) {
    const messages = await tx.db.message.findMany({
      where: { AND: [{ sessionId }, beyond] },
      orderBy: [{ createdAt: "asc" }, { id: "asc" }],
      take: MESSAGES_AT_ONCE,
    });
    yield* messages;
    const last = messages.at(-1);
    if (!last || messages.length < MESSAGES_AT_ONCE) return;
    const { createdAt, id } = last;
    beyond = { createdAt: { gte: createdAt }, OR: [{ createdAt: { gt: createdAt } }, { id: { gt: id } }] };
  }
}

/** Anybody may write a memory that begins like this one: another person's is theirs, and no earlier one of this session. */
function ofOwner({ userId }: SessionRow) {
  return { OR: [{ userId }, { userId: null }] };
}

function headerStart(session: SessionRow): string {
  return `[SESSION:${session.id}|`;
}

function speaker({ role }: MessageRow): string {
  return role.slice(0, 1).toUpperCase() + role.slice(1);
}

/** Cut at whole characters, as PostgreSQL counts them; looks at no more of a long text than it needs. */
function firstCharacters(text: string, count: number): string {
  return characters(text.slice(0, count * 2))
    .slice(0, count)
    .join("");
}

function characters(text: string): string[] {
  return Array.from(text);
}
