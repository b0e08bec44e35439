import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { runIsolate } from "../../src/cli/isolate.ts";
import type { CrossTenant } from "../../src/context/cross-tenant.ts";
import { openIsolation } from "../../src/context/isolation-probe.ts";
import { ALL_SCOPES } from "../../src/context/permissions.ts";
import { openTenantClients } from "../../src/context/tenant-client.ts";
import { tenantTables } from "../../src/context/tenant-scope.ts";
import { expectedMigration } from "../../src/migrate/migrate.ts";
import { report } from "../../src/services/isolation.ts";
import { newTenant, openGateway } from "./support/gateway.ts";
import type { Gateway } from "./support/gateway.ts";
import { isFastPathOn } from "../support/fast-path.ts";
import { writeResult } from "../support/isolation-results.ts";

let gateway: Gateway;
beforeAll(async () => {
  gateway = await openGateway();
});
afterAll(() => gateway.close());

/** Tenants, canaries and rows of tenants: what a probe could leave behind. */
async function leftIn({ superuser }: Gateway): Promise<unknown> {
  const { rows } = await superuser.query(
    `SELECT (SELECT count(*)::int FROM tenants) AS tenants, (SELECT count(*)::int FROM atrium.canaries) AS canaries,
       (SELECT count(*)::int FROM sessions) + (SELECT count(*)::int FROM messages) AS rows`,
  );
  return rows[0];
}

const byName = (checks: readonly { readonly name: string; readonly ok: boolean }[]): string[] => [
  ...new Set(checks.filter(({ ok }) => !ok).map(({ name }) => name)),
];

describe("the report on a database as the migrations leave it", () => {
  test("passes every check, live ones included, and leaves nothing behind", async () => {
    const before = await leftIn(gateway);
    const checks = await gateway.context.isolation.prove();

    expect(checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(checks.length).toBeGreaterThan(200);
    expect(await leftIn(gateway)).toEqual(before);
    const names = [...new Set(checks.map(({ name }) => name))];
    writeResult(
      "catalogue",
      {
        title: "What isolationReport and `atrium isolate` check on the live database",
        columns: ["check", "on"],
        rows: names.map((name) => {
          const tables = checks.filter((check) => check.name === name && check.table !== null).length;
          return [name, tables === 0 ? "the database" : tables === 1 ? "one table" : `${tables} tables`];
        }),
      },
      names.length,
    );
  });

  test("is asked for as a table that ends with 0", async () => {
    const lines: string[] = [];
    expect(await runIsolate(gateway.context, (line) => lines.push(line))).toBe(0);
    expect(lines).toContain(`ok      row-level security is enabled and forced (${tenantTables().length} tables)`);
    expect(lines.at(-1)).toMatch(/^The walls stand: \d+ checks passed\.$/);
  });

  test("is for those who may administer the tenant", async () => {
    const { isolation, clock, accounts } = gateway.context;
    const ctx = { isolation, clock, accounts, tenant: { id: randomUUID() } };
    const actor = (scopes: readonly (typeof ALL_SCOPES)[number][]) =>
      ({ kind: "system", task: "test", scopes: new Set(scopes) }) as const;

    expect((await report({ ...ctx, actor: actor(["tenant_admin"]) })).ok).toBe(true);
    const others = ALL_SCOPES.filter((scope) => scope !== "tenant_admin");
    await expect(report({ ...ctx, actor: actor(others) })).rejects.toThrow("TENANT_ADMIN");
  });

  test("is made once for all who ask at the same time", async () => {
    const [first, second] = await Promise.all([gateway.context.isolation.prove(), gateway.context.isolation.prove()]);
    const later = await gateway.context.isolation.prove();

    expect(second).toBe(first);
    expect(later).not.toBe(first);
  });
});

describe("a canary", () => {
  test("is in no list of tenants while it lives, and is gone with all of its rows", async () => {
    const { crossTenant, clients } = gateway.context;
    const before = await leftIn(gateway);
    const id = await crossTenant.createCanary();
    const { db } = clients.of(id);
    const session = await db.session.create({ data: { name: "canary" } });
    await db.message.create({ data: { sessionId: session.id, role: "user", content: "canary" } });
    const user = await db.user.create({ data: { email: "canary@example.com" } });
    await db.file.create({ data: { userId: user.id, filename: "canary", filepath: "canary" } });
    await db.auditEvent.create({ data: { action: "canary", actor: "canary" } });

    const listed = await crossTenant.listTenants({}, { direction: "asc", beyond: undefined, take: 100 });
    expect(listed.map((tenant) => tenant.id)).not.toContain(id);
    expect(await crossTenant.countTenants({})).toBe(listed.length);
    expect(await crossTenant.deleteCanary(id)).toBe(true);
    expect(await leftIn(gateway)).toEqual(before);
    expect(await crossTenant.deleteCanary(id)).toBe(false);
  });

  test("is a row's business and not a name's: no other tenant can be removed that way, whatever it is called", async () => {
    const { crossTenant } = gateway.context;
    const tenant = await crossTenant.createTenant({
      name: "Canary 1",
      schemaName: "canary_1",
      plan: "free",
      isolation: "shared",
      metadata: {},
      key: { hash: "1".repeat(64), prefix: "atr_1", name: "First key", scopes: [] },
    });

    expect(await crossTenant.deleteCanary(tenant.id)).toBe(false);
    expect(await crossTenant.tenantById(tenant.id)).toMatchObject({ name: "Canary 1" });
  });

  test("that a killed probe left is removed by the next one; a young one may be at work", async () => {
    const { crossTenant, isolation } = gateway.context;
    const [old, young] = [await crossTenant.createCanary(), await crossTenant.createCanary()];
    await gateway.superuser.query(
      "UPDATE atrium.canaries SET made_at = now() - interval '11 minutes' WHERE tenant_id = $1",
      [old],
    );
    await isolation.prove();

    const { rows } = await gateway.superuser.query("SELECT tenant_id FROM atrium.canaries");
    expect(rows).toEqual([{ tenant_id: young }]);
    await crossTenant.deleteCanary(young);
  });

  test("is removed inside somebody's transaction without touching that transaction's tenant", async () => {
    const { crossTenant, pool } = gateway.context;
    const [tenant, canary] = [await newTenant(gateway.context), await crossTenant.createCanary()];
    const client = await pool.connect();
    try {
      await client.query(`BEGIN; SET LOCAL app.tenant_id = '${tenant}'`);
      await client.query("SELECT atrium.delete_canary($1)", [canary]);
      const { rows } = await client.query("SELECT current_setting('app.tenant_id') AS tenant");
      expect(rows).toEqual([{ tenant }]);
      await client.query("COMMIT");
    } finally {
      client.release();
    }
  });
});

describe("the live probe finds by itself", () => {
  const probeWith = async (broken: readonly string[], scope: "on" | "off" = "on"): Promise<string[]> => {
    const other = await openGateway({ broken, walls: { scope } });
    try {
      const before = await leftIn(other);
      const checks = await other.context.isolation.prove();
      const lines: string[] = [];
      expect(await runIsolate(other.context, (line) => lines.push(line))).toBe(1);
      expect(lines.join("\n")).toContain("FAILED");
      expect(await leftIn(other)).toEqual(before);
      return byName(checks);
    } finally {
      await other.close();
    }
  };

  test("that row-level security is down", async () => {
    const found = await probeWith(["ALTER TABLE sessions DISABLE ROW LEVEL SECURITY"]);
    expect(found).toEqual(
      expect.arrayContaining([
        "row-level security shows one tenant's rows",
        "row-level security shows nothing without a tenant",
      ]),
    );
  });

  test("that keys do not carry the tenant", async () => {
    const found = await probeWith([
      "ALTER TABLE sessions ADD UNIQUE (id)",
      "ALTER TABLE messages DROP CONSTRAINT fk_messages_session_id",
      "ALTER TABLE messages ADD FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE",
    ]);
    expect(found).toContain("a key reaches no row of another tenant");
  });

  test("that tenants can be written", async () => {
    const gatewayRole = new URL(gateway.database.gatewayUrl).username;
    expect(await probeWith([`GRANT UPDATE ON tenants TO ${gatewayRole}`])).toContain(
      "tenants are written by functions alone",
    );
  });

  test("that the scoped client is off, where row-level security no longer hides it", async () => {
    const found = await probeWith(
      ["sessions", "messages"].map((table) => `ALTER TABLE ${table} DISABLE ROW LEVEL SECURITY`),
      "off",
    );
    expect(found).toContain("the scoped client shows no row of another tenant");
  });
});

describe("a probe that fails half-way", () => {
  test("says so, and leaves nothing behind", async () => {
    const { context } = gateway;
    const before = await leftIn(gateway);
    const broken = openTenantClients(context.fairPool, {
      preparedStatements: false,
      fastPath: isFastPathOn(),
      statements: { count: 0 },
      walls: { scope: "on", setting: () => "SET LOCAL app.tenant_id = 'nobody'" },
    });
    const checks = await openIsolation({ ...context, clients: broken, expectedMigration: expectedMigration() }).prove();

    expect(byName(checks)).toEqual(["the probe runs"]);
    expect(await leftIn(gateway)).toEqual(before);
  });

  test("counts what could not be removed as a failure", async () => {
    const { context } = gateway;
    const crossTenant: CrossTenant = {
      ...context.crossTenant,
      deleteCanary: () => Promise.reject(new Error("not today")),
    };
    const checks = await openIsolation({ ...context, crossTenant, expectedMigration: expectedMigration() }).prove();

    expect(byName(checks)).toEqual(["the probe leaves nothing behind"]);
    await gateway.superuser.query("UPDATE atrium.canaries SET made_at = now() - interval '1 day'");
    await context.isolation.prove();
    const { rows } = await gateway.superuser.query("SELECT count(*)::int AS count FROM atrium.canaries");
    expect(rows).toEqual([{ count: 0 }]);
  });
});
