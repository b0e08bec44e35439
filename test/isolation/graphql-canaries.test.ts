import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { USER_ROLES } from "../../src/context/permissions.ts";
import { buildAtriumSchema } from "../../src/resolvers/index.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { personOf } from "../support/people.ts";
import type { TestPerson } from "../support/people.ts";
import { codesOf } from "../support/send.ts";
import type { Sender } from "../support/send.ts";
import type { TestTenant } from "../support/tenants.ts";
import { queriesForEverything } from "./support/everything.ts";
import { furnish } from "./support/scene.ts";
import type { Furnished } from "./support/scene.ts";

const MINE = "canary-a";
const THEIRS = "canary-b";
const PATIENCE_MS = 90_000; // hundreds of queries, each for all that there is

let app: TestApp;
let acme: Furnished;
let globex: Furnished;
let olga: TestPerson;
beforeAll(async () => {
  app = await startApp();
  // Two tenants that cannot be told apart by anything but the canary.
  const alike = (canary: string) => ({
    User: { email: "anna@example.com", name: "Anna" },
    Session: { name: "Budget", title: "Budget 2027", description: canary },
    File: { filename: "budget.pdf", filepath: "budget.pdf", metadata: { canary } },
    MemoryLong: { content: `The blue notebook lies in drawer 7 of the second floor (${canary})` },
    Integration: { name: "Calendar", account: "anna@example.com", metadata: { canary } },
  });
  acme = await furnish(await app.newTenant(), { canary: MINE, alike: alike(MINE) });
  globex = await furnish(await app.newTenant(), { canary: THEIRS, alike: alike(THEIRS) });
  olga = await personOf(app, acme.tenant, { role: USER_ROLES.OWNER });
});
afterAll(() => app.close());

describe("of two tenants with the same names, addresses, files and near-identical memories, neither shows in an answer to the other:", () => {
  const fields = queriesForEverything(buildAtriumSchema(), []).map(({ field }) => field);

  test.each(fields)(
    "%s",
    async (field) => {
      const theirIds = [...Object.values(globex.ids), globex.tenantId];
      const found = queriesForEverything(buildAtriumSchema(), theirIds).find((entry) => entry.field === field);
      for (const query of found?.queries ?? []) {
        for (const { send } of [acme.tenant, olga]) {
          const answer = await send(query);
          expect(codesOf(answer).filter((code) => code !== "FORBIDDEN")).toEqual([]);
          expect(answer.comparable).not.toContain(THEIRS);
          expect(theirIds.filter((id) => answer.comparable.includes(id))).toEqual([]);
        }
      }
    },
    PATIENCE_MS,
  );

  test(
    "while each sees its own: the queries are real",
    async () => {
      const asked = queriesForEverything(buildAtriumSchema(), Object.values(acme.ids));
      const seen: string[] = [];
      for (const { field, queries } of asked) {
        for (const query of queries) {
          if ((await acme.tenant.send(query)).comparable.includes(MINE)) seen.push(field);
        }
      }
      expect([...new Set(seen)].toSorted()).toEqual(
        [
        "apiKeys", "auditEvents", "file", "files", "integration", "integrations", "longTermMemories", "longTermMemory", "message",
        "node", "nodes", "notification", "notifications", "openAccess", "session", "sessions", "task", "tasks",
        "user", "users",
      ].toSorted(), // prettier-ignore
      );
    },
    PATIENCE_MS,
  );

  test("nor by searching for the other's words", async () => {
    for (const [field, argument] of [
      ["sessions", `filter: { search: "${THEIRS}" }`],
      ["auditEvents", `action: "${THEIRS}"`],
    ]) {
      const { data } = await acme.tenant.send(`{ found: ${field ?? ""}(${argument ?? ""}) { totalCount } }`);
      expect(data).toEqual({ found: { totalCount: 0 } });
    }
  });
});

test(
  "a thousand interleaved requests of keys and people in fifty tenants, errors among them: each answer is of whoever asked",
  async () => {
    const tenants = await Promise.all(Array.from({ length: 50 }, async () => askersOf(await app.newTenant())));
    const askers = tenants.flat();
    const works = [
    "{ tenant { id } sessions { nodes { id name user { id } } } }",
    "query ($own: ID!, $foreign: ID!) { tenant { id } session(id: $own) { id name } foreign: session(id: $foreign) { id name } }",
    "query ($own: ID!, $foreign: ID!) { tenant { id } nodes(ids: [$own, $foreign]) { id ... on Session { name } } }",
    "mutation ($foreign: ID!) { updateSession(input: { id: $foreign, name: \"taken\" }) { session { id name } } }",
    "query ($own: ID!) { tenant { id } tenants { nodes { id name } } session(id: $own) { id name } }",
    "{ tenant { id } sessions(after: \"nonsense\") { nodes { name } } }",
    "mutation ($own: ID!) { createMessage(input: { sessionId: $own, content: \"hello\" }) { message { session { id name } } } }",
  ]; // prettier-ignore

    // Fifty at a time, each at another kind of request: they meet on the same few connections in every combination. What is foreign is
    // another person's of the same tenant, or another tenant's.
    const answers = await Promise.all(
      tenants.map(async (own, index) => {
        const got = [];
        for (let round = 0; round < 20; round += 1) {
          const place = index * own.length + (round % own.length);
          const asker = askers[place];
          if (!asker) throw new Error("there is nobody to ask");
          const foreign = [...askers.slice(place), ...askers].find((other) => !asker.mayName.has(other.own))?.own;
          const work = works[(index + round) % works.length] ?? "";
          got.push({ mayName: asker.mayName, answer: await asker.send(work, { own: asker.own, foreign }) });
        }
        return got;
      }),
    );

    const all = answers.flat();
    const failed = all.filter(({ answer }) => answer.errors !== undefined);
    expect(all).toHaveLength(1000);
    expect(failed.length).toBeGreaterThan(400);
    expect(new Set(failed.flatMap(({ answer }) => codesOf(answer)))).toEqual(
      new Set(["NOT_FOUND", "FORBIDDEN", "BAD_USER_INPUT"]),
    );
    const known = new Set(askers.flatMap(({ mayName }) => [...mayName]));
    for (const { mayName, answer } of all) {
      const text = JSON.stringify(answer.data);
      expect([...known].filter((id) => text.includes(id) && !mayName.has(id))).toEqual([]);
    }
  },
  PATIENCE_MS,
);

interface Asker {
  readonly send: Sender;
  /** A session that this asker sees. */
  readonly own: string;
  /** Every id that an answer to this asker may hold, of all that are known. */
  readonly mayName: ReadonlySet<string>;
}

/** A key and two people of a tenant, each person with a session; the key sees both. */
async function askersOf(tenant: TestTenant): Promise<Asker[]> {
  const { id, db, send } = tenant;
  const people = await Promise.all(
    [USER_ROLES.USER, USER_ROLES.VIEWER].map(async (role) => {
      const person = await personOf(app, tenant, { role });
      const session = await db.session.create({ data: { name: id, userId: person.id } });
      return { send: person.send, own: session.id, mayName: new Set([id, person.id, session.id]) };
    }),
  );
  return [
    ...people,
    { send, own: people[0]?.own ?? "", mayName: new Set(people.flatMap(({ mayName }) => [...mayName])) },
  ];
}
