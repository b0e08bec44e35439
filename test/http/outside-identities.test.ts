import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { exportJWK, exportSPKI, generateKeyPair, importJWK, UnsecuredJWT } from "jose";
import { randomUUID } from "node:crypto";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { AUDIENCE, CLIENT, startIdentityProvider } from "../support/identity-provider.ts";
import type { TestProvider } from "../support/identity-provider.ts";
import { personOf } from "../support/people.ts";
import { codesOf, dataOf } from "../support/send.ts";
import type { Answer } from "../support/send.ts";
import type { TestTenant } from "../support/tenants.ts";

const WHO = "{ viewer { id role } tenantContext { tenant { id } } }";
const MINUTE_MS = 60_000;
const JWKS = "/jwks";

interface Who {
  readonly viewer: { readonly id: string; readonly role: string } | null;
  readonly tenantContext: { readonly tenant: { readonly id: string } };
}

let provider: TestProvider;
let app: TestApp;
let later = 0;

beforeAll(async () => {
  provider = await startIdentityProvider(() => "http://app.invalid/unused");
  // Local switches are off, as in production, so that nothing is answered for want of a credential.
  const settings = { DEFAULT_TENANT: "off", TRUST_TENANT_HEADER: "off" };
  app = await startApp(settings, { clock: { now: () => new Date(Date.now() + later) } });
});
afterEach(() => {
  later = 0;
});
afterAll(async () => {
  await app.close();
  await provider.stop();
});

function ask(token: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer<Who>> {
  return app.anonymous<Who>(WHO, {}, { Authorization: `Bearer ${token}`, ...headers });
}

type Settings = Partial<Parameters<TestTenant["db"]["identityProvider"]["create"]>[0]["data"]>;

/** A tenant that trusts the provider. */
async function trusting(settings: Settings = {}): Promise<TestTenant> {
  const tenant = await app.newTenant();
  await tenant.db.identityProvider.create({
    data: { name: "Ours", issuer: provider.issuer, clientId: CLIENT.id, audience: AUDIENCE, ...settings },
  });
  return tenant;
}

/** A person of a tenant whom the provider knows by this subject. */
async function linked(tenant: TestTenant, sub: string = randomUUID(), issuer = provider.issuer) {
  const person = await personOf(app, tenant, { role: "user" });
  await tenant.db.outsideIdentity.create({ data: { userId: person.id, issuer, subject: sub } });
  return { ...person, sub };
}

describe("an access token of a trusted provider", () => {
  test("speaks for the person whom the tenant has linked to it", async () => {
    const acme = await trusting();
    const { id, sub } = await linked(acme);

    const answer = await ask(await provider.accessTokenOf({ sub }));

    expect(dataOf(answer)).toEqual({ viewer: { id, role: "USER" }, tenantContext: { tenant: { id: acme.id } } });
  });

  test("is refused with another tenant's header, whether that tenant exists or not", async () => {
    const acme = await trusting();
    const globex = await app.newTenant();
    const { sub } = await linked(acme);
    const token = await provider.accessTokenOf({ sub });

    const foreign = await ask(token, { "X-Tenant-ID": globex.id });
    const missing = await ask(token, { "X-Tenant-ID": randomUUID() });

    expect([foreign.status, codesOf(foreign)]).toEqual([403, ["TENANT_MISMATCH"]]);
    expect(missing.comparable).toBe(foreign.comparable);
  });

  test("is refused beside a key of another tenant", async () => {
    const { sub } = await linked(await trusting());
    const globex = await app.newTenant();

    const answer = await ask(await provider.accessTokenOf({ sub }), { "X-API-Key": globex.key });

    expect(codesOf(answer)).toEqual(["TENANT_MISMATCH"]);
  });

  test("means the tenant that knows the person, whoever else names the same provider", async () => {
    const acme = await trusting();
    await trusting();
    const { id, sub } = await linked(acme);

    expect(dataOf(await ask(await provider.sign({ sub }))).viewer?.id).toBe(id);
  });

  test("is two people in two tenants that both know its subject, and the header chooses", async () => {
    const [acme, globex] = [await trusting(), await trusting()];
    const sub = randomUUID();
    const [one, two] = [await linked(acme, sub), await linked(globex, sub)];
    const token = await provider.sign({ sub });

    expect(codesOf(await ask(token))).toEqual(["TENANT_REQUIRED"]);
    expect(dataOf(await ask(token, { "X-Tenant-ID": acme.id })).viewer?.id).toBe(one.id);
    expect(dataOf(await ask(token, { "X-Tenant-ID": globex.id })).viewer?.id).toBe(two.id);
  });

  test("ends within a second with the person, the provider and the tenant", async () => {
    const acme = await trusting();
    const { id, sub } = await linked(acme);
    const token = await provider.sign({ sub });
    const refused = async (code: string): Promise<void> => {
      const deadline = Date.now() + 1_000;
      let codes = codesOf(await ask(token));
      while (codes[0] !== code && Date.now() < deadline) codes = codesOf(await ask(token));
      expect(codes).toEqual([code]);
    };
    const works = async (): Promise<void> => {
      const deadline = Date.now() + 5_000;
      while (codesOf(await ask(token)).length > 0 && Date.now() < deadline);
      expect(dataOf(await ask(token)).viewer?.id).toBe(id);
    };
    await works();

    await acme.db.user.update({ where: { id }, data: { active: false } });
    await refused("UNAUTHENTICATED");
    await acme.db.user.update({ where: { id }, data: { active: true } });
    await works();

    await acme.db.identityProvider.updateMany({ data: { active: false } });
    await refused("UNAUTHENTICATED");
    await acme.db.identityProvider.updateMany({ data: { active: true } });
    await works();

    await app.app.context.crossTenant.updateTenant(acme.id, { active: false });
    await refused("TENANT_INACTIVE");
  });

  test("acts by the role that its words are mapped to, at each use and without keeping it", async () => {
    const acme = await trusting({ claims: { role: "realm.roles" }, roles: { boss: "admin", guest: "viewer" } });
    const { id, sub } = await linked(acme);
    const roleOf = async (...roles: string[]) =>
      dataOf(await ask(await provider.sign({ sub, realm: { roles } }))).viewer?.role;
    const stored = async () => (await acme.db.user.findUnique({ where: { id } }))?.role;
    const canListKeys = async (...roles: string[]) => {
      const token = await provider.sign({ sub, realm: { roles } });
      return codesOf(await app.anonymous("{ apiKeys { totalCount } }", {}, { Authorization: `Bearer ${token}` }));
    };

    expect(await roleOf()).toBe("USER");
    expect(await canListKeys("guest", "boss", "unheard")).toEqual([]);
    expect(await canListKeys("guest")).toEqual(["FORBIDDEN"]);
    expect(await stored()).toBe("user");
  });

  test("makes nobody an OWNER by a tenant's provider, whatever its row says", async () => {
    const acme = await trusting({ claims: { role: "role" }, roles: { king: "owner" } });
    const { sub } = await linked(acme);
    const token = await provider.sign({ sub, role: "king" });

    const answer = await app.anonymous("{ identityProviders { id } }", {}, { Authorization: `Bearer ${token}` });

    expect(codesOf(answer)).toEqual(["FORBIDDEN"]);
  });
});

describe("a token is refused", () => {
  const now = () => Math.floor(Date.now() / 1000);
  let sub: string;
  beforeAll(async () => {
    ({ sub } = await linked(await trusting()));
  });

  const cases: Readonly<Record<string, () => Promise<string>>> = {
    "of an issuer that nobody trusts": () => provider.sign({ sub, iss: "http://elsewhere.invalid" }),
    "without an issuer": () => provider.sign({ sub, iss: undefined }),
    "of an issuer with a slash more": () => provider.sign({ sub, iss: `${provider.issuer}/` }),
    "for another audience": () => provider.sign({ sub, aud: "somebody else" }),
    "without an audience": () => provider.sign({ sub, aud: undefined }),
    "that has expired": () => provider.sign({ sub, iat: now() - 600, exp: now() - 61 }),
    "that never expires": () => provider.sign({ sub, exp: undefined }),
    "of unknown age": () => provider.sign({ sub, iat: undefined }),
    "that is older than a day, though it lives for ten years": () =>
      provider.sign({ sub, iat: now() - 86_400 - 120, exp: now() + 315_360_000 }),
    "from the future": () => provider.sign({ sub, iat: now() + 120 }),
    "that is not valid yet": () => provider.sign({ sub, nbf: now() + 120 }),
    "of nobody": () => provider.sign({ sub: undefined }),
    "of somebody unknown": () => provider.sign({ sub: randomUUID() }),
    "signed by another key of the same name": async () =>
      provider.sign({ sub }, {}, (await generateKeyPair("ES256")).privateKey),
    "signed with HS256 by the public key as PEM": async () => {
      const publicKey = await importJWK(provider.keys().publicJwk, "ES256");
      if (publicKey instanceof Uint8Array) throw new Error("a key of this kind is no bytes");
      return provider.sign({ sub }, { alg: "HS256" }, new TextEncoder().encode(await exportSPKI(publicKey)));
    },
    "signed with HS256 by the published key": () =>
      provider.sign({ sub }, { alg: "HS256" }, new TextEncoder().encode(JSON.stringify(provider.keys().publicJwk))),
    "without a signature": async () =>
      new UnsecuredJWT({ sub })
        .setIssuer(provider.issuer)
        .setAudience(AUDIENCE)
        .setIssuedAt()
        .setExpirationTime("5m")
        .encode(),
    "with its signature cut off": async () => (await provider.sign({ sub })).replace(/\.[^.]*$/, "."),
    "without a key's name": () => provider.sign({ sub }, { kid: undefined }),
    "with a key's name that leads elsewhere": () => provider.sign({ sub }, { kid: "../../etc/passwd" }),
    "that brings its own key": async () => {
      const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
      return provider.sign({ sub }, { jwk: await exportJWK(publicKey) }, privateKey);
    },
    "of another type": () => provider.sign({ sub }, { typ: "logout+jwt" }),
    "that is an ID token": () => provider.sign({ sub, at_hash: "a hash" }, { typ: "JWT" }),
    "that is bound to a key": () => provider.sign({ sub, cnf: { jkt: "a thumbprint" } }),
  };

  test.each(Object.entries(cases))("%s", async (_what, make) => {
    const answer = await ask(await make());

    expect([answer.status, codesOf(answer)]).toEqual([401, ["UNAUTHENTICATED"]]);
    expect(answer.headers.get("www-authenticate")).toContain("Bearer");
  });

  test("never where it is right: the token that these are variations of is accepted", async () => {
    expect(codesOf(await ask(await provider.sign({ sub })))).toEqual([]);
    expect(codesOf(await ask(await provider.sign({ sub, nbf: now() + 30, iat: now() + 30 })))).toEqual([]);
    expect(codesOf(await ask(await provider.sign({ sub, aud: [AUDIENCE, "another"] }, { typ: "JWT" })))).toEqual([]);
  });
});

describe("an issuer's keys", () => {
  /** A provider that this process has not asked yet. */
  async function fresh(): Promise<{ other: TestProvider; sub: string }> {
    const other = await startIdentityProvider(() => "http://app.invalid/unused");
    const { sub } = await linked(await trusting({ issuer: other.issuer }), randomUUID(), other.issuer);
    return { other, sub };
  }

  test("are fetched once, however many ask at the same time, and looked for once a minute", async () => {
    const { other, sub } = await fresh();
    const send = async (kid: string) => codesOf(await ask(await other.sign({ sub }, { kid })));
    const good = other.keys().kid;

    expect(await Promise.all(Array.from({ length: 20 }, () => send(good)))).toEqual(Array(20).fill([]));
    expect(other.seen(JWKS)).toBe(1);

    const unknown = await Promise.all(Array.from({ length: 20 }, () => send(randomUUID())));
    expect(unknown).toEqual(Array(20).fill(["UNAUTHENTICATED"]));
    for (let count = 0; count < 5; count += 1) expect(await send(randomUUID())).toEqual(["UNAUTHENTICATED"]);
    expect(other.seen(JWKS)).toBe(2);

    later = MINUTE_MS;
    await send(randomUUID());
    expect(other.seen(JWKS)).toBe(3);
    await other.stop();
  });

  test("may be replaced: the first token by a new key has them fetched once, and old ones are gone", async () => {
    const { other, sub } = await fresh();
    const old = await other.sign({ sub });
    expect(codesOf(await ask(old))).toEqual([]);
    await other.rotateKeys();

    expect(codesOf(await ask(await other.sign({ sub })))).toEqual([]);
    expect(codesOf(await ask(await other.sign({ sub })))).toEqual([]);
    expect(codesOf(await ask(old))).toEqual(["UNAUTHENTICATED"]);
    expect(other.seen(JWKS)).toBe(2);
    await other.stop();
  });

  test("go on while the issuer is down, for a day, and are refreshed behind requests once it is back", async () => {
    const { other, sub } = await fresh();
    const send = async () => codesOf(await ask(await other.sign({ sub, iat: inSeconds(), exp: inSeconds() + 300 })));
    const inSeconds = () => Math.floor((Date.now() + later) / 1000);
    expect(await send()).toEqual([]);
    await other.stop();

    later = 30 * MINUTE_MS;
    expect(await send()).toEqual([]);
    later = 23 * 60 * MINUTE_MS;
    expect(await send()).toEqual([]);
    later = 25 * 60 * MINUTE_MS;
    expect(await send()).toEqual(["UPSTREAM_FAILED"]);

    await other.restart();
    later += MINUTE_MS;
    expect(await send()).toEqual([]);
    const before = other.seen(JWKS);
    later += 11 * MINUTE_MS;
    expect(await send()).toEqual([]);
    const deadline = Date.now() + 5_000;
    while (other.seen(JWKS) === before && Date.now() < deadline) await send();
    expect(other.seen(JWKS)).toBe(before + 1);
    await other.stop();
  });

  test("that were never fetched leave a token unread: the issuer is at fault, and nobody waits for it twice", async () => {
    const { other, sub } = await fresh();
    const token = await other.sign({ sub });
    await other.stop();

    const answer = await ask(token);

    expect([answer.status, codesOf(answer)]).toEqual([502, ["UPSTREAM_FAILED"]]);
    expect(codesOf(await ask(token))).toEqual(["UPSTREAM_FAILED"]);
  });
});

describe("somebody whom the tenant does not know", () => {
  const stranger = (email: string) => ({ sub: randomUUID(), email, email_verified: true, name: "New Person" });
  const address = () => `${randomUUID()}@example.com`;

  test("is refused where nothing else was said, and nobody is made", async () => {
    const acme = await trusting();

    expect(codesOf(await ask(await provider.sign(stranger(address()))))).not.toEqual([]);
    expect(codesOf(await ask(await provider.sign(stranger(address())), { "X-Tenant-ID": acme.id }))).toEqual([
      "UNAUTHENTICATED",
    ]);
    expect(await acme.db.user.count()).toBe(0);
  });

  test("is linked by an address that both sides have verified, and known by the subject from then on", async () => {
    const acme = await trusting({ unknownPeople: "link" });
    const { id, email } = await personOf(app, acme, { role: "user" });
    const claims = stranger(email.toUpperCase());
    const header = { "X-Tenant-ID": acme.id };

    expect(dataOf(await ask(await provider.sign(claims), header)).viewer?.id).toBe(id);
    expect(dataOf(await ask(await provider.sign({ sub: claims.sub }))).viewer?.id).toBe(id);
    expect(await acme.db.outsideIdentity.count()).toBe(1);
    expect(await acme.db.auditEvent.findMany({ where: { action: "user.link" } })).toHaveLength(1);
  });

  test.each([
    ["the provider has not verified", { email_verified: false }, {}],
    ["the provider says nothing about", { email_verified: undefined }, {}],
    ["the person has not verified here: whoever made the account would share it", {}, { emailVerified: false }],
    ["a deactivated person has", {}, { active: false }],
  ])("is not linked by an address that %s", async (_what, claims, user) => {
    const acme = await trusting({ unknownPeople: "create" });
    const person = await personOf(app, acme, { role: "user" });
    await acme.db.user.update({ where: { id: person.id }, data: user });
    const token = await provider.sign({ ...stranger(person.email), ...claims });

    expect(codesOf(await ask(token, { "X-Tenant-ID": acme.id }))).toEqual(["UNAUTHENTICATED"]);
    expect(await acme.db.outsideIdentity.count()).toBe(0);
    expect(await acme.db.user.count()).toBe(1);
  });

  test("does not inherit an account by an address that was somebody else's at the same provider", async () => {
    const acme = await trusting({ unknownPeople: "create" });
    const { email } = await linked(acme);

    const answer = await ask(await provider.sign(stranger(email)), { "X-Tenant-ID": acme.id });

    expect(codesOf(answer)).toEqual(["UNAUTHENTICATED"]);
  });

  test("is added where the tenant wants it, once, however many requests come at the same time", async () => {
    const acme = await trusting({ unknownPeople: "create", defaultRole: "viewer" });
    const email = address();
    const token = await provider.sign(stranger(email));

    const answers = await Promise.all(Array.from({ length: 10 }, () => ask(token, { "X-Tenant-ID": acme.id })));

    const people = await acme.db.user.findMany();
    expect(people).toMatchObject([{ email, name: "New Person", role: "viewer", emailVerified: true, active: true }]);
    expect(answers.map((answer) => dataOf(answer).viewer?.id)).toEqual(Array(10).fill(people[0]?.id));
  });

  test("is added with an address of the tenant's domains only", async () => {
    const acme = await trusting({ unknownPeople: "create", emailDomains: ["acme.example"] });
    const send = async (email: string) =>
      codesOf(await ask(await provider.sign(stranger(email)), { "X-Tenant-ID": acme.id }));

    expect(await send(`a@sub.acme.example`)).toEqual(["UNAUTHENTICATED"]);
    expect(await send(`a@acme.example.evil.example`)).toEqual(["UNAUTHENTICATED"]);
    expect(await send(`acme.example@evil.example`)).toEqual(["UNAUTHENTICATED"]);
    expect(await send(`a@ACME.example`)).toEqual([]);
  });

  test("is another person in each of two tenants, though address and subject are the same", async () => {
    const acme = await trusting({ unknownPeople: "create" });
    const globex = await trusting({ unknownPeople: "create", defaultRole: "viewer" });
    const token = await provider.sign(stranger(address()));

    const one = dataOf(await ask(token, { "X-Tenant-ID": acme.id })).viewer;
    const two = dataOf(await ask(token, { "X-Tenant-ID": globex.id })).viewer;

    expect([one?.role, two?.role]).toEqual(["USER", "VIEWER"]);
    expect(one?.id).not.toBe(two?.id);
  });
});
