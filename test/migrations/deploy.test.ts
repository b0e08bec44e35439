import { createHash } from "node:crypto";
import { appendFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { migrationsFolder, stepNames } from "../../src/migrate/files.ts";
import { applySteps, check, deploy, draft, expectedMigration, resolve, status } from "../../src/migrate/migrate.ts";
import { newDatabase, newEmptyDatabase, type TestDatabase } from "../support/database.ts";
import { temporaryFolder } from "../support/postgres.ts";

const gatewayRole = "atrium_gateway";
const NOTHING = { pending: [], failed: [], edited: [], unknown: [] };

let database: TestDatabase;
let owner: pg.Client;
let folder: string;

beforeEach(async () => {
  database = await newEmptyDatabase();
  owner = new pg.Client({ connectionString: database.ownerUrl });
  await owner.connect();
  folder = path.join(temporaryFolder(), "migrations");
  cpSync(migrationsFolder(), folder, { recursive: true });
});

afterEach(async () => {
  await owner.end();
  await database.drop();
  rmSync(path.dirname(folder), { recursive: true });
});

function addStep(name: string, sql: string): void {
  mkdirSync(path.join(folder, name), { recursive: true });
  writeFileSync(path.join(folder, name, "migration.sql"), sql);
}

async function exists(table: string): Promise<boolean> {
  const { rows } = await owner.query<{ found: boolean }>("SELECT to_regclass($1) IS NOT NULL AS found", [table]);
  return rows[0]?.found === true;
}

describe("deploy", () => {
  test("applies every step to a new database, in order, and says which one it is at", async () => {
    const lines: string[] = [];

    const applied = await deploy(database.ownerUrl, { gatewayRole, onProgress: (line) => lines.push(line) });

    expect(applied).toEqual(stepNames());
    expect(lines).toEqual(stepNames().map((name, index) => `Applying ${name} (${index + 1} of ${stepNames().length})`));
    expect(await status(database.ownerUrl)).toEqual(NOTHING);
    expect(expectedMigration()).toBe(applied.at(-1));
  });

  test("changes nothing when it runs again", async () => {
    await deploy(database.ownerUrl, { gatewayRole });
    const before = await owner.query("SELECT * FROM _prisma_migrations ORDER BY migration_name");

    const applied = await deploy(database.ownerUrl, { gatewayRole });

    const after = await owner.query("SELECT * FROM _prisma_migrations ORDER BY migration_name");
    expect(applied).toEqual([]);
    expect(after.rows).toEqual(before.rows);
  });

  test("keeps the record that the stock Prisma CLI keeps", async () => {
    await deploy(database.ownerUrl, { gatewayRole });

    const columns = await owner.query(`
      SELECT column_name, data_type, character_maximum_length AS length, is_nullable, column_default
      FROM information_schema.columns WHERE table_name = '_prisma_migrations' ORDER BY ordinal_position`);
    const column = (
      column_name: string,
      data_type: string,
      is_nullable = "NO",
      column_default: string | null = null,
      length: number | null = null,
    ) => ({
      column_name,
      data_type,
      length,
      is_nullable,
      column_default,
    });
    expect(columns.rows).toEqual([
      column("id", "character varying", "NO", null, 36),
      column("checksum", "character varying", "NO", null, 64),
      column("finished_at", "timestamp with time zone", "YES"),
      column("migration_name", "character varying", "NO", null, 255),
      column("logs", "text", "YES"),
      column("rolled_back_at", "timestamp with time zone", "YES"),
      column("started_at", "timestamp with time zone", "NO", "now()"),
      column("applied_steps_count", "integer", "NO", "0"),
    ]);
    const { rows } = await owner.query<Record<string, unknown>>(
      "SELECT * FROM _prisma_migrations ORDER BY migration_name",
    );
    expect(rows).toEqual(
      stepNames().map((name) => ({
        id: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
        checksum: createHash("sha256")
          .update(readFileSync(path.join(migrationsFolder(), name, "migration.sql")))
          .digest("hex"),
        finished_at: expect.any(Date),
        migration_name: name,
        logs: null,
        rolled_back_at: null,
        started_at: expect.any(Date),
        applied_steps_count: 1,
      })),
    );
  });

  test("lets three deploys at once take turns: each step is applied by exactly one of them", async () => {
    const results = await Promise.all([1, 2, 3].map(() => deploy(database.ownerUrl, { gatewayRole })));

    expect(results.flat().sort()).toEqual(stepNames());
    expect(results.filter((applied) => applied.length > 0)).toHaveLength(1);
    expect(await status(database.ownerUrl)).toEqual(NOTHING);
  });

  test("stops at the step that was asked for", async () => {
    const until = stepNames()[1];

    const applied = await applySteps(database.ownerUrl, until === undefined ? {} : { until });

    expect(applied).toEqual(stepNames().slice(0, 2));
    expect((await status(database.ownerUrl)).pending).toEqual(stepNames().slice(2));
  });

  test("refuses, before it changes anything, a gateway role that does not exist or that owns the tables", async () => {
    await expect(deploy(database.ownerUrl, { gatewayRole: "nobody_at_all" })).rejects.toThrow(
      "nobody_at_all does not exist",
    );
    await expect(deploy(database.ownerUrl, { gatewayRole: "atrium_owner" })).rejects.toThrow(
      "atrium_owner owns the tables",
    );

    expect(await exists("sessions")).toBe(false);
  });
});

describe("a step that fails", () => {
  const step = "20990101000000_fails";

  test("leaves nothing of itself and is reported with the database's own words and the way out", async () => {
    addStep(step, "CREATE TABLE half_done (id int);\nSELECT 1;\nINSERT INTO half_done VALUES ('not a number');");

    const attempt = deploy(database.ownerUrl, { gatewayRole, folder });

    await expect(attempt).rejects.toThrow(
      /20990101000000_fails[^]*invalid input syntax for type integer: "not a number"[^]*Line: 3/,
    );
    await expect(attempt).rejects.toThrow(`atrium migrate resolve ${step} rolled-back`);
    expect(await exists("half_done")).toBe(false);
    expect(await exists("sessions")).toBe(true);
    expect((await status(database.ownerUrl, folder)).failed).toEqual([step]);
  });

  test("blocks later deploys until it is resolved, and is then applied whole", async () => {
    addStep(step, "CREATE TABLE half_done (id int); SELECT nonsense;");
    await deploy(database.ownerUrl, { gatewayRole, folder }).catch(() => undefined);
    await expect(deploy(database.ownerUrl, { gatewayRole, folder })).rejects.toThrow(`The step ${step} failed before.`);

    addStep(step, "CREATE TABLE half_done (id int);");
    await resolve(database.ownerUrl, step, "rolled-back", folder);
    const applied = await deploy(database.ownerUrl, { gatewayRole, folder });

    expect(applied).toEqual([step]);
    expect(await exists("half_done")).toBe(true);
    expect(await status(database.ownerUrl, folder)).toEqual(NOTHING);
  });

  test("can be declared applied by whoever did its work by hand", async () => {
    addStep(step, "SELECT nonsense;");
    await deploy(database.ownerUrl, { gatewayRole, folder }).catch(() => undefined);

    await resolve(database.ownerUrl, step, "applied", folder);

    expect(await deploy(database.ownerUrl, { gatewayRole, folder })).toEqual([]);
    expect(await status(database.ownerUrl, folder)).toEqual(NOTHING);
  });
});

describe("a history that does not fit", () => {
  test("an edited step is named and refused", async () => {
    await deploy(database.ownerUrl, { gatewayRole, folder });
    const [first = ""] = stepNames();
    appendFileSync(path.join(folder, first, "migration.sql"), "-- an afterthought\n");
    addStep("20990101000000_next", "CREATE TABLE next_thing (id int);");

    await expect(deploy(database.ownerUrl, { gatewayRole, folder })).rejects.toThrow(
      `edited after they were applied: ${first}`,
    );

    expect(await exists("next_thing")).toBe(false);
    expect((await status(database.ownerUrl, folder)).edited).toEqual([first]);
  });

  test("a database of a newer version is named and refused", async () => {
    addStep("20990101000000_newer", "SELECT 1;");
    await deploy(database.ownerUrl, { gatewayRole, folder });

    await expect(deploy(database.ownerUrl, { gatewayRole })).rejects.toThrow("does not know: 20990101000000_newer");
  });

  test("a database of the predecessor is refused and left alone, with the way to adopt it", async () => {
    await owner.query("CREATE TABLE sessions (id uuid PRIMARY KEY, name varchar(255) NOT NULL)");

    await expect(deploy(database.ownerUrl, { gatewayRole })).rejects.toThrow("atrium adopt");

    expect(await exists("public.tenants")).toBe(false);
    expect(await exists("public._prisma_migrations")).toBe(false);
  });

  test("a database with tables of somebody else is refused and left alone", async () => {
    await owner.query("CREATE TABLE somebody_elses (id int)");

    await expect(deploy(database.ownerUrl, { gatewayRole })).rejects.toThrow("not empty");

    expect(await exists("tenants")).toBe(false);
  });
});

describe("models and steps", () => {
  test("agree", async () => {
    expect(await check(database.ownerUrl)).toEqual([]);
  });

  test("are told apart by one column, one missing index or one changed clause", async () => {
    addStep(
      "20990101000000_stray",
      `ALTER TABLE sessions ADD COLUMN stray text; DROP INDEX ix_messages_session;
       ALTER TABLE sessions DROP CONSTRAINT fk_sessions_tenant_id,
         ADD CONSTRAINT fk_sessions_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON UPDATE CASCADE;`,
    );

    const differences = (await check(database.ownerUrl, folder)).join("\n");

    expect(differences).toContain('DROP COLUMN "stray"');
    expect(differences).toContain('CREATE INDEX "ix_messages_session"');
    expect(differences).toContain('ADD CONSTRAINT "fk_sessions_tenant_id"');
  });

  test("are brought together by a draft, which is a step with a comment to fill in", async () => {
    addStep("20990101000000_stray", "ALTER TABLE sessions ADD COLUMN stray text;");

    const step = await draft(database.ownerUrl, "drop_stray", folder);

    expect(path.basename(step ?? "")).toMatch(/^\d{14}_drop_stray$/);
    const sql = readFileSync(path.join(step ?? "", "migration.sql"), "utf8");
    expect(sql).toMatch(/^-- Why:/);
    expect(sql).toContain('ALTER TABLE "sessions" DROP COLUMN "stray";');
  });

  test("need no draft while they agree", async () => {
    expect(await draft(database.ownerUrl, "nothing", folder)).toBeUndefined();
  });

  test("every step begins by saying why, what it locks, how to see that it worked, and what to do if it stops", () => {
    for (const name of stepNames()) {
      const head = readFileSync(path.join(migrationsFolder(), name, "migration.sql"), "utf8").split(/^(?!--)/m)[0];
      expect({ name, head }).toEqual({
        name,
        head: expect.stringMatching(/^-- Why:[^]*-- Locks:[^]*-- Worked when:[^]*-- If it stops half-way:/),
      });
    }
  });
});

describe("the gateway's role", () => {
  let migrated: TestDatabase;
  let gateway: pg.Client;
  let migratedOwner: pg.Client;

  beforeEach(async () => {
    migrated = await newDatabase();
    gateway = new pg.Client({ connectionString: migrated.gatewayUrl });
    migratedOwner = new pg.Client({ connectionString: migrated.ownerUrl });
    await Promise.all([gateway.connect(), migratedOwner.connect()]);
  });

  afterEach(async () => {
    await Promise.all([gateway.end(), migratedOwner.end()]);
    await migrated.drop();
  });

  async function rights(): Promise<Record<string, string>> {
    const { rows } = await migratedOwner.query<{ table: string; rights: string }>(
      `SELECT table_name AS table, string_agg(privilege_type, ' ' ORDER BY privilege_type) AS rights
       FROM information_schema.role_table_grants WHERE grantee = $1 GROUP BY table_name`,
      [gatewayRole],
    );
    return Object.fromEntries(rows.map((row) => [row.table, row.rights]));
  }

  test("reads and writes tenants' tables, and no more than reads what must not be changed", async () => {
    const all = "DELETE INSERT SELECT UPDATE";
    expect(await rights()).toEqual({
      _prisma_migrations: "SELECT",
      tenants: "SELECT",
      audit_events: "INSERT SELECT",
      ...Object.fromEntries(
        [
          "api_keys",
          "files",
          "idempotency_keys",
          "integrations",
          "memory_long",
          "memory_medium",
          "memory_short",
          "messages",
        ].map((name) => [name, all]),
      ),
      ...Object.fromEntries(["notifications", "sessions", "tasks", "users"].map((name) => [name, all])),
      ...Object.fromEntries(
        ["identity_providers", "mails", "one_time_tokens", "outside_identities", "refresh_tokens", "sign_ins"].map(
          (name) => [name, all],
        ),
      ),
      ...Object.fromEntries(["open_access", "rate_limits", "usage_counts"].map((name) => [name, all])),
    });
  });

  test("loses at the next deploy what it was given besides", async () => {
    const before = await rights();
    await migratedOwner.query(
      `GRANT ALL ON tenants, sessions, audit_events TO ${gatewayRole}; GRANT UPDATE (name) ON tenants TO ${gatewayRole}`,
    );

    await deploy(migrated.ownerUrl, { gatewayRole });

    expect(await rights()).toEqual(before);
    await expect(gateway.query("UPDATE tenants SET name = 'mine'")).rejects.toThrow("permission denied");
  });

  test("finds a key by its hash, and cannot list keys", async () => {
    const { rows } = await gateway.query<{ id: string }>("SELECT atrium.default_tenant_id() AS id");
    const tenantId = rows[0]?.id ?? "";
    await gateway.query(
      `BEGIN; SET LOCAL app.tenant_id = '${tenantId}'; INSERT INTO api_keys (key_hash) VALUES ('abc'), ('def'); COMMIT`,
    );

    expect((await gateway.query("SELECT tenant_id FROM atrium.find_api_key('abc')")).rows).toEqual([
      { tenant_id: tenantId },
    ]);
    expect((await gateway.query("SELECT * FROM atrium.find_api_key('unknown')")).rows).toEqual([]);
    expect((await gateway.query("SELECT * FROM api_keys")).rows).toEqual([]);
    await expect(gateway.query("SELECT * FROM atrium.api_key_directory")).rejects.toThrow("permission denied");
    await expect(gateway.query("SELECT * FROM atrium.quarantine")).rejects.toThrow("permission denied");

    await gateway.query(
      `BEGIN; SET LOCAL app.tenant_id = '${tenantId}'; UPDATE api_keys SET key_hash = 'new' WHERE key_hash = 'abc'; DELETE FROM api_keys WHERE key_hash = 'def'; COMMIT`,
    );

    const left = await gateway.query(
      "SELECT hash, tenant_id FROM unnest(ARRAY['abc', 'def', 'new']) AS hash, atrium.find_api_key(hash)",
    );
    expect(left.rows).toEqual([{ hash: "new", tenant_id: tenantId }]);
  });

  test("creates and changes tenants through the functions alone, and an unknown change is refused", async () => {
    const created = await gateway.query<Record<string, unknown>>(
      "SELECT * FROM atrium.create_tenant('Acme', 'tenant_acme', 'free', 'shared', NULL)",
    );
    const id = created.rows[0]?.["id"];
    expect(created.rows[0]).toMatchObject({ name: "Acme", active: true, limits: {}, metadata: null });

    const changed = await gateway.query("SELECT * FROM atrium.update_tenant($1, $2)", [
      id,
      { active: false, metadata: { a: 1 }, limits: { sessions: 3 } },
    ]);
    expect(changed.rows).toMatchObject([
      { name: "Acme", active: false, plan: "free", metadata: { a: 1 }, limits: { sessions: 3 } },
    ]);
    const cleared = await gateway.query("SELECT * FROM atrium.update_tenant($1, $2)", [id, { metadata: null }]);
    expect(cleared.rows).toMatchObject([{ active: false, metadata: null, limits: { sessions: 3 } }]);
    await expect(gateway.query("SELECT atrium.update_tenant($1, $2)", [id, { schema_name: "x" }])).rejects.toThrow(
      "schema_name",
    );

    expect((await gateway.query("SELECT * FROM atrium.all_tenants()")).rows).toHaveLength(2);
    expect((await gateway.query("SELECT * FROM tenants")).rows).toEqual([]);
  });

  test("cannot run what only migrations may", async () => {
    await expect(gateway.query("SELECT atrium.raise_walls('tenants')")).rejects.toThrow("permission denied");
    await expect(gateway.query("SELECT atrium.keep_milliseconds('tenants')")).rejects.toThrow("permission denied");
  });
});
