import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { Prisma } from "../../src/context/generated/client/client.ts";
import { TENANT_OWNED_MODELS } from "../../src/context/generated/tenancy/models.ts";
import { openPrisma } from "../../src/context/prisma.ts";
import { tenantPool } from "../../src/context/tenant-pool.ts";
import { until } from "../support/until.ts";
import { newTenant, openGateway } from "./support/gateway.ts";
import type { Gateway } from "./support/gateway.ts";
import { lookUpInOneTick, perTenantClients } from "./support/batching.ts";
import { ENDINGS, settingsThatSurvive } from "./support/turns.ts";

const SEALED = [
  "findUnique", "findFirst", "findMany", "create", "createMany", "update", "updateMany", "upsert", "delete", "deleteMany", "count", "groupBy",
]; // prettier-ignore

let gateway: Gateway;
let mine: string;
let theirs: string;
beforeAll(async () => {
  gateway = await openGateway({ poolMax: 3 });
  mine = await newTenant(gateway.context);
  theirs = await newTenant(gateway.context);
});
afterAll(() => gateway.close());

const dbOf = (tenantId: string) => gateway.context.clients.of(tenantId).db;

test(`one connection serves two tenants in turn, whatever happened before: ${Object.keys(ENDINGS).join(", ")}`, async () => {
  expect(await settingsThatSurvive(gateway)).toEqual([]);
});

test("look-ups of two tenants in one tick are never sent together", async () => {
  expect(await lookUpInOneTick(gateway, perTenantClients(gateway))).toBe(0);
});

describe("what services get of the database", () => {
  test("is each model with the known operations, and nothing else: no way back to the client beneath", async () => {
    const shape = (db: object): unknown =>
      Object.fromEntries(
        Object.entries(db).map(([name, operations]: [string, object]) => [name, Reflect.ownKeys(operations)]),
      );
    const sealed = Object.fromEntries(Object.values(TENANT_OWNED_MODELS).map(({ client }) => [client, SEALED]));
    const inside = await gateway.context.clients.of(mine).transact(async (tx) => shape(tx));

    expect(shape(dbOf(mine))).toEqual(sealed);
    expect(Reflect.ownKeys(dbOf(mine))).toEqual(Object.keys(dbOf(mine)));
    expect(inside).toEqual(sealed);
    for (const name of [
      "$parent",
      "_originalClient",
      "$extends",
      "$queryRaw",
      "$executeRaw",
      "$transaction",
      "tenant",
    ]) {
      expect(Reflect.get(dbOf(mine), name)).toBeUndefined();
      expect(Reflect.get(dbOf(mine).session, name)).toBeUndefined();
    }
    expect(Object.isFrozen(dbOf(mine)) && Object.isFrozen(dbOf(mine).session)).toBe(true);
    expect(Object.getPrototypeOf(dbOf(mine))).toBe(Object.prototype);
  });

  test("acts at once, for the tenant whose it is: not later, and not for whoever waits for it", async () => {
    const lazy = dbOf(mine).session.create({ data: { name: "nobody waits for this" } });
    await until(async () => (await dbOf(mine).session.count({ where: { name: "nobody waits for this" } })) === 1);
    const seen = await gateway.context.clients.of(theirs).transact(async () => lazy);

    expect(seen.tenantId).toBe(mine);
    expect(await dbOf(theirs).session.count({ where: { name: "nobody waits for this" } })).toBe(0);
  });
});

describe("the setting", () => {
  test("is an empty text after its transaction, and then shows no row and raises no error", async () => {
    const client = await gateway.context.pool.connect();
    try {
      await client.query(`BEGIN; SET LOCAL app.tenant_id = '${mine}'`);
      await client.query("COMMIT");
      const { rows } = await client.query(
        "SELECT current_setting('app.tenant_id', true) AS setting, (SELECT count(*)::int FROM sessions) AS rows",
      );
      expect(rows).toEqual([{ setting: "", rows: 0 }]);
    } finally {
      client.release();
    }
  });

  test("leaves the choice of an isolation level open: a function that sets it would not (25001)", async () => {
    const levelUnder = async (setting?: (tenantId: string) => string): Promise<unknown> => {
      const prisma = openPrisma(tenantPool(gateway.context.pool, mine, { setting }), () => "");
      return prisma.$transaction(
        (tx) =>
          tx.$queryRaw`SELECT current_setting('transaction_isolation') AS level, current_setting('app.tenant_id') AS tenant`,
        { isolationLevel: Prisma.TransactionIsolationLevel.Serializable },
      );
    };

    expect(await levelUnder()).toEqual([{ level: "serializable", tenant: mine }]);
    await expect(levelUnder((id) => `SELECT set_config('app.tenant_id', '${id}', true)`)).rejects.toThrow("25001");
  });

  test("is made of a UUID and of nothing else", () => {
    for (const text of ["", "x", `${mine}'; RESET ROLE; --`, mine.toUpperCase(), ` ${mine}`]) {
      expect(() => tenantPool(gateway.context.pool, text)).toThrow("UUID");
    }
  });
});

describe("a transaction", () => {
  test("sends nothing more once its connection was given back: it may serve another tenant by now", async () => {
    const pool = new pg.Pool({ connectionString: gateway.database.gatewayUrl, max: 1, pipeline: true });
    const ended = await tenantPool(pool, mine).connect();
    for (const text of ["BEGIN", "COMMIT"]) await ended.query({ text });
    ended.release();
    const running = await tenantPool(pool, theirs).connect();
    await running.query({ text: "BEGIN" });

    await expect(ended.query({ text: "SELECT current_setting('app.tenant_id')" })).rejects.toThrow("given back");
    await running.query({ text: "ROLLBACK" });
    running.release();
    await pool.end();
  });

  test("is not acknowledged when a failure that was passed over inside made PostgreSQL roll it back", async () => {
    const { db, transact } = gateway.context.clients.of(mine);
    const attempt = transact(async (tx) => {
      const { id } = await tx.session.create({ data: { name: "not kept" } });
      await tx.session.create({ data: { name: "without its user", userId: id } }).catch(() => undefined);
    });

    await expect(attempt).rejects.toThrow("nothing was committed");
    expect(await db.session.count({ where: { name: "not kept" } })).toBe(0);
  });
});

describe("a connection that fails", () => {
  const pidOf = async (): Promise<number[]> => {
    const { rows } = await gateway.superuser.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'atrium' ORDER BY pid",
    );
    return rows.map(({ pid }) => pid);
  };

  test("while it waits inside a transaction ends that transaction, and not the process", async () => {
    const attempt = gateway.context.clients.of(mine).transact(async (tx) => {
      await tx.session.create({ data: { name: "cut off" } });
      await gateway.superuser.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'",
      );
      await until(async () => {
        const { rows } = await gateway.superuser.query<{ count: number }>(
          "SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'",
        );
        return rows[0]?.count === 0;
      });
      await tx.session.findMany();
    });

    await expect(attempt).rejects.toThrow("temporarily unavailable");
    expect(await dbOf(mine).session.count({ where: { name: "cut off" } })).toBe(0);
  });

  test("in the middle of a statement fails that statement, and not the process", async () => {
    const sleeping = tenantPool(gateway.context.pool, mine).query({ text: "SELECT pg_sleep(30)" });
    const failed = expect(sleeping).rejects.toThrow(/terminat/i);
    await until(async () => {
      const { rows } = await gateway.superuser.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE 'SELECT pg_sleep%'",
      );
      return rows.length > 0;
    });
    await failed;
    expect(await dbOf(mine).session.count()).toBeGreaterThan(0);
  });

  test("because the server no longer answers in time is thrown away", async () => {
    const pool = new pg.Pool({
      connectionString: gateway.database.gatewayUrl,
      max: 1,
      pipeline: true,
      query_timeout: 200,
    });
    pool.on("connect", (client) => client.on("error", () => undefined));
    const pid = async (): Promise<unknown> => (await pool.query("SELECT pg_backend_pid() AS pid")).rows;
    const before = await pid();

    await expect(tenantPool(pool, mine).query({ text: "SELECT pg_sleep(1)" })).rejects.toThrow("timeout");
    expect(await pid()).not.toEqual(before);
    await pool.end();
  });

  test.each(["a single statement", "a transaction"])(
    "at COMMIT of %s is thrown away, and nothing is acknowledged",
    async (way) => {
      await gateway.superuser.query(`
        CREATE OR REPLACE FUNCTION refuse_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
        DROP TRIGGER IF EXISTS refuse_at_commit ON sessions;
        CREATE CONSTRAINT TRIGGER refuse_at_commit AFTER INSERT ON sessions DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW WHEN (NEW.name = 'refused') EXECUTE FUNCTION refuse_at_commit()`);
      await dbOf(mine).session.count();
      const before = await pidOf();
      const { db, transact } = gateway.context.clients.of(mine);
      const data = { name: "refused" };

      await expect(
        way === "a transaction" ? transact((tx) => tx.session.create({ data })) : db.session.create({ data }),
      ).rejects.toThrow();
      await until(async () => (await pidOf()).length < before.length || (await pidOf()).join() !== before.join());
      expect(await db.session.count({ where: data })).toBe(0);
    },
  );
});

test("a thousand interleaved requests of fifty tenants, errors among them: each row bears the tenant that asked", async () => {
  const tenants = await Promise.all(Array.from({ length: 50 }, () => newTenant(gateway.context)));
  for (const id of tenants) await dbOf(id).session.createMany({ data: [{ name: id }, { name: id }] });
  const sessions = await Promise.all(tenants.map((id) => dbOf(id).session.findFirst()));
  const foreign = (index: number): string => sessions[(index + 1) % sessions.length]?.id ?? "";
  const works = [
    (id: string) => dbOf(id).session.findMany(),
    (id: string, index: number) => dbOf(id).session.findUnique({ where: { id: foreign(index) } }),
    (id: string, index: number) => dbOf(id).session.findUnique({ where: { id: sessions[index]?.id ?? "" } }),
    (id: string) => gateway.context.clients.of(id).transact((tx) => tx.session.findMany({ take: 1 })),
    (id: string, index: number) =>
      dbOf(id).message.create({ data: { sessionId: foreign(index), role: "user", content: "of another" } }),
    (id: string) =>
      gateway.context.clients.of(id).transact(async (tx) => {
        await tx.session.create({ data: { name: "rolled back" } });
        throw new Error("rolled back");
      }),
    (id: string) => tenantPool(gateway.context.pool, id).query({ text: "SELECT 1 / 0" }),
  ];

  // Fifty at a time, each at another kind of work: they meet on the same three connections in every combination.
  const answers = await Promise.all(
    tenants.map(async (id, index) => {
      const got: { readonly asked: string; readonly isRefused: boolean; readonly rows: readonly unknown[] }[] = [];
      for (let round = 0; round < 20; round += 1) {
        try {
          const found: unknown = await works[(index + round) % works.length]?.(id, index);
          got.push({ asked: id, isRefused: false, rows: [found].flat().filter((row) => row !== null) });
        } catch {
          got.push({ asked: id, isRefused: true, rows: [] });
        }
      }
      return got;
    }),
  );

  const all = answers.flat();
  expect(all).toHaveLength(1000);
  expect(all.filter(({ isRefused }) => isRefused).length).toBeGreaterThan(400);
  expect(all.filter(({ rows }) => rows.length > 0).length).toBeGreaterThan(400);
  for (const { asked, rows } of all) {
    for (const row of rows) expect(row).toMatchObject({ tenantId: asked, name: asked });
  }
}, 60_000);
