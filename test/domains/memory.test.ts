import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf } from "../support/send.ts";
import { anId } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const MEMORY = "id content kind importance createdAt updatedAt learnedFromSessions { id name }";
const LIST = `query ($filter: MemoryFilter) { longTermMemories(first: 100, filter: $filter) {
  totalCount nodes { ${MEMORY} } } }`;
const READ = `query ($id: ID!) { longTermMemory(id: $id) { ${MEMORY} } }`;
const REMEMBER = `mutation ($input: RememberInput!) { remember(input: $input) { created memory { ${MEMORY} } } }`;
const UPDATE = `mutation ($input: UpdateMemoryInput!) { updateMemory(input: $input) { memory { ${MEMORY} } } }`;
const FORGET = "mutation ($ids: [ID!]!) { forget(ids: $ids) { deletedIds } }";

interface Seen extends Record<string, unknown> {
  readonly id: string;
  readonly content: string;
}

async function memorize(tenant: TestTenant, fields: object = {}): Promise<string> {
  const { id } = await tenant.db.memoryLong.create({ data: { content: "Likes tea", ...fields } });
  return id;
}

async function begin(tenant: TestTenant, fields: object = {}): Promise<string> {
  const { id } = await tenant.db.session.create({ data: { name: "Trip", ...fields } });
  return id;
}

async function listed(tenant: TestTenant, filter?: object): Promise<readonly Seen[]> {
  interface Listed {
    readonly longTermMemories: { readonly totalCount: number; readonly nodes: readonly Seen[] };
  }
  const { longTermMemories } = dataOf(await tenant.send<Listed>(LIST, { filter }));
  expect(longTermMemories.totalCount).toBe(longTermMemories.nodes.length);
  return longTermMemories.nodes;
}

async function contentsIn(tenant: TestTenant, filter: object): Promise<string[]> {
  return (await listed(tenant, filter)).map(({ content }) => content).sort();
}

async function read(tenant: TestTenant, id: string): Promise<Seen> {
  return dataOf(await tenant.send<{ longTermMemory: Seen }>(READ, { id })).longTermMemory;
}

async function actionsOf(tenant: TestTenant): Promise<string[]> {
  const events = await tenant.db.auditEvent.findMany({ orderBy: [{ createdAt: "asc" }, { id: "asc" }] });
  return events.map(({ action, target }) => `${action} ${target ?? ""}`.trim());
}

describe("remembering", () => {
  test("keeps all that was said, and leaves a trace in the audit trail", async () => {
    const acme = await app.newTenant();
    const session = await begin(acme);
    const said = { content: "Prefers caffè \u{1F375}", kind: "PREFERENCE", importance: 0.7 };

    const input = { ...said, learnedFromSessionIds: [session, session.toUpperCase()] };
    const answer = dataOf(await acme.send<{ remember: { memory: Seen } }>(REMEMBER, { input }));

    const { id } = answer.remember.memory;
    expect(answer).toMatchObject({
      remember: { created: true, memory: { ...said, learnedFromSessions: [{ id: session, name: "Trip" }] } },
    });
    expect(await read(acme, id)).toEqual(answer.remember.memory);
    expect(await actionsOf(acme)).toEqual([`memory.remember ${id}`]);
  });

  test("needs only a content", async () => {
    const acme = await app.newTenant();

    expect(dataOf(await acme.send(REMEMBER, { input: { content: "Tea" } }))).toMatchObject({
      remember: { memory: { kind: "GENERAL", importance: 0.5, learnedFromSessions: [] } },
    });
  });

  test.each([
    ["an empty content", { content: "" }, "input.content"],
    ["a content of 20,001 characters", { content: "c".repeat(20_001) }, "input.content"],
    ["a NUL character", { content: "a\0b" }, "input.content"],
    ["an importance above 1", { content: "c", importance: 1.01 }, "input.importance"],
    ["an importance below 0", { content: "c", importance: -0.01 }, "input.importance"],
    [
      "101 sessions",
      { content: "c", learnedFromSessionIds: Array.from({ length: 101 }, anId) },
      "input.learnedFromSessionIds",
    ],
  ])("refuses %s, names the field, and stores nothing", async (_name, input, path) => {
    const acme = await app.newTenant();

    const answer = await acme.send(REMEMBER, { input });

    expect(answer.errors?.[0]?.extensions).toMatchObject({ code: "BAD_USER_INPUT", fields: [{ path }] });
    expect(await listed(acme)).toEqual([]);
  });

  test("takes 20,000 characters, whatever they are", async () => {
    const acme = await app.newTenant();

    expect(codesOf(await acme.send(REMEMBER, { input: { content: "\u{1F375}".repeat(20_000) } }))).toEqual([]);
  });

  test("from another tenant's session fails exactly like from a missing one", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const [own, theirs] = [await begin(globex), await begin(acme)];
    const from = (id: string) => ({ input: { content: "c", learnedFromSessionIds: [own, id] } });

    const foreign = await globex.send(REMEMBER, from(theirs));

    expect(codesOf(foreign)).toEqual(["NOT_FOUND"]);
    expect(foreign.comparable).toBe((await globex.send(REMEMBER, from(anId()))).comparable);
    expect(await listed(globex)).toEqual([]);
  });
});

describe("long-term memories", () => {
  test("are listed newest first", async () => {
    const acme = await app.newTenant();
    for (const day of [2, 1, 3]) await memorize(acme, { content: `${day}`, createdAt: new Date(2026, 0, day) });

    expect((await listed(acme)).map(({ content }) => content)).toEqual(["3", "2", "1"]);
  });

  test("are found by each filter and by all of them", async () => {
    const acme = await app.newTenant();
    const [one, two] = [await begin(acme), await begin(acme)];
    const at = (day: number) => new Date(Date.UTC(2026, 0, day));
    await memorize(acme, { content: "a", kind: "fact", importanceScore: 0.9, createdAt: at(1) });
    await memorize(acme, {
      content: "b",
      kind: "fact",
      importanceScore: 0.2,
      createdAt: at(2),
      learnedFromSessions: [one],
    });
    await memorize(acme, {
      content: "c",
      kind: "web",
      importanceScore: 0.5,
      createdAt: at(3),
      learnedFromSessions: [one, two],
    });
    await memorize(acme, { content: "d", kind: "dream", createdAt: at(4), learnedFromSessions: null });

    expect(await contentsIn(acme, {})).toEqual(["a", "b", "c", "d"]);
    expect(await contentsIn(acme, { minImportance: 0.5 })).toEqual(["a", "c"]);
    expect(await contentsIn(acme, { minImportance: 0 })).toEqual(["a", "b", "c", "d"]);
    expect(await contentsIn(acme, { kind: ["FACT"] })).toEqual(["a", "b"]);
    expect(await contentsIn(acme, { kind: ["GENERAL", "WEB"] })).toEqual(["c", "d"]);
    expect(await contentsIn(acme, { kind: [] })).toEqual([]);
    expect(await contentsIn(acme, { sessionIds: [two] })).toEqual(["c"]);
    expect(await contentsIn(acme, { sessionIds: [one, anId()] })).toEqual(["b", "c"]);
    expect(await contentsIn(acme, { sessionIds: [] })).toEqual([]);
    expect(await contentsIn(acme, { createdAfter: at(2) })).toEqual(["c", "d"]);
    expect(await contentsIn(acme, { createdBefore: at(2) })).toEqual(["a"]);
    const all = { minImportance: 0.1, kind: ["FACT"], sessionIds: [one], createdAfter: at(1), createdBefore: at(3) };
    expect(await contentsIn(acme, all)).toEqual(["b"]);
  });

  test.each([
    ["an importance outside 0 to 1", { minImportance: 2 }, "filter.minImportance"],
    ["101 sessions", { sessionIds: Array.from({ length: 101 }, anId) }, "filter.sessionIds"],
  ])("cannot be filtered by %s", async (_name, filter, path) => {
    const acme = await app.newTenant();

    const answer = await acme.send(LIST, { filter });

    expect(answer.errors?.[0]?.extensions).toMatchObject({ code: "BAD_USER_INPUT", fields: [{ path }] });
  });

  test.each([
    ["no importance", { importanceScore: null }, { importance: 0 }],
    ["an importance beyond 1", { importanceScore: 7 }, { importance: 1 }],
    ["a kind that nobody knows", { kind: "dream" }, { kind: "GENERAL" }],
    ["no sessions", { learnedFromSessions: null }, { learnedFromSessions: [] }],
    ["sessions that are no list", { learnedFromSessions: { a: 1 } }, { learnedFromSessions: [] }],
    ["sessions that are rubbish", { learnedFromSessions: [null, 7, "x", ["y"]] }, { learnedFromSessions: [] }],
  ])("with %s, as an old client may write them, do not break a list", async (_name, fields, seen) => {
    const acme = await app.newTenant();
    await memorize(acme, fields);

    expect(await listed(acme)).toMatchObject([seen]);
    expect(await listed(acme, { sessionIds: [anId()] })).toEqual([]);
  });

  test("name the sessions that still exist, in the order noted, and neither foreign nor deleted ones", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const [one, two, deleted] = [await begin(acme), await begin(acme), await begin(acme, { status: "deleted" })];
    const noted = [two, anId(), await begin(globex), one, deleted, two.toUpperCase()];
    const id = await memorize(acme, { learnedFromSessions: noted });

    expect((await read(acme, id))["learnedFromSessions"]).toMatchObject([{ id: two }, { id: one }]);
  });

  test("of a page are two statements with all of their sessions, and one more with the count", async () => {
    const acme = await app.newTenant();
    for (let number = 1; number <= 20; number += 1) {
      await memorize(acme, { learnedFromSessions: [await begin(acme), await begin(acme)] });
    }

    const sessions = (await listed(acme)).map((memory) => memory["learnedFromSessions"]);

    expect(sessions).toEqual(Array(20).fill([expect.anything(), expect.anything()]));
    expect(await app.countStatements(() => acme.send(LIST.replace("totalCount", "")))).toBe(2);
    expect(await app.countStatements(() => acme.send(LIST))).toBe(3);
  });
});

describe("changing a memory", () => {
  test("changes what is named and leaves the rest", async () => {
    const acme = await app.newTenant();
    const old = new Date("2026-01-01T00:00:00.000Z");
    const id = await memorize(acme, { kind: "fact", importanceScore: 0.4, createdAt: old, updatedAt: old });

    const nothing = dataOf(await acme.send(UPDATE, { input: { id } }));
    const content = dataOf(await acme.send(UPDATE, { input: { id, content: "Likes coffee" } }));
    const rest = dataOf(await acme.send(UPDATE, { input: { id, kind: "WEB", importance: 0 } }));

    expect(nothing).toMatchObject({ updateMemory: { memory: { content: "Likes tea", updatedAt: old.toISOString() } } });
    expect(content).toMatchObject({
      updateMemory: { memory: { content: "Likes coffee", kind: "FACT", importance: 0.4 } },
    });
    expect(rest).toMatchObject({ updateMemory: { memory: { content: "Likes coffee", kind: "WEB", importance: 0 } } });
    expect(await read(acme, id)).toMatchObject({ createdAt: old.toISOString() });
    expect((await read(acme, id))["updatedAt"]).not.toBe(old.toISOString());
    expect(await actionsOf(acme)).toEqual([`memory.update ${id}`, `memory.update ${id}`]);
  });

  test.each([
    ["no content", { content: null }, "input.content"],
    ["an empty content", { content: "" }, "input.content"],
    ["no kind", { kind: null }, "input.kind"],
    ["no importance", { importance: null }, "input.importance"],
    ["an importance above 1", { importance: 1.5 }, "input.importance"],
  ])("refuses %s", async (_name, changes, path) => {
    const acme = await app.newTenant();
    const id = await memorize(acme);

    const answer = await acme.send(UPDATE, { input: { id, ...changes } });

    expect(answer.errors?.[0]?.extensions).toMatchObject({ code: "BAD_USER_INPUT", fields: [{ path }] });
    expect(await actionsOf(acme)).toEqual([]);
  });
});

describe("forgetting", () => {
  test("answers with the ids that are gone, in the order asked, and leaves out all others", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const [one, two, theirs] = [await memorize(acme), await memorize(acme), await memorize(globex)];

    const answer = dataOf(await acme.send(FORGET, { ids: [two, theirs, anId(), one, two] }));

    expect(answer).toEqual({ forget: { deletedIds: [two, one] } });
    expect(await listed(acme)).toEqual([]);
    expect(await listed(globex)).toHaveLength(1);
    expect(dataOf(await acme.send(FORGET, { ids: [one] }))).toEqual({ forget: { deletedIds: [] } });
    expect(await actionsOf(acme)).toEqual(["memory.forget"]);
  });

  test("takes at most 100 ids", async () => {
    const acme = await app.newTenant();

    expect(codesOf(await acme.send(FORGET, { ids: Array.from({ length: 101 }, anId) }))).toEqual(["BAD_USER_INPUT"]);
  });
});

test.each([
  ["read", READ, (id: string) => ({ id })],
  ["changed", UPDATE, (id: string) => ({ input: { id, content: "Mine now" } })],
])("another tenant's memory looks exactly like a missing one when it is %s", async (how, operation, variables) => {
  const acme = await app.newTenant();
  const globex = await app.newTenant();
  const id = await memorize(acme);

  const foreign = await globex.send(operation, variables(id));

  expect(foreign.comparable).toBe((await globex.send(operation, variables(anId()))).comparable);
  expect(codesOf(foreign)).toEqual(how === "read" ? [] : ["NOT_FOUND"]);
  expect(await read(acme, id)).toMatchObject({ content: "Likes tea" });
});

test("a key without the scope reads and changes no memory, and sees no session through one", async () => {
  const acme = await app.newTenant();
  const id = await memorize(acme, { learnedFromSessions: [await begin(acme)] });
  const reader = await acme.withScopes("MEMORY_READ");
  const writer = await acme.withScopes("MEMORY_WRITE");

  expect(codesOf(await writer("{ longTermMemories { totalCount } }"))).toEqual(["FORBIDDEN"]);
  expect(codesOf(await writer("query ($id: ID!) { longTermMemory(id: $id) { id } }", { id }))).toEqual(["FORBIDDEN"]);
  expect(codesOf(await reader(REMEMBER, { input: { content: "c" } }))).toEqual(["FORBIDDEN"]);
  expect(codesOf(await reader(UPDATE, { input: { id, content: "c" } }))).toEqual(["FORBIDDEN"]);
  expect(codesOf(await reader(FORGET, { ids: [id] }))).toEqual(["FORBIDDEN"]);
  expect(codesOf(await reader(READ, { id }))).toEqual(["FORBIDDEN"]);
  expect(dataOf(await reader("{ longTermMemories { totalCount } }"))).toEqual({ longTermMemories: { totalCount: 1 } });
});
