import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { connect } from "node:net";
import pg from "pg";
import { newApiKey } from "../../src/context/crypto.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf } from "../support/send.ts";
import type { Sender } from "../support/send.ts";
import type { TestTenant } from "../support/tenants.ts";
import { until } from "../support/until.ts";

const PRESENT = 256; // of one tenant
const POOL = 8;
const OF_ONE = 6; // connections: one is kept for look-ups, one for tenants that have none
const SESSIONS = "{ sessions { totalCount } }";
const CONTEXT = "{ tenantContext { source } }";

let app: TestApp;
let flood: TestTenant;
let other: TestTenant;
beforeAll(async () => {
  app = await startApp({ DATABASE_POOL_MAX: String(POOL) });
  flood = await app.newTenant();
  other = await app.newTenant();
  for (const { send } of [flood, other]) await send(CONTEXT);
});
afterAll(() => app.close());

const counts = () => app.app.context.fairShare.counts();

/** Runs `work` while everybody who reads sessions waits. */
async function whileHeld(work: (release: () => Promise<void>) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: app.database.superuserUrl });
  await client.connect();
  let isHeld = true;
  async function release(): Promise<void> {
    if (isHeld) await client.end();
    isHeld = false;
  }
  try {
    await client.query("BEGIN; LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE");
    await work(release);
  } finally {
    await release();
  }
}

const many = (count: number, send: Sender) => Array.from({ length: count }, () => send(SESSIONS));

/** A request of the tenant that floods, of which nothing but the head is sent until `finish`. */
function halfARequest(): { readonly finish: () => void; readonly answer: Promise<string>; readonly close: () => void } {
  const body = JSON.stringify({ query: SESSIONS });
  const head = [
    "POST /graphql HTTP/1.1",
    "Host: localhost",
    `X-API-Key: ${flood.key}`,
    "Content-Type: application/json",
    `Content-Length: ${body.length}`,
  ];
  const socket = connect(Number(new URL(app.url).port), "127.0.0.1");
  socket.write(`${head.join("\r\n")}\r\n\r\n`);
  const answer = new Promise<string>((resolve) => socket.once("data", (chunk: Buffer) => resolve(chunk.toString())));
  return { finish: () => void socket.write(body), answer, close: () => void socket.destroy() };
}

describe("a tenant that floods", () => {
  test("is told to come back in a second, before its body is read; what it has under way is answered, and others are served", async () => {
    // More than there may be: a whole request that comes in between takes the place of one.
    const underWay = Array.from({ length: PRESENT + 20 }, halfARequest);
    let refused = await flood.send(SESSIONS);
    while (refused.status === 200) refused = await flood.send(SESSIONS);
    const oneMore = halfARequest();

    expect([refused.status, ...codesOf(refused)]).toEqual([429, "RATE_LIMITED"]);
    expect(refused.errors?.[0]?.extensions).toMatchObject({ retryAfterSeconds: 1 });
    expect(refused.headers.get("Retry-After")).toBe("1");
    expect(await oneMore.answer).toMatch(/^HTTP\/1\.1 429 /);
    expect((await other.send(SESSIONS)).status).toBe(200);
    underWay[0]?.finish();
    expect(await underWay[0]?.answer).toMatch(/^HTTP\/1\.1 200 /);
    for (const { close } of [oneMore, ...underWay]) close();
    await until(() => counts().present === 0);
    expect((await flood.send(SESSIONS)).status).toBe(200);
  });

  test("and holds all connections that one may have keeps neither others' credentials nor their statements waiting", async () => {
    const { fairPool } = app.app.context;
    const unseen = await other.withScopes("READ_SESSIONS");
    const held = await Promise.all(Array.from({ length: OF_ONE }, () => fairPool.of(flood.id).connect()));
    const next = fairPool.of(flood.id).connect();
    expect(fairPool.counts()).toMatchObject({ running: OF_ONE, waiting: 1 });
    const stranger = await other.send(SESSIONS, {}, { "X-API-Key": newApiKey().text });
    const known = await unseen(SESSIONS);

    expect([stranger.status, known.status]).toEqual([401, 200]);
    expect(fairPool.counts()).toMatchObject({ waiting: 1 });
    for (const client of held) client.release();
    (await next).release();
  });
});

test("requests of one connection that is cut leave nothing behind, wherever they were: answered, executed, waiting, half sent", async () => {
  await whileHeld(async (release) => {
    const socket = connect(Number(new URL(app.url).port), "127.0.0.1");
    const head = `POST /graphql HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${flood.key}\r\nContent-Type: application/json\r\n`;
    const whole = (query: string): string => {
      const body = JSON.stringify({ query });
      return `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
    };
    socket.write(`${whole(CONTEXT)}${whole(SESSIONS).repeat(5)}${head}Content-Length: 100\r\n\r\n{`);
    await until(() => counts().present === 6);
    socket.destroy();
    await release();
  });

  await until(() => counts().present === 0);
  expect(counts()).toMatchObject({ running: 0, waiting: 0 });
});

test("a client that goes away while its request waits leaves the queue, and nothing is executed for it", async () => {
  await whileHeld(async (release) => {
    const kept = many(20, flood.send);
    await until(() => counts().running + counts().waiting === 20);
    const before = counts();
    const leaving = new AbortController();
    const gone = fetch(app.url, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-API-Key": flood.key },
      body: JSON.stringify({ query: `mutation { createSession(input: { name: "never" }) { session { id } } }` }),
      signal: leaving.signal,
    }).catch((error: unknown) => error);
    await until(() => counts().waiting === before.waiting + 1);
    leaving.abort();
    await until(() => counts().waiting === before.waiting);

    expect(await gone).toMatchObject({ name: "AbortError" });
    await release();
    await Promise.all(kept);
  });

  expect(await flood.db.session.count()).toBe(0);
});

test("/metrics tells how many are executed, wait and were sent away, and names no tenant", async () => {
  const text = await (await fetch(new URL("/metrics", app.url))).text();

  expect(text).toContain('atrium_executions{state="running"} 0');
  expect(text).toContain('atrium_executions{state="waiting"} 0');
  expect(text).toMatch(/atrium_executions_refused_total\{reason="full"\} [1-9]/);
  expect(text).toContain('atrium_executions_refused_total{reason="late"} 0');
  expect(text).not.toContain(flood.id);
});
