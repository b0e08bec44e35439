import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "@jest/globals";
import type pg from "pg";
import { adopt } from "../../src/migrate/adopt/adopt.ts";
import { deploy, status } from "../../src/migrate/migrate.ts";
import { newDatabase } from "../support/database.ts";
import { describeSchema } from "./legacy/catalogue.ts";
import { connect, GATEWAY_ROLE, newLegacyDatabase, type LegacyDatabase } from "./legacy/database.ts";
import { writeLegacyRows } from "./legacy/rows.ts";

const gatewayRole = GATEWAY_ROLE;
const adoptAndDie = fileURLToPath(new URL("./legacy/adopt-and-die.ts", import.meta.url));

/** One after the other: each run gets as far as the next moment. "Changing", "adding" and "the keys are changed" lie inside transactions. */
const MOMENTS = [
  "expand: adding columns and tables",
  "fill: filling messages, 65 rows",
  "fill: filling memory_short",
  "prepare: building messages_tenant_pkey_new",
  "prepare: building ix_messages_session",
  "prepare: proving the keys of messages",
  "switch: changing the keys",
  "switch: the keys are changed",
  "verify: counting rows again",
  "verify: giving the gateway its rights",
];

// What a killed CREATE INDEX CONCURRENTLY leaves: an index that no query uses, under the name that is wanted.
const HALF_BUILT_AT = "prepare: building ix_messages_session";
const LEAVE_INDEX_HALF_BUILT =
  "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'messages_tenant_pkey_new'::regclass";

let database: LegacyDatabase | undefined;
afterEach(async () => {
  await database?.drop();
});

async function runUntil(url: string, moment: string): Promise<NodeJS.Signals | null> {
  const child = spawn(process.execPath, ["--import", "tsx", adoptAndDie, url, moment], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let complaint = "";
  child.stderr.on("data", (text: Buffer) => (complaint += text.toString()));
  await once(child, "close");
  if (child.signalCode === null) throw new Error(`It ended before "${moment}" was reached. ${complaint}`);
  return child.signalCode;
}

async function schemaOfNewDatabase(): Promise<string[]> {
  const fresh = await newDatabase();
  const client = await connect(fresh.ownerUrl);
  const schema = await describeSchema(client);
  await client.end();
  await fresh.drop();
  return schema;
}

/** Row counts by tenant, and the sums by which a row that was repaired twice would show. */
async function contents(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query(`
    SELECT (SELECT count(*)::int FROM messages) AS messages, (SELECT count(*)::int FROM sessions) AS sessions,
           (SELECT count(*)::int FROM atrium.quarantine) AS quarantined,
           (SELECT count(*)::int FROM messages WHERE metadata ? 'legacy_role') AS odd_roles`);
  return rows[0];
}

describe("an adoption that is killed", () => {
  test("is continued by the next run from wherever it was, with one report on the whole", async () => {
    database = await newLegacyDatabase("A", (client) => writeLegacyRows(client, { hasOrphans: true }));
    const rehearsal = await adopt(database.url, { gatewayRole, dryRun: true });

    const superuser = await connect(database.superuserUrl);
    for (const moment of MOMENTS) {
      expect(await runUntil(database.url, moment)).toBe("SIGKILL");
      if (moment === HALF_BUILT_AT) await superuser.query(LEAVE_INDEX_HALF_BUILT);
    }
    const last = await adopt(database.url, { gatewayRole });

    const { rows } = await superuser.query<{ report: { tables: unknown }; finished: boolean }>(
      "SELECT report, finished_at IS NOT NULL AS finished FROM atrium.adoption",
    );
    expect(last).toMatchObject({ found: "A", resumed: true, tables: rehearsal.tables });
    expect(rows[0]?.finished).toBe(true);
    expect(rows[0]?.report.tables).toEqual(rehearsal.tables);
    expect(await contents(superuser)).toEqual({ messages: 103, sessions: 25, quarantined: 1, odd_roles: 1 });
    expect(await describeSchema(superuser)).toEqual(await schemaOfNewDatabase());
    await superuser.end();
  }, 60_000);

  test("is named by a rehearsal, keeps a deploy from going on with it, and the next run says that it resumed", async () => {
    database = await newLegacyDatabase("A", (client) => writeLegacyRows(client, { hasOrphans: true }));
    await runUntil(database.url, "fill: filling messages, 65 rows");

    const rehearsal = await adopt(database.url, { gatewayRole, dryRun: true });
    await expect(deploy(database.url, { gatewayRole })).rejects.toThrow("Run `npx atrium adopt` again");
    const report = await adopt(database.url, { gatewayRole });

    expect(rehearsal).toMatchObject({ found: "A", resumed: true, dryRun: true });
    expect(rehearsal.plan.at(-1)).toBe("An adoption of it was interrupted; it goes on where it stopped.");
    expect(report).toMatchObject({ found: "A", resumed: true, changed: true });
    expect(await status(database.url)).toEqual({ pending: [], failed: [], edited: [], unknown: [] });
    expect(await deploy(database.url, { gatewayRole })).toEqual([]);
  });

  test("ends in an error that names the table when a row has vanished", async () => {
    database = await newLegacyDatabase("A", (client) => writeLegacyRows(client, { hasOrphans: true }));
    await runUntil(database.url, "prepare: building messages_tenant_pkey_new");
    const superuser = await connect(database.superuserUrl);
    // Without triggers, so that nobody counts it.
    await superuser.query("SET session_replication_role = replica; DELETE FROM messages WHERE role = 'system'");
    await superuser.end();

    await expect(adopt(database.url, { gatewayRole })).rejects.toThrow(
      /The rows do not add up.*\nmessages: 103 before, 0 written meanwhile, but \d+ after and 0 in quarantine$/s,
    );
  });
});
