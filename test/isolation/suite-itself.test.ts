import { afterAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { buildAtriumSchema } from "../../src/resolvers/index.ts";
import { startApp } from "../support/app.ts";
import { attacksOn } from "./support/attacks.ts";
import type { Aim } from "./support/attacks.ts";
import { queriesForEverything } from "./support/everything.ts";
import { openGateway } from "./support/gateway.ts";
import { WITH_PLAIN_KEYS, WITHOUT_ROW_LEVEL_SECURITY } from "./support/knock-out.ts";
import { writeResult } from "../support/isolation-results.ts";
import { furnish } from "./support/scene.ts";
import { attackerOn, storm } from "./support/storm.ts";
import type { Leak } from "./support/storm.ts";
import { lookUpInOneTick, perTenantClients, sharedClient } from "./support/batching.ts";
import { settingsThatSurvive } from "./support/turns.ts";
import { worldIn } from "./support/world.ts";

// A suite that cannot go red proves nothing. Each test takes one thing away and wants to see leaks.

const THINGS_TAKEN_AWAY = 7;
// The ones that differ most; the walls themselves are tried with all of them.
const OPERATIONS = ["findUnique", "findMany", "count", "create", "update", "updateMany", "upsert", "deleteMany"];

const rows: string[][] = [];
const attacks = ["Session", "Message"].flatMap((model) =>
  OPERATIONS.flatMap((operation) => attacksOn(model, operation)),
);

async function leaksWith(scope: "on" | "off", broken: readonly string[]): Promise<Leak[]> {
  const gateway = await openGateway({ broken, poolMax: 1 });
  const leaks = await storm(worldIn(gateway.superuser), attackerOn(gateway.context.pool, scope), attacks);
  await gateway.close();
  return leaks;
}

function aimsOf(leaks: readonly Leak[]): Aim[] {
  return [...new Set(leaks.map(({ aim }) => aim))].toSorted();
}

describe("the suite goes red", () => {
  test("with every wall off", async () => {
    const leaks = await leaksWith("off", [...WITHOUT_ROW_LEVEL_SECURITY, ...WITH_PLAIN_KEYS]);

    rows.push(["every wall off", `${leaks.length} leaks`]);
    expect(aimsOf(leaks)).toEqual(["insert", "move", "reference", "row"]);
    expect([...new Set(leaks.map(({ kind }) => kind))].toSorted()).toEqual(["infer", "read", "write"]);
  }, 60_000);

  test("with the scoped client off where only it stood", async () => {
    const leaks = await leaksWith("off", WITHOUT_ROW_LEVEL_SECURITY);

    rows.push(["the scoped client and row-level security off", `${leaks.length} leaks`]);
    expect(aimsOf(leaks)).toEqual(expect.arrayContaining(["insert", "row"]));
  }, 60_000);

  test("with row-level security off on one table where only it stood", async () => {
    const leaks = await leaksWith("off", [
      ...WITH_PLAIN_KEYS,
      "ALTER TABLE messages NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY",
    ]);

    rows.push(["row-level security off on messages", `${leaks.length} leaks`]);
    const ofMessages = leaks.filter(({ attack }) => attack.startsWith("Message."));
    expect(aimsOf(ofMessages)).toEqual(expect.arrayContaining(["insert", "move", "row"]));
  }, 60_000);

  test("with one plain foreign key", async () => {
    const leaks = await leaksWith("on", [
      "ALTER TABLE sessions ADD UNIQUE (id)",
      "ALTER TABLE messages DROP CONSTRAINT fk_messages_session_id",
      "ALTER TABLE messages ADD FOREIGN KEY (session_id) REFERENCES sessions (id)",
    ]);

    rows.push(["one plain foreign key, all else standing", `${leaks.length} leaks`]);
    expect(aimsOf(leaks)).toEqual(["reference"]);
  }, 60_000);

  test("with SET in place of SET LOCAL", async () => {
    const gateway = await openGateway({ poolMax: 1 });
    const survived = await settingsThatSurvive(gateway, (tenantId) => `SET app.tenant_id = '${tenantId}'`);
    await gateway.close();

    rows.push(["SET in place of SET LOCAL", `survives ${survived.join(", ")}`]);
    expect(survived).toContain("success");
  });

  test("with one client shared by two tenants, row-level security standing", async () => {
    const gateway = await openGateway();
    const shared = await lookUpInOneTick(gateway, sharedClient(gateway));
    const apart = await lookUpInOneTick(gateway, perTenantClients(gateway));
    await gateway.close();

    rows.push(["one client shared by two tenants", `${shared} of 10 look-ups show another's row`]);
    expect({ shared, apart }).toEqual({ shared: 10, apart: 0 });
  });
});

test("the canaries sing when nothing holds an answer back", async () => {
  const app = await startApp({}, { walls: { scope: "off" } });
  const superuser = new pg.Client({ connectionString: app.database.superuserUrl });
  await superuser.connect();
  const acme = await app.newTenant();
  await furnish(await app.newTenant(), { canary: "canary-b" });
  // After the start, which refuses to serve without walls.
  for (const statement of WITHOUT_ROW_LEVEL_SECURITY) await superuser.query(statement);
  const singing: string[] = [];
  for (const { field, queries } of queriesForEverything(buildAtriumSchema(), [])) {
    for (const query of queries) {
      if ((await acme.send(query)).comparable.includes("canary-b")) singing.push(field);
    }
  }
  await superuser.end();
  await app.close();

  rows.push([
    "the scoped client and row-level security off, over the API",
    `another's rows in ${singing.toSorted().join(", ")}`,
  ]);
  expect(singing).toEqual(expect.arrayContaining(["sessions", "files", "longTermMemories", "notifications", "tasks"]));
}, 60_000);

afterAll(() => {
  writeResult(
    "suite-itself",
    {
      title: "The suite itself, with things taken away",
      columns: ["taken away", "found"],
      rows,
    },
    THINGS_TAKEN_AWAY,
  );
});
