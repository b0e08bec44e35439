import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { AUDIENCE, CLIENT, startIdentityProvider } from "../support/identity-provider.ts";
import type { TestProvider } from "../support/identity-provider.ts";
import { personOf } from "../support/people.ts";
import { codesOf, dataOf } from "../support/send.ts";
import type { TestTenant } from "../support/tenants.ts";

let provider: TestProvider;
let app: TestApp;
beforeAll(async () => {
  provider = await startIdentityProvider(() => "http://app.invalid/unused");
  app = await startApp({ DEFAULT_TENANT: "off", TRUST_TENANT_HEADER: "off" });
});
afterAll(async () => {
  await app.close();
  await provider.stop();
});

interface Who {
  readonly viewer: { readonly id: string } | null;
}
type Settings = Partial<Parameters<TestTenant["db"]["identityProvider"]["create"]>[0]["data"]>;

function ask(token: string, headers: Readonly<Record<string, string>> = {}) {
  return app.anonymous<Who>("{ viewer { id } }", {}, { Authorization: `Bearer ${token}`, ...headers });
}

async function trust(tenant: TestTenant, settings: Settings = {}): Promise<TestTenant> {
  const data = { name: "Ours", issuer: provider.issuer, clientId: CLIENT.id, audience: AUDIENCE, ...settings };
  await tenant.db.identityProvider.create({ data });
  return tenant;
}

function strangersToken(): Promise<string> {
  return provider.sign({ sub: randomUUID(), email: `${randomUUID()}@example.com`, email_verified: true });
}

// Issuer and audience are no secrets: whoever owns a tenant can name those of somebody else.
test.each<[string, Settings]>([
  ["their own tenant refuses them", { unknownPeople: "refuse" }],
  ["their own tenant trusts the provider no more", { unknownPeople: "create", active: false }],
])("people do not fall to a tenant that names their provider, where %s", async (_what, settings) => {
  await trust(await app.newTenant(), settings);
  const mallory = await trust(await app.newTenant(), { unknownPeople: "create" });

  expect(codesOf(await ask(await strangersToken()))).toEqual(["TENANT_REQUIRED"]);
  expect(await mallory.db.user.count()).toBe(0);
});

test("people come into a tenant that wants them when they say that they mean it, and need not say it again", async () => {
  const acme = await trust(await app.newTenant(), { unknownPeople: "create" });
  const token = await strangersToken();

  const first = dataOf(await ask(token, { "X-Tenant-ID": acme.id })).viewer;

  expect(first).not.toBeNull();
  expect(dataOf(await ask(token)).viewer).toEqual(first);
});

test("a tenant's people are found, however often others name their provider", async () => {
  const acme = await trust(await app.newTenant());
  const { id } = await personOf(app, acme, { role: "user" });
  const sub = randomUUID();
  await acme.db.outsideIdentity.create({ data: { userId: id, issuer: provider.issuer, subject: sub } });
  for (const tenant of [acme, await app.newTenant(), await app.newTenant(), await app.newTenant()])
    for (let count = 0; count < 16; count += 1) await trust(tenant, { clientId: `client ${count}` });

  expect(dataOf(await ask(await provider.sign({ sub }))).viewer?.id).toBe(id);
});
