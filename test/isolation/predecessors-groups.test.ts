import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { TENANT_OWNED_MODELS } from "../../src/context/generated/tenancy/models.ts";
import { applySteps, deploy } from "../../src/migrate/migrate.ts";
import { stepNames } from "../../src/migrate/files.ts";
import { newEmptyDatabase } from "../support/database.ts";
import { newTenant, openGateway } from "./support/gateway.ts";
import type { Gateway } from "./support/gateway.ts";
import { ATTACKER, MODELS, VICTIM, worldIn } from "./support/world.ts";
import { tenantPool } from "../../src/context/tenant-pool.ts";
import pg from "pg";

// The seven questions that the predecessor's isolation suite asked, on every table.

const TABLES = Object.values(TENANT_OWNED_MODELS).map(({ table }) => table);

let gateway: Gateway;
beforeAll(async () => {
  gateway = await openGateway();
  await worldIn(gateway.superuser).reset("present");
});
afterAll(() => gateway.close());

async function numberOf(sql: string, client: { query: pg.Client["query"] } = gateway.superuser): Promise<number> {
  const { rows } = await client.query<{ count: number }>(sql);
  return rows[0]?.count ?? Number.NaN;
}

test("1: the default tenant is there from the start", async () => {
  const { crossTenant } = gateway.context;
  const id = await crossTenant.defaultTenantId();
  expect(await crossTenant.tenantById(id ?? "")).toMatchObject({
    name: "Default Tenant",
    schemaName: "tenant_default",
    active: true,
  });
});

describe("2: no row is without a tenant:", () => {
  test.each(TABLES)("%s", async (table) => {
    expect(await numberOf(`SELECT count(*)::int AS count FROM ${table} WHERE tenant_id IS NULL`)).toBe(0);
    await expect(gateway.superuser.query(`UPDATE ${table} SET tenant_id = NULL`)).rejects.toThrow();
    // Without a tenant in the context, nothing is written for anybody.
    await expect(gateway.context.pool.query(`INSERT INTO ${table} DEFAULT VALUES`)).rejects.toThrow();
  });
});

describe("3: two tenants do not see each other:", () => {
  test.each(MODELS)("%s", async (model) => {
    const { table } = TENANT_OWNED_MODELS[model] ?? { table: "" };
    for (const owner of [ATTACKER, VICTIM]) {
      const { rows } = await tenantPool(gateway.context.pool, owner.tenantId).query({
        text: `SELECT tenant_id FROM ${table}`,
      });
      expect(rows).toEqual([{ tenant_id: owner.tenantId }]);
    }
  });
});

describe("4: queries are filtered by tenant:", () => {
  test.each(Object.values(TENANT_OWNED_MODELS).map(({ client }) => client))("%s", async (client) => {
    const countOf = async (tenantId: string): Promise<unknown> => {
      const operations: unknown = Reflect.get(gateway.context.clients.of(tenantId).db, client);
      const count: unknown = operations instanceof Object ? Reflect.get(operations, "count") : undefined;
      if (typeof count !== "function") throw new Error(`${client} cannot be counted`);
      const found: unknown = await Reflect.apply(count, operations, []);
      return found;
    };
    const empty = await newTenant(gateway.context);
    expect(await countOf(ATTACKER.tenantId)).toBe(1);
    expect(await countOf(empty)).toBe(client === "apiKey" ? 1 : 0);
  });
});

test("5: what was there before there were tenants belongs to the default tenant, and nothing is orphaned", async () => {
  const database = await newEmptyDatabase();
  const superuser = new pg.Client({ connectionString: database.superuserUrl });
  await superuser.connect();
  try {
    const [legacy] = stepNames();
    await applySteps(database.ownerUrl, { until: legacy ?? "" });
    await superuser.query(`
      INSERT INTO sessions (id, name) SELECT gen_random_uuid(), 'Session ' || n FROM generate_series(1, 5) AS n;
      INSERT INTO messages (id, session_id, role, content) SELECT gen_random_uuid(), id, 'user', 'hello' FROM sessions;
      INSERT INTO memory_long (id, content) VALUES (gen_random_uuid(), 'remembered')`);
    await deploy(database.ownerUrl, { gatewayRole: new URL(database.gatewayUrl).username });

    for (const [table, count] of [
      ["sessions", 5],
      ["messages", 5],
      ["memory_long", 1],
    ] as const) {
      expect(
        await numberOf(
          `SELECT count(*)::int AS count FROM ${table} AS r JOIN tenants AS t ON t.id = r.tenant_id AND t.schema_name = 'tenant_default'`,
          superuser,
        ),
      ).toBe(count);
    }
    expect(
      await numberOf(
        "SELECT count(*)::int AS count FROM messages AS m LEFT JOIN sessions AS s ON (s.tenant_id, s.id) = (m.tenant_id, m.session_id) WHERE s.id IS NULL",
        superuser,
      ),
    ).toBe(0);
  } finally {
    await superuser.end();
    await database.drop();
  }
});

describe("6: every tenant_id names a tenant:", () => {
  test.each(TABLES)("%s", async (table) => {
    const orphans = `SELECT count(*)::int AS count FROM ${table} AS r LEFT JOIN tenants AS t ON t.id = r.tenant_id WHERE t.id IS NULL`;
    expect(await numberOf(orphans)).toBe(0);
    await expect(gateway.superuser.query("DELETE FROM tenants WHERE id = $1", [ATTACKER.tenantId])).rejects.toThrow(
      "foreign key",
    );
  });
});

describe("7: queries by tenant use an index that begins with the tenant:", () => {
  test.each(TABLES)("%s", async (table) => {
    const client = await gateway.context.pool.connect();
    try {
      // A table of two rows would be read whole: what is asked is whether an index can serve the query, policy included.
      await client.query(`BEGIN; SET LOCAL app.tenant_id = '${ATTACKER.tenantId}'; SET LOCAL enable_seqscan = off`);
      const { rows } = await client.query<{ "QUERY PLAN": string }>(`EXPLAIN (COSTS off) SELECT * FROM ${table}`);
      await client.query("COMMIT");
      const plan = rows.map((row) => row["QUERY PLAN"]).join("\n");
      const [, index = ""] = /(?:using|Index Scan on) (\w+)/.exec(plan) ?? [];
      const { rows: columns } = await gateway.superuser.query(
        "SELECT a.attname AS first FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] WHERE i.indexrelid = to_regclass($1)",
        [index],
      );

      expect(plan).toContain("Index Cond: (tenant_id = ");
      // Once for each query, not once for each row.
      expect(plan).toContain("InitPlan");
      expect(columns).toEqual([{ first: "tenant_id" }]);
    } finally {
      client.release();
    }
  });
});
