import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { z } from "zod";
import { newApiKey } from "../../src/context/crypto.ts";
import { PLATFORM_KEY, startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { rawPost } from "../support/raw-request.ts";
import { anId } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";

// The table of isolation, row by row, through real HTTP. `open` has both switches on, as a local start; `closed` has both off, as production.
let open: TestApp;
let closed: TestApp;
beforeAll(async () => {
  [open, closed] = await Promise.all([
    startApp({ DEFAULT_TENANT: "on", TRUST_TENANT_HEADER: "on" }),
    startApp({ DEFAULT_TENANT: "off", TRUST_TENANT_HEADER: "off" }),
  ]);
});
afterAll(() => Promise.all([open.close(), closed.close()]));

type Header = readonly [string, string];

const reply = z.object({
  data: z.object({ tenantContext: z.object({ source: z.string(), tenant: z.object({ id: z.string() }) }) }).nullish(),
  errors: z.array(z.object({ extensions: z.object({ code: z.string() }) })).optional(),
});

/** What a caller sees of the decision: status, code, and the tenant that answered. */
async function ask(app: TestApp, ...headers: Header[]) {
  // A field that belongs to a tenant: what needs none is answered to everybody.
  const body = JSON.stringify({ query: "{ tenantContext { source tenant { id } } }" });
  const answer = await rawPost(app.url, [["Content-Type", "application/json"], ...headers], body);
  const { data, errors } = reply.parse(JSON.parse(answer.text));
  return {
    status: answer.status,
    code: errors?.[0]?.extensions.code,
    tenant: answer.headers["x-tenant-id"],
    ...(data && { source: data.tenantContext.source, answered: data.tenantContext.tenant.id }),
  };
}

function granted(tenantId: string, source: string) {
  return { status: 200, code: undefined, tenant: tenantId, source, answered: tenantId };
}

function refused(status: number, code: string) {
  return { status, code, tenant: undefined };
}

async function defaultTenantId(app: TestApp): Promise<string> {
  return (await app.app.context.crossTenant.defaultTenantId()) ?? "";
}

async function deactivated(app: TestApp): Promise<TestTenant> {
  const tenant = await app.newTenant();
  await app.app.context.crossTenant.updateTenant(tenant.id, { active: false });
  return tenant;
}

describe.each([
  ["with both switches on", () => open],
  ["with both switches off", () => closed],
])("the tenant of a request, %s", (_name, app) => {
  test("is the credential's, without a header, whichever way the key is sent", async () => {
    const { id, key } = await app().newTenant();

    expect(await ask(app(), ["X-API-Key", key])).toEqual(granted(id, "API_KEY"));
    expect(await ask(app(), ["Authorization", `Bearer ${key}`])).toEqual(granted(id, "API_KEY"));
    expect(await ask(app(), ["Authorization", `bearer ${key}`], ["X-API-Key", key])).toEqual(granted(id, "API_KEY"));
  });

  test("is the credential's, with a header that names it in any case", async () => {
    const { id, key } = await app().newTenant();

    expect(await ask(app(), ["X-API-Key", key], ["X-Tenant-ID", id])).toEqual(granted(id, "HEADER"));
    expect(await ask(app(), ["X-API-Key", key], ["x-tenant-id", id.toUpperCase()])).toEqual(granted(id, "HEADER"));
  });

  test("is not one that the header names and the credential does not belong to, real or not", async () => {
    const acme = await app().newTenant();
    const globex = await app().newTenant();
    const mismatch = refused(403, "TENANT_MISMATCH");

    expect(await ask(app(), ["X-API-Key", acme.key], ["X-Tenant-ID", globex.id])).toEqual(mismatch);
    expect(await ask(app(), ["X-API-Key", acme.key], ["X-Tenant-ID", anId()])).toEqual(mismatch);
  });

  test("is any that the platform administrator names", async () => {
    const { id } = await app().newTenant();
    const platform: Header = ["X-API-Key", PLATFORM_KEY];

    expect(await ask(app(), platform, ["X-Tenant-ID", id])).toEqual(granted(id, "HEADER"));
    expect(await ask(app(), platform, ["X-Tenant-ID", anId()])).toEqual(refused(404, "TENANT_NOT_FOUND"));
    expect(await ask(app(), platform, ["X-Tenant-ID", (await deactivated(app())).id])).toEqual(
      refused(404, "TENANT_NOT_FOUND"),
    );
  });

  test("is none when two credentials disagree", async () => {
    const [acme, globex] = await Promise.all([app().newTenant(), app().newTenant()]);
    const mismatch = refused(403, "TENANT_MISMATCH");

    expect(await ask(app(), ["X-API-Key", acme.key], ["Authorization", `Bearer ${globex.key}`])).toEqual(mismatch);
    expect(await ask(app(), ["X-API-Key", PLATFORM_KEY], ["Authorization", `Bearer ${globex.key}`])).toEqual(mismatch);
  });

  test("is none when the header is no UUID, is repeated, or is a list", async () => {
    const { id, key } = await app().newTenant();
    const invalid = refused(400, "TENANT_INVALID_ID");
    const credential: Header = ["X-API-Key", key];

    for (const value of ["", "acme", `${id}x`, `{${id}}`, `${id}, ${id}`, id.replaceAll("-", "")]) {
      expect(await ask(app(), credential, ["X-Tenant-ID", value])).toEqual(invalid);
      expect(await ask(app(), ["X-Tenant-ID", value])).toEqual(invalid);
    }
    expect(await ask(app(), credential, ["X-Tenant-ID", id], ["X-Tenant-ID", id])).toEqual(invalid);
  });

  test("says that it is inactive to its own credentials only", async () => {
    const { id, key } = await deactivated(app());

    expect(await ask(app(), ["X-API-Key", key])).toEqual(refused(403, "TENANT_INACTIVE"));
    expect(await ask(app(), ["X-API-Key", key], ["X-Tenant-ID", id])).toEqual(refused(403, "TENANT_INACTIVE"));
  });

  test("is never another one because a credential is wrong", async () => {
    const { id, db, key } = await app().newTenant();
    const revoked = newApiKey();
    await db.apiKey.create({ data: { keyHash: revoked.hash, prefix: revoked.prefix, active: false, scopes: [] } });
    const typo = `${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}`;

    for (const wrong of [newApiKey().text, revoked.text, typo, "atr_", "kn_unknown-but-well-formed-key", "secret"]) {
      expect(await ask(app(), ["X-API-Key", wrong])).toEqual(refused(401, "UNAUTHENTICATED"));
      expect(await ask(app(), ["Authorization", `Bearer ${wrong}`])).toEqual(refused(401, "UNAUTHENTICATED"));
      expect(await ask(app(), ["X-API-Key", wrong], ["X-Tenant-ID", id])).toEqual(refused(401, "UNAUTHENTICATED"));
    }
    expect(await ask(app(), ["Authorization", `Basic ${key}`])).toEqual(refused(401, "UNAUTHENTICATED"));
    expect(await ask(app(), ["Authorization", "Bearer"])).toEqual(refused(401, "UNAUTHENTICATED"));
    expect(await ask(app(), ["X-API-Key", ""])).toEqual(refused(401, "UNAUTHENTICATED"));
    expect(await ask(app(), ["X-API-Key", key], ["X-API-Key", key])).toEqual(refused(401, "UNAUTHENTICATED"));
    expect(await ask(app(), ["X-API-Key", newApiKey().text], ["Authorization", `Bearer ${key}`])).toEqual(
      refused(401, "UNAUTHENTICATED"),
    );
  });

  test("is none for a key that has expired", async () => {
    const { db } = await app().newTenant();
    const expired = newApiKey();
    const data = { keyHash: expired.hash, prefix: expired.prefix, expiresAt: new Date(Date.now() - 1000), scopes: [] };
    await db.apiKey.create({ data });

    expect(await ask(app(), ["X-API-Key", expired.text])).toEqual(refused(401, "API_KEY_EXPIRED"));
  });
});

describe("without a credential", () => {
  test("the header selects a real tenant while headers are trusted", async () => {
    const { id } = await open.newTenant();

    expect(await ask(open, ["X-Tenant-ID", id])).toEqual(granted(id, "HEADER"));
    expect(await ask(open, ["X-Tenant-ID", anId()])).toEqual(refused(404, "TENANT_NOT_FOUND"));
    expect(await ask(open, ["X-Tenant-ID", (await deactivated(open)).id])).toEqual(refused(404, "TENANT_NOT_FOUND"));
  });

  test("the header selects nothing otherwise, and a real tenant looks like a missing one", async () => {
    const { id } = await closed.newTenant();

    expect(await ask(closed, ["X-Tenant-ID", id])).toEqual(refused(401, "UNAUTHENTICATED"));
    expect(await ask(closed, ["X-Tenant-ID", anId()])).toEqual(refused(401, "UNAUTHENTICATED"));
  });

  test("requests go to the default tenant while it is switched on and active", async () => {
    const id = await defaultTenantId(open);

    expect(await ask(open)).toEqual(granted(id, "DEFAULT"));
    await open.app.context.crossTenant.updateTenant(id, { active: false });
    expect(await ask(open)).toEqual(refused(401, "TENANT_REQUIRED"));
    await open.app.context.crossTenant.updateTenant(id, { active: true });
    expect(await ask(open)).toEqual(granted(id, "DEFAULT"));
  });

  test("requests go nowhere otherwise", async () => {
    expect(await ask(closed)).toEqual(refused(401, "TENANT_REQUIRED"));
  });
});

describe("somebody who belongs nowhere", () => {
  test("may see that this is a GraphQL server, and learns nothing else from it", async () => {
    const { anonymous } = closed;
    const withField = "{ __typename sessions { totalCount } }";
    const inFragment = "{ ...F } fragment F on Query { __typename tenant { name } }";
    const padded = `{ __typename } # ${"x".repeat(20_000)}`;

    expect(await anonymous("{ __typename }")).toMatchObject({ status: 200, data: { __typename: "Query" } });
    for (const query of [
      "{",
      "{ nothing }",
      "",
      withField,
      inFragment,
      padded,
      "mutation { archiveSession(id: 1) { session { id } } }",
    ]) {
      const { status, data, errors = [] } = await anonymous(query);
      expect([query, status, data]).toEqual([query, 401, undefined]);
      expect(errors.map(({ message, extensions }) => [message, extensions["code"]])).toEqual([
        ["Name a tenant: send an API key, or a token", "TENANT_REQUIRED"],
      ]);
    }
  });
});

describe("the answer", () => {
  test("names its tenant, and keeps caches from giving it to another one", async () => {
    const { id, key } = await closed.newTenant();
    const answer = await rawPost(
      closed.url,
      [
        ["Content-Type", "application/json"],
        ["X-API-Key", key],
      ],
      `{"query":"{ __typename }"}`,
    );

    expect(answer.headers).toMatchObject({
      "x-tenant-id": id,
      vary: "Authorization, X-API-Key, X-Tenant-ID",
      "cache-control": "private, no-store",
    });
  });

  test("says how to present a credential when one is missing or wrong", async () => {
    const without = await rawPost(
      closed.url,
      [["Content-Type", "application/json"]],
      `{"query":"{ auditEvents { totalCount } }"}`,
    );
    const wrong = await rawPost(closed.url, [["X-API-Key", "wrong"]], "{}");

    for (const { status, headers } of [without, wrong]) {
      expect(status).toBe(401);
      expect(headers["www-authenticate"]).toContain("Bearer");
      expect(headers).toMatchObject({
        vary: "Authorization, X-API-Key, X-Tenant-ID",
        "cache-control": "private, no-store",
      });
    }
  });
});
