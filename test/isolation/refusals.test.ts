import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { ScopeRefusal, scopeToTenant } from "../../src/context/tenant-scope.ts";
import { startApp } from "../support/app.ts";
import { newTenant, openGateway } from "./support/gateway.ts";
import type { Gateway } from "./support/gateway.ts";

const MINE = "aaaaaaaa-0000-7000-8000-000000000000";
const ID = "aaaaaaaa-0000-7000-8000-000000000001";

describe("the scoped client refuses", () => {
  const key = { id: ID };
  const cases: readonly (readonly [what: string, model: string | undefined, operation: string, args: unknown])[] = [
    ["the model of tenants", "Tenant", "findMany", {}],
    ["a model that it does not know", "Stranger", "findMany", {}],
    ["raw SQL", undefined, "$queryRaw", {}],
    ["raw SQL that was typed", undefined, "$queryRawTyped", {}],
    ["an operation that it does not know", "Session", "findRaw", {}],
    ["a clause that it does not know", "Session", "findMany", { comment: "x" }],
    ["a clause of another operation", "Session", "deleteMany", { cursor: key }],
    ["arguments that are no object", "Session", "findMany", [{}]],
    ["a tenant in where", "Session", "findMany", { where: { tenantId: MINE } }],
    ["a tenant below NOT", "Session", "findMany", { where: { NOT: [{ OR: [{ tenantId: MINE }] }] } }],
    ["the tenant relation in where", "Session", "findMany", { where: { tenant: { name: "x" } } }],
    ["Prisma's own name of the key", "Session", "findUnique", { where: { tenantId_id: { tenantId: MINE, id: ID } } }],
    ["a unique look-up without a key", "Session", "findUnique", { where: { name: "x" } }],
    ["a unique look-up by a condition", "Session", "findUnique", { where: { id: { not: ID } } }],
    ["a cursor with a tenant", "Session", "findMany", { cursor: { id: ID, tenantId: MINE } }],
    ["an id on creation", "Session", "create", { data: { id: ID, name: "x" } }],
    ["a tenant on creation", "Session", "create", { data: { tenantId: MINE, name: "x" } }],
    [
      "a tenant in one of many new rows",
      "Session",
      "createMany",
      { data: [{ name: "x" }, { name: "y", tenantId: MINE }] },
    ],
    ["a new id on update", "Session", "update", { where: key, data: { id: ID } }],
    ["a tenant on update", "Session", "updateMany", { data: { tenantId: { set: MINE } } }],
    [
      "a tenant in an upsert's update",
      "Session",
      "upsert",
      { where: key, create: { name: "x" }, update: { tenantId: MINE } },
    ],
    [
      "a nested connect, which would move a row",
      "Message",
      "update",
      { where: key, data: { session: { connect: key } } },
    ],
    [
      "a nested disconnect, which would null the tenant",
      "Session",
      "update",
      { where: key, data: { user: { disconnect: true } } },
    ],
    [
      "a nested create",
      "Session",
      "create",
      { data: { name: "x", messages: { create: { role: "user", content: "x" } } } },
    ],
    ["a nested deleteMany", "Session", "update", { where: key, data: { messages: { deleteMany: {} } } }],
    ["`user: null`, which finds nothing", "Session", "findMany", { where: { user: null } }],
    ["`user: { isNot: null }`, which finds too much", "Session", "findMany", { where: { user: { isNot: null } } }],
    ["an unknown quantifier", "Session", "findMany", { where: { messages: { all: {} } } }],
    ["a filter on a single related row", "Message", "findMany", { include: { session: { where: { name: "x" } } } }],
    ["reading the tenant along", "Session", "findMany", { include: { tenant: true } }],
    ["reading the tenant two steps away", "Message", "findMany", { select: { session: { select: { tenant: true } } } }],
    ["a clause in a nested read", "Session", "findMany", { include: { messages: { comment: "x" } } }],
    ["counting all relations", "Session", "findMany", { select: { _count: true } }],
    ["counting a single relation", "Session", "findMany", { select: { _count: { select: { user: true } } } }],
    ["ordering by a relation", "Message", "findMany", { orderBy: { session: { name: "asc" } } }],
    ["ordering by the tenant's name", "Message", "findMany", { orderBy: [{ tenant: { name: "asc" } }] }],
    ["a tenant in having", "Session", "groupBy", { by: ["status"], having: { OR: [{ tenantId: MINE }] } }],
  ];

  test.each(cases)("%s", (_what, model, operation, args) => {
    expect(() => scopeToTenant(MINE, model, operation, args)).toThrow(ScopeRefusal);
  });
});

describe("the database", () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await openGateway();
  });
  afterAll(() => gateway.close());

  test("forgets a removed person in what belonged to it, and keeps the tenant", async () => {
    const id = await newTenant(gateway.context);
    const { db } = gateway.context.clients.of(id);
    const user = await db.user.create({ data: { email: "anna@example.com" } });
    const session = await db.session.create({ data: { name: "of Anna", userId: user.id } });
    await db.user.delete({ where: { id: user.id } });

    expect(await db.session.findUnique({ where: { id: session.id } })).toMatchObject({ userId: null, tenantId: id });
  });

  test("lets the gateway ask for one key by its hash, and read nothing of where it is kept", async () => {
    const { pool } = gateway.context;
    const tenant = await newTenant(gateway.context);
    const [key] = await gateway.context.clients.of(tenant).db.apiKey.findMany();
    const ask = async (hash: string): Promise<unknown> =>
      (await pool.query("SELECT * FROM atrium.find_api_key($1)", [hash])).rows;

    expect(await ask(key?.keyHash ?? "")).toEqual([{ tenant_id: tenant, api_key_id: key?.id }]);
    for (const hash of ["", "%", `${(key?.keyHash ?? "").slice(0, -1)}%`]) expect(await ask(hash)).toEqual([]);
    for (const table of ["atrium.api_key_directory", "atrium.canaries", "atrium.quarantine"]) {
      await expect(pool.query(`SELECT * FROM ${table}`)).rejects.toThrow("permission denied");
    }
    for (const call of ["atrium.raise_walls('sessions')", "atrium.keep_milliseconds('sessions')"]) {
      await expect(pool.query(`SELECT ${call}`)).rejects.toThrow("permission denied");
    }
  });

  test("shows the gateway no tenant without one, its own with one, and takes no change of it but through functions", async () => {
    const { pool, crossTenant } = gateway.context;
    const id = await newTenant(gateway.context);

    expect((await pool.query("SELECT id FROM tenants")).rows).toEqual([]);
    for (const change of [
      "UPDATE tenants SET active = false",
      "DELETE FROM tenants",
      "INSERT INTO tenants (name, schema_name) VALUES ('x', 'x')",
    ]) {
      await expect(pool.query(change)).rejects.toThrow("permission denied");
    }
    await expect(
      pool.query("SELECT * FROM atrium.update_tenant($1, $2)", [id, '{"schema_name": "taken"}']),
    ).rejects.toThrow("schema_name");
    expect(await crossTenant.updateTenant(id, { name: `Renamed ${id}` })).toMatchObject({ id, name: `Renamed ${id}` });
  });
});

test("what the database refuses is masked: no driver's text, no SQL, no name of a table reaches a client", async () => {
  const app = await startApp();
  const superuser = new pg.Client({ connectionString: app.database.superuserUrl });
  await superuser.connect();
  const acme = await app.newTenant();
  // Row-level security answers with 42501 as a missing right does.
  await superuser.query("CREATE POLICY never ON sessions AS RESTRICTIVE FOR INSERT WITH CHECK (false)");
  const answer = await acme.send('mutation { createSession(input: { name: "mine" }) { session { id } } }');
  await superuser.end();
  await app.close();

  expect(answer.errors?.map(({ message, extensions }) => [message, extensions["code"]])).toEqual([
    ["Internal server error", "INTERNAL_SERVER_ERROR"],
  ]);
  expect(answer.comparable).not.toMatch(/42501|row-level|policy|sessions|prisma|P20/i);
});
