import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { getIntrospectionQuery } from "graphql";
import { LIMITS } from "../../src/resolvers/limits.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { refusalOf } from "../support/refusal.ts";
import { codesOf, dataOf } from "../support/send.ts";
import type { Sender } from "../support/send.ts";

let app: TestApp;
let send: Sender;
beforeAll(async () => {
  app = await startApp();
  ({ send } = await app.newTenant());
});
afterAll(() => app.close());

/** A query of `count` parts. */
function times(count: number, part: (index: number) => string): string {
  return `{ ${Array.from({ length: count }, (_, index) => part(index)).join(" ")} }`;
}

async function refusedWith(query: string, variables: Record<string, unknown> = {}): Promise<unknown[]> {
  const answer = await send(query, variables);
  return [answer.status, ...codesOf(answer)];
}

const TOO_COMPLEX = [400, "QUERY_TOO_COMPLEX"];

describe("an operation is refused before it runs when it has", () => {
  test("too many levels, fragments included", async () => {
    const chain = "session { messages(first: 1) { nodes { ";
    const deep = `{ messages: sessions(first: 1) { nodes { messages(first: 1) { nodes { ${chain.repeat(3)} id ${"} } } ".repeat(3)} } } } } }`;
    const spread = `{ sessions(first: 1) { nodes { ...A } } }
      fragment A on Session { messages(first: 1) { nodes { session { ...B } } } }
      fragment B on Session { messages(first: 1) { nodes { session { ...C } } } }
      fragment C on Session { messages(first: 1) { nodes { session { messages(first: 1) { nodes { id } } } } } }`;

    expect(await refusedWith(deep)).toEqual(TOO_COMPLEX);
    expect(await refusedWith(spread)).toEqual(TOO_COMPLEX);
  });

  test("too many aliases, of __typename as well", async () => {
    expect(dataOf(await send(times(LIMITS.aliases, (n) => `a${n}: __typename`)))).toBeDefined();
    expect(await refusedWith(times(LIMITS.aliases + 1, (n) => `a${n}: __typename`))).toEqual(TOO_COMPLEX);
  });

  test("too many directives", async () => {
    const fields = (count: number) => `{ tenantContext { ${"source @include(if: true) ".repeat(count)} } }`;

    expect(await refusedWith(fields(LIMITS.directives))).toEqual([200]);
    expect(await refusedWith(fields(LIMITS.directives + 1))).toEqual(TOO_COMPLEX);
  });

  test("too many tokens; a long text is one of them", async () => {
    expect(await refusedWith(times(LIMITS.tokens, () => "__typename"))).toEqual(TOO_COMPLEX);
    const text = "x ".repeat(LIMITS.tokens);
    expect(await refusedWith(`{ sessions(first: 1, filter: { search: "${text}" }) { totalCount } }`)).not.toEqual(
      TOO_COMPLEX,
    );
  });

  test("too many root fields, through fragments too", async () => {
    expect(dataOf(await send(times(LIMITS.rootFields, () => "__typename")))).toBeDefined();
    expect(await refusedWith(times(LIMITS.rootFields + 1, () => "__typename"))).toEqual(TOO_COMPLEX);
    const fields = "__typename ".repeat(LIMITS.rootFields);
    expect(await refusedWith(`{ ...R __typename } fragment R on Query { ${fields} }`)).toEqual(TOO_COMPLEX);
  });

  test("fragments that unfold without bound", async () => {
    const fragments = Array.from({ length: 26 }, (_, n) => `fragment F${n} on Query { ...F${n + 1} ...F${n + 1} }`);
    expect(await refusedWith(`{ ...F0 } ${fragments.join(" ")} fragment F26 on Query { __typename }`)).toEqual(
      TOO_COMPLEX,
    );
  });

  test("a cost over the limit, counting pages by their size, given or default", async () => {
    const inner = "messages(first: $inner) { nodes { id role content createdAt } }";
    const query = `query ($outer: Int, $inner: Int) { sessions(first: $outer) { nodes { ${inner} } } }`;

    expect(await refusedWith(query, { outer: 100, inner: 100 })).toEqual(TOO_COMPLEX);
    expect(await refusedWith(query, { outer: 20, inner: 20 })).toEqual([200]);
    expect(await refusedWith(query, {})).toEqual([200]);
    // What is remembered of an operation must not answer for other variables, nor null for absent.
    expect(await refusedWith(query, { outer: 100, inner: 100 })).toEqual(TOO_COMPLEX);
    const byDefault = query.replace("$outer: Int", "$outer: Int = 100");
    expect(await refusedWith(byDefault, { outer: 1, inner: 100 })).toEqual([200]);
    expect(await refusedWith(byDefault, { inner: 100 })).toEqual(TOO_COMPLEX);
  });

  test("a cost over the limit that hides behind a wrong argument or a wrong page size", async () => {
    const costly = "sessions(first: 100) { nodes { messages(first: 100) { nodes { id role content } } } }";

    expect(await refusedWith(`{ ${costly.replace("first: 100", "first: -5")} }`)).toEqual([200, "BAD_USER_INPUT"]);
    expect(await refusedWith(`{ ${costly.replace("first: 100", "first: 1000000")} }`)).toEqual(TOO_COMPLEX);
    const withNull = `query ($id: ID!) { session(id: $id) { id } ${costly} }`;
    expect(codesOf(await send(withNull, { id: null }))).toEqual(["BAD_USER_INPUT"]);
  });
});

test("a whole introspection is within every limit", async () => {
  expect(dataOf(await send(getIntrospectionQuery()))).toHaveProperty("__schema");
});

describe("requests are refused", () => {
  async function post(body: string, type = "application/json") {
    return refusalOf(await fetch(app.url, { method: "POST", headers: { "Content-Type": type }, body }));
  }

  test("as a batch", async () => {
    const one = { query: "{ __typename }" };
    expect(await post(JSON.stringify([one, one]))).toMatchObject({ status: 400, code: "BAD_USER_INPUT" });
  });

  test("when a page of another site could have sent them", async () => {
    const asked = `${app.url}?query={__typename}`;

    expect(await post("query=x", "text/plain")).toMatchObject({ status: 400, code: "BAD_USER_INPUT" });
    expect(await post("query=x", "application/x-www-form-urlencoded")).toMatchObject({ code: "BAD_USER_INPUT" });
    expect(await refusalOf(await fetch(asked))).toMatchObject({ status: 400, code: "BAD_USER_INPUT" });
    expect((await fetch(asked, { headers: { "Apollo-Require-Preflight": "1" } })).status).toBe(200);
  });

  test("when their body is too large, is not JSON, or is no request", async () => {
    const huge = JSON.stringify({ query: "{ __typename }", variables: { text: "x".repeat(13_000_000) } });

    expect(await post(huge)).toMatchObject({ status: 413, code: "PAYLOAD_TOO_LARGE" });
    expect(await post("{ not json")).toMatchObject({ status: 400, code: "BAD_USER_INPUT" });
    expect(await post(`"text"`)).toMatchObject({ status: 400, code: "BAD_USER_INPUT" });
    expect(await post(`{"variables":{}}`)).toMatchObject({ status: 400, code: "BAD_USER_INPUT" });
  });

  test("a message of a million characters, written as clumsily as JSON allows, is not too large", async () => {
    const escaped = "\\ud83d\\ude00".repeat(1_000_000);
    const body = `{"query":"query ($text: String) { sessions(first: 1, filter: { search: $text }) { totalCount } }","variables":{"text":"${escaped}"}}`;
    const response = await fetch(app.url, { method: "POST", headers: { "Content-Type": "application/json" }, body });

    expect(response.status).toBe(200);
  });
});
