import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf } from "../support/send.ts";

const CREATE = "mutation ($input: CreateSessionInput!) { createSession(input: $input) { session { id } } }";
const SINCE = "query ($at: DateTime) { sessions(filter: { createdAfter: $at }) { totalCount } }";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

function nested(levels: number): object {
  return levels === 0 ? {} : { inner: nested(levels - 1) };
}

test.each([
  ["half of a surrogate pair", { text: "\ud83d" }],
  ["a NUL character", { text: "a\0b" }],
  ["a thousand levels", nested(1_000)],
])(
  "metadata with %s, which PostgreSQL cannot hold, is the client's mistake and is said so",
  async (_what, metadata) => {
    const acme = await app.newTenant();

    const answer = await acme.send(CREATE, { input: { name: "Trip", metadata } });

    expect(codesOf(answer)).toEqual(["BAD_USER_INPUT"]);
    expect(answer.errors?.[0]?.extensions["fields"]).toMatchObject([{ path: "input.metadata" }]);
  },
);

test("an instant in the year 0, which PostgreSQL does not know, is the client's mistake", async () => {
  const acme = await app.newTenant();

  expect(codesOf(await acme.send(SINCE, { at: "0000-06-01T00:00:00Z" }))).toEqual(["BAD_USER_INPUT"]);
  expect(dataOf(await acme.send(SINCE, { at: "0001-01-01T00:00:00Z" }))).toEqual({ sessions: { totalCount: 0 } });
});

test("an address that the predecessor never checked goes out as it is stored", async () => {
  const acme = await app.newTenant();
  const user = await acme.db.user.create({ data: { email: "ada at home" } });
  const session = await acme.db.session.create({ data: { name: "Trip", userId: user.id } });

  const answer = await acme.send("query ($id: ID!) { session(id: $id) { user { email } } }", { id: session.id });

  expect(dataOf(answer)).toEqual({ session: { user: { email: "ada at home" } } });
});
