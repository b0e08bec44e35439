import { afterEach, describe, expect, test } from "@jest/globals";
import type pg from "pg";
import { adopt } from "../../src/migrate/adopt/adopt.ts";
import { deploy, status } from "../../src/migrate/migrate.ts";
import { newDatabase, newEmptyDatabase } from "../support/database.ts";
import { fingerprint } from "./legacy/catalogue.ts";
import { GATEWAY_ROLE, inServer, newLegacyDatabase, type LegacyDatabase, type Variant } from "./legacy/database.ts";
import { writeLegacyRows } from "./legacy/rows.ts";

const gatewayRole = GATEWAY_ROLE;

const opened: { drop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const database of opened.splice(0)) await database.drop();
});

async function legacyDatabase(
  variant: Variant,
  writeRows?: (client: pg.Client) => Promise<void>,
): Promise<LegacyDatabase> {
  const database = await newLegacyDatabase(variant, writeRows);
  opened.push(database);
  return database;
}

describe("adopt", () => {
  test("changes nothing at all in a rehearsal, not even a table", async () => {
    const database = await legacyDatabase("A", (client) => writeLegacyRows(client, { hasOrphans: true }));
    const before = await fingerprint(database.old);

    await adopt(database.url, { gatewayRole, dryRun: true });

    expect(await fingerprint(database.old)).toEqual(before);
  });

  test("adopts empty tables", async () => {
    const database = await legacyDatabase("A");

    const report = await adopt(database.url, { gatewayRole });

    expect(report.tables.map(({ rowsBefore, rowsAfter }) => rowsBefore + rowsAfter)).toEqual(new Array(8).fill(0));
    expect(report).toMatchObject({ found: "A", changed: true });
  });

  test("leaves an empty database and a current one alone", async () => {
    const empty = await newEmptyDatabase();
    const current = await newDatabase();
    opened.push(empty, current);

    expect(await adopt(empty.ownerUrl, { gatewayRole })).toMatchObject({ found: "empty", changed: false });
    expect(await adopt(current.ownerUrl, { gatewayRole })).toMatchObject({
      found: "current",
      changed: false,
      warnings: [],
    });
  });

  test("refuses a database that it does not know, says how it differs, and changes nothing", async () => {
    const database = await legacyDatabase("A");
    await database.old.query(
      "ALTER TABLE messages ADD COLUMN mood text; ALTER TABLE sessions ALTER COLUMN name TYPE varchar(99); DROP TABLE files",
    );
    const before = await fingerprint(database.old);

    for (const dryRun of [true, false]) {
      await expect(adopt(database.url, { gatewayRole, dryRun })).rejects.toThrow(
        "It comes nearest to A, and differs in this:\n" +
          "- sessions.name is character varying(99) NOT NULL, expected character varying(255) NOT NULL\n" +
          "- messages.mood is text, expected not there\n" +
          "- table files is missing",
      );
    }

    expect(await fingerprint(database.old)).toEqual(before);
  });

  test("does what a deploy refused to do and named it for", async () => {
    const database = await legacyDatabase("B");
    await expect(deploy(database.url, { gatewayRole })).rejects.toThrow("npx atrium adopt");

    const report = await adopt(database.url, { gatewayRole });

    expect(report).toMatchObject({ found: "B", changed: true });
    expect(await status(database.url)).toEqual({ pending: [], failed: [], edited: [], unknown: [] });
  });

  test("refuses, before it changes anything, a gateway's role that does not exist or owns the tables", async () => {
    const database = await legacyDatabase("A");
    const before = await fingerprint(database.old);
    const owner = new URL(database.url).username;

    await expect(adopt(database.url, { gatewayRole: "nobody" })).rejects.toThrow(
      "The gateway's role nobody does not exist",
    );
    await expect(adopt(database.url, { gatewayRole: owner })).rejects.toThrow(
      `The gateway's role ${owner} owns tables`,
    );
    await expect(adopt(database.url, { gatewayRole: "postgres" })).rejects.toThrow("can bypass row-level security");
    await expect(adopt(database.url, { gatewayRole, clientRoles: [gatewayRole] })).rejects.toThrow(
      "must never have a tenant by default",
    );

    expect(await fingerprint(database.old)).toEqual(before);
  });

  test("refuses, before it changes anything, when something else stands on the keys that change", async () => {
    const database = await legacyDatabase("A");
    await database.old.query(`
      CREATE TABLE tasks (id int);
      CREATE TABLE bookmarks (session_id uuid REFERENCES sessions (id));
      CREATE VIEW talkative AS SELECT s.id, s.name, count(*) FROM sessions AS s JOIN messages AS m ON m.session_id = s.id GROUP BY s.id`);
    const before = await fingerprint(database.old);

    const refusal = await adopt(database.url, { gatewayRole }).catch(String);

    expect(refusal).toContain("The table tasks is in the way");
    expect(refusal).toContain("The table bookmarks refers to sessions by its key, which changes");
    expect(refusal).toContain("The view talkative groups by the key of sessions, which changes");
    expect(await fingerprint(database.old)).toEqual(before);
  });

  test("refuses when row-level security would bind old clients that may not be given the default tenant, unless there are none", async () => {
    const database = await legacyDatabase("A");
    const owner = new URL(database.url).username;
    await inServer(database.superuserUrl, [`REVOKE SET ON PARAMETER app.tenant_id FROM ${owner}`]);
    const before = await fingerprint(database.old);

    for (const dryRun of [true, false]) {
      await expect(adopt(database.url, { gatewayRole, dryRun })).rejects.toThrow(
        `GRANT SET ON PARAMETER app.tenant_id TO ${owner}`,
      );
    }
    expect(await fingerprint(database.old)).toEqual(before);

    expect(await adopt(database.url, { gatewayRole, clientRoles: [] })).toMatchObject({
      changed: true,
      clientRoles: [],
    });
  });
});
