import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { stepNames } from "../../src/migrate/files.ts";
import { applySteps, deploy, resolve } from "../../src/migrate/migrate.ts";
import { newDatabase, newEmptyDatabase, type TestDatabase } from "../support/database.ts";

const gatewayRole = "atrium_gateway";
const [LEGACY = "", , , FILL = ""] = stepNames();
// Each shape of the predecessor's database, as the scripts that make it.
const SHAPES: Record<string, string[]> = {
  "variant A": ["a"],
  "variant B": ["b"],
  "variant B made by create_all alone": ["b-create-all"],
  "release v1": ["a", "to-v1"],
  "release v2": ["b", "to-v1", "to-v2"],
};
// Rows as the old version wrote them: random ids, microseconds, and whatever its columns allowed.
const SESSION = "11111111-1111-4111-8111-111111111111";
const NOWHERE = "99999999-9999-4999-8999-999999999999";
const ROWS = `
  INSERT INTO sessions (id, name, status, created_at, updated_at, metadata) VALUES
    ('${SESSION}', 'Perché no? 日本語 🙂', 'active', '2025-03-01 10:00:00.123456Z', '2025-03-02 10:00:00.654321Z', '{"day": 1}'),
    (gen_random_uuid(), 'no times', 'archived', NULL, NULL, NULL);
  INSERT INTO messages (id, session_id, role, content, timestamp, metadata) VALUES
    (gen_random_uuid(), '${SESSION}', 'user', repeat('x', 1000000), '2025-03-01 10:00:01.000001Z', NULL),
    (gen_random_uuid(), '${SESSION}', 'Robot', 'ciao', NULL, '{}');
  INSERT INTO memory_medium (id, session_id, content, created_at) VALUES (gen_random_uuid(), '${SESSION}', 'a summary', NULL);
  INSERT INTO memory_long (id, content, learned_from_sessions, importance_score, created_at) VALUES
    (gen_random_uuid(), '[FACT] likes tea', '["${NOWHERE}"]', NULL, '2025-03-03 00:00:00.000999Z');
  INSERT INTO integrations (id, provider, service_type, credentials_encrypted, enabled, metadata) VALUES
    (gen_random_uuid(), 'mcp', 'mcp_server', 'http://127.0.0.1:8080/mcp', NULL, '{"name": "Tools"}'),
    (gen_random_uuid(), 'google', 'calendar', NULL, true, NULL),
    (gen_random_uuid(), 'google', 'email', 'gAAAA', false, '[]');
  INSERT INTO notifications (id, type, urgency, content, session_id, read, created_at) VALUES
    (gen_random_uuid(), 'email', 'high', '{}', NULL, false, NULL), (gen_random_uuid(), 'email', 'low', '{}', '${SESSION}', true, now());`;
const LEGACY_ROWS = `${ROWS} INSERT INTO files (id, session_id, filename, filepath) VALUES (gen_random_uuid(), '${SESSION}', 'ü.txt', 'uploads/ü.txt');`;
const COUNTS = {
  sessions: 2,
  messages: 2,
  memory_medium: 1,
  memory_long: 1,
  integrations: 3,
  notifications: 2,
  files: 1,
};

let database: TestDatabase;
let owner: pg.Client;
let all: pg.Client; // sees every tenant

beforeEach(async () => {
  database = await newEmptyDatabase();
  owner = new pg.Client({ connectionString: database.ownerUrl });
  all = new pg.Client({ connectionString: database.superuserUrl });
  await Promise.all([owner.connect(), all.connect()]);
});

afterEach(async () => {
  await Promise.all([owner.end(), all.end()]);
  await database.drop();
});

async function makeShape(shape: string): Promise<void> {
  for (const script of SHAPES[shape] ?? [])
    await owner.query(readFileSync(new URL(`./legacy/${script}.sql`, import.meta.url), "utf8"));
}

async function rowsOf(sql: string, client = all): Promise<Record<string, unknown>[]> {
  return (await client.query<Record<string, unknown>>(sql)).rows;
}

/** Everything about tables that a program could meet: columns, keys, indexes, policies, triggers; not the order of columns, which the conditions of triggers follow. */
async function catalogue(client: pg.Client): Promise<Record<string, unknown>[]> {
  const sql = `
    SELECT 'column' AS kind, table_name || '.' || column_name AS name,
      concat_ws(' ', udt_name, character_maximum_length, is_nullable, column_default) AS definition
      FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
    UNION ALL SELECT 'key', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) || convalidated FROM pg_constraint
      WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'f', 'c') AND conrelid::regclass::text <> 'alembic_version'
    UNION ALL SELECT 'index', tablename || '.' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL SELECT 'policy', tablename || '.' || policyname, qual || with_check FROM pg_policies
    UNION ALL SELECT 'trigger', tgrelid::regclass || '.' || tgname, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
    ORDER BY kind, name`;
  return rowsOf(sql, client);
}

describe("the chain, from the shape before it", () => {
  test.each(Object.keys(SHAPES))("brings %s to the same tables as a new database", async (shape) => {
    await makeShape(shape);

    await resolve(database.ownerUrl, LEGACY, "applied");
    await deploy(database.ownerUrl, { gatewayRole });

    const fresh = await newDatabase();
    const freshClient = new pg.Client({ connectionString: fresh.superuserUrl });
    await freshClient.connect();
    try {
      expect(await catalogue(all)).toEqual(await catalogue(freshClient));
    } finally {
      await freshClient.end();
      await fresh.drop();
    }
  });

  test.each(["variant A", "variant B", "variant B made by create_all alone"])(
    "finds all data of %s in the default tenant, ugly rows included, and changes nothing when it runs again",
    async (shape) => {
      await makeShape(shape);
      await owner.query(LEGACY_ROWS);

      await resolve(database.ownerUrl, LEGACY, "applied");
      await deploy(database.ownerUrl, { gatewayRole });

      const [tenant] = await rowsOf("SELECT * FROM tenants");
      expect(tenant).toMatchObject({
        name: "Default Tenant",
        schema_name: "tenant_default",
        active: true,
        metadata: {},
      });
      for (const [table, count] of Object.entries(COUNTS)) {
        const rows = await rowsOf(`SELECT DISTINCT tenant_id, count(*) OVER ()::int AS count FROM ${table}`);
        expect({ table, rows }).toEqual({ table, rows: [{ tenant_id: tenant?.["id"], count }] });
      }
      expect(
        await rowsOf("SELECT name, status, metadata, created_at, updated_at FROM sessions ORDER BY name DESC"),
      ).toEqual([
        {
          name: "no times",
          status: "archived",
          metadata: null,
          created_at: expect.any(Date),
          updated_at: expect.any(Date),
        },
        {
          name: "Perché no? 日本語 🙂",
          status: "active",
          metadata: { day: 1 },
          created_at: new Date("2025-03-01T10:00:00.123Z"),
          updated_at: new Date("2025-03-02T10:00:00.654Z"),
        },
      ]);
      expect(
        await rowsOf("SELECT to_char(timestamp, 'US') AS us, length(content) AS length FROM messages ORDER BY length"),
      ).toEqual([
        { us: "123000", length: 4 },
        { us: "000000", length: 1_000_000 },
      ]);
      expect(
        await rowsOf(
          "SELECT purpose, name, status, enabled, metadata, created_at IS NOT NULL AS dated FROM integrations ORDER BY purpose",
        ),
      ).toEqual([
        {
          purpose: "mcp_server",
          name: "Tools",
          status: "connected",
          enabled: null,
          metadata: { name: "Tools" },
          dated: true,
        },
        {
          purpose: "service_calendar",
          name: null,
          status: "authorization_required",
          enabled: true,
          metadata: null,
          dated: true,
        },
        { purpose: "service_email", name: null, status: "disabled", enabled: false, metadata: [], dated: true },
      ]);
      expect(await rowsOf("SELECT importance_score, learned_from_sessions, updated_at FROM memory_long")).toEqual([
        { importance_score: null, learned_from_sessions: [NOWHERE], updated_at: new Date("2025-03-03T00:00:00.000Z") },
      ]);

      const before = await rowsOf("SELECT xmin, * FROM messages ORDER BY id");
      expect(await deploy(database.ownerUrl, { gatewayRole })).toEqual([]);
      expect(await rowsOf("SELECT xmin, * FROM messages ORDER BY id")).toEqual(before);
    },
  );

  test("keeps the short-term memory of a session that does not exist in quarantine, with the reason", async () => {
    await makeShape("variant A");
    await owner.query(`${LEGACY_ROWS}
      INSERT INTO memory_short (session_id, context_data, expires_at) VALUES ('${SESSION}', '{"a": 1}', now()), ('${NOWHERE}', '{"b": "ü"}', now())`);

    await resolve(database.ownerUrl, LEGACY, "applied");
    await deploy(database.ownerUrl, { gatewayRole });

    expect(await rowsOf("SELECT session_id FROM memory_short")).toEqual([{ session_id: SESSION }]);
    const kept = await rowsOf(`SELECT table_name, "row", reason, quarantined_at FROM atrium.quarantine`);
    expect(kept).toEqual([
      {
        table_name: "memory_short",
        row: expect.objectContaining({ session_id: NOWHERE, context_data: { b: "ü" } }),
        reason: "its session does not exist",
        quarantined_at: expect.any(Date),
      },
    ]);
  });

  test("keeps tenants, users, keys and ownership of a multi-tenant release", async () => {
    await makeShape("release v2");
    const [acme, bob] = ["22222222-2222-4222-8222-222222222222", "33333333-3333-4333-8333-333333333333"];
    await owner.query(`
      INSERT INTO tenants (id, name, schema_name) VALUES ('${acme}', 'Acme', 'tenant_acme');
      INSERT INTO users (id, tenant_id, email) VALUES ('${bob}', '${acme}', 'bob@example.org');
      INSERT INTO api_keys (id, tenant_id, key_hash) VALUES (gen_random_uuid(), '${acme}', 'hash of a kn_ key');
      INSERT INTO sessions (id, tenant_id, user_id, name) VALUES ('${SESSION}', '${acme}', '${bob}', 'Acme''s');
      INSERT INTO messages (id, tenant_id, session_id, role, content) VALUES (gen_random_uuid(), '${acme}', '${SESSION}', 'user', 'hi');
      INSERT INTO files (id, tenant_id, session_id, user_id, filename, filepath)
        VALUES (gen_random_uuid(), '${acme}', '${SESSION}', '${bob}', 'a', 'b');
      INSERT INTO integrations (id, tenant_id, user_id, provider, service_type, purpose, credentials_encrypted)
        VALUES (gen_random_uuid(), '${acme}', '${bob}', 'google', 'email', 'user_email', 'gAAAA')`);

    await resolve(database.ownerUrl, LEGACY, "applied");
    await deploy(database.ownerUrl, { gatewayRole });

    expect(await rowsOf("SELECT tenant_id FROM atrium.find_api_key('hash of a kn_ key')")).toEqual([
      { tenant_id: acme },
    ]);
    expect(await rowsOf("SELECT tenant_id, id, role FROM users")).toEqual([{ tenant_id: acme, id: bob, role: "user" }]);
    for (const table of ["sessions", "files", "integrations"]) {
      expect(await rowsOf(`SELECT tenant_id, user_id FROM ${table}`)).toEqual([{ tenant_id: acme, user_id: bob }]);
    }
    expect(await rowsOf("SELECT purpose, status FROM integrations")).toEqual([
      { purpose: "user_email", status: "connected" },
    ]);

    await all.query(`DELETE FROM users WHERE id = '${bob}'`);
    expect(await rowsOf("SELECT tenant_id, user_id FROM sessions")).toEqual([{ tenant_id: acme, user_id: null }]);
  });

  test("gives what old clients write between the steps to the default tenant, and completes it", async () => {
    await makeShape("variant A");
    await resolve(database.ownerUrl, LEGACY, "applied");
    await applySteps(database.ownerUrl, { until: FILL });

    await owner.query(`
      INSERT INTO sessions (id, name) VALUES ('${SESSION}', 'late');
      INSERT INTO messages (id, session_id, role, content) VALUES (gen_random_uuid(), '${SESSION}', 'user', 'hi');
      INSERT INTO integrations (id, provider, service_type, enabled) VALUES (gen_random_uuid(), 'google', 'calendar', true)`);
    await applySteps(database.ownerUrl);

    const mine =
      "SELECT t.schema_name AS of, to_char(m.timestamp, 'US') LIKE '%000' AS whole FROM messages AS m JOIN tenants AS t ON t.id = m.tenant_id";
    expect(await rowsOf(mine)).toEqual([{ of: "tenant_default", whole: true }]);
    expect(await rowsOf("SELECT purpose, status FROM integrations")).toEqual([
      { purpose: "service_calendar", status: "authorization_required" },
    ]);
  });
});
