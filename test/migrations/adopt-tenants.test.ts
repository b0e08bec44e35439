import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type pg from "pg";
import { adopt, type AdoptReport } from "../../src/migrate/adopt/adopt.ts";
import { newDatabase } from "../support/database.ts";
import { describeSchema } from "./legacy/catalogue.ts";
import {
  complaintsOfBootGuard,
  connect,
  GATEWAY_ROLE,
  newLegacyDatabase,
  type LegacyDatabase,
} from "./legacy/database.ts";
import { IDS, writeLegacyRows } from "./legacy/rows.ts";
import { OLD_KEY, TENANT_IDS, writeV1Rows, writeV2Rows } from "./legacy/tenant-rows.ts";

const gatewayRole = GATEWAY_ROLE;

describe.each(["v1", "v2"] as const)("adopting the multi-tenant release %s", (variant) => {
  let database: LegacyDatabase;
  let superuser: pg.Client;
  let rehearsal: AdoptReport;
  let report: AdoptReport;

  beforeAll(async () => {
    // Its own migration to v2 fails on files of sessions without a user, so such a database has none.
    database = await newLegacyDatabase(variant, (client) =>
      writeLegacyRows(client, { hasOrphans: variant === "v1", hasFiles: variant === "v1" }),
    );
    await writeV1Rows(database.old);
    if (variant === "v2") await writeV2Rows(database.old);
    superuser = await connect(database.superuserUrl);
    rehearsal = await adopt(database.url, { gatewayRole, dryRun: true });
    report = await adopt(database.url, { gatewayRole, batchRows: 10 });
  });

  afterAll(async () => {
    await superuser.end();
    await database.drop();
  });

  async function rowsOf(sql: string, values: unknown[] = []): Promise<unknown[]> {
    return (await superuser.query<Record<string, unknown>>(sql, values)).rows;
  }

  test("leaves the same schema, walls and rights as a new database has", async () => {
    const fresh = await newDatabase();
    const client = await connect(fresh.ownerUrl);
    const expected = await describeSchema(client);
    await client.end();
    await fresh.drop();

    expect(report).toMatchObject({ found: variant, changed: true });
    expect(await describeSchema(superuser)).toEqual(expected);
  });

  test("satisfies the boot guard", async () => {
    expect(await complaintsOfBootGuard(database.gatewayUrl)).toEqual([]);
  });

  test("keeps tenants, users and API keys, and the keys go on working", async () => {
    expect(await rowsOf("SELECT id, name, active, plan FROM tenants WHERE schema_name = 'tenant_globex'")).toEqual([
      { id: TENANT_IDS.globex, name: "Globex Città", active: false, plan: "free" },
    ]);
    expect(await rowsOf("SELECT id, email FROM users ORDER BY id")).toEqual([
      { id: TENANT_IDS.ann, email: "ann@example.com" },
      { id: TENANT_IDS.bob, email: "ann@example.com" },
    ]);
    expect(
      await rowsOf("SELECT * FROM atrium.find_api_key(encode(sha256($1), 'hex'))", [Buffer.from(OLD_KEY)]),
    ).toEqual([{ tenant_id: TENANT_IDS.globex, api_key_id: TENANT_IDS.key }]);
    expect(await rowsOf("SELECT tenant_id, active, scopes, prefix, last_used_at FROM api_keys")).toEqual([
      {
        tenant_id: TENANT_IDS.globex,
        active: true,
        scopes: null,
        prefix: null,
        last_used_at: new Date("2025-01-01T00:00:00.123Z"),
      },
    ]);
  });

  test("gives a row that bore another tenant than its session the session's, and reports it", async () => {
    const [tenant] = await rowsOf("SELECT id AS tenant_id FROM tenants WHERE schema_name = 'tenant_default'");
    const reason = "belonged to another tenant than its session; it takes the session's";

    expect(await rowsOf("SELECT tenant_id FROM messages WHERE id = $1", [TENANT_IDS.strayMessage])).toEqual([tenant]);
    expect(await rowsOf("SELECT tenant_id FROM notifications WHERE id = $1", [TENANT_IDS.strayNotification])).toEqual([
      tenant,
    ]);
    expect(report.tables.find(({ table }) => table === "messages")?.repairs).toMatchObject({ [reason]: 1 });
    expect(await rowsOf("SELECT content FROM messages WHERE tenant_id = $1", [TENANT_IDS.globex])).toEqual([
      { content: "at home" },
    ]);
  });

  test("keeps the short-term memory that a second tenant had of a session in quarantine", async () => {
    const kept = await rowsOf(
      "SELECT row -> 'context_data' AS context, reason FROM atrium.quarantine WHERE row ->> 'session_id' = $1",
      [IDS.plain],
    );

    expect(kept).toEqual([
      { context: { of: "globex" }, reason: "its session belongs to another tenant and has a short-term memory there" },
    ]);
    expect(
      await rowsOf("SELECT context_data FROM memory_short WHERE session_id = $1", [TENANT_IDS.globexSession]),
    ).toEqual([{ context_data: { of: "home" } }]);
  });

  test("adds up, as the rehearsal said it would", () => {
    expect(report.tables.map(({ table }) => table)).toEqual(
      expect.arrayContaining(["tenants", "users", "api_keys", "sessions"]),
    );
    expect(rehearsal.tables).toEqual(report.tables);
    expect(report.warnings).toEqual([
      `Row-level security binds the role ${new URL(database.url).username}: its old clients reach the default tenant only.`,
    ]);
  });

  if (variant === "v2") {
    test("keeps owners and purposes, and lets go of owners that belong to another tenant", async () => {
      expect(
        await rowsOf("SELECT user_id, metadata, last_indexed_at FROM sessions WHERE id = $1", [TENANT_IDS.bobsSession]),
      ).toEqual([
        {
          user_id: null,
          metadata: { day: 1, legacy_user_id: TENANT_IDS.bob },
          last_indexed_at: new Date("2025-05-05T00:00:00.000Z"),
        },
      ]);
      expect(
        await rowsOf("SELECT user_id, purpose, account, status FROM integrations WHERE id = $1", [
          TENANT_IDS.bobsIntegration,
        ]),
      ).toEqual([{ user_id: TENANT_IDS.bob, purpose: "user_email", account: "bob@example.com", status: "connected" }]);
      expect(await rowsOf("SELECT filename, user_id FROM files ORDER BY filename")).toEqual([
        { filename: "of ann", user_id: TENANT_IDS.ann },
        { filename: "of bob", user_id: TENANT_IDS.bob },
      ]);
    });

    test("removes tokens that were stored in clear text, keeps passwords, and reports it", async () => {
      expect(
        await rowsOf(
          `SELECT password_hash, role, email_verification_token AS verify, password_reset_token AS reset, password_reset_expires AS expires, metadata
           FROM users WHERE id = $1`,
          [TENANT_IDS.ann],
        ),
      ).toEqual([
        {
          password_hash: "$2b$12$hash",
          role: "admin",
          verify: null,
          reset: null,
          expires: null,
          metadata: { enabled_tools: ["x"] },
        },
      ]);
      expect(report.tables.find(({ table }) => table === "users")?.repairs).toMatchObject({
        "e-mail verification and password reset tokens that were stored in clear text are removed": 1,
      });
    });
  }
});
