import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import pg from "pg";
import { openApp } from "../../src/app.ts";
import type { App } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import { openLog } from "../../src/context/log.ts";
import { PLATFORM_KEY, startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { newDatabase } from "../support/database.ts";
import { openLine } from "../support/line.ts";
import { temporaryFolder } from "../support/postgres.ts";
import { codesOf, dataOf, sendTo } from "../support/send.ts";
import type { Sender } from "../support/send.ts";
import { tenantMaker } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";
import { until } from "../support/until.ts";

const MASTER_KEY = "test-master-key-0123456789-0123456789";
const PATIENCE_MS = 120_000; // on a machine that is busy with other tests
const WRITTEN_WITHIN_MS = 15_000; // 5 s, and what such a machine makes of them
const ASK = "{ sessions { totalCount } }";
const USAGE = '{ usage(from: "2026-03-30T00:00:00Z", to: "2026-03-31T00:00:00Z") { value } }';

const now = new Date("2026-03-30T22:40:00Z");
let app: TestApp;
beforeAll(async () => {
  app = await startApp({}, { clock: { now: () => now } });
});
afterAll(() => app.close());

/** Sends so many requests, one after the other. */
async function ask(send: Sender, times: number): Promise<void> {
  for (let each = 0; each < times; each += 1) dataOf(await send(ASK));
}

/** A gateway over a database that exists. */
async function openGateway(urls: { readonly gatewayUrl: string; readonly ownerUrl: string }): Promise<App> {
  const settings = { PORT: "0", DATA_DIR: temporaryFolder() };
  const config = readConfig({ ...settings, DATABASE_URL: urls.gatewayUrl, DATABASE_OWNER_URL: urls.ownerUrl });
  return openApp({
    config,
    gatewayUrl: urls.gatewayUrl,
    platformAdminKey: PLATFORM_KEY,
    masterKey: MASTER_KEY,
    log: openLog({ logLevel: "silent" }),
    clock: { now: () => now },
  });
}

/** How many requests are written for a tenant. */
async function written({ db }: Pick<TestTenant, "db">): Promise<number> {
  const rows = await db.usageCount.findMany({ where: { metric: "requests" } });
  return rows.reduce((sum, { value }) => sum + Number(value), 0);
}

/** Where a gateway answers that has just been started. @throws Error when it ends before it says so. */
async function addressOf(child: ChildProcessByStdio<null, Readable, null>): Promise<string> {
  let said = "";
  for await (const text of child.stdout) {
    said += String(text);
    const [, address] = /ready at (\S+)\n/.exec(said) ?? [];
    if (address !== undefined) return address;
  }
  throw new Error(`It ended:\n${said}`);
}

describe("what is counted of usage", () => {
  test("by two gateways in the same hour adds up, in one row", async () => {
    const other = await openGateway(app.database);
    const acme = await app.newTenant();
    const elsewhere = sendTo(`${other.url}/graphql`, { "X-API-Key": acme.key });
    await Promise.all([
      ...Array.from({ length: 20 }, () => ask(acme.send, 1)),
      ...Array.from({ length: 10 }, () => ask(elsewhere, 1)),
    ]);
    await Promise.all([app.app.context.meters.flush(), other.context.meters.flush()]);
    await ask(elsewhere, 5);
    // Closing writes what is left.
    await other.close();

    const rows = await acme.db.usageCount.findMany({ where: { metric: "requests" } });
    expect(rows.map(({ value, hour }) => [value, hour.toISOString()])).toEqual([[35n, "2026-03-30T22:00:00.000Z"]]);
  });

  test("while the database is away is written when it is back", async () => {
    const database = await newDatabase();
    const line = await openLine(Number(new URL(database.gatewayUrl).port));
    const gateway = await openGateway({ ...database, gatewayUrl: line.through(database.gatewayUrl) });
    const { meters } = gateway.context;
    const acme = await tenantMaker(gateway, `${gateway.url}/graphql`)();
    try {
      await ask(acme.send, 5);
      await line.cut();
      await meters.flush();
      expect(meters.state()).toMatchObject({ failures: 1, lost: 0 });
      expect(meters.state().waiting).toBeGreaterThan(0);
      expect(codesOf(await acme.send(USAGE))).toEqual(["UNAVAILABLE"]);

      await line.mend();
      await until(async () => {
        await meters.flush();
        return meters.state().waiting === 0;
      });
      await meters.flush();
      // Whoever was refused because the database was away was counted as long as the tenant was known.
      expect([5, 6]).toContain(await written(acme));
    } finally {
      await gateway.close();
      await line.cut();
      await database.drop();
    }
  });

  test.each(["is committed", "is rolled back"])(
    "is counted once when nobody heard how its transaction ended: it %s",
    async (end) => {
      const database = await newDatabase();
      const line = await openLine(Number(new URL(database.gatewayUrl).port));
      const gateway = await openGateway({ ...database, gatewayUrl: line.through(database.gatewayUrl) });
      const { meters } = gateway.context;
      const superuser = new pg.Client({ connectionString: database.superuserUrl });
      await superuser.connect();
      const acme = await tenantMaker(gateway, `${gateway.url}/graphql`)();
      try {
        // COMMIT waits until the test lets it go on.
        await superuser.query(`
          CREATE FUNCTION atrium.wait() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$;
          GRANT EXECUTE ON FUNCTION atrium.wait() TO PUBLIC;
          CREATE CONSTRAINT TRIGGER wait AFTER INSERT OR UPDATE ON usage_counts DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION atrium.wait();
          SELECT pg_advisory_lock(42)`);
        await ask(acme.send, 3);
        const flushing = meters.flush();
        const waiting = `SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()`;
        await until(async () => (await superuser.query(waiting)).rowCount === 1);
        await line.cut();
        await flushing;
        await line.mend();
        const { waiting: before } = meters.state();
        await meters.flush();
        expect([before > 0, meters.state().waiting]).toEqual([true, before]);

        if (end === "is rolled back")
          await superuser.query(`SELECT pg_terminate_backend(pid) FROM (${waiting}) AS them`);
        await superuser.query("SELECT pg_advisory_unlock(42)");
        await until(async () => {
          await meters.flush();
          return meters.state().waiting === 0;
        });

        expect(await written(acme)).toBe(3);
      } finally {
        await superuser.end();
        await gateway.close();
        await line.cut();
        await database.drop();
      }
    },
    PATIENCE_MS,
  );

  test(
    "is there after kill -9, but for the last seconds",
    async () => {
      const database = await newDatabase();
      const observer = await openGateway(database);
      const acme = await tenantMaker(observer, `${observer.url}/graphql`)();
      const child = spawn(process.execPath, ["--import", "tsx", "src/main.ts"], {
        env: {
          ...process.env,
          ...{
            NODE_ENV: "development",
            DATA_DIR: temporaryFolder(),
            PORT: "0",
            SAMPLE_DATA: "off",
            LOG_LEVEL: "silent",
          },
          ...{ DATABASE_URL: database.gatewayUrl, DATABASE_OWNER_URL: database.ownerUrl },
        },
        stdio: ["ignore", "pipe", "inherit"],
      });
      try {
        const send = sendTo(await addressOf(child), { "X-API-Key": acme.key });
        await ask(send, 7);
        const answeredAt = performance.now();
        // Nobody asks for it: it is written by itself, an interval later at most.
        await until(async () => (await written(acme)) === 7);
        expect(performance.now() - answeredAt).toBeLessThan(WRITTEN_WITHIN_MS);
        await ask(send, 4);
        child.kill("SIGKILL");
        await once(child, "close");

        const kept = await written(acme);
        expect(kept).toBeGreaterThanOrEqual(7);
        expect(kept).toBeLessThanOrEqual(11);
      } finally {
        child.kill("SIGKILL");
        await observer.close();
        await database.drop();
      }
    },
    PATIENCE_MS,
  );
});
