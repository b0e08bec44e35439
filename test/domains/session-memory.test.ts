import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf } from "../support/send.ts";
import { anId } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";

const START = new Date("2026-11-23T10:00:00.000Z");

let app: TestApp;
let now = START;
beforeAll(async () => {
  app = await startApp({}, { clock: { now: () => now } });
});
afterAll(() => app.close());

const READ = `query ($id: ID!, $first: Int) { session(id: $id) { memory {
  shortTerm { context expiresAt } mediumTerm(first: $first) { content session { id } } } } }`;
const SET = `mutation ($input: SetShortTermMemoryInput!) { setShortTermMemory(input: $input) {
  shortTerm { context expiresAt } } }`;
const CLEAR = "mutation ($sessionId: ID!) { clearShortTermMemory(sessionId: $sessionId) }";
const ARCHIVE = "mutation ($id: ID!) { archiveSession(id: $id) { session { id status archivedAt } } }";
const RESTORE = "mutation ($id: ID!) { restoreSession(id: $id) { session { id } } }";

async function begin(tenant: TestTenant, fields: object = {}): Promise<string> {
  const { id } = await tenant.db.session.create({ data: { name: "Trip", ...fields } });
  return id;
}

async function memoryOf(tenant: TestTenant, id: string): Promise<Record<string, unknown>> {
  interface Answer {
    readonly session: { readonly memory: Record<string, unknown> };
  }
  return dataOf(await tenant.send<Answer>(READ, { id })).session.memory;
}

async function actionsOf(tenant: TestTenant): Promise<string[]> {
  const events = await tenant.db.auditEvent.findMany({ orderBy: { id: "asc" } });
  return events.map(({ action, target }) => `${action} ${target ?? ""}`);
}

function after(seconds: number): Date {
  return new Date(START.getTime() + seconds * 1_000);
}

describe("short-term memory", () => {
  test("is kept until it expires, and then is as good as gone", async () => {
    const acme = await app.newTenant();
    const sessionId = await begin(acme);
    const context = { last: ["È vero", { n: null }] };

    const answer = dataOf(await acme.send(SET, { input: { sessionId, context, ttlSeconds: 60 } }));
    const kept = { context, expiresAt: after(60).toISOString() };
    expect(answer).toEqual({ setShortTermMemory: { shortTerm: kept } });
    try {
      now = new Date(after(60).getTime() - 1);
      expect(await memoryOf(acme, sessionId)).toMatchObject({ shortTerm: kept });
      now = after(60);
      expect(await memoryOf(acme, sessionId)).toMatchObject({ shortTerm: null });
      expect(dataOf(await acme.send(CLEAR, { sessionId }))).toEqual({ clearShortTermMemory: false });
    } finally {
      now = START;
    }
    expect(await actionsOf(acme)).toEqual([`memory.set_short_term ${sessionId}`]);
  });

  test("lasts an hour unless something else is said, and is replaced whole", async () => {
    const acme = await app.newTenant();
    const sessionId = await begin(acme);

    await acme.send(SET, { input: { sessionId, context: { a: 1 }, ttlSeconds: 1 } });
    await acme.send(SET, { input: { sessionId, context: { b: 2 } } });

    expect(await memoryOf(acme, sessionId)).toMatchObject({
      shortTerm: { context: { b: 2 }, expiresAt: after(3_600).toISOString() },
    });
  });

  test("set for the first time by several at once is set, and none of them fails", async () => {
    const acme = await app.newTenant();
    const sessionId = await begin(acme);
    const inputs = [1, 2, 3, 4].map((n) => ({ sessionId, context: { n } }));

    const answers = await Promise.all(inputs.map((input) => acme.send(SET, { input })));

    expect(answers.flatMap(codesOf)).toEqual([]);
    expect(await acme.db.memoryShort.count()).toBe(1);
  });

  test.each([
    ["0 seconds", { ttlSeconds: 0 }, "input.ttlSeconds"],
    ["more than 30 days", { ttlSeconds: 2_592_001 }, "input.ttlSeconds"],
    ["more than 64 KiB", { context: { much: "m".repeat(65_536) } }, "input.context"],
    ["a NUL character", { context: { a: "b\0" } }, "input.context"],
  ])("refuses %s", async (_name, fields, path) => {
    const acme = await app.newTenant();
    const sessionId = await begin(acme);

    const answer = await acme.send(SET, { input: { sessionId, context: {}, ...fields } });

    expect(answer.errors?.[0]?.extensions).toMatchObject({ code: "BAD_USER_INPUT", fields: [{ path }] });
    expect(await memoryOf(acme, sessionId)).toMatchObject({ shortTerm: null });
  });

  test("is cleared once", async () => {
    const acme = await app.newTenant();
    const sessionId = await begin(acme);
    await acme.send(SET, { input: { sessionId, context: { a: 1 } } });

    expect(dataOf(await acme.send(CLEAR, { sessionId }))).toEqual({ clearShortTermMemory: true });
    expect(dataOf(await acme.send(CLEAR, { sessionId }))).toEqual({ clearShortTermMemory: false });
    expect(await memoryOf(acme, sessionId)).toMatchObject({ shortTerm: null });
    expect((await actionsOf(acme)).at(-1)).toBe(`memory.clear_short_term ${sessionId}`);
  });

  test.each([
    ["set", SET, (sessionId: string) => ({ input: { sessionId, context: { mine: true } } })],
    ["cleared", CLEAR, (sessionId: string) => ({ sessionId })],
  ])("of another tenant's session looks exactly like that of a missing one when it is %s", async (...row) => {
    const [, operation, variables] = row;
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const sessionId = await begin(acme);
    await acme.send(SET, { input: { sessionId, context: { a: 1 } } });

    const foreign = await globex.send(operation, variables(sessionId));

    expect(codesOf(foreign)).toEqual(["NOT_FOUND"]);
    expect(foreign.comparable).toBe((await globex.send(operation, variables(anId()))).comparable);
    expect(await memoryOf(acme, sessionId)).toMatchObject({ shortTerm: { context: { a: 1 } } });
  });
});

describe("medium-term memory", () => {
  test("is listed newest first, as many as are asked for", async () => {
    const acme = await app.newTenant();
    const id = await begin(acme);
    for (let day = 1; day <= 25; day += 1) {
      await acme.db.memoryMedium.create({
        data: { sessionId: id, content: `${day}`, createdAt: new Date(2026, 0, day) },
      });
    }
    const summary = (content: string) => ({ content, session: { id } });

    const few = dataOf(await acme.send(READ, { id, first: 2 }));
    const none = dataOf(await acme.send(READ, { id, first: 0 }));
    const usual = await memoryOf(acme, id);

    expect(few).toMatchObject({ session: { memory: { mediumTerm: [summary("25"), summary("24")] } } });
    expect(none).toMatchObject({ session: { memory: { mediumTerm: [] } } });
    expect(usual["mediumTerm"]).toHaveLength(20);
  });

  test.each([101, -1])("cannot be asked for %d at once", async (first) => {
    const acme = await app.newTenant();

    const answer = await acme.send(READ, { id: await begin(acme), first });

    expect(answer.errors?.[0]?.extensions).toMatchObject({ code: "BAD_USER_INPUT", fields: [{ path: "first" }] });
  });
});

test("the memory of 20 sessions is one statement for each of its parts", async () => {
  const acme = await app.newTenant();
  for (let number = 1; number <= 20; number += 1) {
    const sessionId = await begin(acme);
    await acme.db.memoryShort.create({ data: { sessionId, contextData: {}, expiresAt: after(60) } });
    await acme.db.memoryMedium.create({ data: { sessionId, content: "So far" } });
  }
  const operation = "{ sessions { nodes { memory { shortTerm { context } mediumTerm { content } } } } }";

  const answer = dataOf(await acme.send(operation));

  const memory = { shortTerm: { context: {} }, mediumTerm: [{ content: "So far" }] };
  expect(answer).toEqual({ sessions: { nodes: Array(20).fill({ memory }) } });
  expect(await app.countStatements(() => acme.send(operation))).toBe(3);
});

test("a key without the scope reads and changes no session's memory", async () => {
  const acme = await app.newTenant();
  const id = await begin(acme);
  const reader = await acme.withScopes("SESSIONS_READ", "MEMORY_READ");
  const other = await acme.withScopes("SESSIONS_READ", "SESSIONS_WRITE");

  expect(codesOf(await other(READ, { id }))).toEqual(["FORBIDDEN", "FORBIDDEN"]);
  expect(codesOf(await reader(SET, { input: { sessionId: id, context: {} } }))).toEqual(["FORBIDDEN"]);
  expect(codesOf(await reader(CLEAR, { sessionId: id }))).toEqual(["FORBIDDEN"]);
  expect(codesOf(await reader(ARCHIVE, { id }))).toEqual(["FORBIDDEN"]);
});

describe("archiving a session", () => {
  test("remembers its conversation, in the form in which the predecessor did", async () => {
    const acme = await app.newTenant();
    const writer = await acme.withScopes("SESSIONS_WRITE");
    const createdAt = new Date("2026-03-04T05:06:07.089Z");
    const id = await begin(acme, { title: "To [Rome] |\n now", createdAt });
    const said = (role: string, content: string, seconds: number) =>
      acme.db.message.create({ data: { sessionId: id, role, content, createdAt: after(seconds) } });
    await said("assistant", "È bello", 2);
    await said("user", "Roma?", 1);
    await said("tool", "42", 3);

    const answer = dataOf(await writer(ARCHIVE, { id }));

    const archived = { id, status: "ARCHIVED", archivedAt: START.toISOString() };
    expect(answer).toEqual({ archiveSession: { session: archived } });
    expect(await acme.db.memoryLong.findMany({ omit: { id: true, tenantId: true } })).toEqual([
      {
        content: [
          `[SESSION:${id}|TITLE:To Rome now|DATE:2026-03-04|STATUS:archived]`,
          "Session Title: To [Rome] |\n now",
          "Created: 2026-03-04T05:06:07.089Z",
          "Status: archived",
          "Messages:",
          "2026-11-23T10:00:01.000Z - User: Roma?",
          "2026-11-23T10:00:02.000Z - Assistant: È bello",
          "2026-11-23T10:00:03.000Z - Tool: 42",
        ].join("\n"),
        kind: "summary",
        importanceScore: 0.8,
        learnedFromSessions: [id],
        userId: null,
        embeddingId: null,
        createdAt: START,
        updatedAt: START,
      },
    ]);
    expect(await acme.db.session.findUnique({ where: { id } })).toMatchObject({ lastIndexedAt: START });
    const [memory] = await acme.db.memoryLong.findMany();
    expect(await actionsOf(acme)).toEqual([`session.archive ${id}`, `memory.remember ${memory?.id ?? ""}`]);
  });

  test("remembers every message of a long conversation once, in order, also those of the same instant", async () => {
    const acme = await app.newTenant();
    const id = await begin(acme);
    const data = Array.from({ length: 130 }, (_, index) => ({
      sessionId: id,
      role: "user",
      content: `#${index}`,
      createdAt: after(Math.floor(index / 45)),
    }));
    for (const message of data) await acme.db.message.create({ data: message });

    await acme.send(ARCHIVE, { id });

    const [memory] = await acme.db.memoryLong.findMany();
    expect(memory?.content.match(/#\d+/g)).toEqual(data.map(({ content }) => content));
  });

  test("remembers the first 20,000 characters of what is longer, none of them cut in half", async () => {
    const acme = await app.newTenant();
    const id = await begin(acme);
    const tea = "\u{1F375}";
    await acme.db.message.create({ data: { sessionId: id, role: "user", content: tea.repeat(500_000) } });
    await acme.db.message.create({ data: { sessionId: id, role: "user", content: "and more" } });

    await acme.send(ARCHIVE, { id });

    const [memory] = await acme.db.memoryLong.findMany();
    expect(Array.from(memory?.content ?? "")).toHaveLength(20_000);
    expect(memory?.content.endsWith(tea)).toBe(true);
    expect(memory?.content).not.toContain("and more");
  });

  test("a second time renews what was remembered the first time", async () => {
    const acme = await app.newTenant();
    const [id, other] = [await begin(acme), await begin(acme)];
    await acme.send(ARCHIVE, { id: other });
    await acme.send(ARCHIVE, { id });
    await acme.send(RESTORE, { id });
    await acme.db.message.create({ data: { sessionId: id, role: "user", content: "One thing more" } });

    expect(codesOf(await acme.send(ARCHIVE, { id }))).toEqual([]);

    const contents = (await acme.db.memoryLong.findMany()).map(({ content }) => content);
    expect(contents).toHaveLength(2);
    expect(contents.filter((content) => content.includes("One thing more"))).toHaveLength(1);
  });

  test("that is archived already is a conflict, and remembers nothing", async () => {
    const acme = await app.newTenant();
    const id = await begin(acme, { status: "archived" });

    expect(codesOf(await acme.send(ARCHIVE, { id }))).toEqual(["CONFLICT"]);
    expect(await acme.db.memoryLong.count()).toBe(0);
    expect(await actionsOf(acme)).toEqual([]);
  });

  test("of another tenant looks exactly like archiving a missing one", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const id = await begin(acme);

    const foreign = await globex.send(ARCHIVE, { id });

    expect(codesOf(foreign)).toEqual(["NOT_FOUND"]);
    expect(foreign.comparable).toBe((await globex.send(ARCHIVE, { id: anId() })).comparable);
    expect(await acme.db.session.findUnique({ where: { id } })).toMatchObject({ status: "active" });
    expect(await acme.db.memoryLong.count()).toBe(0);
  });

  test("does not happen when its conversation cannot be remembered", async () => {
    const acme = await app.newTenant();
    const id = await begin(acme, { name: "unforgettable" });
    const owner = new pg.Client({ connectionString: app.database.ownerUrl });
    await owner.connect();
    try {
      await owner.query("ALTER TABLE memory_long ADD CHECK (content NOT LIKE '%unforgettable%') NOT VALID");
    } finally {
      await owner.end();
    }

    expect(codesOf(await acme.send(ARCHIVE, { id }))).toEqual(["INTERNAL_SERVER_ERROR"]);
    expect(await acme.db.session.findUnique({ where: { id } })).toMatchObject({ status: "active", archivedAt: null });
    expect(await actionsOf(acme)).toEqual([]);
  });
});
