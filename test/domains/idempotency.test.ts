import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { CreateMessageDocument, CreateSessionDocument } from "../generated/operations/graphql.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf } from "../support/send.ts";

const HOUR_MS = 3_600_000;
let app: TestApp;
let now = Date.now();
beforeAll(async () => {
  app = await startApp({}, { clock: { now: () => new Date(now) } });
});
beforeEach(() => {
  now = Date.now();
});
afterAll(() => app.close());

describe("a mutation that names an idempotency key", () => {
  test("answers a repetition byte for byte as the first time, and does nothing", async () => {
    const acme = await app.newTenant();
    // Metadata that looks like the way dates could be noted must come back as it was.
    const metadata = { $date: "2024-01-01T00:00:00.000Z", dates: ["name"], b: 1, a: [{ z: 1, y: null }] };
    const input = { name: "Trip", title: null, metadata, idempotencyKey: "one" };

    const first = await acme.send(CreateSessionDocument, { input });
    now += HOUR_MS;
    const { id } = dataOf(await acme.send(CreateSessionDocument, { input })).createSession.session;
    await acme.db.session.update({ where: { id }, data: { name: "changed since" } });
    const third = await acme.send(CreateSessionDocument, { input });

    expect(dataOf(first)).toMatchObject({ createSession: { session: { metadata } } });
    expect(third.comparable).toBe(first.comparable);
    expect(await acme.db.session.count()).toBe(1);
    expect(await acme.db.auditEvent.count()).toBe(1);
  });

  test("holds for messages as well, where the order of the fields says nothing", async () => {
    const acme = await app.newTenant();
    const { id: sessionId } = await acme.db.session.create({ data: { name: "a" } });
    const send = async (metadata: Record<string, unknown>) =>
      acme.send(CreateMessageDocument, { input: { sessionId, content: "x", metadata, idempotencyKey: "one" } });

    const first = await send({ a: 1, b: { c: 2, d: 3 } });
    const second = await send({ b: { d: 3, c: 2 }, a: 1 });

    expect(codesOf(first)).toEqual([]);
    expect(second.comparable).toBe(first.comparable);
    expect(await acme.db.message.count()).toBe(1);
  });

  test("ten at the same time are done once, and all get the one answer", async () => {
    const acme = await app.newTenant();
    const input = { name: "Trip", idempotencyKey: "one" };

    const answers = await Promise.all(Array.from({ length: 10 }, () => acme.send(CreateSessionDocument, { input })));

    expect(new Set(answers.map((answer) => answer.comparable)).size).toBe(1);
    expect(answers.flatMap(codesOf)).toEqual([]);
    expect(await acme.db.session.count()).toBe(1);
  });

  test("with another input is a conflict", async () => {
    const acme = await app.newTenant();
    await acme.send(CreateSessionDocument, { input: { name: "a", idempotencyKey: "one" } });

    for (const input of [{ name: "b" }, { name: "a", title: "t" }, { name: "a", metadata: {} }]) {
      expect(codesOf(await acme.send(CreateSessionDocument, { input: { ...input, idempotencyKey: "one" } }))).toEqual([
        "CONFLICT",
      ]);
    }
    expect(await acme.db.session.count()).toBe(1);
  });

  test("after 24 hours does it anew, and old answers are gone", async () => {
    const acme = await app.newTenant();
    const input = { name: "a", idempotencyKey: "one" };
    await acme.send(CreateSessionDocument, { input });
    await acme.send(CreateSessionDocument, { input: { ...input, idempotencyKey: "two" } });

    now += 24 * HOUR_MS - 1;
    await acme.send(CreateSessionDocument, { input });
    expect(await acme.db.session.count()).toBe(2);

    now += 1;
    const answers = await Promise.all([1, 2, 3].map(() => acme.send(CreateSessionDocument, { input })));
    expect(answers.flatMap(codesOf)).toEqual([]);
    expect(await acme.db.session.count()).toBe(3);
    expect(await acme.db.idempotencyKey.count()).toBe(1);
  });

  test("tries again after a failure, because failures are not kept", async () => {
    const acme = await app.newTenant();
    const { id: sessionId } = await acme.db.session.create({ data: { name: "a", status: "archived" } });
    const input = { sessionId, content: "x", idempotencyKey: "one" };

    expect(codesOf(await acme.send(CreateMessageDocument, { input }))).toEqual(["CONFLICT"]);
    await acme.db.session.update({ where: { id: sessionId }, data: { status: "active" } });
    expect(codesOf(await acme.send(CreateMessageDocument, { input }))).toEqual([]);
    expect(await acme.db.message.count()).toBe(1);
  });

  test("meets neither another caller, nor another mutation, nor another tenant under the same key", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const colleague = await acme.withScopes("SESSIONS_READ", "SESSIONS_WRITE");
    const { id: sessionId } = await acme.db.session.create({ data: { name: "a" } });

    for (const send of [acme.send, colleague, globex.send]) {
      const answer = await send(CreateSessionDocument, { input: { name: "b", idempotencyKey: "one" } });
      expect(codesOf(answer)).toEqual([]);
    }
    const message = await acme.send(CreateMessageDocument, {
      input: { sessionId, content: "x", idempotencyKey: "one" },
    });
    expect(codesOf(message)).toEqual([]);
    expect(await acme.db.session.count()).toBe(3);
    expect(await globex.db.session.count()).toBe(1);
  });
});
