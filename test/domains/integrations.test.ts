import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
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

const FIELDS = `__typename id kind provider purpose name enabled status statusMessage account user { email } metadata
  ... on McpIntegration { serverUrl }`;
const LIST = `query ($filter: IntegrationFilter) { integrations(filter: $filter) { totalCount nodes { ${FIELDS} } } }`;
const READ = `query ($id: ID!) { integration(id: $id) { ${FIELDS} } }`;
const UPDATE = `mutation ($input: UpdateIntegrationInput!) { updateIntegration(input: $input) { integration { ${FIELDS} } } }`;
const DELETE = "mutation ($id: ID!) { deleteIntegration(id: $id) { deletedId } }";

type Seen = Record<string, unknown>;

async function connect(tenant: TestTenant, fields: object = {}): Promise<string> {
  const { id } = await tenant.db.integration.create({
    data: { provider: "google", serviceType: "calendar", purpose: "user_calendar", ...fields },
  });
  return id;
}

async function read(tenant: TestTenant, id: string): Promise<Seen> {
  return dataOf(await tenant.send<{ integration: Seen }>(READ, { id })).integration;
}

async function listed(tenant: TestTenant, filter?: object): Promise<unknown[]> {
  interface Listed {
    readonly integrations: { readonly totalCount: number; readonly nodes: readonly Seen[] };
  }
  const { integrations } = dataOf(await tenant.send<Listed>(LIST, { filter }));
  expect(integrations.totalCount).toBe(integrations.nodes.length);
  return integrations.nodes.map(({ id }) => id);
}

describe("integrations", () => {
  test("show whose they are and how they stand", async () => {
    const acme = await app.newTenant();
    const user = await acme.db.user.create({ data: { email: "ada@example.com" } });
    const id = await connect(acme, {
      userId: user.id,
      name: "Work",
      account: "ada@example.com",
      status: "error",
      statusMessage: "The server is away",
      credentialsEncrypted: "canary",
      metadata: { calendars: ["primary"] },
    });

    expect(await read(acme, id)).toEqual({
      __typename: "CalendarIntegration",
      id,
      kind: "CALENDAR",
      provider: "GOOGLE",
      purpose: "USER",
      name: "Work",
      enabled: true,
      status: "ERROR",
      statusMessage: "The server is away",
      account: "ada@example.com",
      user: { email: "ada@example.com" },
      metadata: { calendars: ["primary"] },
    });
  });

  test.each([
    ["google", "calendar", "CalendarIntegration", "GOOGLE", "CALENDAR", "Google calendar"],
    ["google", "email", "EmailIntegration", "GOOGLE", "EMAIL", "Google e-mail"],
    ["apple", "calendar", "CalendarIntegration", "APPLE", "CALENDAR", "Apple calendar"],
    ["microsoft", "email", "EmailIntegration", "MICROSOFT", "EMAIL", "Microsoft e-mail"],
    ["caldav", "calendar", "CalendarIntegration", "CALDAV", "CALENDAR", "CalDAV calendar"],
    ["imap", "email", "EmailIntegration", "IMAP", "EMAIL", "IMAP e-mail"],
    ["google", "whatsapp", "OtherIntegration", "GOOGLE", "WHATSAPP", "Google WhatsApp"],
    ["mcp", "mcp_server", "OtherIntegration", "MCP", "MCP_SERVER", "MCP server"],
    ["acme", "fax", "OtherIntegration", "OTHER", "OTHER", "Other integration"],
  ])("of %s for %s are a %s, and are found as what they are", async (...row) => {
    const [provider, serviceType, __typename, asProvider, asKind, name] = row;
    const acme = await app.newTenant();
    const id = await connect(acme, { provider, serviceType });
    const elsewhere = await connect(acme, { provider: "x", serviceType: asKind === "OTHER" ? "email" : "x" });

    expect(await read(acme, id)).toMatchObject({ __typename, provider: asProvider, kind: asKind, name });
    expect(await listed(acme, { provider: [asProvider], kind: [asKind] })).toEqual([id]);
    expect(await listed(acme, { kind: [] })).toEqual([]);
    expect(await listed(acme)).toEqual([id, elsewhere]);
  });

  test.each([
    ["service_email", null, "SERVICE"],
    ["user_email", null, "USER"],
    ["mcp_server", null, "SERVICE"],
    ["mcp_server", "somebody", "USER"],
    ["whatever", null, "SERVICE"],
    ["whatever", "somebody", "USER"],
  ])("with the purpose %s of %s belong to the %s", async (purpose, owner, expected) => {
    const acme = await app.newTenant();
    const user = await acme.db.user.create({ data: { email: "ada@example.com" } });
    const id = await connect(acme, { purpose, userId: owner && user.id });

    expect(await read(acme, id)).toMatchObject({ purpose: expected });
  });

  test.each([
    ["connected", true, null, "CONNECTED"],
    ["authorization_required", true, "sealed", "AUTHORIZATION_REQUIRED"],
    ["error", true, null, "ERROR"],
    ["mysterious", true, null, "ERROR"],
    ["connected", false, "sealed", "DISABLED"],
    ["connected", null, "sealed", "DISABLED"],
    ["disabled", true, "sealed", "CONNECTED"],
    ["disabled", true, null, "AUTHORIZATION_REQUIRED"],
  ])(
    "with the status %s, enabled %s and credentials %s are %s",
    async (status, enabled, credentialsEncrypted, seen) => {
      const acme = await app.newTenant();
      const id = await connect(acme, { status, enabled, credentialsEncrypted });

      expect(await read(acme, id)).toMatchObject({ status: seen, enabled: enabled === true });
      expect(await listed(acme, { enabled: enabled === true })).toEqual([id]);
      expect(await listed(acme, { enabled: enabled !== true })).toEqual([]);
    },
  );

  test.each([
    ["in its metadata", { metadata: { server_url: "https://tools.example.com/mcp", name: "Tools" } }],
    ["in place of its credentials", { credentialsEncrypted: "https://tools.example.com/mcp", name: "Tools" }],
  ])("of an MCP server show the address that is stored %s", async (_where, fields) => {
    const acme = await app.newTenant();
    const id = await connect(acme, { provider: "mcp", serviceType: "mcp_server", purpose: "mcp_server", ...fields });

    expect(await read(acme, id)).toMatchObject({
      __typename: "McpIntegration",
      serverUrl: "https://tools.example.com/mcp",
      name: "Tools",
    });
  });

  test("never show a secret, however the predecessor stored it", async () => {
    const acme = await app.newTenant();
    const secret = "canary-7f3a";
    const id = await connect(acme, {
      provider: "mcp",
      serviceType: "mcp_server",
      credentialsEncrypted: secret,
      metadata: {
        name: "Tools",
        server_url: `https://ada:${secret}@tools.example.com/mcp?api_key=${secret}&room=1`,
        credentials: { user: secret },
        oauth_credentials: { "an id": secret },
        oauth_required: true,
        client_secret: secret,
        nested: [
          { refresh_token: secret, Password: secret, deeper: { apiKey: secret, "private-key": secret, kept: 1 } },
        ],
        accessToken: secret,
        Authorization: `Bearer ${secret}`,
        Cookie: secret,
        auth: secret,
        broken: `https://[${secret}`,
      },
    });

    const seen = await acme.send(READ, { id });
    const answers = [seen, await acme.send(LIST), await acme.send(UPDATE, { input: { id, name: "Mine" } })];

    expect(dataOf(seen)).toMatchObject({
      integration: {
        serverUrl: "https://tools.example.com/mcp?room=1",
        metadata: {
          name: "Tools",
          server_url: "https://tools.example.com/mcp?room=1",
          oauth_required: true,
          nested: [{ deeper: { kept: 1 } }],
        },
      },
    });
    for (const answer of answers) {
      expect(codesOf(answer)).toEqual([]);
      expect(answer.comparable).not.toContain(secret);
    }
  });

  test("with metadata of a strange shape do not break a list", async () => {
    const acme = await app.newTenant();
    for (const metadata of [[1], "text", 7]) await connect(acme, { metadata });

    expect(dataOf(await acme.send(LIST))).toMatchObject({
      integrations: { nodes: [{ metadata: {} }, { metadata: {} }, { metadata: {} }] },
    });
  });
});

describe("changing an integration", () => {
  test("renames it and switches it off and on again, as it stood before", async () => {
    const acme = await app.newTenant();
    const id = await connect(acme, { status: "connected" });

    const off = dataOf(await acme.send(UPDATE, { input: { id, name: "Mine", enabled: false } }));
    const on = dataOf(await acme.send(UPDATE, { input: { id, enabled: true } }));

    expect(off).toMatchObject({ updateIntegration: { integration: { name: "Mine", status: "DISABLED" } } });
    expect(on).toMatchObject({ updateIntegration: { integration: { name: "Mine", status: "CONNECTED" } } });
    expect(await acme.db.auditEvent.findMany({ select: { action: true, target: true, details: true } })).toEqual([
      { action: "integration.update", target: id, details: { fields: ["name", "enabled"] } },
      { action: "integration.update", target: id, details: { fields: ["enabled"] } },
    ]);
  });

  test.each([
    ["an empty name", { name: "" }, "input.name"],
    ["a name of 256 characters", { name: "n".repeat(256) }, "input.name"],
    ["no name", { name: null }, "input.name"],
    ["neither on nor off", { enabled: null }, "input.enabled"],
  ])("refuses %s", async (_name, changes, path) => {
    const acme = await app.newTenant();
    const id = await connect(acme, { name: "Mine" });

    const answer = await acme.send(UPDATE, { input: { id, ...changes } });

    expect(answer.errors?.[0]?.extensions).toMatchObject({ code: "BAD_USER_INPUT", fields: [{ path }] });
    expect(await read(acme, id)).toMatchObject({ name: "Mine", enabled: true });
  });
});

test("a deleted integration is gone, with a trace in the audit trail", async () => {
  const acme = await app.newTenant();
  const id = await connect(acme);

  expect(dataOf(await acme.send(DELETE, { id }))).toEqual({ deleteIntegration: { deletedId: id } });
  expect(dataOf(await acme.send(READ, { id }))).toEqual({ integration: null });
  expect(codesOf(await acme.send(DELETE, { id }))).toEqual(["NOT_FOUND"]);
  expect(await acme.db.auditEvent.findMany({ select: { action: true, target: true } })).toEqual([
    { action: "integration.delete", target: id },
  ]);
});

test.each([
  ["read", READ, (id: string) => ({ id })],
  ["changed", UPDATE, (id: string) => ({ input: { id, name: "Mine now" } })],
  ["deleted", DELETE, (id: string) => ({ id })],
])("another tenant's integration looks exactly like a missing one when it is %s", async (how, operation, variables) => {
  const acme = await app.newTenant();
  const globex = await app.newTenant();
  const id = await connect(acme, { name: "Theirs" });

  const foreign = await globex.send(operation, variables(id));

  expect(foreign.comparable).toBe((await globex.send(operation, variables(anId()))).comparable);
  expect(codesOf(foreign)).toEqual(how === "read" ? [] : ["NOT_FOUND"]);
  expect(await read(acme, id)).toMatchObject({ name: "Theirs" });
});

test("a key without the scope reads and changes no integration", async () => {
  const acme = await app.newTenant();
  const id = await connect(acme);
  const reader = await acme.withScopes("INTEGRATIONS_READ");
  const writer = await acme.withScopes("INTEGRATIONS_WRITE");

  expect(codesOf(await writer(LIST))).toEqual(["FORBIDDEN"]);
  expect(codesOf(await writer(READ, { id }))).toEqual(["FORBIDDEN"]);
  expect(codesOf(await reader(UPDATE, { input: { id, enabled: false } }))).toEqual(["FORBIDDEN"]);
  expect(codesOf(await reader(DELETE, { id }))).toEqual(["FORBIDDEN"]);
  expect(await read(acme, id)).toMatchObject({ enabled: true });
});
