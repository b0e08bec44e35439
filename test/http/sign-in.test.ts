import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import { z } from "zod";
import { openApp } from "../../src/app.ts";
import type { App } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import { openLog } from "../../src/context/log.ts";
import { MASTER_KEY, PLATFORM_KEY, startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { addPerson, atTheDoor, CHANGE, LOGIN, LOGOUT, OTHER_PASSWORD, PASSWORD, signIn, WHO, withToken } from "../support/door.ts"; // prettier-ignore
import { rawPost } from "../support/raw-request.ts";
import { codesOf, dataOf, sendTo } from "../support/send.ts";
import type { TestTenant } from "../support/tenants.ts";

let app: TestApp;
let second: App;
beforeAll(async () => {
  app = await startApp({ DEFAULT_TENANT: "off", TRUST_TENANT_HEADER: "off" });
  const config = readConfig({
    PORT: "0",
    DEFAULT_TENANT: "off",
    TRUST_TENANT_HEADER: "off",
    DATABASE_URL: app.database.gatewayUrl,
    DATABASE_OWNER_URL: app.database.ownerUrl,
  });
  second = await openApp({
    config,
    gatewayUrl: app.database.gatewayUrl,
    platformAdminKey: PLATFORM_KEY,
    masterKey: MASTER_KEY,
    log: openLog({ logLevel: "silent" }),
  });
});
afterAll(async () => {
  await second.close();
  await app.close();
});

const claimsOf = z.record(z.string(), z.unknown());
const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString("base64url");
const decode = (part = ""): Record<string, unknown> =>
  claimsOf.parse(JSON.parse(Buffer.from(part, "base64url").toString()));

async function aPerson(): Promise<{ acme: TestTenant; id: string; token: string }> {
  const acme = await app.newTenant();
  const { id } = await addPerson(acme);
  const { accessToken } = await signIn(app.url, acme.id);
  return { acme, id, token: accessToken };
}

describe("within a second, on a gateway that has just let the token in, access ends after", () => {
  const endings: Readonly<Record<string, (person: Awaited<ReturnType<typeof aPerson>>) => Promise<unknown>>> = {
    "a changed password": ({ token }) => withToken(app.url, token)(CHANGE, { old: PASSWORD, new: OTHER_PASSWORD }),
    "a person who was deactivated": ({ acme, id }) =>
      acme.send(`mutation { updateUser(input: { id: "${id}", active: false }) { user { id } } }`),
    "a tenant that was suspended": ({ acme }) =>
      app.platform(`mutation { updateTenant(input: { id: "${acme.id}", active: false }) { tenant { id } } }`),
    "a sign-out here": ({ token }) => withToken(app.url, token)(LOGOUT),
    "a sign-out everywhere, elsewhere": async ({ acme }) => {
      const { accessToken } = await signIn(app.url, acme.id);
      return withToken(app.url, accessToken)(LOGOUT, { all: true });
    },
  };

  test.each(Object.entries(endings))("%s", async (_name, end) => {
    const person = await aPerson();
    const there = withToken(`${second.url}/graphql`, person.token);
    expect((await there(WHO)).status).toBe(200);

    expect(await end(person)).toHaveProperty("errors", undefined);
    const ended = performance.now();
    let answer = await there(WHO);
    while (answer.status === 200 && performance.now() - ended < 5_000) answer = await there(WHO);

    expect([401, 403]).toContain(answer.status);
    expect(performance.now() - ended).toBeLessThan(1_000);
  });
});

test("a role that was changed counts on the next request, on every gateway", async () => {
  const { acme, id, token } = await aPerson();
  const there = withToken(`${second.url}/graphql`, token);
  expect(codesOf(await there("{ users(first: 1) { totalCount } }"))).toEqual(["FORBIDDEN"]);

  dataOf(await acme.send(`mutation { updateUser(input: { id: "${id}", role: ADMIN }) { user { id } } }`));

  const deadline = performance.now() + 1_000;
  let codes: unknown[] = ["FORBIDDEN"];
  while (codes.length > 0 && performance.now() < deadline)
    codes = codesOf(await there("{ users(first: 1) { totalCount } }"));
  expect(codes).toEqual([]);
});

describe("a token is refused with 401 that", () => {
  const own = generateKeyPairSync("ed25519");
  const signed = (header: object, claims: object): string => {
    const body = `${encode(header)}.${encode(claims)}`;
    return `${body}.${sign(null, Buffer.from(body), own.privateKey).toString("base64url")}`;
  };

  /** What somebody makes of a good token without our key. */
  const forgeries: Readonly<Record<string, (good: string, publicKey: string) => string>> = {
    "is signed by nobody": (good) => {
      const [header, claims] = good.split(".");
      return `${encode({ ...decode(header), alg: "none" })}.${claims}.`;
    },
    "is signed by nobody, and keeps the signature": (good) => {
      const [header, claims, signature] = good.split(".");
      return `${encode({ ...decode(header), alg: "none" })}.${claims}.${signature}`;
    },
    "is signed with the public key as a secret": (good, publicKey) => {
      const [header, claims] = good.split(".");
      const body = `${encode({ ...decode(header), alg: "HS256" })}.${claims}`;
      return `${body}.${createHmac("sha256", publicKey).update(body).digest("base64url")}`;
    },
    "is signed by another key under our key's name": (good) => {
      const [header, claims] = good.split(".");
      return signed(decode(header), decode(claims));
    },
    "brings its own key": (good) => {
      const [header, claims] = good.split(".");
      return signed({ ...decode(header), jwk: own.publicKey.export({ format: "jwk" }) }, decode(claims));
    },
    "names a key that there is not": (good) => {
      const [header, claims] = good.split(".");
      return signed({ ...decode(header), kid: "unknown" }, decode(claims));
    },
    "names a key by a path": (good) => {
      const [header, claims] = good.split(".");
      return signed({ ...decode(header), kid: "../../../dev/null" }, decode(claims));
    },
    "names a key by something that is no text": (good) => {
      const [header, claims] = good.split(".");
      return signed({ ...decode(header), kid: { $ne: null } }, decode(claims));
    },
    "has another role than was signed": (good) => {
      const [header, claims, signature] = good.split(".");
      return `${header}.${encode({ ...decode(claims), role: "owner" })}.${signature}`;
    },
    "asks for an extension": (good) => {
      const [header, claims] = good.split(".");
      return signed({ ...decode(header), crit: ["exp"], b64: false }, decode(claims));
    },
    "has an empty signature": (good) => `${good.split(".").slice(0, 2).join(".")}.`,
    "is two dots": () => "..",
    "is three words": () => "one.two.three",
    "is encrypted, in five parts": (good) => `${good}.a.b`,
    "has a header that is no object": (good) => `${Buffer.from("[]").toString("base64url")}.${good.split(".")[1]}.x`,
  };

  test.each(Object.entries(forgeries))("%s", async (_name, forge) => {
    const { token } = await aPerson();
    const published = await (await fetch(new URL("/.well-known/jwks.json", app.url))).text();

    const answer = await withToken(app.url, forge(token, published))(WHO);

    expect([answer.status, ...codesOf(answer)]).toEqual([401, "UNAUTHENTICATED"]);
  });

  /** What only whoever holds the key could make: a fault of ours, or a key that was lost. */
  const wrongs: Readonly<Record<string, (claims: Record<string, unknown>, header: Record<string, unknown>) => object>> =
    {
      "is of another issuer": (claims) => ({ ...claims, iss: "https://elsewhere.example" }),
      "is meant for somebody else": (claims) => ({ ...claims, aud: "another" }),
      "is meant for nobody": (claims) => ({ ...claims, aud: undefined }),
      "is of another type": (claims, header) => {
        header["typ"] = "JWT";
        return claims;
      },
      "has expired": (claims) => ({ ...claims, iat: 1_000_000_000, nbf: 1_000_000_000, exp: 1_000_000_900 }),
      "is not valid yet": (claims) => ({ ...claims, nbf: Math.floor(Date.now() / 1000) + 600 }),
      "is of the future": (claims) => ({ ...claims, iat: Math.floor(Date.now() / 1000) + 600 }),
      "never expires": (claims) => ({ ...claims, exp: undefined }),
      "was issued at no time": (claims) => ({ ...claims, iat: undefined }),
      "lives for ten years, and is a day old": (claims) => ({
        ...claims,
        iat: Math.floor(Date.now() / 1000) - 86_400,
        exp: Math.floor(Date.now() / 1000) + 315_360_000,
      }),
      "has no id": (claims) => ({ ...claims, jti: undefined }),
      "names no sign-in": (claims) => ({ ...claims, sid: undefined }),
      "names a tenant that is none": (claims) => ({ ...claims, tenant_id: "x" }),
      "names another person than its sign-in": (claims) => ({ ...claims, sub: claims["tenant_id"] }),
      "names another tenant than its sign-in": (claims) => ({ ...claims, tenant_id: claims["sub"] }),
    };

  test.each(Object.entries(wrongs))("%s, although our key signed it", async (_name, change) => {
    const { token } = await aPerson();
    const [head, body] = token.split(".");
    const header = decode(head);
    const claims = change(decode(body), header);
    const { kid } = header;
    const sealed = (await app.app.context.crossTenant.tokenKeys()).find((key) => key.kid === kid)?.sealedPrivateKey;
    const jwk = claimsOf.parse(
      JSON.parse(app.app.context.accounts.sealing.open(sealed ?? "", `token key ${String(kid)}`)),
    );
    const text = `${encode(header)}.${encode(claims)}`;
    const signature = sign(null, Buffer.from(text), { key: jwk, format: "jwk" }).toString("base64url");

    const answer = await withToken(app.url, `${text}.${signature}`)(WHO);

    expect([answer.status, ...codesOf(answer)]).toEqual([401, "UNAUTHENTICATED"]);
  });
});

test("a token of 1 MB is refused, and the gateway goes on", async () => {
  const { token } = await aPerson();
  const huge = [
    ["Authorization", `Bearer ${"a".repeat(500_000)}.${"b".repeat(500_000)}.c`],
    ["Content-Type", "application/json"],
  ] as const;

  const { status } = await rawPost(app.url, huge, "{}").catch(() => ({ status: 431 })); // Node may hang up while it is still sent

  expect(status).toBe(431);
  expect((await withToken(app.url, token)(WHO)).status).toBe(200);
});

test("a refresh token or a mailed one is no credential", async () => {
  const { acme } = await aPerson();
  const { refreshToken } = await signIn(app.url, acme.id);

  expect((await withToken(app.url, refreshToken)(WHO)).status).toBe(401);
});

test("the header of another tenant, or a key of another one, does not go with a token", async () => {
  const { acme, token } = await aPerson();
  const globex = await app.newTenant();

  const answers = [
    await withToken(app.url, token, { "X-Tenant-ID": globex.id })(WHO),
    await withToken(app.url, token, { "X-API-Key": globex.key })(WHO),
    await withToken(app.url, token, { "X-API-Key": PLATFORM_KEY })(WHO),
  ];

  for (const answer of answers) expect([answer.status, ...codesOf(answer)]).toEqual([403, "TENANT_MISMATCH"]);
  expect((await withToken(app.url, token, { "X-Tenant-ID": acme.id })(WHO)).status).toBe(200);
});

test("who shows a key and a token of one tenant acts as the person", async () => {
  const { acme, id, token } = await aPerson();
  const both = withToken(app.url, token, { "X-API-Key": acme.key });

  expect(dataOf(await both(WHO))).toMatchObject({ viewer: { id } });
  expect(codesOf(await both("{ users(first: 1) { totalCount } }"))).toEqual(["FORBIDDEN"]);
});

test("somebody without a credential may ask for nothing but to sign in, and not both at once", async () => {
  const acme = await app.newTenant();
  const door = atTheDoor(app.url, acme.id);

  expect((await door("{ tenant { name } }")).status).toBe(401);
  const mixed = await door('mutation { login(input: { email: "a@example.com", password: "x" }) { expiresIn } createSession(input: {}) { session { id } } }'); // prettier-ignore
  expect(mixed.status).toBe(401);
});

test("on a local start, signing in needs no header", async () => {
  const local = await startApp();
  const defaultTenant = (await local.app.context.crossTenant.defaultTenantId()) ?? "";
  await addPerson(local.app.context.clients.of(defaultTenant));

  dataOf(await sendTo(local.url, {})(LOGIN, { email: "alice@example.com", password: PASSWORD }));
  await local.close();
});
