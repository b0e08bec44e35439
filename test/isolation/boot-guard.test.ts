import { describe, expect, test } from "@jest/globals";
import pg from "pg";
import { openApp } from "../../src/app.ts";
import type { AppOptions } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import { assertWalls, checkWalls, WallsError } from "../../src/context/isolation-checks.ts";
import { openPool } from "../../src/context/prisma.ts";
import { expectedMigration, grantGateway } from "../../src/migrate/migrate.ts";
import { newDatabase, newEmptyDatabase } from "../support/database.ts";
import type { TestDatabase } from "../support/database.ts";
import { BREAKAGES, ROLE_BREAKAGES } from "./support/breakages.ts";

const expected = { expectedMigration: expectedMigration() };

/** What the boot guard says through connections under `gatewayUrl`: `table: check` and the detail of each failure. */
async function guard(gatewayUrl: string): Promise<{ readonly name: string; readonly detail: string }[]> {
  const pool = openPool({ url: gatewayUrl, max: 1, onConnectionError: () => undefined });
  try {
    await assertWalls(pool, expected);
    return [];
  } catch (error) {
    if (!(error instanceof WallsError)) throw error;
    for (const { detail } of error.failures) expect(error.message).toContain(detail);
    return error.failures.map(({ table, name, detail }) => ({
      name: table === null ? name : `${table}: ${name}`,
      detail,
    }));
  } finally {
    await pool.end();
  }
}

async function asSuperuser(database: TestDatabase, statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: database.superuserUrl });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

const userOf = (url: string): string => new URL(url).username;

test("a database as the migrations leave it is served", async () => {
  const database = await newDatabase();
  try {
    expect(await guard(database.gatewayUrl)).toEqual([]);
  } finally {
    await database.drop();
  }
});

describe("the gateway refuses to serve, and says why, with", () => {
  test.each(BREAKAGES)("$what", async ({ statements, failures, says }) => {
    const database = await newDatabase();
    try {
      const gateway = userOf(database.gatewayUrl);
      await asSuperuser(
        database,
        statements.map((statement) => statement.replaceAll("GATEWAY", gateway)),
      );
      const found = await guard(database.gatewayUrl);

      expect(found.map(({ name }) => name).sort()).toEqual(failures.toSorted());
      expect(found.find(({ name }) => name === failures[0])?.detail).toContain(says);
      expect(found.every(({ detail }) => detail.includes("Remedy: "))).toBe(true);
    } finally {
      await database.drop();
    }
  });
});

describe("the gateway refuses to serve under a role with", () => {
  test.each(ROLE_BREAKAGES)("$what", async ({ flags, statements, failures, says }) => {
    const database = await newDatabase();
    const role = `gateway_${crypto.randomUUID().replaceAll("-", "")}`;
    const owner = userOf(database.ownerUrl);
    const named = (text: string): string =>
      text.replaceAll("GATEWAY", role).replaceAll("OWNER TO", "owner to").replaceAll("OWNER", owner);
    const url = new URL(database.gatewayUrl);
    url.username = role;
    url.password = "secret";
    const ownerClient = new pg.Client({ connectionString: database.ownerUrl });
    try {
      await asSuperuser(database, [`CREATE ROLE ${role} LOGIN ${flags} PASSWORD 'secret'`]);
      await ownerClient.connect();
      await grantGateway(ownerClient, role);
      await asSuperuser(database, statements.map(named));
      const found = await guard(url.toString());

      expect(found.map(({ name }) => name).sort()).toEqual(failures.toSorted());
      expect(found[0]?.detail).toContain(named(says));
    } finally {
      await ownerClient.end();
      await database.drop();
      const cluster = await newEmptyDatabase();
      await asSuperuser(cluster, [`DROP ROLE IF EXISTS ${role}`, `DROP ROLE IF EXISTS "${role}_group"`]);
      await cluster.drop();
    }
  });

  test("SUPERUSER, or the owner of the tables", async () => {
    const database = await newDatabase();
    try {
      expect((await guard(database.superuserUrl)).map(({ detail }) => detail).join()).toContain("SUPERUSER");
      expect((await guard(database.ownerUrl)).map(({ detail }) => detail).join()).toContain("it owns");
    } finally {
      await database.drop();
    }
  });
});

describe("a start", () => {
  test("on a database whose walls do not stand fails before anything is served", async () => {
    const database = await newDatabase();
    try {
      await asSuperuser(database, ["ALTER TABLE sessions DISABLE ROW LEVEL SECURITY"]);
      await expect(openApp(optionsFor(database, {}))).rejects.toThrow(
        "sessions: row-level security is enabled and forced: it is not enabled",
      );
    } finally {
      await database.drop();
    }
  });

  test("in production fails when a switch would take a wall down", async () => {
    const production = { NODE_ENV: "production", MASTER_KEY: Buffer.alloc(32).toString("base64") };
    const database = await newDatabase();
    try {
      await expect(openApp({ ...optionsFor(database, production), walls: { scope: "on" } })).rejects.toThrow(
        "The walls stay up in production",
      );
    } finally {
      await database.drop();
    }
  });

  function optionsFor({ gatewayUrl, ownerUrl }: TestDatabase, settings: Readonly<Record<string, string>>): AppOptions {
    const config = readConfig({
      PORT: "0",
      LOG_LEVEL: "silent",
      DATABASE_URL: gatewayUrl,
      DATABASE_OWNER_URL: ownerUrl,
      ...settings,
    });
    return { config, gatewayUrl, platformAdminKey: "x".repeat(32), masterKey: "test-master-key-0123456789-0123456789" };
  }
});

describe("a check that cannot run counts as failed", () => {
  test("on a database without any table", async () => {
    const database = await newEmptyDatabase();
    try {
      const failures = await guard(database.gatewayUrl);
      expect(failures.length).toBeGreaterThan(20);
      expect(failures.some(({ detail }) => detail.includes("could not be checked"))).toBe(true);
    } finally {
      await database.drop();
    }
  });

  test("without a database", async () => {
    const pool = openPool({
      url: "postgresql://nobody@127.0.0.1:1/nothing",
      max: 1,
      onConnectionError: () => undefined,
    });
    const checks = await checkWalls(pool, expected);
    await pool.end();

    expect(checks.length).toBeGreaterThan(20);
    expect(checks.filter(({ ok }) => ok)).toEqual([]);
  });

  test("when the gateway may not look", async () => {
    const database = await newDatabase();
    try {
      await asSuperuser(database, [`REVOKE SELECT ON _prisma_migrations FROM ${userOf(database.gatewayUrl)}`]);
      expect((await guard(database.gatewayUrl)).map(({ detail }) => detail)).toEqual([
        expect.stringContaining("could not be checked"),
      ]);
    } finally {
      await database.drop();
    }
  });
});

test("a table that the gateway cannot reach is nobody's danger: the predecessor's bookkeeping stays where it is", async () => {
  const database = await newDatabase();
  try {
    await asSuperuser(database, ["CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)"]);
    expect(await guard(database.gatewayUrl)).toEqual([]);
  } finally {
    await database.drop();
  }
});
