import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { isInterfaceType } from "graphql";
import pg from "pg";
import { TENANT_OWNED_MODELS } from "../../src/context/generated/tenancy/models.ts";
import { OPERATIONS, ROLE_SCOPES, USER_ROLES } from "../../src/context/permissions.ts";
import { buildAtriumSchema } from "../../src/resolvers/index.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { personOf } from "../support/people.ts";
import type { TestPerson } from "../support/people.ts";
import { codesOf } from "../support/send.ts";
import type { Sender } from "../support/send.ts";
import { anId } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";
import { coordinatesOf } from "./support/coordinates.ts";
import { ID_CASES, NODE_TYPES, PARENTS, PLATFORM_LISTS } from "./support/id-cases.ts";
import type { IdCase } from "./support/id-cases.ts";
import { writeResult } from "../support/isolation-results.ts";
import type { Owner } from "./support/material.ts";
import { furnish, furnishPerson, PERSONAL_MODELS } from "./support/scene.ts";
import type { Furnished } from "./support/scene.ts";

const schema = buildAtriumSchema();
const { ids, cursors } = coordinatesOf(schema);
const NONSENSE = Buffer.from(JSON.stringify(["nonsense", 0, anId()])).toString("base64url");
const PATIENCE_MS = 180_000; // for `nodes`, two tenants and two people are furnished for each type
const rows: string[][] = [];

let app: TestApp;
let superuser: pg.Client;
let acme: Furnished;
let globex: Furnished;
let anna: TestPerson;
let olga: TestPerson;
beforeAll(async () => {
  app = await startApp();
  superuser = new pg.Client({ connectionString: app.database.superuserUrl });
  await superuser.connect();
  acme = await furnish(await app.newTenant(), { canary: "canary-a" });
  globex = await furnish(await app.newTenant(), { canary: "canary-b" });
  anna = await personOf(app, acme.tenant, { role: "user" });
  olga = await personOf(app, acme.tenant, { role: "owner" });
});
afterAll(async () => {
  await superuser.end();
  await app.close();
  writeResult(
    "graphql",
    {
      title: "Another's id and a missing one, another's cursor and nonsense: answers equal byte for byte",
      columns: ["argument", "tried with", "answers"],
      rows: rows.toSorted(([left = ""], [right = ""]) => left.localeCompare(right)),
    },
    ids.length + cursors.length,
  );
});

/** All rows of the other tenant; the time of a key's last use changes by itself. */
async function rowsOf(tenantId: string): Promise<unknown[]> {
  const parts = Object.values(TENANT_OWNED_MODELS).map(
    ({ table }) =>
      `SELECT '${table}' AS name, (to_jsonb(t) - 'last_used_at')::text AS row FROM ${table} AS t WHERE tenant_id = $1`,
  );
  const { rows: found } = await superuser.query<{ name: string; row: string }>(
    `${parts.join(" UNION ALL ")} UNION ALL SELECT 'tenants', to_jsonb(t)::text FROM tenants AS t WHERE id = $1 ORDER BY 1, 2`,
    [tenantId],
  );
  return found;
}

function idOf({ ids: known, tenantId }: Owner, model: string): string {
  const id = model === "Tenant" ? tenantId : known[model];
  if (id === undefined) throw new Error(`there is no ${model}`);
  return id;
}

async function answerTo(send: Sender, operation: string, id: string): Promise<string> {
  return (await send(operation, { id })).comparable.replaceAll(id, "<id>");
}

/** Somebody of the tenant who may ask. */
async function senderFor({ isOwners }: IdCase, tenant: TestTenant): Promise<Sender> {
  return isOwners ? (await personOf(app, tenant, { role: "owner" })).send : tenant.send;
}

/** All rows of one person of a tenant, and of their session. */
async function rowsOfPerson({ tenantId, ids: known }: Owner): Promise<unknown[]> {
  const parts = PERSONAL_MODELS.map((model) => {
    const table = TENANT_OWNED_MODELS[model]?.table ?? "";
    return `SELECT '${table}' AS name, row::text FROM (SELECT tenant_id, to_jsonb(t) AS row FROM ${table} AS t) AS rows
      WHERE tenant_id = $1 AND (row ->> 'user_id' = $2 OR row ->> 'session_id' = $3)`;
  });
  const { rows: found } = await superuser.query<{ name: string; row: string }>(
    `${parts.join(" UNION ALL ")} ORDER BY 1, 2`,
    [tenantId, known["User"], known["Session"]],
  );
  return found;
}

test("every argument that takes an id has a case, and no case is left over", () => {
  expect(Object.keys(ID_CASES).toSorted()).toEqual(ids.toSorted());
});

test("every type that node answers with is tried", () => {
  const node = schema.getType("Node");
  if (!isInterfaceType(node)) throw new Error("there is no interface Node");
  const types = schema.getPossibleTypes(node).map(({ name }) => name);
  expect(Object.keys(NODE_TYPES).toSorted()).toEqual(types.toSorted());
});

describe("another tenant's id is answered like one that nothing has:", () => {
  test.each(ids)(
    "%s",
    async (coordinate) => {
      const known = ID_CASES[coordinate];
      if (!known) throw new Error(`${coordinate} has no case: add it to test/isolation/support/id-cases.ts`);
      const before = await rowsOf(globex.tenantId);
      for (const model of known.models) {
        for (const send of [acme.tenant.send, anna.send, olga.send]) {
          const missing = await answerTo(send, known.operation, anId());
          const foreign = await answerTo(send, known.operation, idOf(globex, model));
          expect({ model, foreign }).toEqual({ model, foreign: missing });
        }
        const somebody = await furnish(await app.newTenant(), { canary: "canary-c" });
        const nobody = await furnish(await app.newTenant(), { canary: "canary-c" });
        const own = await answerTo(await senderFor(known, somebody.tenant), known.operation, idOf(somebody, model));
        const missingToo = await answerTo(await senderFor(known, nobody.tenant), known.operation, anId());
        // The case is real: one's own id is answered in another way.
        if (known.isPlatforms) expect({ model, own }).toEqual({ model, own: missingToo });
        else expect({ model, own }).not.toEqual({ model, own: missingToo });
      }
      expect(await rowsOf(globex.tenantId)).toEqual(before);
      rows.push([
        coordinate,
        known.models.length === 1 ? (known.models[0] ?? "") : `${known.models.length} types`,
        "equal",
      ]);
    },
    PATIENCE_MS,
  );
});

describe("another person's id is answered, to somebody with the role USER in the same tenant, like one that nothing has:", () => {
  const isOfPeople = (model: string): boolean => model === "User" || PERSONAL_MODELS.includes(model);
  const coordinates = ids.filter((coordinate) => ID_CASES[coordinate]?.models.some(isOfPeople));

  /** Whether a USER may ask at all; where not, every answer is the same refusal. */
  function mayAsk(coordinate: string): boolean {
    const [operation = ""] = coordinate.split("(");
    const need = OPERATIONS[operation];
    return (
      need === undefined || need.kind === "tenant" || (need.kind === "scope" && ROLE_SCOPES.user.includes(need.scope))
    );
  }

  async function newPerson(): Promise<Owner & { readonly send: Sender }> {
    const { id, send } = await personOf(app, acme.tenant, { role: USER_ROLES.USER });
    return { ...(await furnishPerson(acme.tenant, id, "canary-p")), send };
  }

  test.each(coordinates)(
    "%s",
    async (coordinate) => {
      const known = ID_CASES[coordinate];
      const ben = await newPerson();
      const before = await rowsOfPerson(ben);
      for (const model of known?.models.filter(isOfPeople) ?? []) {
        const operation = known?.operation ?? "";
        const missing = await answerTo(anna.send, operation, anId());
        const foreign = await answerTo(anna.send, operation, idOf(ben, model));
        expect({ model, foreign }).toEqual({ model, foreign: missing });

        // The case is real: one's own id is answered in another way, unless a USER may not ask, or not look people up.
        const isNodeOfUser = model === "User" && coordinate.startsWith("Query.node");
        if (!mayAsk(coordinate) || isNodeOfUser) continue;
        const [carla, dora] = [await newPerson(), await newPerson()];
        const own = await answerTo(carla.send, operation, idOf(carla, model));
        expect({ model, own }).not.toEqual({ model, own: await answerTo(dora.send, operation, anId()) });
      }
      expect(before.length).toBeGreaterThan(PERSONAL_MODELS.length);
      expect(await rowsOfPerson(ben)).toEqual(before);
    },
    PATIENCE_MS,
  );
});

describe("a cursor of another tenant's list is answered like nonsense:", () => {
  test.each(cursors)("%s", async (coordinate) => {
    const [, type = "", field = "", argument = ""] = /^(\w+)\.(\w+)\((\w+)\)$/.exec(coordinate) ?? [];
    const below = PARENTS[type];
    if (!below) throw new Error(`lists of ${type} have no parent: add it to test/isolation/support/id-cases.ts`);
    const size = argument === "after" ? "first: 1" : "last: 1";
    const page = "edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }";
    const isPlatforms = PLATFORM_LISTS.includes(`${type}.${field}`);
    const withCursor = `query ($cursor: String) { ${below(`${field}(${size}, ${argument}: $cursor) { ${page} }`)} }`;
    const cursorOf = async (send: Furnished["tenant"]["send"]): Promise<string> => {
      const { comparable } = await send(`{ ${below(`${field}(first: 1) { ${page} }`)} }`);
      const [, cursor] = /"cursor":"([^"]+)"/.exec(comparable) ?? [];
      if (cursor === undefined) throw new Error(`${coordinate}: there is no cursor in ${comparable}`);
      return cursor;
    };
    const foreign = await cursorOf(isPlatforms ? app.platform : globex.tenant.send);
    const ask = async (cursor: string) => acme.tenant.send(withCursor, { cursor });

    expect((await ask(foreign)).comparable).toBe((await ask(NONSENSE)).comparable);
    expect(codesOf(await ask(foreign))).toEqual([isPlatforms ? "FORBIDDEN" : "BAD_USER_INPUT"]);
    if (!isPlatforms) expect(codesOf(await ask(await cursorOf(acme.tenant.send)))).toEqual([]);
    rows.push([coordinate, "cursor", "equal"]);
  });
});
