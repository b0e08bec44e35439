import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { parse, print } from "graphql";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describeSampleData, makeSampleData, SAMPLE_QUERY } from "../../src/embedded/sample-data.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf, sendTo } from "../support/send.ts";

const EVERYTHING = `{ tenant { name }
  sessions { nodes { name title messageCount messages { nodes { role content } } user { email } } }
  notifications { nodes { type urgency content } }
  integrations { nodes { __typename name account status } }
  longTermMemories { nodes { content kind importance } } }`;

let app: TestApp;
let dataDir: string;
beforeEach(async () => {
  app = await startApp();
  dataDir = mkdtempSync(path.join(tmpdir(), "atrium-sample-"));
});
afterEach(async () => {
  await app.close();
  rmSync(dataDir, { recursive: true, force: true });
});

const make = () => makeSampleData(app.app.context, dataDir);
const file = () => path.join(dataDir, "sample-keys.json");

describe("sample data", () => {
  test("the first start makes two tenants that are alike but for their names", async () => {
    const tenants = await make();
    const [acme, globex] = await Promise.all(
      tenants.map(async ({ key }) => dataOf(await sendTo(app.url, { "X-API-Key": key })(EVERYTHING))),
    );

    expect(tenants.map(({ name }) => name)).toEqual(["Acme", "Globex"]);
    expect(acme).not.toEqual(globex);
    expect(JSON.stringify(acme).replaceAll("Acme", "Globex")).toBe(JSON.stringify(globex));
    expect(acme).toMatchObject({
      sessions: { nodes: [{ name: "Weekly planning", user: { email: "ada@example.com" } }, {}, {}] },
      notifications: { nodes: [{ type: "EMAIL_RECEIVED" }, {}, {}] },
      integrations: {
        nodes: [
          { __typename: "CalendarIntegration" },
          { __typename: "EmailIntegration" },
          { __typename: "McpIntegration" },
        ],
      },
      longTermMemories: { nodes: [{}, {}] },
    });
  });

  test("the query that is printed is the one of the documents, and its answer names the tenant", async () => {
    const [acme] = await make();
    const example = readFileSync("test/operations/examples/first-look.graphql", "utf8").replace(
      "query FirstLook",
      "query",
    );

    const answer = await sendTo(app.url, { "X-API-Key": acme?.key ?? "" })(SAMPLE_QUERY);
    const said = describeSampleData(acme ? [acme] : [], "http://127.0.0.1:4000").join("\n");

    expect(print(parse(SAMPLE_QUERY))).toBe(print(parse(example)));
    expect(JSON.stringify(dataOf(answer))).toContain("You will hear of the offer of Acme");
    expect(said).toContain(acme?.key);
    expect(said).toContain(`\n  ${SAMPLE_QUERY}\n`);
    expect(said).toContain(JSON.stringify({ query: SAMPLE_QUERY }));
  });

  test("a later start makes nothing and gives the same keys, which only their owner may read", async () => {
    const first = await make();
    const again = await make();
    const [count] = await Promise.all([app.app.context.crossTenant.countTenants({})]);

    expect(again).toEqual(first);
    expect(count).toBe(3);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
  });

  test("a start that was killed half-way is taken up, and nothing is made twice", async () => {
    const [acme, globex] = await make();
    writeFileSync(file(), JSON.stringify({ complete: false, tenants: [acme, globex] }));

    expect(await make()).toEqual([acme, globex]);
    const answer = await sendTo(app.url, { "X-API-Key": globex?.key ?? "" })("{ sessions { totalCount } }");
    expect(dataOf(answer)).toEqual({ sessions: { totalCount: 3 } });
  });

  test("keys noted before any tenant was made become the tenants' keys", async () => {
    const [acme] = await make();
    const other = await startApp();
    writeFileSync(file(), JSON.stringify({ complete: false, tenants: [acme] }));

    const made = await makeSampleData(other.app.context, dataDir);
    const answer = await sendTo(other.url, { "X-API-Key": acme?.key ?? "" })("{ tenant { name } }");
    await other.close();

    expect(made).toMatchObject([{ name: "Acme", key: acme?.key }]);
    expect(dataOf(answer)).toEqual({ tenant: { name: "Acme" } });
  });

  test("the owner of each signs in with the password that is shown, and is another person in each", async () => {
    const tenants = await make();
    const said = describeSampleData(tenants, "http://127.0.0.1:4000").join("\n");
    const people = await Promise.all(
      tenants.map(async ({ id, password = "" }) => {
        const input = { email: "ada@example.com", password };
        const login = "mutation ($input: LoginInput!) { login(input: $input) { user { id name } } }";
        return dataOf(
          await sendTo(app.url, { "X-Tenant-ID": id })<{ login: { user: { id: string; name: string } } }>(login, {
            input,
          }),
        ).login.user;
      }),
    );

    expect(people.map(({ name }) => name)).toEqual(["Ada", "Ada"]);
    expect(new Set(people.map(({ id }) => id)).size).toBe(2);
    for (const { id, name, password } of tenants)
      expect(said).toContain(`/account/sign-in?tenant=${id}  ${name}, password ${String(password)}`);
  });

  test("where somebody works already, none is made", async () => {
    await app.newTenant();

    expect(await make()).toEqual([]);
  });

  test("an adopted database, with all of somebody's data in the default tenant, gets none", async () => {
    dataOf(await app.anonymous('mutation { createSession(input: { name: "Mine" }) { session { id } } }'));

    expect(await make()).toEqual([]);
    expect(describeSampleData([], "http://127.0.0.1:4000")).toEqual([]);
  });

  test("a tenant that was suspended, or whose key was revoked, is no longer shown", async () => {
    const [acme, globex] = await make();
    const send = sendTo(app.url, { "X-API-Key": acme?.key ?? "" });
    const { tenantContext } = dataOf(
      await send<{ tenantContext: { apiKey: { id: string } } }>("{ tenantContext { apiKey { id } } }"),
    );
    await send("mutation ($id: ID!) { revokeApiKey(id: $id) { apiKey { id } } }", { id: tenantContext.apiKey.id });
    const deadline = performance.now() + 1_000;
    while (codesOf(await send("{ tenant { id } }")).length === 0 && performance.now() < deadline);

    expect(await make()).toEqual([globex]);
  });
});
