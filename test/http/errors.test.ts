import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { ERROR_CODES } from "../../src/errors.ts";
import { openMetrics } from "../../src/http/metrics.ts";
import { openHttpServer } from "../../src/http/server.ts";
import { expectedMigration } from "../../src/migrate/migrate.ts";
import { buildAtriumSchema } from "../../src/resolvers/index.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { refusalOf } from "../support/refusal.ts";
import { codesOf, sendTo } from "../support/send.ts";
import { anId } from "../support/tenants.ts";

const DEADLINE_MS = 300;
const REQUEST_ID = /^[\w-]{8,64}$/;

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

/** Runs statements as the superuser, and undoes them when `work` is done. */
async function withDatabase(statements: string, work: () => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: app.database.superuserUrl });
  await client.connect();
  try {
    await client.query(statements);
    await work();
  } finally {
    await client.end();
  }
}

/** What the log says of one request, apart from the line that every request has. */
function complaintsAbout(requestId: unknown) {
  return app.logs.filter((line) => line["requestId"] === requestId && line["msg"] !== "request");
}

describe("an error", () => {
  test("carries a code of the closed list and the request's id, which the answer's header repeats", async () => {
    const { send } = await app.newTenant();
    const queries = [
      "{",
      "{ nothing }",
      "{ sessions(first: 101) { totalCount } }",
      `{ session(id: "x") { id } }`,
      `mutation { archiveSession(id: "${anId()}") { session { id } } }`,
      "query A { __typename } query B { __typename }",
      "query ($a: Int!) { sessions(first: $a) { totalCount } }",
    ];

    for (const query of queries) {
      const { errors = [], headers } = await send(query);
      expect(errors.length).toBeGreaterThan(0);
      for (const { extensions } of errors) {
        expect(Object.keys(ERROR_CODES)).toContain(extensions["code"]);
        expect(extensions["requestId"]).toMatch(REQUEST_ID);
        expect(extensions["requestId"]).toBe(headers.get("x-request-id"));
      }
    }
  });

  test("of input says which field is wrong", async () => {
    const { send } = await app.newTenant();
    async function fieldsOf(query: string, variables?: Record<string, unknown>) {
      return (await send(query, variables)).errors?.map(({ extensions }) => extensions["fields"]);
    }
    const create = "mutation ($input: CreateSessionInput!) { createSession(input: $input) { session { id } } }";

    expect(await fieldsOf(create, { input: { name: "" } })).toEqual([[{ path: "input.name", message: "is empty" }]]);
    expect(await fieldsOf(create, { input: { name: 7 } })).toEqual([
      [{ path: "input.name", message: "String cannot represent a non string value: 7" }],
    ]);
    expect(await fieldsOf(create)).toEqual([
      [{ path: "input", message: `of required type "CreateSessionInput!" was not provided.` }],
    ]);
    expect(await fieldsOf("{ nothing }")).toEqual([
      [{ path: "query", message: `Cannot query field "nothing" on type "Query".` }],
    ]);
  });

  test("that nobody expected says nothing but its id, and is logged with its cause", async () => {
    const { send } = await app.newTenant();
    await withDatabase("ALTER TABLE tasks RENAME TO tasks_gone", async () => {
      const query = "{ tasks(first: 3) { nodes { id } } tenant { name } }";
      for (const sight of [1, 2, 3]) {
        const { errors, comparable } = await send(query);
        const requestId = errors?.[0]?.extensions["requestId"];

        expect([sight, errors?.map(({ message }) => message)]).toEqual([sight, ["Internal server error"]]);
        expect(errors?.[0]?.extensions).toEqual({ code: "INTERNAL_SERVER_ERROR", requestId });
        expect(comparable).not.toMatch(/tasks_gone|relation|prisma|SELECT|P20\d\d|42P01|\.ts/i);
        expect(complaintsAbout(requestId)).toMatchObject([
          {
            level: "error",
            code: "INTERNAL_SERVER_ERROR",
            cause: { name: expect.anything(), frames: expect.anything() },
          },
        ]);
      }
      const [line] = app.logs.filter(({ outcome }) => outcome === "server_error");
      expect(line).toMatchObject({ msg: "request", codes: ["INTERNAL_SERVER_ERROR"] });
    });
    await withDatabase("ALTER TABLE tasks_gone RENAME TO tasks", async () => {
      expect(codesOf(await send("{ tasks(first: 3) { nodes { id } } }"))).toEqual([]);
    });
  });

  test("before execution is an HTTP status; for those who take only JSON, a wrong operation is not", async () => {
    const { key } = await app.newTenant();
    async function statusOf(query: string, accept: string) {
      const headers = { "Content-Type": "application/json", "X-API-Key": key, Accept: accept };
      const response = await fetch(app.url, { method: "POST", headers, body: JSON.stringify({ query }) });
      return [response.status, response.headers.get("content-type")];
    }
    const [json, graphql] = ["application/json; charset=utf-8", "application/graphql-response+json; charset=utf-8"];

    expect(await statusOf("{ nothing }", "application/json")).toEqual([200, json]);
    expect(await statusOf("{ nothing }", "application/graphql-response+json")).toEqual([400, graphql]);
    expect(await statusOf("{ nothing }", "*/*")).toEqual([200, json]);
    expect(await statusOf("{ sessions(first: 101) { totalCount } }", "application/graphql-response+json")).toEqual([
      200,
      graphql,
    ]);
  });
});

describe("a request id", () => {
  test("of the caller is kept when it has the form of one", async () => {
    async function idFor(given: string) {
      const response = await fetch(app.url.replace("/graphql", "/livez"), { headers: { "X-Request-ID": given } });
      return response.headers.get("x-request-id");
    }

    expect(await idFor("trace-0123456789")).toBe("trace-0123456789");
    for (const wrong of ["short", "x".repeat(65), `"},{"`, "<script>alert(1)</script>"]) {
      expect(await idFor(wrong)).not.toBe(wrong);
      expect(await idFor(wrong)).toMatch(REQUEST_ID);
    }
  });
});

test("a request that takes too long is answered as UNAVAILABLE, and the server goes on", async () => {
  const server = await openHttpServer({
    app: app.app.context,
    schema: buildAtriumSchema(),
    config: {
      host: "127.0.0.1",
      port: 0,
      introspection: "on",
      trustedDocuments: "off",
      corsOrigins: [],
      openAccessDeprecated: false,
      trustedProxies: [],
    },
    trustedDocuments: { byKey: new Map(), texts: new Set() },
    metrics: openMetrics({ namesTenants: false }),
    expectedMigration: expectedMigration(),
    deadlineMs: DEADLINE_MS,
  });
  const { key } = await app.newTenant();
  const url = `${server.url}/graphql`;
  const body = JSON.stringify({ query: "{ notifications { totalCount } }" });
  const headers = { "Content-Type": "application/json", "X-API-Key": key };
  try {
    await withDatabase("BEGIN; LOCK TABLE notifications IN ACCESS EXCLUSIVE MODE", async () => {
      const refusal = await refusalOf(await fetch(url, { method: "POST", headers, body }));
      expect(refusal).toMatchObject({ status: 503, code: "UNAVAILABLE" });
    });
    expect(codesOf(await sendTo(url, headers)("{ notifications { totalCount } }"))).toEqual([]);
  } finally {
    await server.close();
  }
});
