import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { Prisma } from "../../src/context/generated/client/client.ts";
import { openPrisma } from "../../src/context/prisma.ts";
import { SCOPED_OPERATIONS } from "../../src/context/tenant-scope.ts";
import { attacksOn, ATTACKED_OPERATIONS } from "./support/attacks.ts";
import type { Aim } from "./support/attacks.ts";
import { openGateway } from "./support/gateway.ts";
import { WITH_PLAIN_KEYS, WITHOUT_ROW_LEVEL_SECURITY } from "./support/knock-out.ts";
import { MATERIAL } from "./support/material.ts";
import { writeResult } from "../support/isolation-results.ts";
import { attackerOn, MUST_STOP, storm } from "./support/storm.ts";
import type { Leak, Standing } from "./support/storm.ts";
import { MODELS, worldIn } from "./support/world.ts";

const STORM_TIMEOUT_MS = 240_000; // some six thousand calls
// The gateway has no right to do these at all, whatever stands: the audit trail is only ever added to.
const NOT_GRANTED = ["update", "updateMany", "updateManyAndReturn", "delete", "deleteMany"].map(
  (name) => `AuditEvent.${name}`,
);
const AIMS: readonly Aim[] = ["row", "insert", "move", "reference"];

const attacks = MODELS.flatMap((model) => ATTACKED_OPERATIONS.flatMap((operation) => attacksOn(model, operation)));
const rows: string[][] = [];

interface Case {
  readonly standing: Standing;
  readonly what: string;
  readonly scope: "on" | "off";
  readonly broken: readonly string[];
}
const CASES: readonly Case[] = [
  {
    standing: "client",
    what: "the scoped client alone",
    scope: "on",
    broken: [...WITHOUT_ROW_LEVEL_SECURITY, ...WITH_PLAIN_KEYS],
  },
  { standing: "rows", what: "row-level security alone", scope: "off", broken: WITH_PLAIN_KEYS },
  { standing: "keys", what: "keys alone", scope: "off", broken: WITHOUT_ROW_LEVEL_SECURITY },
  { standing: "all", what: "all three", scope: "on", broken: [] },
];

describe("the lists are whole", () => {
  test("every model of the schema has attack material, and all of them but Tenant belong to a tenant", () => {
    expect(Object.keys(MATERIAL).toSorted()).toEqual(MODELS.toSorted());
    expect([...MODELS, "Tenant"].toSorted()).toEqual(Object.keys(Prisma.ModelName).toSorted());
  });

  test("every operation of Prisma's client is attacked, and is known to the scoped client", async () => {
    const gateway = await openGateway();
    const prisma = openPrisma(gateway.context.pool, () => "");
    const operations = Object.keys(prisma.session).filter((name) => !/^\$|^_|^fields$|^name$|Raw$/.test(name));
    await gateway.close();

    expect(ATTACKED_OPERATIONS.toSorted()).toEqual(operations.toSorted());
    expect(Object.keys(SCOPED_OPERATIONS).toSorted()).toEqual(operations.toSorted());
  });
});

test("every background job has a case of its own, with two tenants", () => {
  const folder = path.resolve("src/jobs");
  const jobs = existsSync(folder)
    ? readdirSync(folder).filter((name) => !/^(runner|schedule|index)\.ts$/.test(name))
    : [];
  // The gateway has none yet. Whoever adds the first one adds test/isolation/jobs.test.ts with a case for each, and compares there.
  expect(jobs.length === 0 || existsSync(path.resolve("test/isolation/jobs.test.ts"))).toBe(true);
});

describe("every model × every operation × two tenants", () => {
  test.each(CASES)(
    "$what stops every attack that it can see",
    async ({ standing, what, scope, broken }) => {
      const gateway = await openGateway({ broken, poolMax: 1 });
      const visible = attacks.filter(({ aim }) => MUST_STOP[standing][aim].length > 0);
      const leaks = await storm(worldIn(gateway.superuser), attackerOn(gateway.context.pool, scope), visible);
      await gateway.close();

      rows.push([what, ...AIMS.map((aim) => verdict(standing, aim, leaks))]);
      expect(leaks.filter(({ aim, kind }) => MUST_STOP[standing][aim].includes(kind))).toEqual([]);
    },
    STORM_TIMEOUT_MS,
  );

  test(
    "without any wall, each operation of each model gives the attacker something: the attacks are real",
    async () => {
      const gateway = await openGateway({ broken: [...WITHOUT_ROW_LEVEL_SECURITY, ...WITH_PLAIN_KEYS], poolMax: 1 });
      const few = MODELS.flatMap((model) => ATTACKED_OPERATIONS.flatMap((name) => attacksOn(model, name).slice(0, 4)));
      const leaks = await storm(worldIn(gateway.superuser), attackerOn(gateway.context.pool, "off"), few);
      await gateway.close();

      const stopped = MODELS.flatMap((model) => ATTACKED_OPERATIONS.map((name) => `${model}.${name}`)).filter(
        (name) => !leaks.some(({ attack }) => attack.startsWith(`${name} `)),
      );
      expect(stopped.toSorted()).toEqual(NOT_GRANTED.toSorted());
    },
    STORM_TIMEOUT_MS,
  );
});

/** How many attacks of one aim got something, and of how many. */
function verdict(standing: Standing, aim: Aim, leaks: readonly Leak[]): string {
  const all = attacks.filter((attack) => attack.aim === aim).length;
  const kinds = MUST_STOP[standing][aim];
  if (kinds.length === 0) return "not its business";
  const through = new Set(
    leaks.filter((leak) => leak.aim === aim && kinds.includes(leak.kind)).map(({ attack }) => attack),
  );
  return `${through.size} of ${all}${kinds.length === 1 ? ` (${kinds.join()})` : ""}`;
}

afterAll(() => {
  writeResult(
    "walls-alone",
    {
      title: `Attacks that got through: ${MODELS.length} models, ${ATTACKED_OPERATIONS.length} operations, ${attacks.length} attacks`,
      columns: ["standing", "another's rows", "new rows for another", "moving rows", "references and collisions"],
      rows,
    },
    CASES.length,
  );
});
