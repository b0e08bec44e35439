import { describe, expect, test } from "@jest/globals";
import { connect } from "node:net";
import type { Socket } from "node:net";
import pg from "pg";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf } from "../support/send.ts";

const STOP_WITHIN_MS = 10_000;

/** A connection that sends what it is told to, and keeps what comes back. */
async function openSocket(app: TestApp): Promise<{ socket: Socket; ended: Promise<string> }> {
  const socket = connect(Number(new URL(app.url).port), "127.0.0.1");
  const ended = new Promise<string>((resolve, reject) => {
    let text = "";
    socket.on("data", (chunk) => (text += chunk.toString()));
    socket.on("close", () => resolve(text));
    socket.on("error", reject);
  });
  await new Promise((resolve) => socket.once("connect", resolve));
  return { socket, ended };
}

/** Holds a table, so that whoever reads it waits; the function returned lets go. */
async function hold(app: TestApp, table: string): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: app.database.superuserUrl });
  // Dropping the database ends it, should a test fail before it lets go.
  client.on("error", () => undefined);
  await client.connect();
  await client.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
  return () => client.end();
}

/** Waits until so many statements wait for a lock. */
async function untilWaiting(app: TestApp, count: number): Promise<void> {
  const client = new pg.Client({ connectionString: app.database.superuserUrl });
  await client.connect();
  const waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
  while (((await client.query(waiting)).rowCount ?? 0) < count);
  await client.end();
}

describe("a stop", () => {
  test("finishes what is under way, takes nothing new, is unready, and leaves no connection open", async () => {
    const app = await startApp();
    const { send } = await app.newTenant();
    const probe = await openSocket(app);
    const idle = await openSocket(app);
    const release = await hold(app, "sessions");
    const pending = [
      send("{ sessions { totalCount } }"),
      send(`mutation { createSession(input: { name: "last" }) { session { name } } }`),
    ];
    await untilWaiting(app, 2);
    // The beginning of a request: who has begun to speak is heard to the end.
    probe.socket.write("GET /readyz HTTP/1.1\r\nHost: localhost\r\n");
    await send("{ __typename }");

    const began = performance.now();
    const closing = app.app.close();
    probe.socket.write("\r\n");

    const readiness = await probe.ended;
    expect(readiness).toMatch(/^HTTP\/1\.1 503 /);
    expect(readiness).toMatch(/connection: close/i);
    expect(readiness).toContain(`"process":"stopping"`);
    expect(await idle.ended).toBe("");
    await expect(send("{ __typename }")).rejects.toThrow("fetch failed");
    await release();
    const answers = await Promise.all(pending);
    expect(answers.map((answer) => [answer.status, codesOf(answer)])).toEqual([
      [200, []],
      [200, []],
    ]);
    await closing;
    expect(performance.now() - began).toBeLessThan(STOP_WITHIN_MS);
    await app.database.drop();
  });

  test("does not wait for a request that never ends", async () => {
    const app = await startApp();
    const { send } = await app.newTenant();
    const release = await hold(app, "sessions");
    const pending = send("{ sessions { totalCount } }").then(
      () => "answered",
      () => "cut off",
    );
    await untilWaiting(app, 1);

    const began = performance.now();
    const closing = app.app.close();

    expect(await pending).toBe("cut off");
    expect(performance.now() - began).toBeLessThan(STOP_WITHIN_MS);
    await release();
    await closing;
    await app.database.drop();
  });
});
