import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { tenantTables } from "../../src/context/tenant-scope.ts";
import { newDatabase, type TestDatabase } from "../support/database.ts";

// Tables without a tenant. Adding to this list is a reviewed decision.
const WITHOUT_TENANT = ["_prisma_migrations", "tenants"];
// 256 random bits, hashed: that one is taken tells nobody anything.
const GLOBALLY_UNIQUE = ["uq_api_keys_key_hash"];
// What may see more than one tenant.
const SECURITY_DEFINER = [
  "add_token_key",
  "all_tenants",
  "audit_head",
  "audit_links",
  "create_canary",
  "create_tenant",
  "default_tenant_id",
  "delete_canary",
  "find_api_key",
  "find_identity_providers",
  "keep_api_key_directory",
  "keep_identity_provider_directory",
  "keep_mail_directory",
  "link_audit_event",
  "linked_audit_events",
  "remove_token_keys",
  "tenants_with_mail",
  "token_keys",
  "update_tenant",
];
const OF_THIS_TENANT = "( SELECT (NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::uuid AS \"nullif\")";

let database: TestDatabase;
let owner: pg.Client;
let tables: string[];

beforeAll(async () => {
  database = await newDatabase();
  owner = new pg.Client({ connectionString: database.ownerUrl });
  await owner.connect();
  const { rows } = await owner.query<{ name: string }>(
    "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname",
  );
  tables = rows.map((row) => row.name).filter((name) => !WITHOUT_TENANT.includes(name));
});

afterAll(async () => {
  await owner.end();
  await database.drop();
});

async function select(sql: string): Promise<Record<string, unknown>[]> {
  return (await owner.query<Record<string, unknown>>(sql)).rows;
}

function forEachTable<T>(value: T): Record<string, T> {
  return Object.fromEntries(tables.map((name) => [name, value]));
}

function byTable(rows: Record<string, unknown>[]): Record<string, unknown> {
  return Object.fromEntries(rows.map(({ table, ...rest }) => [String(table), rest]));
}

describe("every tenant-owned table", () => {
  test("is one of the models", () => {
    expect(tables.toSorted()).toEqual(tenantTables().toSorted());
  });

  test("has tenant_id uuid not null, which fails when nobody supplied a tenant", async () => {
    const rows = await select(`
      SELECT c.relname AS table, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null, pg_get_expr(d.adbin, d.adrelid) AS value
      FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'tenant_id'`);

    expect(byTable(rows)).toEqual(
      forEachTable({ type: "uuid", not_null: true, value: "(current_setting('app.tenant_id'::text))::uuid" }),
    );
    await expect(owner.query("INSERT INTO sessions (name) VALUES ('of nobody')")).rejects.toThrow("app.tenant_id");
  });

  test("has a primary key that begins with the tenant", async () => {
    const rows = await select(`
      SELECT conrelid::regclass::text AS table, conname AS name, pg_get_constraintdef(oid) AS definition
      FROM pg_constraint WHERE contype = 'p' AND connamespace = 'public'::regnamespace AND conrelid::regclass::text <> ALL ('{${WITHOUT_TENANT.join()}}')`);

    expect(byTable(rows)).toEqual(
      Object.fromEntries(
        tables.map((name) => [
          name,
          {
            name: `${name}_pkey`,
            definition: `PRIMARY KEY (tenant_id, ${name === "memory_short" ? "session_id" : "id"})`,
          },
        ]),
      ),
    );
  });

  test("has only foreign keys that contain the tenant on both sides, are proven, and follow no update", async () => {
    const rows = await select(`
      SELECT c.conname AS name, c.convalidated AS proven, c.confupdtype AS on_update,
        (SELECT array_agg(a.attname::text ORDER BY k.position) FROM unnest(c.conkey) WITH ORDINALITY AS k (number, position)
           JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.number) AS columns,
        (SELECT array_agg(a.attname::text ORDER BY k.position) FROM unnest(c.confkey) WITH ORDINALITY AS k (number, position)
           JOIN pg_attribute AS a ON a.attrelid = c.confrelid AND a.attnum = k.number) AS target_columns,
        c.confrelid::regclass::text AS target
      FROM pg_constraint AS c WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace`);

    expect(rows.length).toBeGreaterThan(tables.length);
    for (const { name, proven, on_update, columns, target, target_columns } of rows) {
      expect({ name, proven, on_update }).toEqual({ name, proven: true, on_update: "a" });
      expect({ name, columns }).toEqual({
        name,
        columns: target === "tenants" ? ["tenant_id"] : ["tenant_id", expect.any(String)],
      });
      expect({ name, target_columns }).toEqual({
        name,
        target_columns: target === "tenants" ? ["id"] : ["tenant_id", "id"],
      });
    }
  });

  test("references its tenant", async () => {
    const rows = await select(`
      SELECT conrelid::regclass::text AS table, conname AS name FROM pg_constraint
      WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND confrelid = 'tenants'::regclass`);

    expect(byTable(rows)).toEqual(Object.fromEntries(tables.map((name) => [name, { name: `fk_${name}_tenant_id` }])));
  });

  test("has only valid indexes that begin with the tenant, apart from the hash of a key", async () => {
    const rows = await select(`
      SELECT i.indexrelid::regclass::text AS name, i.indisvalid AS valid,
        (SELECT attname FROM pg_attribute WHERE attrelid = i.indrelid AND attnum = i.indkey[0]) AS first
      FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
      WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> ALL ('{${WITHOUT_TENANT.join()}}')`);

    expect(rows.filter(({ first }) => first !== "tenant_id").map(({ name }) => name)).toEqual(GLOBALLY_UNIQUE);
    expect(rows.filter(({ valid }) => valid !== true)).toEqual([]);
  });

  test("has row-level security, enabled and forced, with exactly one policy that names the tenant in both clauses", async () => {
    const rows = await select(`
      SELECT c.relname AS table, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
        array_agg(format('%s %s %s', p.polname, p.polpermissive, p.polcmd)) AS policies,
        max(pg_get_expr(p.polqual, p.polrelid)) AS qual, max(pg_get_expr(p.polwithcheck, p.polrelid)) AS with_check
      FROM pg_class AS c LEFT JOIN pg_policy AS p ON p.polrelid = c.oid
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> '_prisma_migrations'
      GROUP BY c.oid`);

    const expression = `(tenant_id = ${OF_THIS_TENANT})`;
    const { tenants, ...owned } = byTable(rows);
    const policies = ["tenant_isolation t *"];
    expect(owned).toEqual(
      forEachTable({ enabled: true, forced: true, policies, qual: expression, with_check: expression }),
    );
    const own = `(id = ${OF_THIS_TENANT})`;
    expect(tenants).toEqual({ enabled: true, forced: false, policies, qual: own, with_check: own });
  });

  test("keeps its rows with their tenant", async () => {
    const rows = await select(`
      SELECT tgrelid::regclass::text AS table, tgenabled AS enabled FROM pg_trigger WHERE tgname = 'tenant_id_immutable'`);
    expect(byTable(rows)).toEqual(forEachTable({ enabled: "O" }));

    const superuser = new pg.Client({ connectionString: database.superuserUrl });
    await superuser.connect();
    try {
      await superuser.query("INSERT INTO sessions (tenant_id, name) SELECT id, 'mine' FROM tenants");
      await superuser.query("INSERT INTO tenants (name, schema_name) VALUES ('Other', 'tenant_other')");
      const move = "UPDATE sessions SET tenant_id = (SELECT id FROM tenants WHERE name = 'Other')";
      await expect(superuser.query(move)).rejects.toThrow("cannot change its tenant");
    } finally {
      await superuser.end();
    }
  });

  test("stores whole milliseconds, whatever is written", async () => {
    const rows = await select(
      "SELECT tgrelid::regclass::text AS table, tgenabled AS enabled FROM pg_trigger WHERE tgname = 'keep_milliseconds'",
    );
    expect(byTable(rows)).toEqual({ ...forEachTable({ enabled: "O" }), tenants: { enabled: "O" } });

    const tenant = await select("SELECT atrium.default_tenant_id() AS id");
    await owner.query("BEGIN");
    await owner.query(`SET LOCAL app.tenant_id = '${String(tenant[0]?.["id"])}'`);
    const inserted =
      await select(`INSERT INTO sessions (name, created_at, archived_at) VALUES ('fine', '2026-01-02 03:04:05.678901Z', NULL)
      RETURNING to_char(created_at AT TIME ZONE 'UTC', 'US') AS created, archived_at`);
    const updated = await select(`UPDATE sessions SET archived_at = '2026-01-02 03:04:05.999999Z' WHERE name = 'fine'
      RETURNING to_char(archived_at AT TIME ZONE 'UTC', 'SS.US') AS archived`);
    await owner.query("ROLLBACK");
    expect(inserted).toEqual([{ created: "678000", archived_at: null }]);
    expect(updated).toEqual([{ archived: "05.999000" }]);
  });
});

describe("functions", () => {
  test("that run with the owner's rights are the known ones, have a pinned search path, and nobody may call them unasked", async () => {
    const rows = await select(`
      SELECT proname AS name, proconfig AS config, EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee = 0) AS public
      FROM pg_proc JOIN pg_namespace AS n ON n.oid = pronamespace WHERE prosecdef AND nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY proname`);

    expect(rows).toEqual(
      SECURITY_DEFINER.map((name) => ({ name, config: ["search_path=pg_catalog, pg_temp"], public: false })),
    );
  });

  test("of the schema atrium may be called by nobody unasked", async () => {
    const rows = await select(`
      SELECT proname AS name FROM pg_proc WHERE pronamespace = 'atrium'::regnamespace
        AND EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee = 0)`);

    expect(rows).toEqual([]);
  });

  test("ids are version 7 and grow with time", async () => {
    const rows = await select("SELECT uuidv7()::text AS id, pg_sleep(0.002)::text FROM generate_series(1, 50)");
    const ids = rows.map(({ id }) => String(id));

    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(ids.toSorted()).toEqual(ids);
    const millisecond = parseInt((ids[0] ?? "").replaceAll("-", "").slice(0, 12), 16);
    expect(Math.abs(Date.now() - millisecond)).toBeLessThan(60_000);
  });
});
