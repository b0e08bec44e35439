import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { runAdopt } from "../../src/cli/adopt.ts";
import { runIsolate } from "../../src/cli/isolate.ts";
import { runMigrate } from "../../src/cli/migrate.ts";
import { readConfig } from "../../src/config.ts";
import { stepNames } from "../../src/migrate/files.ts";
import { newLegacyDatabase } from "../migrations/legacy/database.ts";
import { writeLegacyRows } from "../migrations/legacy/rows.ts";
import { newDatabase, newEmptyDatabase } from "../support/database.ts";

type Run = typeof runMigrate;

let lines: string[];
let after: (() => Promise<void>)[];
beforeEach(() => {
  lines = [];
  after = [];
});
afterEach(async () => {
  for (const clean of after) await clean();
});

/** A command on one database, with the lines that it prints. */
async function run(
  command: Run,
  urls: { readonly gatewayUrl: string; readonly ownerUrl: string },
  ...args: string[]
): Promise<{ code: number; printed: string[] }> {
  const config = readConfig({ DATABASE_URL: urls.gatewayUrl, DATABASE_OWNER_URL: urls.ownerUrl });
  const printed: string[] = [];
  const code = await command(args, { config, print: (line) => void printed.push(line) });
  return { code, printed };
}

async function asSuperuser(url: string, statement: string, values: unknown[] = []): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(statement, values);
  await client.end();
}

describe("atrium migrate", () => {
  test("status names what is missing and ends with 1; deploy applies it step by step; then both have nothing to do", async () => {
    const database = await newEmptyDatabase();
    after.push(() => database.drop());
    const steps = stepNames();

    expect(await run(runMigrate, database, "status")).toEqual({
      code: 1,
      printed: steps.map((step) => `pending  ${step}`),
    });
    expect(await run(runMigrate, database, "deploy")).toEqual({
      code: 0,
      printed: [
        ...steps.map((step, index) => `Applying ${step} (${index + 1} of ${steps.length})`),
        `Applied ${steps.length} steps.`,
      ],
    });
    expect(await run(runMigrate, database, "status")).toEqual({ code: 0, printed: ["The database is current."] });
    expect(await run(runMigrate, database, "deploy")).toEqual({
      code: 0,
      printed: ["Nothing to apply: the database is current."],
    });
  });

  test("a step that failed is named by status, and resolve says what it counts as", async () => {
    const database = await newDatabase();
    after.push(() => database.drop());
    const [last = ""] = stepNames().slice(-1);
    await asSuperuser(
      database.superuserUrl,
      "UPDATE _prisma_migrations SET finished_at = NULL, applied_steps_count = 0 WHERE migration_name = $1",
      [last],
    );

    expect(await run(runMigrate, database, "status")).toEqual({ code: 1, printed: [`failed   ${last}`] });
    expect(await run(runMigrate, database, "resolve", last, "applied")).toEqual({
      code: 0,
      printed: [`${last} counts as applied.`],
    });
    expect(await run(runMigrate, database, "status")).toEqual({ code: 0, printed: ["The database is current."] });
  });

  test("check finds that models and migrations agree, on any PostgreSQL", async () => {
    const database = await newDatabase();
    after.push(() => database.drop());

    expect(await run(runMigrate, database, "check")).toEqual({ code: 0, printed: ["Models and migrations agree."] });
    expect(await run(runMigrate, database, "draft", "nothing")).toEqual({
      code: 0,
      printed: ["Nothing to do: models and migrations agree."],
    });
  });

  test.each([
    ["nothing", []],
    ["an unknown word", ["down"]],
    ["draft without a name", ["draft"]],
    ["resolve without an outcome", ["resolve", "a_step"]],
    ["resolve with an unknown outcome", ["resolve", "a_step", "undone"]],
  ])("%s is answered by how the command is written", async (_what, args) => {
    const nowhere = "postgresql://nobody@127.0.0.1:1/nothing";
    await expect(run(runMigrate, { gatewayUrl: nowhere, ownerUrl: nowhere }, ...args)).rejects.toMatchObject({
      name: "UsageError",
      message: expect.stringContaining("atrium migrate"),
    });
  });
});

describe("atrium adopt", () => {
  test("rehearses without a change, then adopts: says what it finds and does, shows a bar, and reports each table and the lock", async () => {
    const legacy = await newLegacyDatabase("A", (client) => writeLegacyRows(client, { hasOrphans: true }));
    after.push(() => legacy.drop());
    const urls = { gatewayUrl: legacy.gatewayUrl, ownerUrl: legacy.url };

    const rehearsal = await run(runAdopt, urls, "--dry-run");
    const adoption = await run(runAdopt, urls, "--batch-rows", "30");
    const again = await run(runAdopt, urls);

    const messages = /^messages +103 +0 +103 +102 +0$/;
    expect(rehearsal.code).toBe(0);
    expect(rehearsal.printed).toEqual(expect.arrayContaining(["Found: A", expect.stringMatching(messages)]));
    expect(rehearsal.printed).toContain("Nothing was changed. What adoption would do:");
    expect(rehearsal.printed.join("\n")).not.toContain("Longest lock");

    expect(adoption.code).toBe(0);
    expect(adoption.printed).toEqual(
      expect.arrayContaining([
        "Found: A",
        "Adopted.",
        expect.stringMatching(messages),
        expect.stringMatching(/^ {2}memory_short: quarantined 1: its session does not exist$/),
        expect.stringMatching(/^Longest lock: \d+ ms\.$/),
        expect.stringMatching(/^fill: █+░* \d+ % of \d+ rows.*: filling /),
      ]),
    );

    expect(again.code).toBe(0);
    expect(again.printed).toEqual(expect.arrayContaining(["Found: current", "Nothing to do."]));
  });

  test.each([
    ["an unknown option", ["--force"]],
    ["a role without a name", ["--client-role"]],
    ["no rows a batch", ["--batch-rows", "0"]],
    ["roles of clients that do not exist", ["--client-role", "backend", "--no-old-clients"]],
  ])("%s is answered by how the command is written", async (_what, args) => {
    const nowhere = "postgresql://nobody@127.0.0.1:1/nothing";
    await expect(run(runAdopt, { gatewayUrl: nowhere, ownerUrl: nowhere }, ...args)).rejects.toMatchObject({
      name: "UsageError",
      message: expect.stringContaining("atrium adopt"),
    });
  });
});

describe("atrium isolate", () => {
  test("ends with 1 when one check fails, when all do, and when there is none", async () => {
    const print = (line: string) => void lines.push(line);
    const passed = { name: "keys", table: "sessions", ok: true, detail: "" };
    const failed = { name: "keys", table: "messages", ok: false, detail: "has none" };
    const ending = (checks: (typeof passed)[]) => runIsolate({ isolation: { prove: async () => checks } }, print);

    expect(await ending([passed])).toBe(0);
    lines = [];
    expect(await ending([passed, failed])).toBe(1);
    expect(lines).toEqual([
      "FAILED  keys (2 tables)",
      "          messages: has none",
      "",
      "The walls do not stand: 1 of 2 checks failed.",
    ]);
    expect(await ending([])).toBe(1);
  });
});
