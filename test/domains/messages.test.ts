import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { CreateMessageDocument, ReadMessageDocument, SaidInSessionDocument } from "../generated/operations/graphql.ts";
import type { MessageRole } from "../generated/operations/graphql.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf } from "../support/send.ts";
import { anId } from "../support/tenants.ts";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

describe("storing a message", () => {
  test("keeps it as it was sent, notes the change on its session, and leaves a trace without its contents", async () => {
    const acme = await app.newTenant();
    const { id: sessionId } = await acme.db.session.create({ data: { name: "a", updatedAt: new Date(0) } });
    const input = { sessionId, role: "TOOL", content: "Perché no?\n🦉", metadata: { tools_used: ["web"] } } as const;

    const { message } = dataOf(await acme.send(CreateMessageDocument, { input })).createMessage;
    const read = dataOf(await acme.send(ReadMessageDocument, { id: message.id }));

    expect(message).toMatchObject({ role: "TOOL", content: input.content, metadata: input.metadata });
    expect(read.message?.session.updatedAt).toBe(message.createdAt);
    const [event] = await acme.db.auditEvent.findMany();
    expect(event).toMatchObject({ action: "message.create", target: message.id, details: { sessionId } });
    expect(JSON.stringify(event)).not.toContain("Perché");
  });

  test("is the user's unless another role is named", async () => {
    const acme = await app.newTenant();
    const { id: sessionId } = await acme.db.session.create({ data: { name: "a" } });

    expect(dataOf(await acme.send(CreateMessageDocument, { input: { sessionId, content: "x" } }))).toMatchObject({
      createMessage: { message: { role: "USER", metadata: {} } },
    });
  });

  test("takes a million characters, and not one more", async () => {
    const acme = await app.newTenant();
    const { id: sessionId } = await acme.db.session.create({ data: { name: "a" } });
    const content = "x".repeat(1_000_000);

    const stored = await acme.send(CreateMessageDocument, { input: { sessionId, content, idempotencyKey: "k" } });
    const again = await acme.send(CreateMessageDocument, { input: { sessionId, content, idempotencyKey: "k" } });

    expect(dataOf(stored)).toMatchObject({ createMessage: { message: { content } } });
    expect(again.comparable).toBe(stored.comparable);
    expect(codesOf(await acme.send(CreateMessageDocument, { input: { sessionId, content: `${content}x` } }))).toEqual([
      "BAD_USER_INPUT",
    ]);
  });

  test.each([
    ["no content", { content: "" }, "input.content"],
    ["a NUL character", { content: "a\0" }, "input.content"],
    ["metadata beyond 64 KiB", { content: "a", metadata: { much: "m".repeat(65_536) } }, "input.metadata"],
  ])("refuses %s", async (_name, input, path) => {
    const acme = await app.newTenant();
    const { id: sessionId } = await acme.db.session.create({ data: { name: "a" } });

    const answer = await acme.send(CreateMessageDocument, { input: { sessionId, ...input } });

    expect(codesOf(answer)).toEqual(["BAD_USER_INPUT"]);
    expect(answer.errors?.[0]?.extensions["fields"]).toMatchObject([{ path }]);
  });

  test.each(["archived", "deleted"])("a session that is %s takes no message, and stays as it was", async (status) => {
    const acme = await app.newTenant();
    const session = await acme.db.session.create({ data: { name: "a", status } });

    const answer = await acme.send(CreateMessageDocument, { input: { sessionId: session.id, content: "x" } });

    expect(codesOf(answer)).toEqual(["CONFLICT"]);
    expect(answer.errors?.[0]?.message).toBe(`Session is ${status}`);
    expect(await acme.db.message.count()).toBe(0);
    expect(await acme.db.auditEvent.count()).toBe(0);
    expect(await acme.db.session.findUnique({ where: { id: session.id } })).toEqual(session);
  });

  test("another tenant's session is answered like a missing one, open or closed", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const missing = await globex.send(CreateMessageDocument, { input: { sessionId: anId(), content: "x" } });
    expect(codesOf(missing)).toEqual(["NOT_FOUND"]);

    for (const status of ["active", "archived", "deleted"]) {
      const { id: sessionId } = await acme.db.session.create({ data: { name: "a", status } });
      const foreign = await globex.send(CreateMessageDocument, { input: { sessionId, content: "x" } });
      expect(foreign.comparable).toBe(missing.comparable);
    }
    expect(await acme.db.message.count()).toBe(0);
  });
});

describe("reading messages", () => {
  test("another tenant's message is answered like a missing one", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const { id: sessionId } = await acme.db.session.create({ data: { name: "a" } });
    const { id } = await acme.db.message.create({ data: { sessionId, role: "user", content: "secret" } });

    expect(dataOf(await acme.send(ReadMessageDocument, { id }))).toMatchObject({ message: { content: "secret" } });
    const foreign = await globex.send(ReadMessageDocument, { id });
    expect(foreign.comparable).toBe((await globex.send(ReadMessageDocument, { id: anId() })).comparable);
    expect(dataOf(foreign)).toEqual({ message: null });
  });

  test("what the predecessor left behind is readable: unknown roles as SYSTEM, missing metadata as empty", async () => {
    const acme = await app.newTenant();
    const { id: sessionId } = await acme.db.session.create({ data: { name: "a" } });
    const { id } = await acme.db.message.create({ data: { sessionId, role: "narrator", content: "once" } });
    const list = await acme.db.message.create({ data: { sessionId, role: "USER", content: "upon", metadata: [1] } });

    expect(dataOf(await acme.send(ReadMessageDocument, { id }))).toMatchObject({
      message: { role: "SYSTEM", metadata: {} },
    });
    expect(dataOf(await acme.send(ReadMessageDocument, { id: list.id }))).toMatchObject({
      message: { role: "SYSTEM", metadata: {} },
    });
  });

  test("roles restrict the list and its count by what they read as", async () => {
    const acme = await app.newTenant();
    const { id } = await acme.db.session.create({ data: { name: "a" } });
    for (const [index, role] of ["user", "assistant", "narrator", "tool", "system"].entries()) {
      await acme.db.message.create({
        data: { sessionId: id, role, content: String(index), createdAt: new Date(index * 1000) },
      });
    }
    async function said(role: MessageRole[] | null): Promise<string> {
      const { session } = dataOf(await acme.send(SaidInSessionDocument, { id, role }));
      expect(session?.messageCount).toBe(5);
      expect(session?.messages.totalCount).toBe(session?.messages.nodes.length);
      return (session?.messages.nodes ?? []).map(({ content }) => content).join("");
    }

    expect(await said(null)).toBe("01234");
    expect(await said(["USER", "TOOL"])).toBe("03");
    expect(await said(["SYSTEM"])).toBe("24");
    expect(await said(["SYSTEM", "ASSISTANT"])).toBe("124");
    expect(await said([])).toBe("");
  });

  test("reading needs SESSIONS_READ, and writing SESSIONS_WRITE", async () => {
    const acme = await app.newTenant();
    const { id: sessionId } = await acme.db.session.create({ data: { name: "a" } });
    const { id } = await acme.db.message.create({ data: { sessionId, role: "user", content: "x" } });
    const reader = await acme.withScopes("SESSIONS_READ");
    const writer = await acme.withScopes("SESSIONS_WRITE");
    const input = { sessionId, content: "y" };

    expect(codesOf(await reader(ReadMessageDocument, { id }))).toEqual([]);
    expect(codesOf(await writer(ReadMessageDocument, { id }))).toEqual(["FORBIDDEN"]);
    expect(codesOf(await reader(CreateMessageDocument, { input }))).toEqual(["FORBIDDEN"]);
    expect(codesOf(await writer(CreateMessageDocument, { input }))).toEqual([]);
  });
});

describe("the number of statements", () => {
  test("a page of 20 sessions with messages, files, notifications, tasks, owners and counts takes one for each list and one for each count", async () => {
    const acme = await app.newTenant();
    const user = await acme.db.user.create({ data: { email: "eve@example.com" } });
    for (let index = 0; index < 20; index += 1) {
      const { id: sessionId } = await acme.db.session.create({ data: { name: `s${index}`, userId: user.id } });
      await acme.db.message.createMany({
        data: ["a", "b", "c"].map((content) => ({ sessionId, role: "user", content })),
      });
      await acme.db.notification.createMany({ data: [{ sessionId, type: "todo", urgency: "low", content: {} }] });
      await acme.db.task.createMany({ data: [{ sessionId, type: "t" }] });
      await acme.db.file.createMany({ data: [{ sessionId, filename: "f", filepath: "f", textContent: "text" }] });
    }
    const query = (fields: string) => `{ sessions(first: 20) { nodes { id ${fields} } } }`;
    const statements = async (fields: string) =>
      app.countStatements(async () => {
        const { sessions } = dataOf(await acme.send<{ sessions: { nodes: object[] } }>(query(fields)));
        expect(sessions.nodes).toHaveLength(20);
      });

    expect(await statements("")).toBe(1);
    expect(await statements("messages(first: 2) { nodes { content } }")).toBe(2);
    expect(await statements("messageCount messages(first: 2) { totalCount nodes { content } }")).toBe(3);
    expect(await statements("messages(first: 2) { nodes { content session { name } } }")).toBe(3);
    expect(await statements("messageCount")).toBe(2);
    expect(await statements("user { email }")).toBe(2);
    expect(await statements("files { nodes { filename textPreview session { name } } }")).toBe(4);
    const lists = ["messages", "files", "notifications", "tasks"];
    expect(await statements(lists.map((list) => `${list} { nodes { id } }`).join(" "))).toBe(1 + 4);
    expect(
      await statements(
        `messageCount user { name } ${lists.map((list) => `${list} { totalCount nodes { id } }`).join(" ")}`,
      ),
    ).toBe(1 + 1 + 4 + 4);
    expect(await app.countStatements(() => acme.send("{ sessions { totalCount nodes { id } } }"))).toBe(2);
  });

  test("the limit holds for each session of a page by itself", async () => {
    const acme = await app.newTenant();
    for (const name of ["a", "b"]) {
      const { id: sessionId } = await acme.db.session.create({ data: { name } });
      for (let index = 0; index < 5; index += 1) {
        await acme.db.message.create({
          data: { sessionId, role: "user", content: `${name}${index}`, createdAt: new Date(index) },
        });
      }
    }

    expect(
      dataOf(
        await acme.send(`{ sessions(orderBy: { field: NAME, direction: ASC }) { nodes {
          first: messages(first: 2) { nodes { content } } last: messages(last: 2) { nodes { content } } } } }`),
      ),
    ).toEqual({
      sessions: {
        nodes: ["a", "b"].map((name) => ({
          first: { nodes: [{ content: `${name}0` }, { content: `${name}1` }] },
          last: { nodes: [{ content: `${name}3` }, { content: `${name}4` }] },
        })),
      },
    });
  });
});
