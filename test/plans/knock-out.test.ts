import { describe, expect, test } from "@jest/globals";
import pg from "pg";
import { buildAtriumSchema } from "../../src/resolvers/index.ts";
import { queriesForEverything } from "../isolation/support/everything.ts";
import { WITHOUT_ROW_LEVEL_SECURITY } from "../isolation/support/knock-out.ts";
import { furnish } from "../isolation/support/scene.ts";
import type { Furnished } from "../isolation/support/scene.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";

const schema = buildAtriumSchema();
const MINE = "canary-a";
const THEIRS = "canary-b";
const ROUNDS = 3; // a call gets a plan at the second sight, and runs by it at the third
const PATIENCE_MS = 180_000; // hundreds of queries, each for all that there is

interface Seen {
  /** The fields of Query whose answers held something of the asking tenant. */
  readonly mine: readonly string[];
  /** Those whose answers held something of the other one: its text, or an id that was not asked for. */
  readonly theirs: readonly string[];
}

/** Has one of two tenants ask for all that there is, its own and the other's, until plans are taken where any are made. */
async function askForEverything(app: TestApp, breakDown: readonly string[]): Promise<Seen> {
  const acme = await furnish(await app.newTenant(), { canary: MINE });
  const globex = await furnish(await app.newTenant(), { canary: THEIRS });
  const superuser = new pg.Client({ connectionString: app.database.superuserUrl });
  await superuser.connect();
  // After the start, which refuses to serve without walls.
  for (const statement of breakDown) await superuser.query(statement);
  await superuser.end();
  const theirIds = [...Object.values(globex.ids), globex.tenantId];
  const [mine, theirs] = [new Set<string>(), new Set<string>()];

  async function askAs({ tenant }: Furnished, ids: readonly string[], heard: (field: string, answer: string) => void) {
    for (const { field, queries } of queriesForEverything(schema, ids)) {
      for (const query of queries) heard(field, (await tenant.send(query)).comparable);
    }
    await app.app.context.clients.plans.settled();
  }
  function hear(field: string, answer: string): void {
    if (answer.includes(MINE)) mine.add(field);
    if (answer.includes(THEIRS) || theirIds.some((id) => answer.includes(id))) theirs.add(field);
  }

  for (let round = 0; round < ROUNDS; round += 1) {
    // The other tenant in turn: a plan that was made while one asked must not show the other what belongs to it.
    await askAs(globex, [globex.ids["Session"] ?? ""], () => undefined);
    await askAs(acme, [acme.ids["Session"] ?? "", acme.ids["Message"] ?? ""], hear);
  }
  await askAs(acme, theirIds, hear);
  return { mine: [...mine].toSorted(), theirs: [...theirs].toSorted() };
}

const LISTS = [
  "apiKeys",
  "auditEvents",
  "files",
  "integrations",
  "longTermMemories",
  "notifications",
  "sessions",
  "tasks",
];

describe("the fast path, with walls taken down,", () => {
  test(
    "makes no plan without the scoped client, and row-level security alone shows nothing of another tenant",
    async () => {
      const app = await startApp({ FAST_PATH: "on" }, { walls: { scope: "off" } });
      const seen = await askForEverything(app, []);
      const counts = app.app.context.clients.plans.counts();
      await app.close();

      expect(seen.theirs).toEqual([]);
      expect(seen.mine).toEqual(expect.arrayContaining(LISTS));
      expect(counts).toMatchObject({ taken: 0, compiled: 0 });
      expect(counts.refused).toBeGreaterThan(10);
    },
    PATIENCE_MS,
  );

  test(
    "binds the tenant by itself where row-level security is gone, and shows nothing of another tenant",
    async () => {
      const app = await startApp({ FAST_PATH: "on" });
      const seen = await askForEverything(app, WITHOUT_ROW_LEVEL_SECURITY);
      const counts = app.app.context.clients.plans.counts();
      await app.close();

      expect(seen.theirs).toEqual([]);
      expect(seen.mine).toEqual(expect.arrayContaining(LISTS));
      expect(counts.taken).toBeGreaterThan(counts.passed);
    },
    PATIENCE_MS,
  );

  test(
    "without either, everything shows: the queries are real",
    async () => {
      const app = await startApp({ FAST_PATH: "on" }, { walls: { scope: "off" } });
      const seen = await askForEverything(app, WITHOUT_ROW_LEVEL_SECURITY);
      await app.close();

      expect(seen.theirs).toEqual(expect.arrayContaining(LISTS));
    },
    PATIENCE_MS,
  );
});
