import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { createRemoteJWKSet, jwtVerify } from "jose";
import pg from "pg";
import { z } from "zod";
import { openContext } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import type { AppContext } from "../../src/context/app-context.ts";
import { openLog } from "../../src/context/log.ts";
import { PLATFORM_KEY, startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { newDatabase } from "../support/database.ts";
import type { TestDatabase } from "../support/database.ts";
import { addPerson, signIn, WHO, withToken } from "../support/door.ts";
import { until } from "../support/until.ts";

const SUBJECT = {
  tenantId: "01a20936-53da-77ce-86f9-96acdf284124",
  userId: "01a20936-745c-7313-874b-7d5da54ce843",
  signInId: "01a20936-7ded-7a9c-97c6-23b22a8b3556",
  role: "user",
} as const;

let database: TestDatabase;
let superuser: pg.Client;
const open: AppContext[] = [];
beforeAll(async () => {
  database = await newDatabase();
  superuser = new pg.Client({ connectionString: database.superuserUrl });
  await superuser.connect();
});
afterAll(async () => {
  await Promise.all(open.map((app) => app.close()));
  await superuser.end();
  await database.drop();
});

/** One more process on the same database. */
function aProcess(masterKey = "a-master-key-of-tests-0123456789-0123"): AppContext {
  const config = readConfig({ DATABASE_URL: database.gatewayUrl, DATABASE_OWNER_URL: database.ownerUrl });
  const made = openContext({
    config,
    gatewayUrl: database.gatewayUrl,
    platformAdminKey: PLATFORM_KEY,
    masterKey,
    log: openLog({ logLevel: "silent" }),
  });
  open.push(made);
  return made;
}

const header = z.object({ kid: z.string() });
const kidOf = (text: string): string =>
  header.parse(JSON.parse(Buffer.from(text.split(".")[0] ?? "", "base64url").toString())).kid;
const keysOf = async ({ accounts }: AppContext) => (await accounts.tokens.publicKeys()).keys.map(({ kid }) => kid);
const age = async (interval: string) => {
  await superuser.query("UPDATE atrium.token_keys SET created_at = created_at - $1::interval", [interval]);
  await superuser.query("SELECT pg_notify('atrium_revoked', 'token_keys')");
  for (const app of open) app.crossTenant.forget(undefined);
};
const forgetAll = () => superuser.query("DELETE FROM atrium.token_keys").then(() => age("0"));

test("of processes that start at once, one makes the key, and all of them sign with it", async () => {
  await forgetAll();
  const processes = [aProcess(), aProcess(), aProcess()];

  const issued = await Promise.all(processes.map(({ accounts }) => accounts.tokens.issue(SUBJECT)));

  expect(new Set(issued.map(({ text }) => kidOf(text))).size).toBe(1);
  for (const { accounts } of processes)
    for (const { text } of issued) expect(await accounts.tokens.read(text)).toMatchObject({ userId: SUBJECT.userId });
});

test("a key is renewed after thirty days, is published before it signs, and the old one stays for its last tokens", async () => {
  await forgetAll();
  const [one, two] = [aProcess(), aProcess()];
  const first = await one.accounts.tokens.issue(SUBJECT);
  await age("31 days");

  const during = await one.accounts.tokens.issue(SUBJECT);
  expect(kidOf(during.text)).toBe(kidOf(first.text));
  expect(await keysOf(two)).toHaveLength(2);
  await age("11 minutes");
  const after = await two.accounts.tokens.issue(SUBJECT);

  expect(kidOf(after.text)).not.toBe(kidOf(first.text));
  for (const { text } of [first, during, after]) await one.accounts.tokens.read(text);
  await age("2 hours");
  await one.accounts.tokens.issue(SUBJECT);
  expect(await keysOf(one)).toEqual([kidOf(after.text)]);
  await expect(one.accounts.tokens.read(first.text)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
});

test("another process learns of a new key by the notice, and of keys that are dropped", async () => {
  await forgetAll();
  const [one, two] = [aProcess(), aProcess()];
  const old = await two.accounts.tokens.issue(SUBJECT);
  await two.accounts.tokens.read(old.text);

  const kid = await one.accounts.tokens.rotate();
  await until(async () => (await keysOf(two)).includes(kid));
  await two.accounts.tokens.read(old.text);
  expect(await one.accounts.tokens.dropOldKeys()).toBe(1);
  await until(async () => (await keysOf(two)).length === 1);

  await expect(two.accounts.tokens.read(old.text)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  expect(kidOf((await two.accounts.tokens.issue(SUBJECT)).text)).toBe(kid);
});

test("a lost master key makes one new key, and tokens signed before go on", async () => {
  await forgetAll();
  const before = await aProcess().accounts.tokens.issue(SUBJECT);
  const [one, two] = [
    aProcess("another-master-key-0123456789-0123456789"),
    aProcess("another-master-key-0123456789-0123456789"),
  ];

  const after = await Promise.all([one, two].map(({ accounts }) => accounts.tokens.issue(SUBJECT)));

  expect(new Set(after.map(({ text }) => kidOf(text))).size).toBe(1);
  expect(kidOf(after[0]?.text ?? "")).not.toBe(kidOf(before.text));
  expect(await one.accounts.tokens.read(before.text)).toMatchObject({ userId: SUBJECT.userId });
  expect(await keysOf(one)).toHaveLength(2);
});

describe("the published keys", () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp();
  });
  afterAll(() => app.close());

  test("verify tokens by jose alone, may be kept for five minutes, and are there for pages of every origin", async () => {
    const acme = await app.newTenant();
    const { id } = await addPerson(acme);
    const { accessToken } = await signIn(app.url, acme.id);
    const url = new URL("/.well-known/jwks.json", app.url);

    const { payload, protectedHeader } = await jwtVerify(accessToken, createRemoteJWKSet(url), {
      issuer: "atrium",
      audience: "atrium",
      algorithms: ["EdDSA"],
      typ: "at+jwt",
    });
    const answer = await fetch(url, { headers: { Origin: "https://elsewhere.example" } });

    expect(protectedHeader).toMatchObject({ alg: "EdDSA", typ: "at+jwt" });
    expect(payload).toMatchObject({ sub: id, tenant_id: acme.id, role: "user" });
    expect(Number(payload.exp) - Number(payload.iat)).toBe(900);
    expect(answer.headers.get("cache-control")).toBe("public, max-age=300");
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    expect(await answer.text()).not.toMatch(/"d":|sealed/);
  });

  test("a rotation signs nobody out, and tokens of the new key verify by the published ones", async () => {
    const acme = await app.newTenant();
    await addPerson(acme);
    const { accessToken } = await signIn(app.url, acme.id);
    const kid = await app.app.context.accounts.tokens.rotate();
    const admin = new pg.Client({ connectionString: app.database.superuserUrl });
    await admin.connect();
    await admin.query("UPDATE atrium.token_keys SET created_at = created_at - interval '11 minutes'");
    await admin.end();
    app.app.context.crossTenant.forget(undefined);

    const later = await signIn(app.url, acme.id);

    expect(kidOf(later.accessToken)).toBe(kid);
    await jwtVerify(later.accessToken, createRemoteJWKSet(new URL("/.well-known/jwks.json", app.url)));
    expect((await withToken(app.url, accessToken)(WHO)).status).toBe(200);
    expect((await withToken(app.url, later.accessToken)(WHO)).status).toBe(200);
  });
});
