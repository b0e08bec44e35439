import type { TestTenant } from "../../support/tenants.ts";

// Rows as they come about: equal times, words that nobody knows, columns that are null, numbers at the edge, texts in other scripts.

const DAY_MS = 86_400_000;
const START = Date.UTC(2026, 0, 1);
const SESSIONS = 14;
const PER_SESSION = 7;
const OTHERS = 12;

const TEXTS = ["Ünïcode 🦜", "quoted \" ' \\ $1 %", "two\nlines\tand a tab", " ", "0", "null", "long ".repeat(80)];
const JSONS: readonly object[] = [
  {},
  { deep: [1, { a: null }], "ä b": "🦜" },
  { number: 1e21, small: -0.5, yes: true },
  [1, "two"],
];
const SESSION_STATUSES = ["active", "active", "archived", "deleted", "unheard of"];
const ROLES = ["user", "assistant", "system", "tool", "Human"];
const KINDS = ["general", "fact", "summary", "unheard of"];
const TYPES = ["todo", "event", "task", "contradiction", "unheard of"];
const URGENCIES = ["low", "medium", "high", "unheard of"];
const TASK_STATUSES = ["queued", "in_progress", "running", "failed", "completed", "unheard of"];
const LINKS = [
  { provider: "google", serviceType: "calendar", purpose: "user_calendar" },
  { provider: "imap", serviceType: "email", purpose: "service_email" },
  { provider: "mcp", serviceType: "mcp_server", purpose: "user_mcp_server" },
  { provider: "unheard of", serviceType: "whatsapp", purpose: "service_other" },
];

/** Whose rows, and the text that stands in each of them. */
interface Look {
  readonly canary: string;
  /** Owners of some of the rows; the others belong to the tenant. */
  readonly people: readonly string[];
}

/** Gives a tenant lists that are long enough to be paged. */
export async function fillLists({ db }: Pick<TestTenant, "db">, { canary, people }: Look): Promise<void> {
  const nth = <Item>(list: readonly Item[], index: number): Item | undefined => list[index % list.length];
  // Two at a time share their instant: only the id tells which one comes first.
  const at = (index: number): Date => new Date(START + Math.floor(index / 2) * DAY_MS + index);
  const text = (index: number): string => `${canary} ${nth(TEXTS, index) ?? ""}`.slice(0, 255);
  const json = (index: number) => ({ canary, more: nth(JSONS, index) ?? {} });
  const owner = (index: number): string | null => nth([...people, null], index) ?? null;
  const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

  for (const index of range(SESSIONS)) {
    const { id: sessionId } = await db.session.create({
      data: {
        name: text(index),
        title: index % 3 === 0 ? null : text(index + 1),
        description: index % 4 === 0 ? null : text(index + 2),
        status: nth(SESSION_STATUSES, index) ?? "",
        userId: owner(index),
        ...(index % 3 !== 1 && { metadata: json(index) }),
        createdAt: at(index),
        updatedAt: at(40 - index),
        archivedAt: index % 5 === 2 ? at(index) : null,
      },
    });
    const some = range(index % 4 === 3 ? 0 : PER_SESSION);
    await db.message.createMany({
      data: some.map((each) => ({
        sessionId,
        role: nth(ROLES, each) ?? "",
        content: text(each),
        ...(each % 2 === 0 && { metadata: json(each) }),
        createdAt: at(index + each),
      })),
    });
    await db.memoryMedium.createMany({
      data: some.slice(0, 3).map((each) => ({ sessionId, content: text(each), createdAt: at(each) })),
    });
    if (index % 2 === 0) {
      const expiresAt = new Date(index % 4 === 0 ? Date.UTC(2099, 0, 1) : START);
      await db.memoryShort.create({ data: { sessionId, contextData: json(index), expiresAt } });
    }
    await db.file.createMany({ data: some.slice(0, 4).map((each) => ({ sessionId, ...fileOf(each) })) });
    await db.notification.createMany({
      data: some.slice(0, 5).map((each) => ({ sessionId, ...notificationOf(each) })),
    });
    await db.task.createMany({ data: some.slice(0, 5).map((each) => ({ sessionId, ...taskOf(each) })) });
    await db.memoryLong.create({
      data: {
        content: text(index),
        userId: owner(index),
        kind: nth(KINDS, index) ?? "",
        importanceScore: nth([0.1, 0.5, null, 7, -1, 1], index) ?? null,
        ...(index % 3 !== 0 && {
          learnedFromSessions: nth([[sessionId], [sessionId, "gone", 7], { no: "list" }], index) ?? [],
        }),
        createdAt: at(index),
        updatedAt: at(index + 1),
      },
    });
  }
  await db.file.createMany({ data: range(OTHERS).map((each) => fileOf(each + 3)) });
  await db.notification.createMany({ data: range(OTHERS).map((each) => notificationOf(each + 3)) });
  await db.task.createMany({ data: range(OTHERS).map((each) => taskOf(each + 3)) });
  await db.integration.createMany({
    data: range(OTHERS).map((index) => ({
      ...(nth(LINKS, index) ?? { provider: "", serviceType: "", purpose: "" }),
      name: index % 5 === 0 ? null : text(index),
      account: index % 3 === 0 ? null : `${canary}@example.com`,
      enabled: nth([true, false, null], index) ?? null,
      status: nth(["connected", "error", "authorization_required", "unheard of"], index) ?? "",
      credentialsEncrypted: index % 4 === 2 ? `https://tools.example/${canary}` : null,
      ...(index % 2 === 0 && { metadata: { ...json(index), token: "never shown" } }),
      userId: owner(index),
      createdAt: at(index),
    })),
  });
  await db.user.createMany({
    data: range(OTHERS).map((index) => ({
      email: `person-${index}@${canary}.example`,
      name: index % 3 === 0 ? null : text(index),
      active: index % 4 !== 0,
      role: nth(["user", "viewer", "admin", "unheard of"], index) ?? "",
      emailVerified: index % 2 === 0,
      timezone: nth(["UTC", "Europe/Berlin", null], index) ?? null,
      lastLoginAt: index % 2 === 0 ? null : at(index),
      ...(index % 2 === 0 && { metadata: json(index) }),
      createdAt: at(index),
    })),
  });
  await db.apiKey.createMany({
    data: range(OTHERS).map((index) => ({
      name: index % 3 === 0 ? null : text(index),
      keyHash: `${canary} ${index}`,
      prefix: index % 4 === 0 ? null : "atr_12345678",
      ...(index % 2 === 0 && { scopes: ["sessions_read", "unheard_of"] }),
      active: index % 5 !== 0,
      expiresAt: nth([null, new Date(START), new Date(Date.UTC(2099, 0, 1))], index) ?? null,
      createdAt: at(index),
    })),
  });
  await db.auditEvent.createMany({
    data: range(OTHERS).map((index) => ({
      action: nth(["session.create", "message.create"], index) ?? "",
      actor: nth(["platform", `user:${canary}`], index) ?? "",
      target: index % 3 === 0 ? null : text(index),
      details: json(index),
      createdAt: at(index),
    })),
  });
  await db.usageCount.createMany({
    data: range(OTHERS).map((index) => ({
      metric: nth(["requests", "complexity", "storage_bytes"], index) ?? "",
      hour: new Date(START + index * 3_600_000),
      value: nth([1n, 2n ** 40n], index) ?? 0n,
    })),
  });

  function fileOf(index: number) {
    return {
      userId: owner(index),
      filename: text(index),
      filepath: canary,
      mimeType: index % 3 === 0 ? null : "text/plain",
      size: nth([0n, 2n ** 40n, null, -1n], index) ?? null,
      sha256: index % 2 === 0 ? null : "0".repeat(64),
      status: nth(["ready", "failed", "processing", "unheard of"], index) ?? "",
      error: index % 4 === 1 ? text(index) : null,
      textContent: index % 3 === 1 ? null : `${canary} ${"🦜 text ".repeat(index * 20)}`,
      ...(index % 2 === 0 && { metadata: json(index) }),
      uploadedAt: at(index),
    };
  }

  function notificationOf(index: number) {
    return {
      userId: owner(index),
      type: nth(TYPES, index) ?? "",
      urgency: nth(URGENCIES, index) ?? "",
      content: json(index),
      read: index % 3 === 0,
      readAt: index % 3 === 0 ? at(index) : null,
      createdAt: at(index),
    };
  }

  function taskOf(index: number) {
    return {
      userId: owner(index),
      type: "index",
      status: nth(TASK_STATUSES, index) ?? "",
      priority: nth(["critical", "low", "unheard of"], index) ?? "",
      payload: json(index),
      ...(index % 2 === 0 && { result: json(index) }),
      error: index % 4 === 0 ? text(index) : null,
      attempts: index,
      createdAt: at(index),
      updatedAt: at(index),
    };
  }
}
