import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { gql } from "@apollo/client/core";
import { getIntrospectionQuery } from "graphql";
import { createHash } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { apolloClient, GENERATED_FILE, generatedDocument, parsedDocument, post } from "../support/documents.ts";
import { temporaryFolder } from "../support/postgres.ts";
import { codesOf, dataOf } from "../support/send.ts";
import type { TestTenant } from "../support/tenants.ts";

const CREATE = generatedDocument("CreateSession");
const LIST = generatedDocument("ListSessions");
const OWN = {
  dear: "query Dear($first: Int!) { sessions(first: $first) { nodes { messages(first: $first) { nodes { id role content } } } } }",
};
const ONLY_TRUSTED = "Only trusted documents are executed here";
const refused = {
  status: 400,
  body: { errors: [{ message: expect.stringContaining(ONLY_TRUSTED), extensions: { code: "BAD_USER_INPUT" } }] },
};

const folder = temporaryFolder();
const apps = new Map<string, TestApp>();
beforeAll(async () => {
  const own = path.join(folder, "own.json");
  writeFileSync(own, JSON.stringify(OWN));
  const TRUSTED_DOCUMENTS_FILES = `${GENERATED_FILE}, ${own}`;
  for (const mode of ["off", "log", "enforce"])
    apps.set(mode, await startApp({ TRUSTED_DOCUMENTS: mode, TRUSTED_DOCUMENTS_FILES, INTROSPECTION: "members" }));
});
afterAll(async () => {
  await Promise.all([...apps.values()].map((app) => app.close()));
  rmSync(folder, { recursive: true, force: true });
});

function appIn(mode: string): TestApp {
  const app = apps.get(mode);
  if (!app) throw new Error(`no app in mode ${mode}`);
  return app;
}

/** Where a client asks by GET. */
function addressOf(app: TestApp, parameters: Readonly<Record<string, string>>): string {
  return `${app.url}?${new URLSearchParams(parameters).toString()}`;
}

/** One session of each tenant, named after it. */
async function canaryOf({ id, db }: TestTenant): Promise<string> {
  const name = `canary of ${id}`;
  await db.session.create({ data: { name } });
  return name;
}

describe("where documents have to be trusted", () => {
  test("Apollo's own client is answered by the hashes of persisted-documents.json, and sends nothing else", async () => {
    const app = appIn("enforce");
    const acme = await app.newTenant();
    const { client, sent } = apolloClient(app.url, acme.key);

    const variables = { input: { name: "by hash" } };
    const created = await client.mutate({ mutation: parsedDocument(CREATE), variables, fetchPolicy: "no-cache" });
    const { data } = await client.query({ query: parsedDocument(LIST), fetchPolicy: "no-cache" });

    expect(created.data).toMatchObject({ createSession: { session: { name: "by hash" } } });
    expect(data).toEqual({ sessions: { totalCount: 1, nodes: [{ name: "by hash" }] } });
    expect(sent).toEqual([
      { method: "POST", query: undefined, hash: CREATE.id },
      { method: "POST", query: undefined, hash: LIST.id },
    ]);
  });

  test("a text that was changed is refused, whatever hash comes with it, and does nothing", async () => {
    const app = appIn("enforce");
    const acme = await app.newTenant();
    const changed = CREATE.text.replace("{ id ", "{ id __typename ");
    const hash = createHash("sha256").update(changed).digest("hex");
    const variables = { input: { name: "changed" } };
    const headers = { "X-API-Key": acme.key };
    const body = { query: changed, variables };

    expect(changed).not.toBe(CREATE.text);
    expect(await post(app.url, body, headers)).toMatchObject(refused);
    for (const sha256Hash of [hash, CREATE.id])
      expect(
        await post(app.url, { ...body, extensions: { persistedQuery: { version: 1, sha256Hash } } }, headers),
      ).toMatchObject(refused);
    const { client } = apolloClient(app.url, acme.key, { sha256: () => hash });
    await expect(client.mutate({ mutation: gql(changed), variables, fetchPolicy: "no-cache" })).rejects.toThrow(
      ONLY_TRUSTED,
    );
    expect(await acme.db.session.count()).toBe(0);
  });

  test("a text that is in a file may be sent as it is", async () => {
    const { send } = await appIn("enforce").newTenant();

    expect(dataOf(await send(LIST.text))).toMatchObject({ sessions: { totalCount: 0 } });
  });

  test("what is refused is not parsed, so nothing is said of it", async () => {
    const app = appIn("enforce");
    const { key } = await app.newTenant();
    const headers = { "X-API-Key": key };
    const answers = await Promise.all(
      ["{ sessions { totalCount } }", "{ sessionz }", "{ not GraphQL", "{".repeat(100_000)].map(async (query) =>
        post(app.url, { query }, headers),
      ),
    );

    expect(answers[0]).toMatchObject(refused);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  });

  test("a client's own persisted queries are neither kept nor found", async () => {
    const app = appIn("enforce");
    const { key } = await app.newTenant();
    const query = getIntrospectionQuery();
    const sha256Hash = createHash("sha256").update(query).digest("hex");
    const extensions = { persistedQuery: { version: 1, sha256Hash } };

    expect((await post(app.url, { query, extensions }, { "X-API-Key": key })).body).not.toHaveProperty("errors");
    expect((await post(app.url, { extensions }, { "X-API-Key": key })).body).toMatchObject({
      errors: [{ message: "PersistedQueryNotFound" }],
    });
  });

  test("whoever may see the schema may introspect, and ask for nothing beside it", async () => {
    const app = appIn("enforce");
    const { send } = await app.newTenant();
    const beside = "{ __schema { queryType { name } } sessions { totalCount } }";
    const through = 'query { ...Q } fragment Q on Query { sessions { totalCount } __type(name: "Query") { name } }';

    expect(codesOf(await send(getIntrospectionQuery()))).toEqual([]);
    expect(codesOf(await send("{ __typename }"))).toEqual([]);
    expect(codesOf(await app.anonymous("{ __typename }"))).toEqual([]);
    for (const text of [beside, through, '{ sessions(filter: { search: "__schema" }) { totalCount } }'])
      expect((await send(text)).errors?.[0]?.message).toContain(ONLY_TRUSTED);
    expect((await app.anonymous(getIntrospectionQuery())).errors?.[0]?.message).toContain(ONLY_TRUSTED);
  });

  test("the platform administrator may send any text, in a tenant as well", async () => {
    const app = appIn("enforce");
    const { id } = await app.newTenant();

    expect(codesOf(await app.platform("{ tenants { totalCount } }"))).toEqual([]);
    expect(codesOf(await app.platform("{ sessions { totalCount } }", {}, { "X-Tenant-ID": id }))).toEqual([]);
  });

  test("the limit of a price and the scopes of a key hold for trusted documents as for others", async () => {
    const app = appIn("enforce");
    const acme = await app.newTenant();
    const headers = { "X-API-Key": acme.key };
    const dear = { documentId: "dear", variables: { first: 100 } };
    const reader = await app.newTenant({ scopes: ["sessions:read"] });

    expect(await post(app.url, dear, headers)).toMatchObject({
      status: 400,
      body: { errors: [{ extensions: { code: "QUERY_TOO_COMPLEX" } }] },
    });
    expect((await post(app.url, dear, { ...headers, "X-Cost-Only": "true" })).body).toEqual({
      data: null,
      extensions: { cost: 40_201 },
    });
    const create = { documentId: CREATE.id, variables: { input: { name: "not mine to make" } } };
    expect((await post(app.url, create, { "X-API-Key": reader.key })).body).toMatchObject({
      errors: [{ extensions: { code: "FORBIDDEN" } }],
    });
  });
});

describe("a trusted document", () => {
  test.each(["off", "log", "enforce"])(
    "is found by its id in every form, by POST and GET, with mode %s",
    async (mode) => {
      const app = appIn(mode);
      const acme = await app.newTenant();
      const name = await canaryOf(acme);
      const headers = { "X-API-Key": acme.key };
      const plain = LIST.id.replace("sha256:", "");
      const answers = [];
      for (const id of [LIST.id, plain]) {
        const extensions = { persistedQuery: { version: 1, sha256Hash: id } };
        for (const body of [{ documentId: id }, { extensions }, { documentId: id, operationName: "ListSessions" }])
          answers.push((await post(app.url, body, headers)).body);
        for (const [parameter, value] of [
          ["documentId", id],
          ["extensions", JSON.stringify(extensions)],
        ] as const) {
          const url = addressOf(app, { [parameter]: value });
          answers.push(
            await (await fetch(url, { headers: { ...headers, "Apollo-Require-Preflight": "true" } })).json(),
          );
        }
      }

      expect(answers).toHaveLength(10);
      for (const answer of answers)
        expect(answer).toMatchObject({ data: { sessions: { totalCount: 1, nodes: [{ name }] } } });
    },
  );

  test("by GET is a query, and comes with a header that no form of another site can send", async () => {
    const app = appIn("enforce");
    const acme = await app.newTenant();
    const headers = { "X-API-Key": acme.key, "Apollo-Require-Preflight": "true" };
    const variables = JSON.stringify({ input: { name: "by GET" } });
    const create = addressOf(app, { documentId: CREATE.id, variables });
    const list = addressOf(app, { documentId: LIST.id });

    expect((await fetch(create, { headers })).status).toBe(405);
    expect((await fetch(list, { headers: { "X-API-Key": acme.key } })).status).toBe(400);
    expect((await fetch(`${list}&documentId=${LIST.id}`, { headers })).status).toBe(400);
    expect(await acme.db.session.count()).toBe(0);
  });

  test("answers each tenant that asks in turn with its own rows", async () => {
    const app = appIn("enforce");
    const tenants = [await app.newTenant(), await app.newTenant()];
    const canaries = await Promise.all(tenants.map(canaryOf));

    for (const round of [1, 2, 3]) {
      for (const [index, { key }] of tenants.entries()) {
        const { body } = await post(app.url, { documentId: LIST.id }, { "X-API-Key": key });
        expect([round, body]).toMatchObject([round, { data: { sessions: { nodes: [{ name: canaries[index] }] } } }]);
      }
    }
  });

  test("needs a credential like its text", async () => {
    const app = await startApp({
      ...{ DEFAULT_TENANT: "off", TRUST_TENANT_HEADER: "off" },
      ...{ TRUSTED_DOCUMENTS: "enforce", TRUSTED_DOCUMENTS_FILES: GENERATED_FILE },
    });
    const byId = await post(app.url, { documentId: LIST.id });
    const byText = await post(app.url, { query: LIST.text });
    await app.close();

    expect(byId).toMatchObject({ status: 401, body: { errors: [{ extensions: { code: "TENANT_REQUIRED" } }] } });
    expect(byText.text).toBe(byId.text);
  });
});
