import { afterEach, describe, expect, test } from "@jest/globals";
import type pg from "pg";
import { verifyChain } from "../../src/context/audit-chain.ts";
import { openPool } from "../../src/context/prisma.ts";
import { adopt } from "../../src/migrate/adopt/adopt.ts";
import { stepNames } from "../../src/migrate/files.ts";
import { applySteps, deploy } from "../../src/migrate/migrate.ts";
import { newEmptyDatabase } from "../support/database.ts";
import { connect, GATEWAY_ROLE, newLegacyDatabase } from "./legacy/database.ts";
import { writeLegacyRows } from "./legacy/rows.ts";

const STEP = "20261123091300_audit_chain";
const BEFORE =
  stepNames()
    .filter((name) => name < STEP)
    .at(-1) ?? "";

const drops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const drop of drops.splice(0)) await drop();
});

interface Found {
  readonly name: string;
  readonly position: number;
  readonly problems: readonly string[];
}

/** What the gateway finds out about the trail of every tenant. */
async function verifyAll(gatewayUrl: string, superuser: pg.Client): Promise<Found[]> {
  const { rows } = await superuser.query<{ id: string; name: string }>("SELECT id, name FROM tenants ORDER BY name");
  const pool = openPool({ url: gatewayUrl, max: 1, onConnectionError: () => undefined });
  const found: Found[] = [];
  for (const { id, name } of rows) {
    const problems: string[] = [];
    const { position } = await verifyChain(pool, id, undefined, (problem) => problems.push(problem));
    found.push({ name, position, problems });
  }
  await pool.end();
  return found;
}

describe("the step that chains audit trails", () => {
  test("links the events that exist, each tenant's by their time, and those that come after them", async () => {
    const database = await newEmptyDatabase();
    drops.push(() => database.drop());
    await applySteps(database.ownerUrl, { until: BEFORE });
    const superuser = await connect(database.superuserUrl);
    drops.unshift(() => superuser.end());
    // Some of one moment, some whose id does not follow their time, and what only SQL could have written.
    await superuser.query(`
      INSERT INTO tenants (name, schema_name) VALUES ('Acme', 'acme'), ('Globex', 'globex'), ('Initech', 'initech');
      INSERT INTO audit_events (tenant_id, action, actor, target, ip, details, created_at)
        SELECT t.id, 'session.create', 'user:' || n, CASE WHEN n % 2 = 0 THEN 'ü 🙂' END, NULL, '{"b": 1.50, "a": ["\\"", null]}',
          '2026-01-01'::timestamptz - n / 3 * interval '1 hour'
        FROM tenants AS t, generate_series(1, 3000) AS n WHERE t.name IN ('Acme', 'Globex');
      INSERT INTO audit_events (tenant_id, action, actor, created_at) SELECT id, 'a', 'b', 'infinity' FROM tenants WHERE name = 'Acme';`);

    await deploy(database.ownerUrl, { gatewayRole: GATEWAY_ROLE });
    await superuser.query(
      "INSERT INTO audit_events (tenant_id, action, actor) SELECT id, 'a', 'b' FROM tenants WHERE name <> 'Acme'",
    );

    expect(await verifyAll(database.gatewayUrl, superuser)).toEqual([
      { name: "Acme", position: 3001, problems: [] },
      { name: "Default Tenant", position: 1, problems: [] },
      { name: "Globex", position: 3001, problems: [] },
      { name: "Initech", position: 1, problems: [] },
    ]);
    const { rows } = await superuser.query<{ out_of_order: number }>(
      `SELECT count(*)::int AS out_of_order FROM (
         SELECT e.created_at < lag(e.created_at) OVER (PARTITION BY e.tenant_id ORDER BY c.position) AS is_late
         FROM atrium.audit_chain AS c JOIN audit_events AS e ON e.tenant_id = c.tenant_id AND e.id = c.event_id
       ) AS o WHERE is_late`,
    );
    expect(rows).toEqual([{ out_of_order: 0 }]);
  });

  test("works on an adopted database, whose events are chained from the first one on", async () => {
    const database = await newLegacyDatabase("A", (client) => writeLegacyRows(client, { hasOrphans: true }));
    drops.push(() => database.drop());
    await adopt(database.url, { gatewayRole: GATEWAY_ROLE });
    const superuser = await connect(database.superuserUrl);
    drops.unshift(() => superuser.end());

    await superuser.query(
      "INSERT INTO audit_events (tenant_id, action, actor) SELECT id, 'a', 'b' FROM tenants, generate_series(1, 5)",
    );

    expect(await verifyAll(database.gatewayUrl, superuser)).toEqual([
      { name: "Default Tenant", position: 5, problems: [] },
    ]);
  });
});
