import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { isInterfaceType } from "graphql";
import { buildAtriumSchema } from "../../src/resolvers/index.ts";
import { FindNodeDocument, FindNodesDocument } from "../generated/operations/graphql.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf } from "../support/send.ts";
import { anId } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

/** What every type needs besides the tenant itself; AuditEvent and User have no scope of their own kind. */
const SCOPE_OF: Readonly<Record<string, string>> = {
  ApiKey: "TENANT_ADMIN",
  AuditEvent: "TENANT_ADMIN",
  CalendarIntegration: "INTEGRATIONS_READ",
  EmailIntegration: "INTEGRATIONS_READ",
  File: "FILES_READ",
  LongTermMemory: "MEMORY_READ",
  McpIntegration: "INTEGRATIONS_READ",
  MediumTermMemory: "MEMORY_READ",
  Message: "SESSIONS_READ",
  Notification: "NOTIFICATIONS_READ",
  OtherIntegration: "INTEGRATIONS_READ",
  Session: "SESSIONS_READ",
  Task: "SESSIONS_READ",
  User: "USERS_ADMIN",
};

/** One row of every type that is a node, by the type's name. */
async function oneOfEach({ id: tenantId, db }: TestTenant): Promise<Map<string, string>> {
  const id = { id: true };
  const { id: sessionId } = await db.session.create({ data: { name: "Talk" }, select: id });
  const integration = (serviceType: string, provider: string) =>
    db.integration.create({
      data: {
        provider,
        serviceType,
        purpose: `user_${serviceType}`,
        name: "Link",
        credentialsEncrypted: "https://tools.example",
      },
      select: id,
    });
  const made = {
    ApiKey: db.apiKey.findFirst({ select: id }),
    AuditEvent: db.auditEvent.create({ data: { action: "test", actor: "test" }, select: id }),
    CalendarIntegration: integration("calendar", "google"),
    EmailIntegration: integration("email", "google"),
    File: db.file.create({ data: { filename: "a.txt", filepath: "a" }, select: id }),
    LongTermMemory: db.memoryLong.create({ data: { content: "Remembered" }, select: id }),
    McpIntegration: integration("mcp_server", "mcp"),
    MediumTermMemory: db.memoryMedium.create({ data: { sessionId, content: "Summary" }, select: id }),
    Message: db.message.create({ data: { sessionId, role: "user", content: "Hello" }, select: id }),
    Notification: db.notification.create({ data: { type: "todo", urgency: "low", content: {} }, select: id }),
    OtherIntegration: integration("whatsapp", "whatsapp"),
    Session: { id: sessionId },
    Task: db.task.create({ data: { type: "test" }, select: id }),
    Tenant: { id: tenantId },
    User: db.user.create({ data: { email: "ada@example.com" }, select: id }),
  };
  const rows = await Promise.all(
    Object.entries(made).map(async ([type, row]): Promise<[string, string]> => [type, (await row)?.id ?? ""]),
  );
  return new Map(rows);
}

describe("finding anything by its id", () => {
  test("every type that is a node has a row here", async () => {
    const schema = buildAtriumSchema();
    const node = schema.getType("Node");
    const types = isInterfaceType(node) ? schema.getPossibleTypes(node).map(({ name }) => name) : [];

    expect([...(await oneOfEach(await app.newTenant())).keys()].sort()).toEqual([...types].sort());
    expect([...Object.keys(SCOPE_OF), "Tenant"].sort()).toEqual([...types].sort());
  });

  test("each is found as what it is, in the order asked for, with null for what is not there", async () => {
    const acme = await app.newTenant();
    const rows = await oneOfEach(acme);
    const ids = [...rows.values()].flatMap((id) => [id, anId()]);

    const { nodes } = dataOf(await acme.send(FindNodesDocument, { ids }));
    const wanted = [...rows].flatMap(([type, id]) => [{ __typename: type, id }, null]);

    expect(nodes).toEqual(wanted);
  });

  test("one statement for each type, however many ids are asked for", async () => {
    const acme = await app.newTenant();
    const ids = [...(await oneOfEach(acme)).values(), ...Array.from({ length: 80 }, anId)];
    await acme.send(FindNodeDocument, { id: anId() });

    const one = await app.countStatements(() => acme.send(FindNodeDocument, { id: anId() }));
    const many = await app.countStatements(() => acme.send(FindNodesDocument, { ids }));

    expect(one).toBe(11); // all types but the tenant, which is known; four kinds of integration are one table
    expect(many).toBe(one);
  });

  test("another tenant's rows, the other tenant itself and what does not exist look alike", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const ids = [...(await oneOfEach(acme)).values()];

    const foreign = await globex.send(FindNodesDocument, { ids });
    const missing = await globex.send(FindNodesDocument, { ids: ids.map(() => anId()) });

    expect(dataOf(foreign)).toEqual({ nodes: ids.map(() => null) });
    expect(foreign.comparable).toBe(missing.comparable);
  });

  test("what the scopes do not let one read looks missing", async () => {
    const acme = await app.newTenant();
    const rows = await oneOfEach(acme);
    const ids = [...rows.values()];

    for (const scope of new Set(Object.values(SCOPE_OF))) {
      const reader = await acme.withScopes(scope);
      const { nodes } = dataOf(await reader(FindNodesDocument, { ids }));
      const expected = [...rows.keys()].filter((type) => type === "Tenant" || SCOPE_OF[type] === scope);

      expect(nodes.flatMap((node) => (node ? [node.__typename] : []))).toEqual(expected);
    }
  });

  test("fields of the type are there through a fragment", async () => {
    const acme = await app.newTenant();
    const id = (await oneOfEach(acme)).get("Session") ?? "";

    const answer = await acme.send(FindNodeDocument, { id });

    expect(dataOf(answer)).toMatchObject({ node: { name: "Talk", status: "ACTIVE", messageCount: 1 } });
  });

  test("more than 100 ids, and what is no id, are refused", async () => {
    const acme = await app.newTenant();

    const many = await acme.send(FindNodesDocument, { ids: Array.from({ length: 101 }, anId) });
    const malformed = await acme.send(FindNodeDocument, { id: "1 OR 1=1" });

    expect(codesOf(many)).toEqual(["BAD_USER_INPUT"]);
    expect(codesOf(malformed)).toEqual(["BAD_USER_INPUT"]);
  });
});
