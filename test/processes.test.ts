import { afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import pg from "pg";
import type { Client } from "undici";
import { newDatabase } from "./support/database.ts";
import type { TestDatabase } from "./support/database.ts";
import { temporaryFolder } from "./support/postgres.ts";
import { ask, isAlive, newTenant, startSeveral, textOf } from "./support/several.ts";
import type { SeveralProcesses } from "./support/several.ts";
import { until } from "./support/until.ts";

// Real processes, started as `npm start` does. Each of four connections that are opened one after the other belongs to another of them.

const PROCESSES = 4;
const WITHIN_MS = 1_000;
const STOP_WITHIN_MS = 10_000;
const PATIENCE_MS = 180_000;
let database: TestDatabase;
let dataDir: string;
let clients: Client[];
let running: Pick<SeveralProcesses, "pid" | "exited">[];
beforeAll(() => {
  execFileSync(process.execPath, ["scripts/build.js"], { stdio: "ignore" });
}, PATIENCE_MS);
beforeEach(async () => {
  database = await newDatabase();
  dataDir = temporaryFolder();
  [clients, running] = [[], []];
});
afterEach(async () => {
  await Promise.all(clients.map((client) => client.destroy()));
  for (const { pid, exited } of running) {
    if (isAlive(pid)) process.kill(pid, "SIGTERM");
    await exited;
  }
  await database.drop();
  rmSync(dataDir, { recursive: true, force: true });
}, PATIENCE_MS);

async function start(): Promise<SeveralProcesses> {
  const gateway = await startSeveral(PROCESSES, {
    database,
    dataDir,
    onStart: (started) => void running.push(started),
  });
  function connect(): Client {
    const client = gateway.connect();
    clients.push(client);
    return client;
  }
  return { ...gateway, connect };
}

/** The process ids of those that answered requests for data. */
const servers = ({ logged }: SeveralProcesses): Set<number | undefined> =>
  new Set(
    logged()
      .filter(({ route }) => route === "/graphql")
      .map(({ pid }) => pid),
  );

test(
  "four processes answer on one port, count a limit together, sum their metrics, and refuse a revoked key within a second",
  async () => {
    const gateway = await start();
    const each = Array.from({ length: PROCESSES }, () => gateway.connect());
    const [one] = each;
    if (!one) throw new Error("there are four");
    const { id, key } = await newTenant(one);
    for (const client of each) expect((await ask(client, key, "{ sessions { totalCount } }")).codes).toEqual([]);
    await until(() => servers(gateway).size === PROCESSES);

    expect(servers(gateway)).not.toContain(gateway.pid);
    for (const client of each)
      expect(await textOf(client, "/metrics")).toContain(`\natrium_processes ${String(PROCESSES)}\n`);
    const answered = /^atrium_requests_total\{route="\/graphql",outcome="ok"\} (\d+)$/m;
    expect(answered.exec(await textOf(one, "/metrics"))?.[1]).toBe(String(PROCESSES + 2));

    const few = await newTenant(one, 40);
    const answers = await Promise.all(
      each.flatMap((client) => Array.from({ length: 20 }, () => ask(client, few.key, "{ sessions { totalCount } }"))),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(40);
    expect(answers.filter(({ codes }) => codes[0] === "RATE_LIMITED")).toHaveLength(40);

    const superuser = new pg.Client({ connectionString: database.superuserUrl });
    await superuser.connect();
    await superuser.query("UPDATE api_keys SET active = false WHERE tenant_id = $1", [id]);
    const began = performance.now();
    await Promise.all(
      each.map((client) => until(async () => (await ask(client, key, "{ sessions { totalCount } }")).status === 401)),
    );
    expect(performance.now() - began).toBeLessThan(WITHIN_MS);
    await superuser.end();

    process.kill(gateway.pid, "SIGTERM");
    const stopped = performance.now();
    expect(await gateway.exited).toBe(0);
    expect(performance.now() - stopped).toBeLessThan(STOP_WITHIN_MS);
    expect(gateway.said()).toContain("Stopping (SIGTERM)");
    for (const pid of servers(gateway)) expect(isAlive(pid ?? 0)).toBe(false);
  },
  PATIENCE_MS,
);

test(
  "a process that is killed loses nothing but what it was answering, and is replaced after a pause that grows",
  async () => {
    const gateway = await start();
    const [first, ...others] = Array.from({ length: PROCESSES }, () => gateway.connect());
    if (!first) throw new Error("there are four");
    const { key } = await newTenant(first);
    await ask(first, key, "{ sessions { totalCount } }");
    await until(() => servers(gateway).size === 1);
    const [victim = 0] = servers(gateway);

    let isOver = false;
    const acknowledged: string[] = [];
    let lost = 0;
    const write = async (client: Client): Promise<void> => {
      while (!isOver) {
        const name = crypto.randomUUID();
        try {
          const { codes } = await ask(
            client,
            key,
            `mutation { createSession(input: { name: "${name}" }) { session { id } } }`,
          );
          expect(codes).toEqual([]);
          acknowledged.push(name);
        } catch (error) {
          // Whoever asks on a connection that is cut is told, and connects again.
          if (client !== first) throw error;
          lost += 1;
        }
      }
    };
    const writers = [first, ...others].map(write);
    try {
      await until(() => acknowledged.length > 20);
      process.kill(victim, "SIGKILL");
      await until(() => !isAlive(victim));
      const soFar = acknowledged.length;
      await until(() => acknowledged.length > soFar + 20);
      await until(async () =>
        (await textOf(gateway.connect(), "/metrics")).includes(`\natrium_processes ${String(PROCESSES)}\n`),
      );
    } finally {
      isOver = true;
    }
    await Promise.all(writers);

    expect(lost).toBeLessThanOrEqual(1);
    const superuser = new pg.Client({ connectionString: database.superuserUrl });
    await superuser.connect();
    const { rows } = await superuser.query<{ name: string }>("SELECT name FROM sessions");
    await superuser.end();
    const kept = new Set(rows.map(({ name }) => name));
    expect(acknowledged.filter((name) => !kept.has(name))).toEqual([]);

    const ends = (): (number | undefined)[] =>
      gateway.logged().flatMap(({ ended, pauseMs }) => (ended === "SIGKILL" ? [pauseMs] : []));
    expect(ends()).toEqual([100]);
    const newest = (): number => Math.max(...[...servers(gateway)].map(Number));
    await until(async () => {
      await ask(gateway.connect(), key, "{ sessions { totalCount } }");
      return newest() > Math.max(victim, gateway.pid) && servers(gateway).size > PROCESSES;
    });
    process.kill(newest(), "SIGKILL");
    await until(() => ends().length === 2);
    expect(ends()).toEqual([100, 200]);
  },
  PATIENCE_MS,
);

test(
  "processes whose first one is killed do not stay behind",
  async () => {
    const gateway = await start();
    const { key } = await newTenant(gateway.connect());
    for (let each = 0; each < PROCESSES; each += 1)
      await ask(gateway.connect(), key, "{ sessions { totalCount } }").catch(() => undefined);
    await until(() => servers(gateway).size === PROCESSES);
    process.kill(gateway.pid, "SIGKILL");

    await until(() => [...servers(gateway)].every((pid) => !isAlive(pid ?? 0)));
    await gateway.exited;
  },
  PATIENCE_MS,
);

test(
  "a start that cannot be ends with 1 and says why once, also with several processes",
  async () => {
    const superuser = new pg.Client({ connectionString: database.superuserUrl });
    await superuser.connect();
    await superuser.query("ALTER TABLE messages DISABLE ROW LEVEL SECURITY");
    await superuser.end();
    const attempt = await start().then(
      () => "",
      (error: unknown) => String(error),
    );

    expect(attempt.match(/The walls between tenants do not stand/g)).toHaveLength(1);
    expect(await running[0]?.exited).toBe(1);
  },
  PATIENCE_MS,
);
