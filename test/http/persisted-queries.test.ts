import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { gql } from "@apollo/client/core";
import { createHash } from "node:crypto";
import { openPersistedQueries } from "../../src/resolvers/persisted-queries.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { apolloClient, post } from "../support/documents.ts";
import type { TestTenant } from "../support/tenants.ts";

const NOT_FOUND = { message: "PersistedQueryNotFound", extensions: { code: "PERSISTED_QUERY_NOT_FOUND" } };
const MEBIBYTE = 1_048_576;

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ DEFAULT_TENANT: "off", TRUST_TENANT_HEADER: "off" });
});
afterAll(() => app.close());

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const extension = (sha256Hash: unknown, version: unknown = 1) => ({ persistedQuery: { version, sha256Hash } });

/** Sends a document by its hash alone. */
async function byHash({ key }: TestTenant, text: string) {
  return post(app.url, { extensions: extension(sha256(text)) }, { "X-API-Key": key });
}

/** Sends a text with its hash, for the gateway to keep. */
async function withHash({ key }: TestTenant, query: string, hash = sha256(query)) {
  return post(app.url, { query, extensions: extension(hash) }, { "X-API-Key": key });
}

/** A text that nobody else in this file sends. */
function aQuery(name: string): string {
  return `query ${name} { sessions { nodes { name } } }`;
}

describe("automatic persisted queries", () => {
  test.each([
    ["POST", false],
    ["GET", true],
  ])("send the text once, and then its hash alone by %s, with Apollo's own client", async (method, usesGet) => {
    const acme = await app.newTenant();
    await acme.db.session.create({ data: { name: "first" } });
    const query = gql(`query Apollo${method} { sessions { nodes { name } } }`);
    const answer = { sessions: { nodes: [{ name: "first" }] } };

    const first = apolloClient(app.url, acme.key, { sha256, useGETForHashedQueries: usesGet });
    const { data } = await first.client.query({ query, fetchPolicy: "no-cache" });
    expect(data).toMatchObject(answer);
    expect(first.sent).toMatchObject([{ method, query: undefined }, { method: "POST" }]);
    expect(first.sent[1]?.query).toContain(`query Apollo${method}`);

    const second = apolloClient(app.url, acme.key, { sha256, useGETForHashedQueries: usesGet });
    expect((await second.client.query({ query, fetchPolicy: "no-cache" })).data).toMatchObject(answer);
    expect(second.sent).toEqual([{ method, query: undefined, hash: first.sent[0]?.hash }]);
  });

  test("tell one tenant nothing of what another one sent", async () => {
    const [acme, globex] = [await app.newTenant(), await app.newTenant()];
    const [used, never] = [aQuery("OfAcme"), aQuery("OfNobody")];
    await withHash(acme, used);

    const probe = await byHash(globex, used);
    expect(probe.body).toMatchObject({ errors: [NOT_FOUND] });
    expect(probe).toMatchObject({ status: 200, text: (await byHash(globex, never)).text });
    expect((await byHash(acme, used)).body).not.toHaveProperty("errors");
  });

  test("answer each tenant that asks in turn with its own rows", async () => {
    const tenants = [await app.newTenant(), await app.newTenant()];
    const query = aQuery("InTurn");
    for (const { id, db } of tenants) await db.session.create({ data: { name: `canary of ${id}` } });
    for (const tenant of tenants) await withHash(tenant, query);

    for (const tenant of [...tenants, ...tenants, ...tenants]) {
      const { body } = await byHash(tenant, query);
      expect(body).toMatchObject({ data: { sessions: { nodes: [{ name: `canary of ${tenant.id}` }] } } });
    }
  });

  test("keep no text under a hash that is not its own, and none that could not be executed", async () => {
    const acme = await app.newTenant();
    const [good, other] = [aQuery("Good"), aQuery("Other")];
    const bad = [
      "query Broken {",
      "query Unknown { nothingOfThat }",
      `query Long { tenant { name } } # ${"x".repeat(20_000)}`,
    ];

    expect((await withHash(acme, good, sha256(other))).body).toMatchObject({
      errors: [{ extensions: { code: "BAD_USER_INPUT", fields: [{ path: "extensions.persistedQuery.sha256Hash" }] } }],
    });
    for (const text of bad) await withHash(acme, text);
    for (const text of [good, other, ...bad])
      expect((await byHash(acme, text)).body).toMatchObject({ errors: [NOT_FOUND] });
  });

  test("keep nothing that its sender may not pay for", async () => {
    const acme = await app.newTenant();
    const query =
      "query Dear { sessions(first: 100) { nodes { messages(first: 100) { nodes { id role content } } } } }";

    expect((await withHash(acme, query)).body).toMatchObject({
      errors: [{ extensions: { code: "QUERY_TOO_COMPLEX" } }],
    });
    expect((await byHash(acme, query)).body).toMatchObject({ errors: [NOT_FOUND] });
  });

  test("let somebody sign in who has no tenant yet, and keep nothing of it", async () => {
    const acme = await app.newTenant();
    const query = "mutation ByHash($input: LoginInput!) { login(input: $input) { accessToken } }";
    const body = {
      variables: { input: { email: "nobody@example.com", password: "a long enough password" } },
      extensions: extension(sha256(query)),
    };
    const headers = { "X-Tenant-ID": acme.id };

    expect((await post(app.url, body, headers)).body).toMatchObject({ errors: [NOT_FOUND] });
    expect((await post(app.url, { ...body, query }, headers)).body).toMatchObject({ errors: [{ path: ["login"] }] });
    expect((await post(app.url, body, headers)).body).toMatchObject({ errors: [NOT_FOUND] });
  });

  test("come with 200 where a client does not know them, and with 400 to one that takes GraphQL's media type", async () => {
    const acme = await app.newTenant();
    const headers = { "X-API-Key": acme.key, Accept: "application/graphql-response+json" };

    expect(await byHash(acme, "{ unknown }")).toMatchObject({ status: 200 });
    expect(await post(app.url, { extensions: extension(sha256("{ unknown }")) }, headers)).toMatchObject({
      status: 400,
    });
  });

  test.each([
    ["another version", { extensions: extension("0".repeat(64), 2) }, "extensions.persistedQuery"],
    ["no hash", { query: "{ __typename }", extensions: { persistedQuery: {} } }, "extensions.persistedQuery"],
    ["a hash that is no text", { extensions: extension(["a"]) }, "extensions.persistedQuery"],
    ["an id that is no text", { documentId: { $ne: null } }, "documentId"],
    ["an id and a text", { documentId: "account/sign-in", query: "{ __typename }" }, "documentId"],
    ["two ids", { documentId: "account/sign-in", extensions: extension("account/sign-in") }, "documentId"],
  ])("are refused with %s", async (_what, body, path) => {
    const { key } = await app.newTenant();

    expect(await post(app.url, body, { "X-API-Key": key })).toMatchObject({
      status: 400,
      body: { errors: [{ extensions: { code: "BAD_USER_INPUT", fields: [{ path }] } }] },
    });
  });
});

describe("the memory of persisted queries", () => {
  test("has room for some hundred texts of one tenant, whose flood makes no other tenant's go", () => {
    const persisted = openPersistedQueries();
    persisted.keep("globex", "key", "text of globex");
    for (let each = 0; each < 5_000; each += 1) persisted.keep("acme", `key ${each}`, "x".repeat(2_000));

    const kept = Array.from({ length: 5_000 }, (_, each) => persisted.find("acme", `key ${each}`)).filter(Boolean);
    expect(kept).toHaveLength(250);
    expect(persisted.find("acme", "key 4999")).toBeDefined();
    expect(persisted.find("globex", "key")).toBe("text of globex");
  });

  test("has a bound for all tenants together, however many there are", () => {
    const persisted = openPersistedQueries();
    for (let tenant = 0; tenant < 500; tenant += 1) {
      for (let each = 0; each < 25; each += 1) persisted.keep(`tenant ${tenant}`, `key ${each}`, "x".repeat(20_000));
    }

    const kept = Array.from({ length: 500 }, (_, tenant) => persisted.find(`tenant ${tenant}`, "key 24")).filter(
      Boolean,
    );
    expect(kept).toHaveLength(100);
    expect(kept.length * 25 * 20_000).toBeLessThan(50 * MEBIBYTE);
    expect(persisted.find("tenant 499", "key 24")).toBeDefined();
  });
});
