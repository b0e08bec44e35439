import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { personOf } from "../support/people.ts";
import { codesOf, dataOf } from "../support/send.ts";
import type { Sender } from "../support/send.ts";
import type { TestTenant } from "../support/tenants.ts";

const ISSUER = "https://id.example.org";

let app: TestApp;
beforeAll(async () => {
  const installation = {
    issuer: ISSUER,
    audience: "atrium",
    clientId: "atrium",
    name: "The installation's",
    tenants: "*",
  };
  app = await startApp({ OIDC_ISSUERS: JSON.stringify([installation]), TRUSTED_PROXIES: "127.0.0.1" });
});
afterAll(() => app.close());

async function trusting(name = "Ours"): Promise<{ tenant: TestTenant; send: Sender; id: string }> {
  const tenant = await app.newTenant();
  const { send } = await personOf(app, tenant, { role: "owner" });
  const answer = await send<{ createIdentityProvider: { identityProvider: { id: string } } }>(
    `mutation ($input: CreateIdentityProviderInput!) { createIdentityProvider(input: $input) { identityProvider { id } } }`,
    { input: { name, issuer: ISSUER, clientId: "of-tenant", clientSecret: "a-secret-of-this-tenant" } },
  );
  return { tenant, send, id: dataOf(answer).createIdentityProvider.identityProvider.id };
}

async function look(tenantId: string, from = "198.51.100.1") {
  const address = `${app.app.url}/auth/providers?tenant=${tenantId}`;
  const answer = await fetch(address, { headers: { "X-Forwarded-For": from } });
  return { status: answer.status, body: await answer.json() };
}

describe("the providers of a tenant", () => {
  test("are shown to a sign-in page by name, and nothing where there is no tenant", async () => {
    const { tenant, id } = await trusting();
    await trusting("Another tenant's");

    expect((await look(tenant.id)).body).toEqual([
      { id, name: "Ours" },
      { id: ISSUER, name: "The installation's" },
    ]);
    expect((await look(randomUUID())).body).toEqual([]);
    expect((await look("nonsense")).body).toEqual([]);
  });

  test("go on being listed when a secret can no longer be read; it is asked for again where it is needed", async () => {
    const { tenant, send, id } = await trusting();
    await tenant.db.identityProvider.update({ where: { id }, data: { clientSecretSealed: "sealed by another key" } });

    const listed = await send("{ identityProviders { id hasClientSecret } }");
    const start = await fetch(`${app.app.url}/auth/start?tenant=${tenant.id}&provider=${id}`);

    expect((await look(tenant.id)).body).toHaveLength(2);
    expect(dataOf(listed)).toEqual({ identityProviders: [{ id, hasClientSecret: false }] });
    expect(start.status).toBe(502);
    expect(await start.text()).toContain("an owner has to give it again");
  });

  test("are looked at again and again by somebody who is slowed down, whatever tenants they name", async () => {
    const { tenant } = await trusting();
    const named = Array.from({ length: 130 }, (_, count) => (count % 2 === 0 ? tenant.id : randomUUID()));

    const answers = await Promise.all(named.map((one) => look(one, "198.51.100.2")));

    const statuses = answers.map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([200, 429]));
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThanOrEqual(10);
  });
});

test.each([
  ["refreshToken", 'mutation { refreshToken(refreshToken: "nonsense") { accessToken } }', "198.51.100.3"],
  ["completeSignIn", 'mutation { completeSignIn(code: "nonsense") { accessToken } }', "198.51.100.4"],
])("%s is asked by one network some times a minute, whatever it brings", async (_name, query, from) => {
  const ask = () => app.anonymous(query, {}, { "X-Forwarded-For": from });

  const codes = (await Promise.all(Array.from({ length: 130 }, ask))).flatMap(codesOf);

  expect(new Set(codes)).toEqual(new Set(["UNAUTHENTICATED", "RATE_LIMITED"]));
});
