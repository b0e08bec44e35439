import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { personOf } from "../support/people.ts";
import { codesOf, dataOf } from "../support/send.ts";
import type { Sender } from "../support/send.ts";
import { anId } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";

const FIELDS = `id name issuer redirectUrl clientId hasClientSecret audience claims { user email emailVerified name role }
  roles { word role } unknownPeople defaultRole emailDomains active`;
const CREATE = `mutation ($input: CreateIdentityProviderInput!) {
  done: createIdentityProvider(input: $input) { identityProvider { ${FIELDS} } }
}`;
const UPDATE = `mutation ($input: UpdateIdentityProviderInput!) {
  done: updateIdentityProvider(input: $input) { identityProvider { ${FIELDS} } }
}`;
const DELETE = "mutation ($id: ID!) { done: deleteIdentityProvider(id: $id) { deletedId } }";
const LIST = `{ identityProviders { ${FIELDS} } }`;
const SECRET = "a-secret-that-nobody-sees-again";
const MINIMUM = { name: "Ours", issuer: "https://id.example.org/realm", clientId: "atrium" };

interface Done {
  readonly done: { readonly identityProvider: { readonly id: string } & Readonly<Record<string, unknown>> };
}

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ ALLOW_PRIVATE_ADDRESSES: "off" });
});
afterAll(() => app.close());

async function owned(): Promise<{ tenant: TestTenant; owner: Sender }> {
  const tenant = await app.newTenant();
  return { tenant, owner: (await personOf(app, tenant, { role: "owner" })).send };
}

async function created(owner: Sender, more: object = {}) {
  return dataOf(await owner<Done>(CREATE, { input: { ...MINIMUM, ...more } })).done.identityProvider;
}

describe("identity providers", () => {
  test("begin careful: nobody unknown comes in, and tokens must be meant for the client", async () => {
    const { owner } = await owned();

    expect(await created(owner)).toEqual({
      ...MINIMUM,
      id: expect.any(String),
      // The first half of the SHA-256 of the issuer.
      redirectUrl: `${app.app.url}/auth/callback/7bf85fac1169d21d96a3f56882b59f17`,
      audience: "atrium",
      hasClientSecret: false,
      claims: { user: null, email: null, emailVerified: null, name: null, role: null },
      roles: [],
      unknownPeople: "REFUSE",
      defaultRole: "USER",
      emailDomains: [],
      active: true,
    });
  });

  test("are listed to owners in the order in which they were made, with all that was said of them but the secret", async () => {
    const { owner, tenant } = await owned();
    const settings = {
      clientSecret: SECRET,
      audience: "urn:atrium",
      claims: { user: "oid", role: "realm_access.roles" },
      roles: [{ word: "boss", role: "ADMIN" }],
      unknownPeople: "CREATE",
      defaultRole: "VIEWER",
      emailDomains: ["Example.ORG"],
    };
    const first = await created(owner, settings);
    const second = await created(owner, { clientId: "another" });

    const answer = await owner(LIST);

    expect(dataOf(answer)).toEqual({ identityProviders: [first, second] });
    expect(first).toMatchObject({ hasClientSecret: true, emailDomains: ["example.org"], roles: settings.roles });
    const stored = JSON.stringify([await tenant.db.identityProvider.findMany(), await tenant.db.auditEvent.findMany()]);
    expect(answer.comparable + stored).not.toContain(SECRET);
  });

  test("keep what an update does not mention, and a secret moved to another row does not open there", async () => {
    const { owner, tenant } = await owned();
    const { id } = await created(owner, { clientSecret: SECRET, emailDomains: ["example.org"] });
    const other = await created(owner, { clientId: "another" });

    const changed = dataOf(await owner<Done>(UPDATE, { input: { id, name: "Renamed", active: false } })).done;
    expect(changed.identityProvider).toMatchObject({
      name: "Renamed",
      active: false,
      hasClientSecret: true,
      emailDomains: ["example.org"],
    });
    const sealed = (await tenant.db.identityProvider.findUnique({ where: { id } }))?.clientSecretSealed ?? "";
    const { sealing } = app.app.context.accounts;
    expect(sealing.open(sealed, `identity_provider ${tenant.id} ${id}`)).toBe(SECRET);
    expect(() => sealing.open(sealed, `identity_provider ${tenant.id} ${other.id}`)).toThrow();
    const cleared = dataOf(await owner<Done>(UPDATE, { input: { id, clientSecret: null } })).done;
    expect(cleared.identityProvider["hasClientSecret"]).toBe(false);
  });

  test("are gone after their deletion; another tenant's behave as if they were not there", async () => {
    const [acme, globex] = [await owned(), await owned()];
    const { id } = await created(globex.owner);

    const foreign = await acme.owner(DELETE, { id });
    expect(codesOf(foreign)).toEqual(["NOT_FOUND"]);
    expect((await acme.owner(DELETE, { id: anId() })).comparable).toBe(foreign.comparable);
    expect(codesOf(await acme.owner(UPDATE, { input: { id, name: "taken" } }))).toEqual(["NOT_FOUND"]);
    expect(dataOf(await globex.owner(DELETE, { id }))).toEqual({ done: { deletedId: id } });
    expect(dataOf(await globex.owner(LIST))).toEqual({ identityProviders: [] });
  });

  test("may be the same ones in two tenants, and once only in one", async () => {
    const [acme, globex] = [await owned(), await owned()];
    await created(acme.owner);
    await created(globex.owner);

    expect(codesOf(await acme.owner(CREATE, { input: MINIMUM }))).toEqual(["CONFLICT"]);
  });

  test("are twenty at most", async () => {
    const { owner } = await owned();
    for (let count = 0; count < 20; count += 1) await created(owner, { clientId: `client-${count}` });

    expect(codesOf(await owner(CREATE, { input: MINIMUM }))).toEqual(["QUOTA_EXCEEDED"]);
  });

  test.each(["admin", "user", "viewer"] as const)("are not the business of a person who is %s", async (role) => {
    const { tenant } = await owned();
    const { send } = await personOf(app, tenant, { role });

    expect(codesOf(await send(LIST))).toEqual(["FORBIDDEN"]);
    expect(codesOf(await send(CREATE, { input: MINIMUM }))).toEqual(["FORBIDDEN"]);
    expect(codesOf(await tenant.send(LIST))).toEqual(["FORBIDDEN"]);
  });
});

describe("an identity provider is refused", () => {
  test.each([
    ["over http", { issuer: "http://id.example.org" }, "input.issuer"],
    ["at this machine", { issuer: "https://127.1/" }, "input.issuer"],
    ["in a private network", { issuer: "https://10.0.0.1/" }, "input.issuer"],
    ["where clouds keep credentials", { issuer: "https://169.254.169.254/" }, "input.issuer"],
    ["with a query", { issuer: "https://id.example.org/?a=b" }, "input.issuer"],
    ["with a password in its address", { issuer: "https://a:b@id.example.org/" }, "input.issuer"],
    ["that is no address", { issuer: "id.example.org" }, "input.issuer"],
    ["without a name", { name: "" }, "input.name"],
    ["without a client", { clientId: "" }, "input.clientId"],
    ["with a claim that has no name", { claims: { email: "" } }, "input.claims.email"],
    [
      "with a word that means two roles",
      { roles: ["ADMIN", "USER"].map((role) => ({ word: "boss", role })) },
      "input.roles.1.word",
    ],
    ["with a domain that is none", { emailDomains: ["a@example.org"] }, "input.emailDomains.0"],
    ["with a domain that looks like another", { emailDomains: ["ban\u212A.example"] }, "input.emailDomains.0"],
    ["with too many domains", { emailDomains: Array.from({ length: 51 }, () => "example.org") }, "input.emailDomains"],
  ])("%s", async (_what, input, path) => {
    const { owner } = await owned();

    const answer = await owner(CREATE, { input: { ...MINIMUM, ...input } });

    expect(codesOf(answer)).toEqual(["BAD_USER_INPUT"]);
    expect(answer.errors?.[0]?.extensions["fields"]).toEqual([{ path, message: expect.any(String) }]);
  });

  test("that would make owners", async () => {
    const { owner } = await owned();

    const answer = await owner(CREATE, { input: { ...MINIMUM, roles: [{ word: "king", role: "OWNER" }] } });

    expect(codesOf(answer)).toEqual(["BAD_USER_INPUT"]);
  });
});
