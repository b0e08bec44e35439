import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { USER_ROLES } from "../../src/context/permissions.ts";
import { buildAtriumSchema } from "../../src/resolvers/index.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { personOf } from "../support/people.ts";
import type { TestPerson } from "../support/people.ts";
import { codesOf } from "../support/send.ts";
import type { Sender } from "../support/send.ts";
import { queriesForEverything } from "./support/everything.ts";
import type { Owner } from "./support/material.ts";
import { furnishPerson } from "./support/scene.ts";

const CANARY = "canary-of-ben";
const EMAIL = "anna@example.com";
const PATIENCE_MS = 90_000; // hundreds of queries, each for all that there is

let app: TestApp;
let anna: TestPerson;
let vera: TestPerson;
let ada: TestPerson;
let ben: TestPerson;
let bens: Owner;
/** A person of another tenant, with the same address. */
let other: TestPerson;
beforeAll(async () => {
  app = await startApp();
  const tenant = await app.newTenant();
  anna = await personOf(app, tenant, { role: USER_ROLES.USER, email: EMAIL });
  vera = await personOf(app, tenant, { role: USER_ROLES.VIEWER });
  ada = await personOf(app, tenant, { role: USER_ROLES.ADMIN });
  ben = await personOf(app, tenant, { role: USER_ROLES.USER });
  await furnishPerson(tenant, anna.id, "canary-of-anna");
  bens = await furnishPerson(tenant, ben.id, CANARY);
  const elsewhere = await app.newTenant();
  other = await personOf(app, elsewhere, { role: USER_ROLES.OWNER, email: EMAIL });
  await furnishPerson(elsewhere, other.id, "canary-of-another-tenant");
});
afterAll(() => app.close());

/** The fields of Query whose answers hold Ben's canary. */
async function fieldsThatShow(send: Sender): Promise<string[]> {
  const shown = new Set<string>();
  for (const { field, queries } of queriesForEverything(buildAtriumSchema(), Object.values(bens.ids))) {
    for (const query of queries) {
      if ((await send(query)).comparable.includes(CANARY)) shown.add(field);
    }
  }
  return [...shown].toSorted();
}

describe("of two people of one tenant, what belongs to one shows in no answer to the other:", () => {
  const fields = queriesForEverything(buildAtriumSchema(), []).map(({ field }) => field);

  test.each(fields)(
    "%s",
    async (field) => {
      const bensIds = Object.values(bens.ids);
      const found = queriesForEverything(buildAtriumSchema(), bensIds).find((entry) => entry.field === field);
      for (const query of found?.queries ?? []) {
        for (const { send } of [anna, vera, other]) {
          const answer = await send(query);
          expect(codesOf(answer).filter((code) => code !== "FORBIDDEN")).toEqual([]);
          expect(answer.comparable).not.toContain(CANARY);
          expect(bensIds.filter((id) => answer.comparable.includes(id))).toEqual([]);
        }
      }
    },
    PATIENCE_MS,
  );

  test(
    "while that person and an administrator see it: the queries are real",
    async () => {
      const personal = [
        "file", "files", "integration", "integrations", "longTermMemories", "longTermMemory", "message",
        "node", "nodes", "notification", "notifications", "session", "sessions", "task", "tasks",
      ]; // prettier-ignore

      expect(await fieldsThatShow(ben.send)).toEqual(personal.toSorted());
      expect(await fieldsThatShow(ada.send)).toEqual(personal.toSorted());
    },
    PATIENCE_MS,
  );
});
