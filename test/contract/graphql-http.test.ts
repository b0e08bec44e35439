import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { auditServer } from "graphql-http";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";

const AUDITS = 61;

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ DEFAULT_TENANT: "off", TRUST_TENANT_HEADER: "off", INTROSPECTION: "on" });
});
afterAll(() => app.close());

/** Runs every audit of graphql-http with some headers on each request. */
async function audit(identity: Readonly<Record<string, string>>) {
  return auditServer({
    url: app.url,
    fetchFn: (url: string, init: RequestInit = {}) =>
      fetch(url, { ...init, headers: { ...headersOf(init), ...identity, "Apollo-Require-Preflight": "true" } }),
  });
}

function headersOf({ headers }: RequestInit): Record<string, string> {
  return Object.fromEntries(new Headers(headers));
}

describe("GraphQL over HTTP", () => {
  test("all 61 audits pass for a member of a tenant", async () => {
    const acme = await app.newTenant();

    const results = await audit({ "X-API-Key": acme.key });

    expect(results).toHaveLength(AUDITS);
    expect(results.filter(({ status }) => status !== "ok").map(({ id, name }) => `${id} ${name}`)).toEqual([]);
  });

  test("no MUST fails for somebody without a credential, where such requests belong to no tenant", async () => {
    const results = await audit({});

    expect(results.filter(({ status }) => status === "error").map(({ id, name }) => `${id} ${name}`)).toEqual([]);
  });
});
