import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type pg from "pg";
import { adopt, type AdoptProgress, type AdoptReport, type TableReport } from "../../src/migrate/adopt/adopt.ts";
import { stepNames } from "../../src/migrate/files.ts";
import { deploy, status } from "../../src/migrate/migrate.ts";
import { newDatabase } from "../support/database.ts";
import { describeSchema, fingerprint } from "./legacy/catalogue.ts";
import {
  complaintsOfBootGuard,
  connect,
  GATEWAY_ROLE,
  newLegacyDatabase,
  type LegacyDatabase,
  type Variant,
} from "./legacy/database.ts";
import { IDS, LARGE_TEXT, writeLegacyRows } from "./legacy/rows.ts";

const gatewayRole = GATEWAY_ROLE;
const LEGACY_TABLES = [
  "sessions",
  "messages",
  "files",
  "memory_short",
  "memory_medium",
  "memory_long",
  "integrations",
  "notifications",
];

function tableOf(report: AdoptReport, table: string): TableReport {
  const found = report.tables.find((one) => one.table === table);
  if (found === undefined) throw new Error(`the report has nothing on ${table}`);
  return found;
}

async function oneRow(client: pg.Client, sql: string, values: unknown[] = []): Promise<Record<string, unknown>> {
  const { rows } = await client.query<Record<string, unknown>>(sql, values);
  return rows[0] ?? {};
}

describe.each<{ variant: Variant; hasOrphans: boolean }>([
  { variant: "A", hasOrphans: true },
  { variant: "B", hasOrphans: false },
  { variant: "B, made by create_all", hasOrphans: false },
])("adopting legacy variant $variant", ({ variant, hasOrphans }) => {
  let database: LegacyDatabase;
  let superuser: pg.Client;
  let rehearsal: AdoptReport;
  let report: AdoptReport;
  const events: AdoptProgress[] = [];

  beforeAll(async () => {
    database = await newLegacyDatabase(variant, (client) => writeLegacyRows(client, { hasOrphans }));
    superuser = await connect(database.superuserUrl);
    await superuser.query("CREATE SCHEMA before");
    for (const table of LEGACY_TABLES) await superuser.query(`CREATE TABLE before.${table} AS TABLE public.${table}`);
    rehearsal = await adopt(database.url, { gatewayRole, dryRun: true });
    report = await adopt(database.url, { gatewayRole, batchRows: 30, onProgress: (event) => events.push(event) });
  });

  afterAll(async () => {
    await superuser.end();
    await database.drop();
  });

  test("names the variant, and leaves the same schema, walls and rights as a new database has", async () => {
    const fresh = await newDatabase();
    const client = await connect(fresh.ownerUrl);
    const expected = await describeSchema(client);
    await client.end();
    await fresh.drop();

    expect(report).toMatchObject({ found: variant, changed: true, resumed: false, dryRun: false });
    expect(await describeSchema(superuser)).toEqual(expected);
  });

  test("satisfies the boot guard", async () => {
    expect(await complaintsOfBootGuard(database.gatewayUrl)).toEqual([]);
  });

  test("keeps every column of every row, but for what it reports as repaired", async () => {
    const compared: Record<string, string> = {
      sessions: `n.name = o.name AND n.title IS NOT DISTINCT FROM o.title AND n.description IS NOT DISTINCT FROM o.description
        AND n.created_at = date_trunc('milliseconds', coalesce(o.created_at, n.created_at)) AND n.updated_at = date_trunc('milliseconds', coalesce(o.updated_at, n.updated_at))
        AND n.archived_at IS NOT DISTINCT FROM date_trunc('milliseconds', o.archived_at)
        AND (n.status = o.status OR o.status = 'Active' AND n.status = 'active' OR n.metadata ->> 'legacy_status' = o.status)
        AND (n.metadata IS NOT DISTINCT FROM o.metadata OR n.metadata -> 'legacy_metadata' = o.metadata)`,
      messages: `n.session_id = o.session_id AND n.content = o.content
        AND n.timestamp = date_trunc('milliseconds', coalesce(o.timestamp, n.timestamp))
        AND (n.role = lower(btrim(o.role)) OR n.metadata ->> 'legacy_role' = o.role) AND coalesce(n.metadata = o.metadata OR n.metadata = o.metadata || jsonb_build_object('legacy_role', o.role), o.metadata IS NULL AND n.metadata IS NULL)`,
      files: `n.session_id = o.session_id AND n.filename = o.filename AND n.filepath = o.filepath AND n.mime_type IS NOT DISTINCT FROM o.mime_type
        AND n.uploaded_at = date_trunc('milliseconds', coalesce(o.uploaded_at, n.uploaded_at)) AND n.metadata IS NOT DISTINCT FROM o.metadata`,
      memory_short: "n.context_data = o.context_data AND n.expires_at = date_trunc('milliseconds', o.expires_at)",
      memory_medium: `n.session_id = o.session_id AND n.content = o.content AND n.embedding_id IS NOT DISTINCT FROM o.embedding_id
        AND n.created_at = date_trunc('milliseconds', coalesce(o.created_at, n.created_at))`,
      memory_long: `n.content = o.content AND n.embedding_id IS NOT DISTINCT FROM o.embedding_id AND n.importance_score IS NOT DISTINCT FROM o.importance_score
        AND n.learned_from_sessions IS NOT DISTINCT FROM o.learned_from_sessions
        AND n.created_at = date_trunc('milliseconds', coalesce(o.created_at, n.created_at)) AND n.updated_at = n.created_at`,
      integrations: `n.provider = o.provider AND n.service_type = o.service_type AND n.credentials_encrypted IS NOT DISTINCT FROM o.credentials_encrypted
        AND n.enabled IS NOT DISTINCT FROM o.enabled AND n.metadata IS NOT DISTINCT FROM o.metadata`,
      notifications: `n.type = o.type AND n.urgency = o.urgency AND n.content = o.content AND n.session_id IS NOT DISTINCT FROM o.session_id AND n.read = o.read
        AND n.created_at = date_trunc('milliseconds', coalesce(o.created_at, n.created_at)) AND n.read_at IS NOT DISTINCT FROM date_trunc('milliseconds', o.read_at)`,
    };
    const lost: Record<string, unknown> = {};
    for (const [table, isSame] of Object.entries(compared)) {
      const key = table === "memory_short" ? "session_id" : "id";
      const { rows } = await superuser.query(
        `SELECT o.${key} FROM before.${table} AS o LEFT JOIN public.${table} AS n ON n.${key} = o.${key}
         WHERE NOT coalesce(n.tenant_id = (SELECT id FROM tenants WHERE schema_name = 'tenant_default') AND ${isSame}, false)`,
      );
      lost[table] = rows;
    }

    const orphan = { session_id: IDS.nowhere };
    expect(lost).toEqual({
      ...Object.fromEntries(LEGACY_TABLES.map((table) => [table, []])),
      memory_short: hasOrphans ? [orphan] : [],
    });
  });

  test("keeps a short-term memory without a session in quarantine, with the reason", async () => {
    const { rows } = await superuser.query(
      "SELECT table_name, row -> 'context_data' AS context, reason FROM atrium.quarantine",
    );

    const orphan = { table_name: "memory_short", context: { lost: "perché" }, reason: "its session does not exist" };
    expect(rows).toEqual(hasOrphans ? [orphan] : []);
  });

  test("repairs roles, times, kinds and integrations, and leaves what is merely ugly", async () => {
    expect(await oneRow(superuser, "SELECT role, metadata FROM messages WHERE id = $1", [IDS.oddRole])).toEqual({
      role: "system",
      metadata: { mood: "dark", legacy_role: "narrator" },
    });
    expect(
      await oneRow(
        superuser,
        "SELECT role, metadata, timestamp = (SELECT created_at FROM sessions WHERE id = session_id) AS of_session FROM messages WHERE id = $1",
        [IDS.loudRole],
      ),
    ).toEqual({ role: "assistant", metadata: null, of_session: true });
    expect(await oneRow(superuser, "SELECT content FROM messages WHERE id = $1", [IDS.large])).toEqual({
      content: LARGE_TEXT,
    });
    expect(
      (await superuser.query("SELECT kind, count(*)::int FROM memory_long GROUP BY kind ORDER BY kind")).rows,
    ).toEqual([
      { kind: "email", count: 1 },
      { kind: "fact", count: 1 },
      { kind: "general", count: 1 },
      { kind: "personal_info", count: 1 },
      { kind: "summary", count: 2 },
      { kind: "web", count: 1 },
    ]);
    expect(
      (await superuser.query("SELECT purpose, name, status, enabled FROM integrations ORDER BY purpose")).rows,
    ).toEqual([
      { purpose: "mcp_server", name: "Tools", status: "connected", enabled: true },
      { purpose: "service_calendar", name: null, status: "authorization_required", enabled: null },
      { purpose: "service_email", name: null, status: "disabled", enabled: false },
    ]);
  });

  test("reports each table: rows before, after, repaired, and why; the rehearsal said the same", () => {
    const { rowsRepaired, rowsQuarantined } = tableOf(report, "memory_short");
    expect({ rowsRepaired, rowsQuarantined }).toEqual({ rowsRepaired: 1, rowsQuarantined: hasOrphans ? 1 : 0 });
    expect(tableOf(report, "messages")).toEqual({
      table: "messages",
      rowsBefore: 103,
      rowsWrittenMeanwhile: 0,
      rowsAfter: 103,
      rowsRepaired: 102,
      rowsQuarantined: 0,
      repairs: {
        "a time was NULL": 1,
        "times finer than a millisecond are cut": 100,
        "its role was a known one in other letters": 1,
        "its role was unknown; it is 'system' now, metadata.legacy_role keeps the original": 1,
      },
      quarantined: {},
    });
    expect(rehearsal.tables).toEqual(report.tables);
    expect(rehearsal).toMatchObject({ found: variant, changed: false, dryRun: true });
    expect(rehearsal.plan).toEqual(report.plan);
    expect(report.longestLockMs).toBeGreaterThan(0);
    expect(report.rowsPerSecond).toBeGreaterThan(0);
  });

  test("shows how many rows are done, of how many, and an estimate", () => {
    const ofFill = events.filter(({ phase }) => phase === "fill");
    expect(ofFill.length).toBeGreaterThan(LEGACY_TABLES.length);
    expect(ofFill.at(-1)).toMatchObject({
      rowsDone: rehearsal.tables.reduce((sum, table) => sum + table.rowsBefore, 0),
      secondsLeft: 0,
    });
    expect(ofFill.map(({ rowsDone }) => rowsDone)).toEqual(
      ofFill.map(({ rowsDone }) => rowsDone).sort((a, b) => a - b),
    );
    expect(new Set(events.map(({ phase }) => phase))).toEqual(
      new Set(["look", "expand", "fill", "prepare", "switch", "verify"]),
    );
  });

  test("counts as migrated: nothing pending, nothing edited, and deploy finds nothing to do", async () => {
    expect(await status(database.url)).toEqual({ pending: [], failed: [], edited: [], unknown: [] });
    expect(await deploy(database.url, { gatewayRole })).toEqual([]);
    const { rows } = await superuser.query("SELECT migration_name FROM _prisma_migrations ORDER BY migration_name");
    expect(rows.map((row: { migration_name: string }) => row.migration_name)).toEqual(stepNames());
  });

  test("changes nothing at all when it runs again", async () => {
    const before = await fingerprint(superuser);

    const again = await adopt(database.url, { gatewayRole });

    expect(again).toMatchObject({ found: "current", changed: false, tables: [] });
    expect(await fingerprint(superuser)).toEqual(before);
  });
});
