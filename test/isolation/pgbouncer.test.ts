import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { tenantPool } from "../../src/context/tenant-pool.ts";
import { newDatabase } from "../support/database.ts";
import type { TestDatabase } from "../support/database.ts";
import { hasPgBouncer, startPgBouncer } from "../support/pgbouncer.ts";
import type { TestPgBouncer } from "../support/pgbouncer.ts";
import { sendTo } from "../support/send.ts";
import { tenantMaker } from "../support/tenants.ts";
import { until } from "../support/until.ts";
import { ACTS, startBehind } from "./support/pooled.ts";
import type { Process } from "./support/pooled.ts";

// Two gateways whose requests share two connections to PostgreSQL: each transaction of a tenant runs where another one's has just ended.

const SERVER_CONNECTIONS = 2;
const TENANTS = 20;
const REQUESTS = 1_000;
const WITHIN_MS = 1_000;
const STATEMENT_TIMEOUT_MS = 2_000; // longer than any statement but those that sleep, on a machine that is busy with other tests
const CANCEL_EVERY_MS = 50;
const PATIENCE_MS = 120_000;

let database: TestDatabase;
let bouncer: TestPgBouncer;
let superuser: pg.Client;
const running: Process[] = [];

async function start(settings?: Readonly<Record<string, string>>): Promise<Process> {
  const started = await startBehind(bouncer, database, settings);
  running.push(started);
  return started;
}

const metricsOf = async ({ app }: Process): Promise<string> => (await fetch(`${app.url}/metrics`)).text();

(hasPgBouncer() ? describe : describe.skip)("behind PgBouncer in transaction mode", () => {
  let one: Process;
  let other: Process;
  beforeAll(async () => {
    database = await newDatabase();
    superuser = new pg.Client({ connectionString: database.superuserUrl });
    await superuser.connect();
    const { username, pathname } = new URL(database.gatewayUrl);
    await superuser.query(
      `ALTER ROLE ${username} IN DATABASE ${pathname.slice(1)} SET statement_timeout = ${STATEMENT_TIMEOUT_MS}`,
    );
    bouncer = await startPgBouncer(database.gatewayUrl, { poolSize: SERVER_CONNECTIONS });
    one = await start();
    other = await start();
  }, PATIENCE_MS);
  afterAll(async () => {
    for (const { close } of running) await close();
    await bouncer.stop();
    await superuser.end();
    await database.drop();
  });

  test(
    "a thousand interleaved requests of twenty tenants at two gateways, failures of all kinds among them: each row is of the tenant that asked",
    async () => {
      const newTenant = tenantMaker(one.app, one.url);
      const tenants = await Promise.all(Array.from({ length: TENANTS }, () => newTenant()));
      await Promise.all(tenants.map(({ db, id }) => db.session.createMany({ data: [{ name: id }, { name: id }] })));
      const sessions = await Promise.all(tenants.map(({ db }) => db.session.findFirst()));
      const idOf = (index: number): string => sessions[index % TENANTS]?.id ?? "";
      const stop = keepCancelling();

      const answers = await Promise.all(
        tenants.map(async (tenant, index) => {
          const got: unknown[] = [];
          for (let round = 0; round < REQUESTS / TENANTS; round += 1) {
            const gateway = (index + round) % 2 === 0 ? one : other;
            const act = ACTS[(index + round) % ACTS.length];
            got.push(await act?.({ gateway, tenant, own: idOf(index), foreign: idOf(index + 1) }));
          }
          return { tenant, got };
        }),
      );
      stop();

      expect(answers.flatMap(({ got }) => got)).toHaveLength(REQUESTS);
      for (const { tenant, got } of answers) {
        const text = JSON.stringify(got);
        const foreign = tenants.filter(({ id }) => id !== tenant.id && text.includes(id));
        expect(foreign).toEqual([]);
        expect(text).toContain(tenant.id);
        expect(got).toContain("rolled back");
        expect(got).toContain("cancelled");
        expect(got).toContain("failed");
      }
      // What was rolled back, cancelled or refused has left nothing.
      const { rows } = await superuser.query<{ strays: number }>(
        "SELECT count(*)::int AS strays FROM sessions WHERE name <> tenant_id::text AND name <> 'added'",
      );
      expect(rows).toEqual([{ strays: 0 }]);
      expect(await bouncer.serverConnections(new URL(database.gatewayUrl).pathname.slice(1))).toBe(SERVER_CONNECTIONS);
      expect(await settingsOnServerConnections()).toEqual(
        Array.from({ length: SERVER_CONNECTIONS }, () => ({ tenant: "", rows: 0 })),
      );
    },
    PATIENCE_MS,
  );

  test("a key that was revoked at one gateway is refused at the other within a second, though keys are cached there", async () => {
    await until(async () => (await metricsOf(other)).includes("atrium_revocations_unheard 0\n"));
    const { key, db } = await tenantMaker(one.app, one.url)();
    const ask = async (): Promise<number> =>
      (await sendTo(other.url, { "X-API-Key": key })("{ sessions { totalCount } }")).status;
    expect(await ask()).toBe(200);

    await db.apiKey.updateMany({ where: { active: true }, data: { active: false } });
    const began = performance.now();
    await until(async () => (await ask()) === 401);

    expect(performance.now() - began).toBeLessThan(WITHIN_MS);
    expect(one.said() + other.said()).not.toContain("notices of revocation");
  });

  test("a statement that takes too long is ended by PostgreSQL, and its connection shows the next tenant nothing", async () => {
    const [mine, theirs] = [await tenantMaker(one.app, one.url)(), await tenantMaker(one.app, one.url)()];
    await mine.db.session.create({ data: { name: mine.id } });
    const sleeping = Array.from({ length: SERVER_CONNECTIONS }, () =>
      tenantPool(one.app.context.pool, mine.id).query({ text: "SELECT pg_sleep(30)" }),
    );
    for (const { status } of await Promise.allSettled(sleeping)) expect(status).toBe("rejected");

    expect(await theirs.db.session.count()).toBe(0);
    expect(await mine.db.session.count()).toBe(1);
  });

  test(
    "without a way straight to PostgreSQL nothing is cached, the log says what to set, and a revoked key is refused at once",
    async () => {
      const deaf = await start({ DATABASE_LISTEN_URL: bouncer.through(database.gatewayUrl) });
      await until(() => deaf.said().includes("DATABASE_LISTEN_URL"));
      const { key, db } = await tenantMaker(one.app, one.url)();
      const ask = async (): Promise<number> =>
        (await sendTo(deaf.url, { "X-API-Key": key })("{ sessions { totalCount } }")).status;
      expect(await ask()).toBe(200);
      await db.apiKey.updateMany({ where: { active: true }, data: { active: false } });

      expect(await ask()).toBe(401);
      expect(await metricsOf(deaf)).toContain("atrium_revocations_unheard 1\n");
    },
    PATIENCE_MS,
  );

  test("limits are counted for all gateways together, without a named statement of anybody's", async () => {
    const { key } = await tenantMaker(one.app, one.url)();
    const left = async ({ url }: Process): Promise<number> => {
      const { headers } = await sendTo(url, { "X-API-Key": key })("{ sessions { totalCount } }");
      return Number(headers.get("RateLimit-Remaining"));
    };
    const before = await left(one);
    await until(async () => (await left(other)) < before - 1);

    for (const gateway of [one, other]) {
      expect(await metricsOf(gateway)).toContain("atrium_rate_limit_store_away 0\n");
      expect(gateway.said()).not.toContain("prepared statement");
    }
  });

  test("a start says which settings the pooler takes away, and what to do", async () => {
    const { username, pathname } = new URL(database.gatewayUrl);
    const where = `ALTER ROLE ${username} IN DATABASE ${pathname.slice(1)}`;
    expect(one.said()).not.toContain("statement_timeout");
    expect(one.said()).not.toContain("PREPARED_STATEMENTS");
    await superuser.query(`${where} SET statement_timeout = 0`);
    // Connections that are there keep what they began with.
    await superuser.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'atrium'",
    );
    const warned = await start({ PREPARED_STATEMENTS: "on" });

    expect(warned.said()).toContain(`ALTER ROLE ${username} SET statement_timeout = '15s'`);
    expect(warned.said()).toContain("PREPARED_STATEMENTS=off");
  });
});

/** Cancels sleeping statements again and again. */
function keepCancelling(): () => void {
  const timer = setInterval(
    () =>
      void superuser.query(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query = 'SELECT pg_sleep(30)'",
      ),
    CANCEL_EVERY_MS,
  );
  return () => clearInterval(timer);
}

/** What the server connections still know of a tenant; all of them are held at once, so that none is seen twice. */
async function settingsOnServerConnections(): Promise<unknown[]> {
  const clients = Array.from(
    { length: SERVER_CONNECTIONS },
    () => new pg.Client({ connectionString: bouncer.through(database.gatewayUrl) }),
  );
  const found: { readonly pid: number; readonly tenant: string; readonly rows: number }[] = [];
  for (const client of clients) {
    await client.connect();
    await client.query("BEGIN");
    const { rows } = await client.query<{ pid: number; tenant: string; rows: number }>(
      "SELECT pg_backend_pid() AS pid, current_setting('app.tenant_id', true) AS tenant, (SELECT count(*)::int FROM sessions) AS rows",
    );
    found.push(...rows);
  }
  for (const client of clients) {
    await client.query("ROLLBACK");
    await client.end();
  }
  expect(new Set(found.map(({ pid }) => pid)).size).toBe(SERVER_CONNECTIONS);
  return found.map(({ tenant, rows }) => ({ tenant, rows }));
}
