import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import {
  CreateSessionDocument,
  DeleteSessionDocument,
  ListSessionsDocument,
  ReadSessionDocument,
  RestoreSessionDocument,
  SessionOwnersDocument,
  UpdateSessionDocument,
} from "../generated/operations/graphql.ts";
import type { ListSessionsQueryVariables, SessionStatus } from "../generated/operations/graphql.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf } from "../support/send.ts";
import type { Sender } from "../support/send.ts";
import { anId } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const ARCHIVE = "mutation ($id: ID!) { archiveSession(id: $id) { session { status archivedAt } } }";

async function namesIn(send: Sender, variables: ListSessionsQueryVariables = {}): Promise<string[]> {
  const { sessions } = dataOf(await send(ListSessionsDocument, variables));
  expect(sessions.totalCount).toBe(sessions.nodes.length);
  return sessions.nodes.map(({ name }) => name);
}

async function actionsOf(tenant: TestTenant): Promise<string[]> {
  const events = await tenant.db.auditEvent.findMany({ orderBy: [{ createdAt: "asc" }, { id: "asc" }] });
  return events.map((event) => `${event.action} ${event.actor.split(":")[0] ?? ""} ${event.target ?? ""}`);
}

describe("beginning a session", () => {
  test("gives all that was said of it, and leaves a trace in the audit trail", async () => {
    const acme = await app.newTenant();
    const input = { name: "Trip", title: "To Rome", description: "È bello", metadata: { day: [1, { a: null }] } };

    const answer = dataOf(await acme.send(CreateSessionDocument, { input }));

    const { session } = answer.createSession;
    expect(session).toMatchObject({ ...input, status: "ACTIVE", archivedAt: null, user: null });
    expect(session.updatedAt).toBe(session.createdAt);
    expect(await actionsOf(acme)).toEqual([`session.create api_key ${session.id}`]);
  });

  test("needs only a name", async () => {
    const acme = await app.newTenant();

    expect(dataOf(await acme.send(CreateSessionDocument, { input: { name: "Trip" } }))).toMatchObject({
      createSession: { session: { title: null, description: null, metadata: {} } },
    });
  });

  test.each([
    ["an empty name", { name: "" }, "input.name"],
    ["a name of 256 characters", { name: "n".repeat(256) }, "input.name"],
    ["a NUL character", { name: "a\0b" }, "input.name"],
    ["a title of 256 characters", { name: "n", title: "t".repeat(256) }, "input.title"],
    ["a description of 10,001 characters", { name: "n", description: "d".repeat(10_001) }, "input.description"],
    ["metadata beyond 64 KiB", { name: "n", metadata: { much: "m".repeat(65_536) } }, "input.metadata"],
    ["an empty idempotency key", { name: "n", idempotencyKey: "" }, "input.idempotencyKey"],
    ["an idempotency key of 256 characters", { name: "n", idempotencyKey: "k".repeat(256) }, "input.idempotencyKey"],
  ])("refuses %s, names the field, and stores nothing", async (_name, input, path) => {
    const acme = await app.newTenant();

    const answer = await acme.send(CreateSessionDocument, { input });

    expect(codesOf(answer)).toEqual(["BAD_USER_INPUT"]);
    expect(answer.errors?.[0]?.extensions["fields"]).toMatchObject([{ path }]);
    expect(await acme.db.session.count()).toBe(0);
  });

  test("takes a name of 255 characters beyond the basic plane", async () => {
    const acme = await app.newTenant();
    const name = "𝄞".repeat(255);

    expect(dataOf(await acme.send(CreateSessionDocument, { input: { name } }))).toMatchObject({
      createSession: { session: { name } },
    });
  });
});

describe("changing a session", () => {
  test("what is left out stays, and null clears", async () => {
    const acme = await app.newTenant();
    const before = { name: "a", title: "b", description: "c", metadata: { d: 1 } };
    const { id } = await acme.db.session.create({ data: before });

    expect(dataOf(await acme.send(UpdateSessionDocument, { input: { id } }))).toEqual({
      updateSession: { session: { id, ...before } },
    });
    expect(dataOf(await acme.send(UpdateSessionDocument, { input: { id, title: null, name: "x" } }))).toEqual({
      updateSession: { session: { ...before, id, name: "x", title: null } },
    });
    expect(
      dataOf(await acme.send(UpdateSessionDocument, { input: { id, description: null, metadata: null } })),
    ).toEqual({
      updateSession: { session: { id, name: "x", title: null, description: null, metadata: {} } },
    });
    expect(await actionsOf(acme)).toEqual([`session.update api_key ${id}`, `session.update api_key ${id}`]);
  });

  test("a name cannot be cleared", async () => {
    const acme = await app.newTenant();
    const { id } = await acme.db.session.create({ data: { name: "a" } });

    expect(codesOf(await acme.send(UpdateSessionDocument, { input: { id, name: null } }))).toEqual(["BAD_USER_INPUT"]);
  });

  test("a change moves the session to the front, and asking for no change does not", async () => {
    const acme = await app.newTenant();
    const old = new Date("2020-01-01T00:00:00.000Z");
    const { id } = await acme.db.session.create({ data: { name: "a", updatedAt: old } });
    await acme.db.session.create({ data: { name: "b" } });

    await acme.send(UpdateSessionDocument, { input: { id } });
    expect(await namesIn(acme.send)).toEqual(["b", "a"]);
    await acme.send(UpdateSessionDocument, { input: { id, title: "t" } });
    expect(await namesIn(acme.send)).toEqual(["a", "b"]);
  });
});

describe("deleting, archiving and restoring", () => {
  test("a soft deletion hides the session from lists, and it stays readable by its id as it was", async () => {
    const acme = await app.newTenant();
    const archivedAt = new Date("2024-05-06T07:08:09.123Z");
    const { id } = await acme.db.session.create({ data: { name: "a", status: "archived", archivedAt } });

    expect(dataOf(await acme.send(DeleteSessionDocument, { id }))).toEqual({ deleteSession: { deletedId: id } });

    expect(await namesIn(acme.send)).toEqual([]);
    expect(await namesIn(acme.send, { filter: { status: ["DELETED"] } })).toEqual(["a"]);
    expect(dataOf(await acme.send(ReadSessionDocument, { id }))).toMatchObject({
      session: { status: "DELETED", archivedAt: archivedAt.toISOString() },
    });
    expect(codesOf(await acme.send(DeleteSessionDocument, { id, hard: null }))).toEqual([]);
    expect(await actionsOf(acme)).toHaveLength(2);
  });

  test("a hard deletion removes the session with all that hangs on it", async () => {
    const acme = await app.newTenant();
    const { id: sessionId } = await acme.db.session.create({ data: { name: "a" } });
    const { id: other } = await acme.db.session.create({ data: { name: "b" } });
    for (const owner of [sessionId, other]) {
      await acme.db.message.create({ data: { sessionId: owner, role: "user", content: "hello" } });
      await acme.db.file.create({ data: { sessionId: owner, filename: "f", filepath: "f" } });
      await acme.db.memoryShort.create({ data: { sessionId: owner, contextData: {}, expiresAt: new Date() } });
      await acme.db.memoryMedium.create({ data: { sessionId: owner, content: "c" } });
      await acme.db.notification.create({ data: { sessionId: owner, type: "t", urgency: "low", content: {} } });
      await acme.db.task.create({ data: { sessionId: owner, type: "t" } });
    }

    expect(dataOf(await acme.send(DeleteSessionDocument, { id: sessionId, hard: true }))).toEqual({
      deleteSession: { deletedId: sessionId },
    });

    expect(dataOf(await acme.send(ReadSessionDocument, { id: sessionId }))).toEqual({ session: null });
    const models = [
      acme.db.session,
      acme.db.message,
      acme.db.file,
      acme.db.memoryShort,
      acme.db.memoryMedium,
      acme.db.notification,
      acme.db.task,
    ];
    for (const model of models) expect(await model.count()).toBe(1);
    expect(codesOf(await acme.send(DeleteSessionDocument, { id: sessionId, hard: true }))).toEqual(["NOT_FOUND"]);
    expect(await actionsOf(acme)).toEqual([`session.delete api_key ${sessionId}`]);
  });

  test("only an archived session is restored, and loses the time it was archived", async () => {
    const acme = await app.newTenant();
    const { id } = await acme.db.session.create({
      data: { name: "a", status: "archived", archivedAt: new Date(), updatedAt: new Date(0) },
    });

    expect(dataOf(await acme.send(RestoreSessionDocument, { id }))).toEqual({
      restoreSession: { session: { status: "ACTIVE", archivedAt: null } },
    });
    const again = await acme.send(RestoreSessionDocument, { id });
    expect(codesOf(again)).toEqual(["CONFLICT"]);
    expect(again.errors?.[0]?.message).toBe("Session is not archived");
    await acme.send(DeleteSessionDocument, { id });
    expect(codesOf(await acme.send(RestoreSessionDocument, { id }))).toEqual(["CONFLICT"]);
  });
});

describe("archiving", () => {
  test("a session is archived once; of five at the same time one succeeds", async () => {
    const acme = await app.newTenant();
    const { id } = await acme.db.session.create({ data: { name: "a" } });

    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => acme.send(ARCHIVE, { id })));

    const refused = answers.filter((answer) => answer.errors);
    expect(refused.flatMap(codesOf)).toEqual(Array(4).fill("CONFLICT"));
    expect(refused[0]?.errors?.[0]?.message).toBe("Session is already archived");
    const session = await acme.db.session.findUnique({ where: { id } });
    expect(answers.filter((answer) => !answer.errors).map(dataOf)).toEqual([
      { archiveSession: { session: { status: "ARCHIVED", archivedAt: session?.archivedAt?.toISOString() } } },
    ]);
  });

  test("a deleted session comes back by being archived and restored", async () => {
    const acme = await app.newTenant();
    const { id } = await acme.db.session.create({ data: { name: "a", status: "deleted" } });

    expect(codesOf(await acme.send(ARCHIVE, { id }))).toEqual([]);
    expect(codesOf(await acme.send(RestoreSessionDocument, { id }))).toEqual([]);
    expect(await namesIn(acme.send)).toEqual(["a"]);
  });
});

describe("listing sessions", () => {
  test("deleted ones appear only when they are asked for, and words nobody knows are active", async () => {
    const acme = await app.newTenant();
    for (const status of ["active", "archived", "deleted", "paused"]) {
      await acme.db.session.create({ data: { name: status, status } });
    }
    const orderBy = { field: "NAME", direction: "ASC" } as const;
    const withStatus = async (...status: SessionStatus[]) => namesIn(acme.send, { orderBy, filter: { status } });

    expect(await namesIn(acme.send, { orderBy })).toEqual(["active", "archived", "paused"]);
    expect(await namesIn(acme.send, { orderBy, filter: { status: null } })).toEqual(["active", "archived", "paused"]);
    expect(await withStatus("ACTIVE")).toEqual(["active", "paused"]);
    expect(await withStatus("ARCHIVED", "DELETED")).toEqual(["archived", "deleted"]);
    expect(await withStatus("ACTIVE", "ARCHIVED", "DELETED")).toEqual(["active", "archived", "deleted", "paused"]);
    expect(await withStatus()).toEqual([]);
    const { id } = await acme.db.session.create({ data: { name: "x", status: "paused" } });
    expect(dataOf(await acme.send(ReadSessionDocument, { id }))).toMatchObject({ session: { status: "ACTIVE" } });
  });

  test("search looks into name, title and description, and takes no character for a pattern", async () => {
    const acme = await app.newTenant();
    await acme.db.session.create({ data: { name: "Trip to ROME" } });
    await acme.db.session.create({ data: { name: "b", title: "rome again" } });
    await acme.db.session.create({ data: { name: "c", description: "in Rome, 100% \\o/ a_b" } });
    await acme.db.session.create({ data: { name: "Paris" } });
    const orderBy = { field: "CREATED_AT", direction: "ASC" } as const;
    const found = async (search: string) => namesIn(acme.send, { orderBy, filter: { search } });

    expect(await found("rome")).toEqual(["Trip to ROME", "b", "c"]);
    expect(await found("")).toHaveLength(4);
    expect(await found("%")).toEqual(["c"]);
    expect(await found("_")).toEqual(["c"]);
    expect(await found("\\")).toEqual(["c"]);
    expect(codesOf(await acme.send(ListSessionsDocument, { filter: { search: "s".repeat(256) } }))).toEqual([
      "BAD_USER_INPUT",
    ]);
    expect(codesOf(await acme.send(ListSessionsDocument, { filter: { search: "\0" } }))).toEqual(["BAD_USER_INPUT"]);
  });

  test("the instants of creation are bounds that lie outside", async () => {
    const acme = await app.newTenant();
    const instants = ["2024-01-01T00:00:00.000Z", "2024-01-01T00:00:00.001Z", "2024-01-01T00:00:00.002Z"];
    for (const [index, at] of instants.entries()) {
      await acme.db.session.create({ data: { name: String(index), createdAt: new Date(at) } });
    }

    expect(await namesIn(acme.send, { filter: { createdAfter: instants[0], createdBefore: instants[2] } })).toEqual([
      "1",
    ]);
  });

  test("a user's sessions are found by the user, and show who it is", async () => {
    const acme = await app.newTenant();
    const user = await acme.db.user.create({
      data: { email: "eve@example.com", role: "wizard", timezone: "Mars/Olympus", passwordHash: "x" },
    });
    await acme.db.session.create({ data: { name: "hers", userId: user.id } });
    await acme.db.session.create({ data: { name: "nobody's" } });
    expect(dataOf(await acme.send(SessionOwnersDocument, { userId: user.id }))).toEqual({
      sessions: {
        nodes: [
          {
            name: "hers",
            user: {
              email: "eve@example.com",
              name: null,
              role: "VIEWER",
              active: true,
              emailVerified: false,
              timezone: "UTC",
              metadata: {},
              lastLoginAt: null,
            },
          },
        ],
      },
    });
    expect(dataOf(await acme.send(SessionOwnersDocument, { userId: anId() }))).toEqual({ sessions: { nodes: [] } });
  });

  test.each([
    ["UPDATED_AT", "DESC", ["b", "a", "c"]],
    ["UPDATED_AT", "ASC", ["c", "a", "b"]],
    ["CREATED_AT", "DESC", ["c", "b", "a"]],
    ["CREATED_AT", "ASC", ["a", "b", "c"]],
    ["NAME", "DESC", ["c", "b", "a"]],
    ["NAME", "ASC", ["a", "b", "c"]],
  ] as const)("by %s %s", async (field, direction, expected) => {
    const acme = await app.newTenant();
    const rows: [string, number, number][] = [
      ["a", 1, 2],
      ["b", 2, 3],
      ["c", 3, 1],
    ];
    for (const [name, createdAt, updatedAt] of rows) {
      await acme.db.session.create({
        data: { name, createdAt: new Date(createdAt * 1000), updatedAt: new Date(updatedAt * 1000) },
      });
    }

    expect(await namesIn(acme.send, { orderBy: { field, direction } })).toEqual(expected);
  });
});

describe("who may see and do what", () => {
  test.each([
    ["read", ReadSessionDocument, {}],
    ["changed", UpdateSessionDocument, { input: { name: "x" } }],
    ["deleted softly", DeleteSessionDocument, {}],
    ["deleted for good", DeleteSessionDocument, { hard: true }],
    ["restored", RestoreSessionDocument, {}],
  ])("another tenant's session is answered like a missing one when it is %s", async (_how, document, variables) => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const { id } = await acme.db.session.create({ data: { name: "a", status: "archived" } });
    const before = await acme.db.session.findUnique({ where: { id } });
    const withId = (some: string) =>
      "input" in variables ? { input: { ...variables.input, id: some } } : { ...variables, id: some };

    const foreign = await globex.send(String(document), withId(id));
    const missing = await globex.send(String(document), withId(anId()));

    expect(foreign.comparable).toBe(missing.comparable);
    expect(codesOf(foreign)).toEqual(document === ReadSessionDocument ? [] : ["NOT_FOUND"]);
    expect(await acme.db.session.findUnique({ where: { id } })).toEqual(before);
    expect(await actionsOf(globex)).toEqual([]);
  });

  test("reading needs SESSIONS_READ, and writing SESSIONS_WRITE", async () => {
    const acme = await app.newTenant();
    const { id } = await acme.db.session.create({ data: { name: "a", status: "archived" } });
    const reader = await acme.withScopes("SESSIONS_READ");
    const writer = await acme.withScopes("SESSIONS_WRITE");

    const reads = [ReadSessionDocument, ListSessionsDocument].map(String);
    const writes = [
      [CreateSessionDocument, { input: { name: "b" } }],
      [UpdateSessionDocument, { input: { id, name: "c" } }],
      [DeleteSessionDocument, { id }],
      [RestoreSessionDocument, { id }],
    ] as const;
    for (const read of reads) {
      expect(codesOf(await reader(read, { id }))).toEqual([]);
      expect(codesOf(await writer(read, { id }))).toEqual(["FORBIDDEN"]);
    }
    for (const [write, variables] of writes) {
      expect(codesOf(await reader(String(write), variables))).toEqual(["FORBIDDEN"]);
    }
    expect(await acme.db.session.count()).toBe(1);
    expect(codesOf(await writer(RestoreSessionDocument, { id }))).toEqual([]);
  });

  test("each mutation of one request sees what those before it wrote", async () => {
    const acme = await app.newTenant();
    const { id } = await acme.db.session.create({ data: { name: "a" } });
    const add = (alias: string) =>
      `${alias}: createMessage(input: { sessionId: "${id}", content: "x" }) { message { session { messageCount name } } }`;

    const answer = await acme.send(
      `mutation { ${add("a")} b: updateSession(input: { id: "${id}", name: "b" }) { session { name } } ${add("c")} }`,
    );

    expect(dataOf(answer)).toEqual({
      a: { message: { session: { messageCount: 1, name: "a" } } },
      b: { session: { name: "b" } },
      c: { message: { session: { messageCount: 2, name: "b" } } },
    });
  });
});
