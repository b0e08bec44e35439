import { randomUUID } from "node:crypto";
import { afterEach, describe, expect, test } from "@jest/globals";
import type pg from "pg";
import { adopt, type AdoptReport } from "../../src/migrate/adopt/adopt.ts";
import {
  complaintsOfBootGuard,
  connect,
  GATEWAY_ROLE,
  newLegacyDatabase,
  type LegacyDatabase,
} from "./legacy/database.ts";
import { startOldBackend, type Activity } from "./legacy/old-backend.ts";
import { IDS, writeLegacyRows } from "./legacy/rows.ts";

const gatewayRole = GATEWAY_ROLE;

let database: LegacyDatabase | undefined;
afterEach(async () => {
  await database?.drop();
});

async function legacyDatabase(as: "owner" | "superuser"): Promise<LegacyDatabase> {
  database = await newLegacyDatabase("A", manyRows, as);
  return database;
}

/** Enough rows for the adoption to take a while. */
async function manyRows(client: pg.Client): Promise<void> {
  await writeLegacyRows(client, { hasOrphans: true });
  await client.query(
    `INSERT INTO messages (id, session_id, role, content, timestamp)
     SELECT gen_random_uuid(), $1, 'user', 'message ' || n, now() FROM generate_series(1, 20000) AS n`,
    [IDS.plain],
  );
}

async function expectNothingLost(superuserUrl: string, { sessions, messages, titles }: Activity): Promise<void> {
  const superuser = await connect(superuserUrl);
  const home = "tenant_id = (SELECT id FROM tenants WHERE schema_name = 'tenant_default')";
  const kept = await superuser.query<{ id: string; title: string | null }>(
    `SELECT id, title FROM sessions WHERE ${home} AND id = ANY ($1) AND updated_at = date_trunc('milliseconds', updated_at)`,
    [[...sessions]],
  );
  const keptMessages = await superuser.query<{ id: string }>(
    `SELECT id FROM messages WHERE ${home} AND id = ANY ($1)`,
    [[...messages]],
  );
  await superuser.end();
  expect(new Set(kept.rows.map(({ id }) => id))).toEqual(sessions);
  expect(new Set(keptMessages.rows.map(({ id }) => id))).toEqual(messages);
  expect(kept.rows.filter(({ id, title }) => titles.has(id) && titles.get(id) !== title)).toEqual([]);
}

function addsUp(
  report: AdoptReport,
  table: string,
  activities: readonly Activity[],
  count: (activity: Activity) => number,
): boolean {
  const found = report.tables.find((one) => one.table === table);
  const written = activities.reduce((sum, activity) => sum + count(activity), 0);
  // The backends went on after the last count.
  return found !== undefined && found.rowsWrittenMeanwhile > 0 && found.rowsWrittenMeanwhile <= written;
}

describe("clients of the predecessor, while a database is adopted and afterwards", () => {
  test("as a superuser, keep their connections, and read and write without one error", async () => {
    const { url, superuserUrl, old } = await legacyDatabase("superuser");
    const backends = [startOldBackend(url, old, true), startOldBackend(url, await connect(url), false)];

    const report = await adopt(url, { gatewayRole, batchRows: 500 });
    const activities = await Promise.all(backends.map(async (backend) => backend.stop()));

    for (const activity of activities) {
      expect(activity).toMatchObject({ errors: [], unseen: [], connectionsLost: 0 });
      expect(activity.messages.size).toBeGreaterThan(10);
      await expectNothingLost(superuserUrl, activity);
    }
    expect(report.connectionsEnded).toBe(0);
    expect(report.clientRoles).toEqual([{ name: "postgres", bypassesRowSecurity: true, hasDefaultTenant: true }]);
    expect(addsUp(report, "messages", activities, ({ messages }) => messages.size)).toBe(true);
  });

  test("as a role that row-level security binds, lose connections from before once, and nothing that was acknowledged", async () => {
    const { url, superuserUrl, old } = await legacyDatabase("owner");
    const backends = [startOldBackend(url, old, true), startOldBackend(url, await connect(url), false)];

    const report = await adopt(url, { gatewayRole, batchRows: 500 });
    const activities = await Promise.all(backends.map(async (backend) => backend.stop()));

    for (const activity of activities) {
      expect(activity).toMatchObject({ errors: [], unseen: [] });
      expect(activity.messages.size).toBeGreaterThan(10);
      await expectNothingLost(superuserUrl, activity);
    }
    expect(activities[0]?.connectionsLost).toBe(1);
    expect(report.connectionsEnded).toBeGreaterThanOrEqual(1);
    expect(report.clientRoles).toEqual([
      { name: new URL(url).username, bypassesRowSecurity: false, hasDefaultTenant: true },
    ]);
    expect(addsUp(report, "sessions", activities, ({ sessions }) => sessions.size)).toBe(true);
  });

  test.each(["superuser", "owner"] as const)(
    "as %s, write every table the old way, see the default tenant only if bound, and leave the boot guard content",
    async (as) => {
      const { url, superuserUrl, gatewayUrl } = await legacyDatabase(as);
      await adopt(url, { gatewayRole });
      const superuser = await connect(superuserUrl);
      await superuser.query("SELECT atrium.create_tenant('Globex', 'tenant_globex', 'free', 'shared', '{}')");
      await superuser.query(
        "INSERT INTO sessions (tenant_id, name) SELECT id, 'of globex' FROM tenants WHERE schema_name = 'tenant_globex'",
      );
      await superuser.end();
      const client = await connect(url);
      const session = randomUUID();

      await client.query("INSERT INTO sessions (id, name, metadata) VALUES ($1, 'new', '{}')", [session]);
      await client.query("INSERT INTO memory_short (session_id, context_data, expires_at) VALUES ($1, '{}', now())", [
        session,
      ]);
      await client.query("UPDATE memory_short SET context_data = '{\"n\": 2}' WHERE session_id = $1", [session]);
      await client.query("INSERT INTO memory_medium (id, session_id, content) VALUES (gen_random_uuid(), $1, 'x')", [
        session,
      ]);
      await client.query(
        "INSERT INTO files (id, session_id, filename, filepath) VALUES (gen_random_uuid(), $1, 'x', 'y')",
        [session],
      );
      await client.query(
        "INSERT INTO memory_long (id, content, importance_score) VALUES (gen_random_uuid(), '[FACT] x', 0.5)",
      );
      await client.query(
        "INSERT INTO notifications (id, type, urgency, content, read) VALUES (gen_random_uuid(), 'contradiction', 'high', '{}', false)",
      );
      await client.query(
        "INSERT INTO integrations (id, provider, service_type, enabled) VALUES (gen_random_uuid(), 'google', 'email', true)",
      );
      const seen = await client.query("SELECT name FROM sessions WHERE name IN ('new', 'of globex') ORDER BY name");
      for (const table of ["memory_short", "memory_medium", "files"])
        await client.query(`DELETE FROM ${table} WHERE session_id = $1`, [session]);
      const deleted = await client.query("DELETE FROM sessions WHERE id = $1", [session]);
      await client.end();

      expect(seen.rows).toEqual(as === "owner" ? [{ name: "new" }] : [{ name: "new" }, { name: "of globex" }]);
      expect(deleted.rowCount).toBe(1);
      expect(await complaintsOfBootGuard(gatewayUrl)).toEqual([]);
    },
  );

  test("with a long transaction, are not blocked by the adoption that waits for it, and are waited for", async () => {
    const { url, old } = await legacyDatabase("superuser");
    await old.query("BEGIN; SELECT count(*) FROM messages");
    const other = await connect(url);
    const waits: string[] = [];

    const refused = adopt(url, {
      gatewayRole,
      lockPatienceMs: 1_500,
      onProgress: ({ message }) => waits.push(message),
    });
    refused.catch(() => undefined);
    let statements = 0;
    while (!waits.some((message) => message.startsWith("waiting for other connections"))) {
      await other.query("SELECT id FROM messages LIMIT 1");
      statements += 1;
    }

    await expect(refused).rejects.toThrow(/Other connections hold the tables \(process \d+ since .*run adopt again/);
    expect(statements).toBeGreaterThan(0);
    await old.query("COMMIT");
    expect(await adopt(url, { gatewayRole })).toMatchObject({ changed: true, found: "A" });
    await other.end();
  });
});
