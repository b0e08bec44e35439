import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf } from "../support/send.ts";
import { anId } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";

const NOW = new Date("2026-11-23T10:00:00.000Z");

let app: TestApp;
beforeAll(async () => {
  app = await startApp({}, { clock: { now: () => NOW } });
});
afterAll(() => app.close());

const LIST = `query ($filter: NotificationFilter) {
  unreadNotificationCount(filter: $filter)
  notifications(first: 100, filter: $filter) { totalCount nodes { id type urgency content read readAt session { name } } } }`;
const READ = "query ($id: ID!) { notification(id: $id) { id } }";
const MARK = "mutation ($id: ID!) { markNotificationRead(id: $id) { notification { id read readAt } } }";
const MARK_ALL = "mutation ($filter: NotificationFilter) { markAllNotificationsRead(filter: $filter) { count } }";
const DELETE = "mutation ($ids: [ID!]!) { deleteNotifications(ids: $ids) { deletedIds } }";
const BY_SESSION = `query ($filter: NotificationFilter) {
  sessions { nodes { notifications(first: 2, filter: $filter) { totalCount nodes { content } } } } }`;

interface Listed {
  readonly unreadNotificationCount: number;
  readonly notifications: { readonly totalCount: number; readonly nodes: readonly Record<string, unknown>[] };
}

interface Fields {
  readonly type?: string;
  readonly urgency?: string;
  readonly content?: object;
  readonly sessionId?: string;
  readonly read?: boolean;
  readonly readAt?: Date;
  readonly createdAt?: Date;
}

async function notify(tenant: TestTenant, fields: Fields = {}): Promise<string> {
  const { id } = await tenant.db.notification.create({
    data: { type: "todo", urgency: "low", content: {}, ...fields },
  });
  return id;
}

async function listed(tenant: TestTenant, filter?: object): Promise<Listed> {
  return dataOf(await tenant.send<Listed>(LIST, { filter }));
}

async function actionsOf(tenant: TestTenant): Promise<string[]> {
  const events = await tenant.db.auditEvent.findMany({ orderBy: [{ createdAt: "asc" }, { id: "asc" }] });
  return events.map(({ action }) => action);
}

describe("notifications", () => {
  test("are listed newest first, with their session and what there is to know", async () => {
    const acme = await app.newTenant();
    const session = await acme.db.session.create({ data: { name: "Trip" } });
    const about = { content: { title: "Caffè" }, type: "email_received", urgency: "high" };
    await notify(acme, { ...about, sessionId: session.id, createdAt: new Date("2026-01-01T00:00:00Z") });
    await notify(acme, { createdAt: new Date("2026-01-02T00:00:00Z"), read: true, readAt: NOW });

    const { unreadNotificationCount, notifications } = await listed(acme);

    expect(unreadNotificationCount).toBe(1);
    expect(notifications.totalCount).toBe(2);
    expect(notifications.nodes).toMatchObject([
      { type: "TODO", urgency: "LOW", content: {}, read: true, readAt: NOW.toISOString(), session: null },
      { type: "EMAIL_RECEIVED", urgency: "HIGH", content: about.content, read: false, session: { name: "Trip" } },
    ]);
  });

  test.each([
    ["contradiction", "CONTRADICTION"],
    ["email_received", "EMAIL_RECEIVED"],
    ["calendar_event_starting", "CALENDAR_EVENT_STARTING"],
    ["event", "CALENDAR_EVENT_STARTING"],
    ["task", "TASK"],
    ["todo", "TODO"],
    ["service_health", "SERVICE_HEALTH"],
    ["planning.status", "OTHER"],
    ["constructor", "OTHER"],
  ])("of the stored type %s read as %s, and are found and left out as that", async (stored, type) => {
    const acme = await app.newTenant();
    const id = await notify(acme, { type: stored });
    const others = [
      "CONTRADICTION",
      "EMAIL_RECEIVED",
      "CALENDAR_EVENT_STARTING",
      "TASK",
      "TODO",
      "SERVICE_HEALTH",
      "OTHER",
    ];

    const found = await listed(acme, { type: [type] });
    const left = await listed(acme, { type: others.filter((other) => other !== type) });

    expect(found.notifications.nodes).toMatchObject([{ id, type }]);
    expect(found.unreadNotificationCount).toBe(1);
    expect(left).toEqual({ unreadNotificationCount: 0, notifications: { totalCount: 0, nodes: [] } });
  });

  test("of an urgency that nobody knows read as LOW, and are found as that", async () => {
    const acme = await app.newTenant();
    for (const urgency of ["high", "medium", "low", "whenever"]) await notify(acme, { urgency });

    expect((await listed(acme, { urgency: ["LOW"] })).notifications.totalCount).toBe(2);
    expect((await listed(acme, { urgency: ["LOW"] })).notifications.nodes[0]).toMatchObject({ urgency: "LOW" });
    expect((await listed(acme, { urgency: ["HIGH", "MEDIUM"] })).notifications.totalCount).toBe(2);
    expect((await listed(acme, { urgency: [] })).notifications.totalCount).toBe(0);
  });

  test("can be asked for by all filters at once", async () => {
    const acme = await app.newTenant();
    const session = await acme.db.session.create({ data: { name: "Trip" } });
    const wanted = { type: "task", urgency: "high", sessionId: session.id };
    const id = await notify(acme, wanted);
    await notify(acme, { ...wanted, type: "todo" });
    await notify(acme, { ...wanted, urgency: "low" });
    await notify(acme, { ...wanted, read: true });
    await notify(acme, { type: "task", urgency: "high" });

    const filter = { type: ["TASK"], urgency: ["HIGH"], read: false, sessionId: session.id };

    expect((await listed(acme, filter)).notifications.nodes).toMatchObject([{ id }]);
    expect((await listed(acme, { read: true })).unreadNotificationCount).toBe(0);
  });

  test("with contents of a strange shape do not break a list", async () => {
    const acme = await app.newTenant();
    await notify(acme, { content: ["a"] });

    expect((await listed(acme)).notifications.nodes).toMatchObject([{ content: {} }]);
  });

  test("of 20 sessions are two statements with the sessions' own, and one more with counts", async () => {
    const acme = await app.newTenant();
    for (let number = 1; number <= 20; number += 1) {
      const { id } = await acme.db.session.create({
        data: { name: `Session ${number}`, updatedAt: new Date(2026, 0, number) },
      });
      for (let each = 1; each <= 3; each += 1) {
        const createdAt = new Date(2026, 0, each);
        await notify(acme, { sessionId: id, content: { number, each }, createdAt, type: each < 3 ? "task" : "todo" });
      }
    }
    interface Answer {
      readonly sessions: { nodes: { notifications: { totalCount?: number; nodes: { content: object }[] } }[] };
    }
    const withoutCounts = BY_SESSION.replace("totalCount", "");

    const { sessions } = dataOf(await acme.send<Answer>(BY_SESSION));
    const filtered = dataOf(await acme.send<Answer>(BY_SESSION, { filter: { type: ["TASK"] } }));

    expect(sessions.nodes).toHaveLength(20);
    for (const [index, session] of sessions.nodes.entries()) {
      const number = 20 - index;
      expect(session.notifications).toEqual({
        totalCount: 3,
        nodes: [{ content: { number, each: 3 } }, { content: { number, each: 2 } }],
      });
    }
    expect(filtered.sessions.nodes[0]?.notifications).toMatchObject({ totalCount: 2 });
    expect(await app.countStatements(() => acme.send(withoutCounts))).toBe(2);
    expect(await app.countStatements(() => acme.send(BY_SESSION))).toBe(3);
  });
});

describe("reading a notification", () => {
  test("is noted once, with the time of the first", async () => {
    const acme = await app.newTenant();
    const earlier = new Date("2026-01-01T00:00:00.000Z");
    const unread = await notify(acme);
    const read = await notify(acme, { read: true, readAt: earlier });

    const first = dataOf(await acme.send(MARK, { id: unread }));
    const again = dataOf(await acme.send(MARK, { id: read }));

    expect(first).toMatchObject({ markNotificationRead: { notification: { read: true, readAt: NOW.toISOString() } } });
    expect(again).toMatchObject({ markNotificationRead: { notification: { readAt: earlier.toISOString() } } });
    expect(await actionsOf(acme)).toEqual(["notification.read"]);
  });

  test("can be done for all that match, and counts those that were unread", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const theirs = await notify(globex, { urgency: "high" });
    await notify(acme, { urgency: "high" });
    await notify(acme, { urgency: "high", read: true });
    await notify(acme, { urgency: "low" });

    expect(dataOf(await acme.send(MARK_ALL, { filter: { urgency: ["HIGH"] } }))).toEqual({
      markAllNotificationsRead: { count: 1 },
    });
    expect(dataOf(await acme.send(MARK_ALL))).toEqual({ markAllNotificationsRead: { count: 1 } });
    expect(dataOf(await acme.send(MARK_ALL))).toEqual({ markAllNotificationsRead: { count: 0 } });
    expect((await listed(acme)).unreadNotificationCount).toBe(0);
    expect(await globex.db.notification.findUnique({ where: { id: theirs } })).toMatchObject({ read: false });
    expect(await actionsOf(acme)).toEqual(["notification.read_all", "notification.read_all"]);
  });
});

describe("deleting notifications", () => {
  test("answers with the ids that are gone, in the order asked, and leaves out all others", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const [one, two] = [await notify(acme), await notify(acme)];
    const theirs = await notify(globex);

    const answer = dataOf(await acme.send(DELETE, { ids: [two, theirs, anId(), one, two] }));

    expect(answer).toEqual({ deleteNotifications: { deletedIds: [two, one] } });
    expect((await listed(acme)).notifications.totalCount).toBe(0);
    expect((await listed(globex)).notifications.totalCount).toBe(1);
    expect(dataOf(await acme.send(DELETE, { ids: [one] }))).toEqual({ deleteNotifications: { deletedIds: [] } });
    expect(await actionsOf(acme)).toEqual(["notification.delete"]);
  });

  test("takes at most 100 ids", async () => {
    const acme = await app.newTenant();

    expect(codesOf(await acme.send(DELETE, { ids: Array.from({ length: 101 }, anId) }))).toEqual(["BAD_USER_INPUT"]);
  });
});

describe("another tenant's notification", () => {
  test.each([
    ["read", READ],
    ["marked as read", MARK],
  ])("looks exactly like a missing one when it is %s", async (_how, operation) => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const id = await notify(acme);

    const foreign = await globex.send(operation, { id });
    const missing = await globex.send(operation, { id: anId() });

    expect(foreign.comparable).toBe(missing.comparable);
    expect(operation === READ ? foreign.data : codesOf(foreign)).toEqual(
      operation === READ ? { notification: null } : ["NOT_FOUND"],
    );
    expect(await acme.db.notification.findUnique({ where: { id } })).toMatchObject({ read: false });
  });

  test("and session are no way in through a filter", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const { id } = await acme.db.session.create({ data: { name: "Trip" } });
    await notify(acme, { sessionId: id });

    expect((await listed(globex, { sessionId: id })).notifications.totalCount).toBe(0);
    expect(dataOf(await globex.send(MARK_ALL, { filter: { sessionId: id } }))).toMatchObject({
      markAllNotificationsRead: { count: 0 },
    });
  });
});

describe("a key without the scope", () => {
  test("reads and changes no notification", async () => {
    const acme = await app.newTenant();
    const id = await notify(acme);
    const reader = await acme.withScopes("NOTIFICATIONS_READ");
    const writer = await acme.withScopes("NOTIFICATIONS_WRITE");

    expect(codesOf(await writer("{ unreadNotificationCount }"))).toEqual(["FORBIDDEN"]);
    expect(codesOf(await writer(READ, { id }))).toEqual(["FORBIDDEN"]);
    expect(codesOf(await reader(MARK, { id }))).toEqual(["FORBIDDEN"]);
    expect(codesOf(await reader(MARK_ALL))).toEqual(["FORBIDDEN"]);
    expect(codesOf(await reader(DELETE, { ids: [id] }))).toEqual(["FORBIDDEN"]);
    expect((await listed(acme)).unreadNotificationCount).toBe(1);
  });
});
