import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { newApiKey } from "../../src/context/crypto.ts";
import { PLATFORM_KEY, startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";

const CANARY = "canary-6f1d-contents-of-a-tenant";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

/** The line of one request; its answer may be there before the line. */
async function lineOf(requestId: string): Promise<Record<string, unknown>> {
  for (;;) {
    const line = app.logs.find((each) => each["requestId"] === requestId && each["msg"] === "request");
    if (line) return line;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("the log", () => {
  test("has one line a request: who, for which tenant, what, how long, and what became of it", async () => {
    const { send, id } = await app.newTenant();
    await send("query Named { sessions { totalCount } }", {}, { "X-Request-ID": "request-good" });
    await send("query Wrong { sessions(first: 101) { totalCount } }", {}, { "X-Request-ID": "request-wrong" });
    await app.anonymous("{ __typename }", {}, { "X-Request-ID": "request-refused", "X-API-Key": "nonsense" });

    expect(await lineOf("request-good")).toEqual({
      level: "info",
      time: expect.any(String),
      requestId: "request-good",
      tenantId: id,
      source: "api_key",
      actor: expect.stringMatching(/^api_key:[0-9a-f-]{36}$/),
      method: "POST",
      route: "/graphql",
      status: 200,
      kind: "query",
      operation: "Named",
      durationMs: expect.any(Number),
      outcome: "ok",
      msg: "request",
    });
    expect(await lineOf("request-wrong")).toMatchObject({
      outcome: "client_error",
      codes: ["BAD_USER_INPUT"],
      level: "info",
    });
    expect(await lineOf("request-refused")).toMatchObject({ status: 401, codes: ["UNAUTHENTICATED"], level: "info" });
    expect(app.logs.filter(({ requestId }) => requestId === "request-good")).toHaveLength(1);
  });

  test("holds no credential and no contents, whatever happens", async () => {
    const { send, key, db } = await app.newTenant();
    const unknown = newApiKey().text;
    const create = `mutation ($name: String!) {
      createSession(input: { name: $name, description: "${CANARY}", metadata: { note: "${CANARY}" } }) { session { id } }
    }`;
    await send(create, { name: CANARY });
    const session = await db.session.findFirst({ select: { id: true } });
    await send(
      `mutation ($id: ID!) { createMessage(input: { sessionId: $id, content: "${CANARY}" }) { message { content } } }`,
      { id: session?.id },
    );
    await send(`{ sessions(filter: { search: "${CANARY}" }) { nodes { name description } } }`);
    // Refused at every stage: syntax, validation, variables, service, credential, address.
    await send(`{ ${CANARY} `);
    await send(`{ sessions(filter: { search: "${CANARY}", nothing: "${CANARY}" }) { totalCount } }`);
    await send("query ($id: ID!) { session(id: $id) { id } }", { id: CANARY });
    await send(create, { name: CANARY.repeat(20) });
    await send(`{ sessions(after: "${CANARY}") { totalCount } }`);
    await send("{ __typename }", {}, { Authorization: `Bearer ${unknown}` });
    await app.anonymous("{ __typename }", {}, { "X-API-Key": unknown, Cookie: CANARY });
    await app.platform("{ tenants { totalCount } }");
    await fetch(`${app.url}?query={${CANARY}}&secret=${CANARY}`, { headers: { "Apollo-Require-Preflight": "1" } });
    await fetch(app.app.url + `/${CANARY}?key=${key}`, { headers: { "X-Request-ID": "the-last-request" } });
    await lineOf("the-last-request");

    const text = JSON.stringify(app.logs);
    expect(text).toContain('"request"');
    for (const secret of [CANARY, key, unknown, PLATFORM_KEY, unknown.slice(-20), key.slice(-20)]) {
      expect(text.includes(secret)).toBe(false);
    }
  });
});
