import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf } from "../support/send.ts";

const modes = ["on", "members", "off"] as const;
const apps = new Map<string, TestApp>();
beforeAll(async () => {
  await Promise.all(modes.map(async (mode) => apps.set(mode, await startApp({ INTROSPECTION: mode }))));
});
afterAll(() => Promise.all([...apps.values()].map((app) => app.close())));

function appIn(mode: (typeof modes)[number]): TestApp {
  const app = apps.get(mode);
  if (!app) throw new Error(`no app in mode ${mode}`);
  return app;
}

const LOOKS = [
  "{ __schema { queryType { name } } }",
  `{ __type(name: "Session") { name } }`,
  "query { ...S } fragment S on Query { s: __schema { queryType { name } } }",
];

describe.each([
  ["on", { anonymous: true, member: true }],
  ["members", { anonymous: false, member: true }],
  ["off", { anonymous: false, member: false }],
] as const)("with INTROSPECTION=%s", (mode, may) => {
  test("the schema is shown to those who may see it, also when somebody else asked before", async () => {
    const app = appIn(mode);
    const { send } = await app.newTenant();

    for (const query of LOOKS) {
      // Twice each, in turns: a document that was validated and kept for a member must not open it to the next caller.
      for (const round of [1, 2]) {
        expect([round, codesOf(await send(query))]).toEqual([round, may.member ? [] : ["FORBIDDEN"]]);
        expect([round, codesOf(await app.anonymous(query))]).toEqual([round, may.anonymous ? [] : ["FORBIDDEN"]]);
      }
    }
  });

  test("suggestions are given to the same callers only", async () => {
    const app = appIn(mode);
    const { send } = await app.newTenant();
    const misspelt = [
      "{ sessionz { totalCount } }",
      "{ sessions(frist: 1) { totalCount } }",
      "{ sessions(filter: { serch: 1 }) { totalCount } }",
      "{ sessions(orderBy: { field: NAMES, direction: ASC }) { totalCount } }",
    ];
    const inVariable = "query ($filter: SessionFilter) { sessions(filter: $filter) { totalCount } }";

    for (const [client, sees] of [
      [send, may.member],
      [app.anonymous, may.anonymous],
    ] as const) {
      for (const query of misspelt) expect((await client(query)).comparable.includes("Did you mean")).toBe(sees);
      const answer = await client(inVariable, { filter: { statuz: [] } });
      expect(codesOf(answer)).toEqual(["BAD_USER_INPUT"]);
      expect(answer.comparable.includes("Did you mean")).toBe(sees);
    }
  });

  test("/schema.graphql is there for the same callers", async () => {
    const app = appIn(mode);
    const { key } = await app.newTenant();
    const url = app.url.replace("/graphql", "/schema.graphql");

    const [member, anonymous] = await Promise.all([fetch(url, { headers: { "X-API-Key": key } }), fetch(url)]);

    expect(member.status).toBe(may.member ? 200 : 404);
    expect(anonymous.status).toBe(may.anonymous ? 200 : mode === "members" ? 401 : 404);
    expect((await member.text()).includes("type Session implements Node")).toBe(may.member);
    expect((await anonymous.text()).includes("type Session")).toBe(may.anonymous);
  });
});

test("__typename is no introspection", async () => {
  expect(codesOf(await appIn("off").anonymous("{ __typename }"))).toEqual([]);
});
