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

const LIST = `query ($status: [TaskStatus!], $sessionId: ID) { tasks(status: $status, sessionId: $sessionId) {
  totalCount nodes { id type status priority payload result error attempts session { name } } } }`;
const READ = "query ($id: ID!) { task(id: $id) { id status } }";
const BY_SESSION = `query ($status: [TaskStatus!]) {
  sessions { nodes { tasks(first: 1, status: $status) { totalCount nodes { type } } } } }`;
const STATUSES = ["QUEUED", "RUNNING", "WAITING_USER", "COMPLETED", "FAILED", "CANCELLED"];

interface Listed {
  readonly totalCount: number;
  readonly nodes: readonly Record<string, unknown>[];
}

async function enqueue(tenant: TestTenant, fields: object = {}): Promise<string> {
  const { id } = await tenant.db.task.create({ data: { type: "resolve_contradiction", ...fields } });
  return id;
}

async function listed(tenant: TestTenant, variables: object = {}): Promise<Listed> {
  return dataOf(await tenant.send<{ tasks: Listed }, object>(LIST, variables)).tasks;
}

describe("tasks", () => {
  test("are listed newest first, with what they work on and what came out", async () => {
    const acme = await app.newTenant();
    const session = await acme.db.session.create({ data: { name: "Trip" } });
    const done = { status: "completed", priority: "critical", payload: { a: 1 }, result: { b: [2] }, attempts: 3 };
    await enqueue(acme, { ...done, sessionId: session.id, createdAt: new Date("2026-01-01T00:00:00Z") });
    await enqueue(acme, { error: "no answer", createdAt: new Date("2026-01-02T00:00:00Z") });

    expect(await listed(acme)).toMatchObject({
      totalCount: 2,
      nodes: [
        { status: "QUEUED", priority: "MEDIUM", payload: {}, result: null, error: "no answer", session: null },
        { ...done, status: "COMPLETED", priority: "CRITICAL", error: null, session: { name: "Trip" } },
      ],
    });
  });

  test.each([
    ...STATUSES.map((status) => [status.toLowerCase(), status] as const),
    ["in_progress", "RUNNING"] as const,
    ["dreaming", "QUEUED"] as const,
  ])("of the stored status %s read as %s, and are found and left out as that", async (stored, status) => {
    const acme = await app.newTenant();
    const id = await enqueue(acme, { status: stored });

    expect((await listed(acme, { status: [status] })).nodes).toMatchObject([{ id, status }]);
    expect(await listed(acme, { status: STATUSES.filter((other) => other !== status) })).toEqual({
      totalCount: 0,
      nodes: [],
    });
  });

  test("of a priority that nobody knows, or with a strange payload, do not break a list", async () => {
    const acme = await app.newTenant();
    await enqueue(acme, { priority: "whenever", payload: "x", result: [1] });

    expect((await listed(acme)).nodes).toMatchObject([{ priority: "MEDIUM", payload: {}, result: {} }]);
  });

  test("can be asked for by session", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const session = await acme.db.session.create({ data: { name: "Trip" } });
    const id = await enqueue(acme, { sessionId: session.id });
    await enqueue(acme);

    expect((await listed(acme, { sessionId: session.id })).nodes).toMatchObject([{ id }]);
    expect((await listed(globex, { sessionId: session.id })).totalCount).toBe(0);
  });

  test("of 20 sessions are two statements with the sessions' own, and one more with counts", async () => {
    const acme = await app.newTenant();
    for (let number = 1; number <= 20; number += 1) {
      const { id } = await acme.db.session.create({ data: { name: `Session ${number}` } });
      await enqueue(acme, { sessionId: id, type: "old", createdAt: new Date("2026-01-01T00:00:00Z") });
      await enqueue(acme, { sessionId: id, type: "new", status: "in_progress" });
    }

    const all = dataOf(await acme.send<{ sessions: { nodes: unknown[] } }>(BY_SESSION));
    const queued = dataOf(
      await acme.send<{ sessions: { nodes: unknown[] } }>(BY_SESSION, { status: ["QUEUED", "FAILED"] }),
    );

    expect(all.sessions.nodes).toEqual(Array(20).fill({ tasks: { totalCount: 2, nodes: [{ type: "new" }] } }));
    expect(queued.sessions.nodes).toEqual(Array(20).fill({ tasks: { totalCount: 1, nodes: [{ type: "old" }] } }));
    expect(await app.countStatements(() => acme.send(BY_SESSION.replace("totalCount", "")))).toBe(2);
    expect(await app.countStatements(() => acme.send(BY_SESSION))).toBe(3);
  });

  test("of another tenant look exactly like missing ones", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const id = await enqueue(acme);

    const foreign = await globex.send(READ, { id });

    expect(dataOf(foreign)).toEqual({ task: null });
    expect(foreign.comparable).toBe((await globex.send(READ, { id: anId() })).comparable);
    expect(dataOf(await acme.send(READ, { id }))).toEqual({ task: { id, status: "QUEUED" } });
  });

  test("are for those who may read sessions", async () => {
    const acme = await app.newTenant();
    const other = await acme.withScopes("SESSIONS_WRITE", "AGENT_RUN");

    expect(codesOf(await other(LIST))).toEqual(["FORBIDDEN"]);
    expect(codesOf(await other(READ, { id: anId() }))).toEqual(["FORBIDDEN"]);
  });
});
