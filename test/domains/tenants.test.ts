import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import {
  CreateTenantDocument,
  ListTenantsDocument,
  ReadOwnTenantDocument,
  ReadTenantDocument,
  UpdateTenantDocument,
  WhoAmIDocument,
} from "../generated/operations/graphql.ts";
import type {
  CreateTenantInput,
  CreateTenantMutation,
  ListTenantsQuery,
  ListTenantsQueryVariables,
  UpdateTenantInput,
} from "../generated/operations/graphql.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf, sendTo } from "../support/send.ts";
import type { Sender } from "../support/send.ts";
import { anId } from "../support/tenants.ts";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

type TenantFields = CreateTenantMutation["createTenant"]["tenant"];
type Page = ListTenantsQuery["tenants"];

function aName(): string {
  return `Tenant ${anId()}`;
}

async function create(input: CreateTenantInput): Promise<CreateTenantMutation["createTenant"]> {
  return dataOf(await app.platform(CreateTenantDocument, { input })).createTenant;
}

async function update(input: UpdateTenantInput): Promise<TenantFields> {
  return dataOf(await app.platform(UpdateTenantDocument, { input })).updateTenant.tenant;
}

async function list(variables: ListTenantsQueryVariables, send: Sender = app.platform): Promise<Page> {
  return dataOf(await send(ListTenantsDocument, variables)).tenants;
}

describe("who asks", () => {
  test("a key sees its tenant, its own scopes and itself, and needs no scope for that", async () => {
    const acme = await app.newTenant();
    const reader = await acme.withScopes("FILES_READ");

    const answer = dataOf(await reader(WhoAmIDocument));

    expect(answer.tenantContext).toEqual({
      source: "API_KEY",
      scopes: ["FILES_READ"],
      user: null,
      apiKey: { scopes: ["FILES_READ"], active: true },
      tenant: { id: acme.id, name: acme.name, isDefault: false },
    });
    expect(dataOf(await reader(ReadOwnTenantDocument)).tenant.name).toBe(acme.name);
  });

  test("nobody in particular is in the default tenant, without a key", async () => {
    const { tenantContext } = dataOf(await app.anonymous(WhoAmIDocument));

    expect(tenantContext).toMatchObject({
      source: "DEFAULT",
      apiKey: null,
      tenant: { name: "Default Tenant", isDefault: true },
    });
  });

  test("a tenant that is chosen by header says so", async () => {
    const acme = await app.newTenant();

    const answer = await acme.send(WhoAmIDocument, {}, { "X-Tenant-ID": acme.id });

    expect(dataOf(answer).tenantContext.source).toBe("HEADER");
  });
});

describe("making a tenant", () => {
  test("the answer has the tenant and a key that may do everything in it", async () => {
    const name = aName();

    const { tenant, apiKey } = await create({ name, plan: "PRO", metadata: { contract: "2026-11" } });
    const itself = dataOf(await sendTo(app.url, { "X-API-Key": apiKey })(ReadOwnTenantDocument));
    const scopes = dataOf(
      await sendTo(app.url, { "X-API-Key": apiKey })("{ tenantContext { scopes } apiKeys { totalCount } }"),
    );

    expect(tenant).toMatchObject({
      name,
      schemaName: `tenant_${name.toLowerCase().replaceAll(/[ -]/g, "_")}`,
      active: true,
      isDefault: false,
      isolation: "SHARED",
      plan: "PRO",
      metadata: { contract: "2026-11" },
      limits: { requestsPerMinute: 6_000 },
    });
    expect(itself).toEqual({ tenant });
    expect(scopes).toMatchObject({
      tenantContext: { scopes: expect.arrayContaining(["TENANT_ADMIN"]) },
      apiKeys: { totalCount: 1 },
    });
  });

  test("it begins empty, on the FREE plan, and knows nothing of other tenants", async () => {
    const { tenant, apiKey } = await create({ name: aName() });
    const answer = dataOf(await sendTo(app.url, { "X-API-Key": apiKey })("{ sessions { totalCount } }"));

    expect(tenant).toMatchObject({ plan: "FREE", metadata: {} });
    expect(answer).toEqual({ sessions: { totalCount: 0 } });
  });

  test.each([
    ["accents", "Café Zürich & Söhne 123", /^tenant_cafe_zurich_sohne_123$/],
    ["no Latin letter", "株式会社", /^tenant_[0-9a-f]{8}$/],
    ["the default tenant's letters", "Default", /^tenant_default_[0-9a-f]{8}$/],
    ["255 letters", "x".repeat(255), /^tenant_x{47}$/],
  ])("the schema name made from a name with %s is plain, short and free", async (_what, name, expected) => {
    const { tenant } = await create({ name });

    expect(tenant.schemaName).toMatch(expected);
    expect(tenant.schemaName.length).toBeLessThanOrEqual(63);
  });

  test("its owner is there with it, and its audit trail begins with who made and changed it", async () => {
    const { tenant, apiKey } = await create({ name: aName(), ownerEmail: "Ada@Nova.example" });
    await app.platform("mutation ($id: ID!) { updateTenant(input: { id: $id, plan: PRO }) { tenant { id } } }", {
      id: tenant.id,
    });

    const { db } = app.app.context.clients.of(tenant.id);
    expect(await db.user.findMany({ select: { email: true, role: true, passwordHash: true } })).toEqual([
      { email: "ada@nova.example", role: "owner", passwordHash: null },
    ]);
    const trail = await sendTo(app.url, { "X-API-Key": apiKey })(
      "{ auditEvents { nodes { action actor target details } } }",
    );
    expect(dataOf(trail)).toMatchObject({
      auditEvents: {
        nodes: [
          { action: "tenant.update", actor: "platform", target: tenant.id, details: { changed: ["plan"] } },
          { action: "tenant.create", actor: "platform", target: tenant.id },
        ],
      },
    });
  });

  test("names that look alike in plain letters make tenants of their own", async () => {
    const first = await create({ name: "Look, alike" });
    const second = await create({ name: "Look alike!" });

    expect(first.tenant.schemaName).toBe("tenant_look_alike");
    expect(second.tenant.schemaName).toMatch(/^tenant_look_alike_[0-9a-f]{8}$/);
  });

  test("a name that is taken is a conflict, and so is a schema name that was asked for", async () => {
    const { tenant } = await create({ name: aName() });

    const sameName = await app.platform(CreateTenantDocument, { input: { name: tenant.name } });
    const sameSchema = await app.platform(CreateTenantDocument, {
      input: { name: aName(), schemaName: tenant.schemaName },
    });
    const takesDefault = await app.platform(CreateTenantDocument, {
      input: { name: aName(), schemaName: "tenant_default" },
    });

    expect([sameName, sameSchema, takesDefault].map(codesOf)).toEqual([["CONFLICT"], ["CONFLICT"], ["CONFLICT"]]);
  });

  test.each([
    ["no name", { name: "" }, "input.name"],
    ["a name that is too long", { name: "x".repeat(256) }, "input.name"],
    ["NUL in the name", { name: "a\0b" }, "input.name"],
    ["a schema name with other characters", { name: "Good", schemaName: "Bad Name" }, "input.schemaName"],
    ["an empty schema name", { name: "Good", schemaName: "" }, "input.schemaName"],
    ["a schema name that begins with a digit", { name: "Good", schemaName: "1st" }, "input.schemaName"],
    ["a schema name of PostgreSQL", { name: "Good", schemaName: "pg_toast" }, "input.schemaName"],
    ["the schema of the shared tables", { name: "Good", schemaName: "public" }, "input.schemaName"],
    ["a schema name of canaries", { name: "Good", schemaName: "canary_bird" }, "input.schemaName"],
    ["a schema name that is too long", { name: "Good", schemaName: `t${"x".repeat(63)}` }, "input.schemaName"],
    ["the isolation SCHEMA", { name: "Good", isolation: "SCHEMA" }, "input.isolation"],
    ["an address that is too long", { name: "Good", ownerEmail: `${"x".repeat(250)}@example.com` }, "input.ownerEmail"],
    ["too much metadata", { name: "Good", metadata: { text: "x".repeat(70_000) } }, "input.metadata"],
  ])("%s is refused, naming what is wrong", async (_what, input, path) => {
    const answer = await app.platform(String(CreateTenantDocument), { input });

    expect(codesOf(answer)).toEqual(["BAD_USER_INPUT"]);
    expect(answer.errors?.[0]?.extensions["fields"]).toMatchObject([{ path }]);
  });
});

describe("changing a tenant", () => {
  test("what is left out stays, and null clears", async () => {
    const { tenant } = await create({ name: aName(), plan: "PRO", metadata: { a: 1 } });
    const name = aName();

    const renamed = await update({ id: tenant.id, name });
    const limited = await update({ id: tenant.id, limits: { requestsPerMinute: 7, storageBytes: 2 ** 41 } });
    const moved = await update({ id: tenant.id, plan: "ENTERPRISE", limits: { tokensPerMonth: 0 } });
    const cleared = await update({ id: tenant.id, limits: null, metadata: null });

    expect(renamed).toEqual({ ...tenant, name });
    expect(limited).toEqual({ ...renamed, limits: { ...tenant.limits, requestsPerMinute: 7, storageBytes: 2 ** 41 } });
    expect(moved).toMatchObject({ plan: "ENTERPRISE", limits: { requestsPerMinute: 60_000, tokensPerMonth: 0 } });
    expect(cleared).toMatchObject({ name, metadata: {}, limits: { tokensPerMonth: 1_000_000_000 } });
  });

  test("a suspended tenant's requests are refused at once, and served again when it is resumed", async () => {
    const { tenant, apiKey } = await create({ name: aName() });
    const send = sendTo(app.url, { "X-API-Key": apiKey });
    dataOf(await send("{ tenant { id } }"));

    await update({ id: tenant.id, active: false });
    const refused = await send("{ tenant { id } }");
    const seen = dataOf(await app.platform(ReadTenantDocument, { id: tenant.id })).tenantById;
    await update({ id: tenant.id, active: true });

    expect(codesOf(refused)).toEqual(["TENANT_INACTIVE"]);
    expect(seen?.active).toBe(false);
    expect(dataOf(await send("{ tenant { id } }"))).toEqual({ tenant: { id: tenant.id } });
  });

  test.each([
    ["no name", { name: null }, "input.name"],
    ["an empty name", { name: "" }, "input.name"],
    ["neither active nor suspended", { active: null }, "input.active"],
    ["no plan", { plan: null }, "input.plan"],
    ["an unknown limit", { limits: { requestsPerHour: 5 } }, "input.limits.requestsPerHour"],
    ["a limit named like an object's own function", { limits: { toString: 5 } }, "input.limits.toString"],
    ["a limit of zero requests", { limits: { requestsPerMinute: 0 } }, "input.limits.requestsPerMinute"],
    ["half a request", { limits: { requestsPerMinute: 1.5 } }, "input.limits.requestsPerMinute"],
    ["a number as text", { limits: { requestsPerMinute: "5" } }, "input.limits.requestsPerMinute"],
    ["a limit beyond Int", { limits: { complexityPerMinute: 2_147_483_648 } }, "input.limits.complexityPerMinute"],
    ["less than nothing", { limits: { storageBytes: -1 } }, "input.limits.storageBytes"],
    ["no number", { limits: { tokensPerMonth: null } }, "input.limits.tokensPerMonth"],
    ["too much metadata", { metadata: { text: "x".repeat(70_000) } }, "input.metadata"],
  ])("%s is refused, naming what is wrong, and changes nothing", async (_what, input, path) => {
    const { tenant } = await create({ name: aName() });

    const answer = await app.platform(String(UpdateTenantDocument), { input: { id: tenant.id, ...input } });

    expect(codesOf(answer)).toEqual(["BAD_USER_INPUT"]);
    expect(answer.errors?.[0]?.extensions["fields"]).toMatchObject([{ path }]);
    expect(dataOf(await app.platform(ReadTenantDocument, { id: tenant.id }))).toEqual({ tenantById: tenant });
  });

  test("a missing tenant is NOT_FOUND for a mutation and null for a query; a taken name is a conflict", async () => {
    const { tenant } = await create({ name: aName() });
    const other = await create({ name: aName() });

    expect(codesOf(await app.platform(UpdateTenantDocument, { input: { id: anId(), name: aName() } }))).toEqual([
      "NOT_FOUND",
    ]);
    expect(dataOf(await app.platform(ReadTenantDocument, { id: anId() }))).toEqual({ tenantById: null });
    expect(
      codesOf(await app.platform(UpdateTenantDocument, { input: { id: tenant.id, name: other.tenant.name } })),
    ).toEqual(["CONFLICT"]);
  });
});

describe("the platform's operations", () => {
  test("whoever is not the platform administrator is refused, and does not learn whether a tenant exists", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();

    const answers = await Promise.all(
      [globex.id, anId(), acme.id].flatMap((id) => [
        acme.send(ReadTenantDocument, { id }),
        acme.send(UpdateTenantDocument, { input: { id, name: "Stolen" } }),
        app.anonymous(ReadTenantDocument, { id }),
      ]),
    );
    const others = await Promise.all([
      acme.send(ListTenantsDocument),
      acme.send(CreateTenantDocument, { input: { name: aName() } }),
    ]);

    expect(answers.map(codesOf)).toEqual(answers.map(() => ["FORBIDDEN"]));
    expect(answers[3]?.comparable).toBe(answers[0]?.comparable);
    expect(answers[4]?.comparable).toBe(answers[1]?.comparable);
    expect(others.map(codesOf)).toEqual([["FORBIDDEN"], ["FORBIDDEN"]]);
  });

  test("a refusal says the same whatever else is wrong with the request", async () => {
    const acme = await app.newTenant();

    const bad = await acme.send(UpdateTenantDocument, { input: { id: anId(), name: "" } });

    expect(codesOf(bad)).toEqual(["FORBIDDEN"]);
  });

  test("tenants are listed oldest first, by part of the name and by whether they are active", async () => {
    const mark = anId();
    const made = [];
    for (const letter of ["A", "B", "C", "D", "E"]) made.push(await create({ name: `${letter} ${mark} 100%_` }));
    await update({ id: made[1]?.tenant.id ?? "", active: false });
    const named = (letters: string) => Array.from(letters, (letter) => ({ name: `${letter} ${mark} 100%_` }));

    expect(await list({ search: mark.toUpperCase() })).toMatchObject({ totalCount: 5, nodes: named("ABCDE") });
    expect(await list({ search: mark, active: true })).toMatchObject({ totalCount: 4, nodes: named("ACDE") });
    expect(await list({ search: mark, active: false })).toMatchObject({ totalCount: 1, nodes: named("B") });
    expect(await list({ search: `${mark} 100%_` })).toMatchObject({ totalCount: 5 });
    expect(await list({ search: `${mark}%` })).toMatchObject({ totalCount: 0, nodes: [] });
  });

  test("a tenant whose metadata or limits are no JSON object is served and listed like any other, as if there were none", async () => {
    const acme = await app.newTenant();
    const owner = new pg.Client({ connectionString: app.database.ownerUrl });
    await owner.connect();
    await owner.query(`UPDATE tenants SET metadata = '["old"]', limits = '7' WHERE id = $1`, [acme.id]);
    await owner.end();

    expect(dataOf(await acme.send(WhoAmIDocument)).tenantContext.tenant.id).toBe(acme.id);
    expect((await list({ search: acme.name })).nodes).toEqual([{ name: acme.name }]);
  });

  test("pages lead through all tenants forward and backward, whichever tenant the administrator names meanwhile", async () => {
    const mark = anId();
    const acme = await app.newTenant();
    for (const letter of ["A", "B", "C", "D", "E"]) await create({ name: `${letter} ${mark}` });

    const first = await list({ search: mark, first: 2 });
    const elsewhere: Sender = (document, variables) => app.platform(document, variables, { "X-Tenant-ID": acme.id });
    const second = await list({ search: mark, first: 2, after: first.pageInfo.endCursor }, elsewhere);
    const third = await list({ search: mark, first: 2, after: second.pageInfo.endCursor });
    const back = await list({ search: mark, last: 2, before: third.pageInfo.startCursor });

    expect([first, second, third].map((page) => page.nodes.map(({ name }) => name.slice(0, 1)).join(""))).toEqual([
      "AB",
      "CD",
      "E",
    ]);
    expect([first, second, third].map((page) => page.pageInfo.hasNextPage)).toEqual([true, true, false]);
    expect(back.nodes).toEqual(second.nodes);
    expect((await list({ first: 0 })).nodes).toEqual([]);
  });

  test("a cursor of another list, and a page too large, are refused", async () => {
    const acme = await app.newTenant();
    const keys = dataOf(
      await acme.send<{ apiKeys: { pageInfo: { endCursor: string } } }>("{ apiKeys { pageInfo { endCursor } } }"),
    );

    for (const variables of [
      { after: keys.apiKeys.pageInfo.endCursor },
      { after: "x" },
      { first: 101 },
      { first: -1 },
      { first: 1, last: 1 },
      { search: "x".repeat(256) },
    ]) {
      expect(codesOf(await app.platform(ListTenantsDocument, variables))).toEqual(["BAD_USER_INPUT"]);
    }
  });
});

describe("where there is no default tenant", () => {
  let strict: TestApp;
  beforeAll(async () => {
    strict = await startApp({ DEFAULT_TENANT: "off" });
  });
  afterAll(() => strict.close());

  test("the administrator who names no tenant still administers tenants, page after page", async () => {
    await strict.newTenant();

    const first = await list({ first: 1 }, strict.platform);
    const second = await list({ first: 1, after: first.pageInfo.endCursor }, strict.platform);

    expect([...first.nodes, ...second.nodes]).toHaveLength(2);
    expect(dataOf(await strict.platform("{ health { ok } }"))).toEqual({ health: { ok: true } });
    expect(dataOf(await strict.platform(CreateTenantDocument, { input: { name: "Made from nowhere" } }))).toBeTruthy();
  });

  test("what needs a tenant asks for one", async () => {
    expect(codesOf(await strict.platform("{ tenant { id } }"))).toEqual(["TENANT_REQUIRED"]);
    expect(codesOf(await strict.platform("{ apiKeys { totalCount } }"))).toEqual(["TENANT_REQUIRED"]);
  });
});
