import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { PLATFORM_KEY, startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { personOf } from "../support/people.ts";
import type { TestPerson } from "../support/people.ts";
import { codesOf, dataOf, sendTo } from "../support/send.ts";
import type { Sender } from "../support/send.ts";
import { anId } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";

const LISTS = ["sessions", "files", "longTermMemories", "notifications", "tasks", "integrations"] as const;
type List = (typeof LISTS)[number];
type Ids = Readonly<Record<List | "message" | "summary", string>>;

let app: TestApp;
let tenant: TestTenant;
let anna: TestPerson;
let ben: TestPerson;
let vera: TestPerson;
let ada: TestPerson;
let annas: Ids;
let bens: Ids;
let nobodys: Ids;

beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

beforeEach(async () => {
  tenant = await app.newTenant();
  anna = await personOf(app, tenant, { role: "user" });
  ben = await personOf(app, tenant, { role: "user" });
  vera = await personOf(app, tenant, { role: "viewer" });
  ada = await personOf(app, tenant, { role: "admin" });
  annas = await thingsOf(anna.id);
  bens = await thingsOf(ben.id);
  nobodys = await thingsOf(null);
});

/** One of everything that belongs to a person, or to the tenant. */
async function thingsOf(userId: string | null): Promise<Ids> {
  const { db } = tenant;
  const { id: sessionId } = await db.session.create({ data: { name: "s", userId } });
  const expiresAt = new Date(app.app.context.clock.now().getTime() + 60_000);
  await db.memoryShort.create({ data: { sessionId, contextData: {}, expiresAt } });
  const message = await db.message.create({ data: { sessionId, role: "user", content: "m" } });
  const summary = await db.memoryMedium.create({ data: { sessionId, content: "m" } });
  const file = await db.file.create({ data: { sessionId, userId, filename: "f", filepath: "f", textContent: "t" } });
  const memory = await db.memoryLong.create({ data: { userId, content: "m", learnedFromSessions: [sessionId] } });
  const notification = await db.notification.create({
    data: { sessionId, userId, type: "todo", urgency: "low", content: {} },
  });
  const task = await db.task.create({ data: { sessionId, userId, type: "index", payload: {} } });
  const integration = await db.integration.create({
    data: { userId, provider: "google", serviceType: "email", purpose: "user_email" },
  });
  return {
    sessions: sessionId,
    files: file.id,
    longTermMemories: memory.id,
    notifications: notification.id,
    tasks: task.id,
    integrations: integration.id,
    message: message.id,
    summary: summary.id,
  };
}

interface Listed {
  readonly totalCount: number;
  readonly nodes: readonly { readonly id: string }[];
}

async function listed(send: Sender, list: List): Promise<readonly string[]> {
  const answer = await send<{ list: Listed }>(`{ list: ${list} { totalCount nodes { id } } }`);
  const { totalCount, nodes } = dataOf(answer).list;
  expect(totalCount).toBe(nodes.length);
  return nodes.map(({ id }) => id).toSorted();
}

async function nodesOf(send: Sender, ids: Ids): Promise<readonly unknown[]> {
  const answer = await send<{ nodes: readonly ({ readonly id: string } | null)[] }>(
    "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }",
    { ids: Object.values(ids) },
  );
  return dataOf(answer).nodes.map((node) => node?.id ?? null);
}

function platform(): Sender {
  return sendTo(app.url, { "X-API-Key": PLATFORM_KEY, "X-Tenant-ID": tenant.id });
}

describe("what belongs to a person of the tenant", () => {
  test.each(LISTS)(
    "is listed for that person, and to others with the role USER or VIEWER it is not: %s",
    async (list) => {
      expect(await listed(anna.send, list)).toEqual([annas[list], nobodys[list]].toSorted());
      expect(await listed(ben.send, list)).toEqual([bens[list], nobodys[list]].toSorted());
      expect(await listed(vera.send, list)).toEqual([nobodys[list]]);
    },
  );

  test.each(LISTS)("is listed for administrators, owners, keys and the platform: %s", async (list) => {
    const olga = await personOf(app, tenant, { role: "owner" });
    const everything = [annas[list], bens[list], nobodys[list]].toSorted();

    for (const send of [ada.send, olga.send, tenant.send, platform()]) {
      expect(await listed(send, list)).toEqual(everything);
    }
  });

  test("is found by its id by whoever sees it in a list, with what hangs on a session", async () => {
    expect(await nodesOf(anna.send, annas)).toEqual(Object.values(annas));
    expect(await nodesOf(anna.send, nobodys)).toEqual(Object.values(nobodys));
    expect(await nodesOf(anna.send, bens)).toEqual(Object.values(bens).map(() => null));
    expect(await nodesOf(vera.send, bens)).toEqual(Object.values(bens).map(() => null));
    expect(await nodesOf(ada.send, bens)).toEqual(Object.values(bens));
  });

  test("is not shown by a filter that names the person, or a session of theirs", async () => {
    const ask = async (send: Sender, userId: string, session: string) =>
      dataOf(
        await send(
          `query ($userId: ID!, $session: ID!) {
            sessions(filter: { userId: $userId }) { totalCount }
            files(sessionId: $session) { totalCount }
            tasks(sessionId: $session) { totalCount }
            notifications(filter: { sessionId: $session }) { totalCount }
            unreadNotificationCount(filter: { sessionId: $session })
            longTermMemories(filter: { sessionIds: [$session] }) { totalCount } }`,
          { userId, session },
        ),
      );
    const counts = (count: number) => ({
      sessions: { totalCount: count },
      files: { totalCount: count },
      tasks: { totalCount: count },
      notifications: { totalCount: count },
      unreadNotificationCount: count,
      longTermMemories: { totalCount: count },
    });

    expect(await ask(anna.send, ben.id, bens.sessions)).toEqual(counts(0));
    expect(await ask(ben.send, ben.id, bens.sessions)).toEqual(counts(1));
    expect(await ask(ada.send, ben.id, bens.sessions)).toEqual(counts(1));
  });

  test("does not show through something of the tenant that mentions it", async () => {
    const both = [annas.sessions, bens.sessions];
    await tenant.db.memoryLong.create({ data: { content: "shared", learnedFromSessions: both } });
    const ask = async (send: Sender) =>
      dataOf(
        await send<{ found: Listed }>(
          `query ($session: ID!) { found: longTermMemories(filter: { sessionIds: [$session] }) { totalCount
             nodes { id learnedFromSessions { id } } } }`,
          { session: bens.sessions },
        ),
      ).found;
    const sessionsIn = async (send: Sender) =>
      dataOf(await send("{ longTermMemories(first: 1) { nodes { content learnedFromSessions { id } } } }"));

    expect(await ask(anna.send)).toEqual({ totalCount: 0, nodes: [] });
    expect((await ask(ben.send)).totalCount).toBe(2);
    expect(await sessionsIn(anna.send)).toEqual({
      longTermMemories: { nodes: [{ content: "shared", learnedFromSessions: [{ id: annas.sessions }] }] },
    });
  });

  test("below a session of the tenant stays with whoever it belongs to", async () => {
    const { sessions: sessionId } = nobodys;
    await tenant.db.file.create({ data: { sessionId, userId: ben.id, filename: "f", filepath: "f" } });
    const ask = async (send: Sender) =>
      dataOf(
        await send("query ($id: ID!) { session(id: $id) { files { totalCount nodes { id } } } }", { id: sessionId }),
      );

    expect(await ask(anna.send)).toEqual({ session: { files: { totalCount: 1, nodes: [{ id: nobodys.files }] } } });
    expect(await ask(ben.send)).toMatchObject({ session: { files: { totalCount: 2 } } });
    expect(await ask(tenant.send)).toMatchObject({ session: { files: { totalCount: 2 } } });
  });

  test("counts as unread for nobody else", async () => {
    const unread = async (send: Sender) => dataOf(await send("{ unreadNotificationCount }"));

    expect(await unread(anna.send)).toEqual({ unreadNotificationCount: 2 });
    expect(await unread(vera.send)).toEqual({ unreadNotificationCount: 1 });
    expect(await unread(ada.send)).toEqual({ unreadNotificationCount: 3 });
  });
});

describe("a person who does not see a thing", () => {
  const CHANGES: readonly (readonly [what: string, mutation: string, of: keyof Ids])[] = [
    ["updates", 'updateSession(input: { id: $id, name: "taken" }) { session { id } }', "sessions"],
    ["archives", "archiveSession(id: $id) { session { id } }", "sessions"],
    ["restores", "restoreSession(id: $id) { session { id } }", "sessions"],
    ["deletes", "deleteSession(id: $id) { deletedId }", "sessions"],
    ["deletes for good", "deleteSession(id: $id, hard: true) { deletedId }", "sessions"],
    ["speaks in", 'createMessage(input: { sessionId: $id, content: "hello" }) { message { id } }', "sessions"],
    [
      "keeps in mind",
      "setShortTermMemory(input: { sessionId: $id, context: {} }) { shortTerm { context } }",
      "sessions",
    ],
    ["clears", "clearShortTermMemory(sessionId: $id)", "sessions"],
    ["learns from", 'remember(input: { content: "m", learnedFromSessionIds: [$id] }) { created }', "sessions"],
    ["deletes", "deleteFile(id: $id) { deletedId }", "files"],
    ["changes", 'updateMemory(input: { id: $id, content: "taken" }) { memory { id } }', "longTermMemories"],
    ["reads", "markNotificationRead(id: $id) { notification { id } }", "notifications"],
    ["changes", "updateIntegration(input: { id: $id, enabled: false }) { integration { id } }", "integrations"],
    ["deletes", "deleteIntegration(id: $id) { deletedId }", "integrations"],
  ];

  test.each(CHANGES)("%s it no more than one that does not exist: %s", async (_what, mutation, of) => {
    const ask = async (send: Sender, id: string) => send(`mutation ($id: ID!) { ${mutation} }`, { id });
    const missing = await ask(anna.send, anId());
    const bensOwn = await ask(anna.send, bens[of]);

    expect(codesOf(missing)).toEqual(["NOT_FOUND"]);
    expect(bensOwn.comparable).toBe(missing.comparable);
    expect(await nodesOf(ben.send, bens)).toEqual(Object.values(bens));
    expect(await tenant.db.session.count({ where: { name: "taken" } })).toBe(0);
    // Nobody's are everybody's, and an administrator changes them all.
    expect(codesOf(await ask(anna.send, nobodys[of]))).not.toContain("NOT_FOUND");
    expect(codesOf(await ask(ada.send, bens[of]))).not.toContain("NOT_FOUND");
  });

  test("leaves it as it is where many are changed at once", async () => {
    const ids = [annas, bens, nobodys];
    const marked = await anna.send("mutation { markAllNotificationsRead { count } }");
    const deleted = await anna.send(
      "mutation ($ids: [ID!]!, $memories: [ID!]!) { deleteNotifications(ids: $ids) { deletedIds } forget(ids: $memories) { deletedIds } }",
      { ids: ids.map(({ notifications }) => notifications), memories: ids.map((known) => known.longTermMemories) },
    );

    expect(dataOf(marked)).toEqual({ markAllNotificationsRead: { count: 2 } });
    expect(dataOf(deleted)).toEqual({
      deleteNotifications: { deletedIds: [annas.notifications, nobodys.notifications] },
      forget: { deletedIds: [annas.longTermMemories, nobodys.longTermMemories] },
    });
    expect(await tenant.db.notification.findMany({ select: { id: true, read: true } })).toEqual([
      { id: bens.notifications, read: false },
    ]);
    expect(await listed(ben.send, "longTermMemories")).toEqual([bens.longTermMemories]);
  });

  test("may not change anything at all as a VIEWER, own things included", async () => {
    const veras = await thingsOf(vera.id);

    for (const [, mutation, of] of CHANGES) {
      const answer = await vera.send(`mutation ($id: ID!) { ${mutation} }`, { id: veras[of] });
      expect({ mutation, codes: codesOf(answer) }).toEqual({ mutation, codes: ["FORBIDDEN"] });
    }
    expect(await nodesOf(vera.send, veras)).toEqual(Object.values(veras));
  });
});

describe("what is new", () => {
  const CREATE = 'mutation { createSession(input: { name: "new" }) { session { id user { id } } } }';

  test("belongs to the person who makes it, and to the tenant where a key does", async () => {
    const made = async (send: Sender) => dataOf(await send(CREATE));
    await anna.send('mutation { remember(input: { content: "of anna" }) { created } }');
    await tenant.send('mutation { remember(input: { content: "of a key" }) { created } }');

    expect(await made(anna.send)).toMatchObject({ createSession: { session: { user: { id: anna.id } } } });
    expect(await made(ada.send)).toMatchObject({ createSession: { session: { user: { id: ada.id } } } });
    expect(await made(tenant.send)).toMatchObject({ createSession: { session: { user: null } } });
    const memories = await tenant.db.memoryLong.findMany({
      where: { content: { startsWith: "of " } },
      orderBy: { content: "asc" },
      select: { userId: true },
    });
    expect(memories).toEqual([{ userId: null }, { userId: anna.id }]);
  });

  test("about a session belongs to whoever has the session, where nothing else is said", async () => {
    const { sessions: sessionId } = bens;
    const { db } = tenant;
    const rows = [
      await db.notification.create({ data: { sessionId, type: "todo", urgency: "low", content: {} } }),
      await db.task.create({ data: { sessionId, type: "index", payload: {} } }),
      await db.file.create({ data: { sessionId, filename: "f", filepath: "f" } }),
    ];

    expect(rows.map(({ userId }) => userId)).toEqual([ben.id, ben.id, ben.id]);
  });

  test("is made once for each person, although two choose the same idempotency key", async () => {
    const create = `mutation { createSession(input: { name: "once", idempotencyKey: "same" }) { session { id } } }`;
    const ask = async (send: Sender) => dataOf(await send<{ createSession: { session: { id: string } } }>(create));
    const [first, second] = [await ask(anna.send), await ask(ben.send)];

    expect(second).not.toEqual(first);
    expect(await ask(anna.send)).toEqual(first);
    expect(await ask(ben.send)).toEqual(second);
  });
});

describe("the memory of an archived conversation", () => {
  const ARCHIVE = "mutation ($id: ID!) { archiveSession(id: $id) { session { id } } }";
  const RESTORE = "mutation ($id: ID!) { restoreSession(id: $id) { session { id } } }";

  test("belongs to whoever has the session, whoever archives it", async () => {
    dataOf(await ada.send(ARCHIVE, { id: annas.sessions }));

    expect(await listed(anna.send, "longTermMemories")).toHaveLength(3);
    expect(await listed(ben.send, "longTermMemories")).toHaveLength(2);
  });

  test("is not written into what another person remembered under the same heading", async () => {
    const secret = "the safe is behind the painting";
    dataOf(await anna.send(ARCHIVE, { id: annas.sessions }));
    await tenant.db.memoryLong.deleteMany({ where: { content: { startsWith: "[SESSION:" } } });
    const forged = `[SESSION:${annas.sessions}|`;
    dataOf(
      await ben.send("mutation ($text: String!) { remember(input: { content: $text }) { created } }", { text: forged }),
    );
    dataOf(await anna.send(RESTORE, { id: annas.sessions }));
    await tenant.db.message.create({ data: { sessionId: annas.sessions, role: "user", content: secret } });
    dataOf(await anna.send(ARCHIVE, { id: annas.sessions }));

    const ofBen = (await ben.send("{ longTermMemories { nodes { content } } }")).comparable;
    expect(ofBen).toContain(forged);
    expect(ofBen).not.toContain(secret);
    expect((await anna.send("{ longTermMemories { nodes { content } } }")).comparable).toContain(secret);
  });
});

test("an integration that serves the tenant is everybody's, whoever connected it", async () => {
  const { id } = await tenant.db.integration.create({
    data: { userId: ben.id, provider: "google", serviceType: "calendar", purpose: "service_calendar" },
  });

  expect(await listed(anna.send, "integrations")).toEqual([annas.integrations, nobodys.integrations, id].toSorted());
});

test("what is asked for by its id takes one statement more only for people who do not see everything, and a list none", async () => {
  const costOf = async (send: Sender, query: string) => app.countStatements(async () => dataOf(await send(query)));
  const message = `{ message(id: "${annas.message}") { id } }`;
  const [byKey, byAdmin, byUser] = [
    await costOf(tenant.send, message),
    await costOf(ada.send, message),
    await costOf(anna.send, message),
  ];
  const list = "{ sessions { nodes { id files { nodes { id } } messages { nodes { id } } } } }";

  expect(byAdmin).toBe(byKey);
  expect(byUser).toBe(byKey + 1);
  expect(await costOf(anna.send, list)).toBe(await costOf(tenant.send, list));
});
