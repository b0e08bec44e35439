import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { ALL_SCOPES, SCOPES } from "../../src/context/permissions.ts";
import type { Scope } from "../../src/context/permissions.ts";
import { createTenantContext, TENANT_SOURCES } from "../../src/context/tenant-context.ts";
import { buildAtriumSchema } from "../../src/resolvers/index.ts";
import { openApollo } from "../../src/resolvers/server.ts";
import type { GraphqlServer } from "../../src/resolvers/server.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { anId } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";

// Operations are compiled at the second sight. Here each one is executed both ways, and the answers must be the same, byte for byte.

type Variables = Record<string, unknown>;

const OPERATIONS = path.resolve(import.meta.dirname, "../operations");
const MEASURED = /"latencyMs":\d+/g;
const IDS_AND_TIMES = /[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-\d\dT[\d:.]+Z|"cursor":"[^"]*"|atr_\w+/g;

let app: TestApp;
let acme: TestTenant;
let session: string;
let compiled: GraphqlServer;
let interpreted: GraphqlServer;
beforeAll(async () => {
  app = await startApp();
  acme = await app.newTenant();
  session = await fill(acme);
  const schema = buildAtriumSchema();
  const options = {
    introspection: "on",
    refusalOf: () => undefined,
    onOperation: () => undefined,
    charge: async () => undefined,
  } as const;
  compiled = openApollo(schema, options);
  interpreted = openApollo(schema, { ...options, compiles: false });
  await Promise.all([compiled.start(), interpreted.start()]);
});
afterAll(async () => {
  await Promise.all([compiled.stop(), interpreted.stop()]);
  await app.close();
});

/** Three sessions with messages; the id of the first. */
async function fill({ db }: TestTenant): Promise<string> {
  const ids: string[] = [];
  for (const name of ["Ünïcode 🦜", "second", "third"]) {
    const { id } = await db.session.create({ data: { name, metadata: { nested: [1, { a: null }] } } });
    ids.push(id);
    for (const role of ["user", "assistant"]) await db.message.create({ data: { sessionId: id, role, content: name } });
  }
  return ids[0] ?? "";
}

async function execute(
  server: GraphqlServer,
  tenant: TestTenant,
  query: string,
  variables: Variables = {},
  scopes: readonly Scope[] = ALL_SCOPES,
): Promise<string> {
  const record = await app.app.context.crossTenant.tenantById(tenant.id);
  if (!record) throw new Error("the tenant is gone");
  const who = {
    tenant: record,
    source: TENANT_SOURCES.API_KEY,
    actor: { kind: "apiKey", apiKeyId: anId(), scopes: new Set(scopes) },
  } as const;
  const { log, clock } = app.app.context;
  const facts = { requestId: "request-0", ip: undefined, log, clock };
  const contextValue = createTenantContext(app.app.context, who, facts);
  const { body, http } = await server.executeOperation({ query, variables }, { contextValue });
  const text = JSON.stringify(body.kind === "single" ? body.singleResult : body.kind);
  return `${http.status ?? 200} ${text.replace(MEASURED, "")}`;
}

/** One answer both ways, after enough sights for it to be compiled; variables must not matter to that. */
async function both(query: string, variables?: Variables, scopes?: readonly Scope[]) {
  const expected = await execute(interpreted, acme, query, variables, scopes);
  const answers = [];
  for (let sight = 0; sight < 3; sight += 1) answers.push(await execute(compiled, acme, query, variables, scopes));
  return { expected, answers };
}

async function expectSame(query: string, variables?: Variables, scopes?: readonly Scope[]): Promise<string> {
  const { expected, answers } = await both(query, variables, scopes);
  expect(answers).toEqual([expected, expected, expected]);
  return expected;
}

describe("a compiled query answers like GraphQL.js", () => {
  test("for nested lists, aliases, fragments and interfaces", async () => {
    const answer = await expectSame(
      `query Q($id: ID!) {
        list: sessions(first: 2, orderBy: { field: CREATED_AT, direction: ASC }) {
          totalCount
          edges { cursor node { ...S ... on Node { id __typename } } }
          pageInfo { hasNextPage endCursor }
        }
        node(id: $id) { __typename id ...S ... on Message { content } }
        nodes(ids: [$id, "${anId()}"]) { id }
        __typename
      }
      fragment S on Session { name metadata createdAt messages(last: 1) { nodes { ...M } } ... { status } }
      fragment M on Message { role content session { id name } }`,
      { id: session },
    );
    expect(answer).toContain("🦜");
    expect(answer).not.toContain("errors");
  });

  test("for conditions, alone, together, on fragments, and one fragment in two places", async () => {
    const query = `query Q($yes: Boolean!, $no: Boolean = false) {
      sessions(first: 1) @include(if: $yes) {
        totalCount @skip(if: $no)
        nodes { ...S @include(if: $yes) id @include(if: $no) title @skip(if: $no) @include(if: $yes) }
      }
      other: sessions(last: 1) { nodes { ...S ... on Session @skip(if: $yes) { status } } }
      tenant { name @include(if: true) id @skip(if: true) }
    }
    fragment S on Session { name @skip(if: $no) messages(first: 1) @include(if: $no) { totalCount } }`;

    for (const yes of [true, false]) {
      for (const no of [true, false]) await expectSame(query, { yes, no });
      await expectSame(query, { yes });
    }
  });

  test("when all that is selected is switched off", async () => {
    await expectSame("query ($no: Boolean!) { tenant { name @include(if: $no) } sessions { totalCount } }", {
      no: false,
    });
  });

  test("for variables that are absent, null, defaulted, and inside of literals", async () => {
    const list = `query Q($first: Int, $after: String, $status: [SessionStatus!] = [ACTIVE], $search: String, $from: DateTime) {
      sessions(first: $first, after: $after, filter: { status: $status, search: $search, createdAfter: $from }) { nodes { name } }
    }`;
    await expectSame(list);
    await expectSame(list, { first: null, after: null, search: null, from: null });
    await expectSame(list, { first: 1, status: "ACTIVE", search: "sec", from: "2020-01-01T00:00:00Z" });
    await expectSame(list, { status: null });
    await expectSame(list, { status: ["ARCHIVED", "DELETED"], from: "2100-01-01T00:00:00+02:00" });
    await expectSame("query ($first: Int) { sessions(first: $first) { nodes { name } } }", { first: null });
    await expectSame("query ($o: SessionOrder! = { field: NAME }) { sessions(orderBy: $o) { nodes { name } } }");
  });

  test("for literals of every kind, in upper case where it does not matter", async () => {
    await expectSame(`{ session(id: "${session.toUpperCase()}") { id name } }`);
    await expectSame("query ($id: ID!) { session(id: $id) { id name } }", { id: session.toUpperCase() });
    await expectSame(
      `{ sessions(filter: { createdBefore: "2100-01-01T00:00:00Z", status: ACTIVE }, first: 1) { totalCount } }`,
    );
    await expectSame(
      `{ sessions(filter: null, after: null) { totalCount } apiKeys(activeOnly: false) { totalCount } }`,
    );
  });

  test("for what cannot be found, is refused, or is wrong", async () => {
    await expectSame(`{ session(id: "${anId()}") { id } }`);
    await expectSame("{ sessions(first: 101) { totalCount } tenant { name } }");
    await expectSame("{ sessions(first: 1) { nodes { id messages(first: 1, last: 1) { totalCount } } } }");
    await expectSame(`{ sessions(after: "nonsense") { totalCount } }`);
    await expectSame("{ auditEvents { totalCount } sessions { totalCount } }", {}, [SCOPES.SESSIONS_READ]);
    await expectSame(`{ notification(id: "${anId()}") { id } }`, {}, []);
    await expectSame(`{ session(id: "${session}") { id tasks(first: 1000) { totalCount } } }`);
  });

  test("for variables that are wrong", async () => {
    const byId = "query ($id: ID!) { session(id: $id) { id } }";
    for (const id of ["nonsense", 7, null, [], {}]) await expectSame(byId, { id });
    await expectSame(byId);
    await expectSame("query ($first: Int) { sessions(first: $first) { totalCount } }", { first: "1" });
    await expectSame("query ($f: SessionFilter) { sessions(filter: $f) { totalCount } }", {
      f: { status: ["NONE"], x: 1 },
    });
    // Right at first, and wrong once it is compiled.
    await expectSame(byId, { id: session });
    await expectSame(byId, { id: "nonsense" });
  });

  test("for every operation of this suite", async () => {
    const files = readdirSync(OPERATIONS, { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith(".graphql"),
    );
    const variables = { id: session, sessionId: session, ids: [session], first: 2, last: null, after: null };
    for (const file of files) {
      const text = readFileSync(path.join(OPERATIONS, file), "utf8");
      if (!/\bmutation\b/.test(text)) await expectSame(text, variables);
    }
    expect(files.length).toBeGreaterThan(0);
  });
});

describe("a mutation", () => {
  const CREATE = `mutation Create($name: String!, $metadata: JSONObject) {
    first: createSession(input: { name: $name, metadata: { literal: [1, "two", { three: null }], given: $metadata } }) {
      session { name metadata status messageCount }
    }
    second: createSession(input: { name: "", title: "x" }) { session { id } }
    third: createSession(input: { name: "third" }) { session { name } }
  }`;

  test("stops at the first failure, at every sight: what comes behind a failed one is not done", async () => {
    const answers = [];
    for (const server of [interpreted, compiled, compiled, compiled]) {
      const tenant = await app.newTenant();
      const answer = await execute(server, tenant, CREATE, { name: "n", metadata: { deep: { er: true } } });
      const written = await tenant.db.session.findMany({
        orderBy: { createdAt: "asc" },
        select: { name: true, metadata: true },
      });
      const trail = await tenant.db.auditEvent.findMany({ select: { action: true } });
      answers.push({ answer: answer.replaceAll(IDS_AND_TIMES, ""), written, trail });
    }
    const [expected, ...others] = answers;

    expect(others).toEqual([expected, expected, expected]);
    expect(expected?.written.map(({ name }) => name)).toEqual(["n"]);
  });

  test("does nothing when a variable is wrong", async () => {
    const tenant = await app.newTenant();
    for (let sight = 0; sight < 3; sight += 1) await execute(compiled, tenant, CREATE, { name: null });

    expect(await tenant.db.session.count()).toBe(0);
  });
});
