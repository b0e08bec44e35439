import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { openBrowser } from "../support/browser.ts";
import { newDatabase } from "../support/database.ts";
import type { TestDatabase } from "../support/database.ts";
import { atTheDoor, CONFIRM, FORGOT, LOGIN, LOGOUT, REFRESH, VERIFY, WHO, withToken } from "../support/door.ts";
import type { Auth } from "../support/door.ts";
import { CLIENT, startIdentityProvider } from "../support/identity-provider.ts";
import type { Account, TestProvider } from "../support/identity-provider.ts";
import { mailboxIn } from "../support/mailbox.ts";
import type { Mailbox, ReceivedMail } from "../support/mailbox.ts";
import { temporaryFolder } from "../support/postgres.ts";
import { codesOf, dataOf, sendTo } from "../support/send.ts";

const PATIENCE_MS = 120_000; // a process starts, on a machine that is busy with other tests
const PLATFORM_KEY = "platform-key-of-this-journey-0123456789";
const FIRST_PASSWORD = "rivers of quiet copper";
const NEW_PASSWORD = "mountains of loud tin";

const CREATE_TENANT = "mutation ($input: CreateTenantInput!) { createTenant(input: $input) { tenant { id } } }";
const INVITE =
  "mutation ($email: EmailAddress!) { createUser(input: { email: $email, sendInvitation: true }) { user { id } } }";
const TRUST =
  "mutation ($input: CreateIdentityProviderInput!) { createIdentityProvider(input: $input) { identityProvider { id redirectUrl } } }";
const COMPLETE =
  "mutation ($code: String!) { auth: completeSignIn(code: $code) { accessToken refreshToken expiresIn user { id email role emailVerified } } }";

let database: TestDatabase;
let provider: TestProvider;
let child: ChildProcess;
let dataDir: string;
let mailbox: Mailbox;
/** Where the gateway listens: `http://host:port`. */
let home: string;
/** What the gateway says that the provider should send browsers back to. */
let redirectUrl = "";
let url: string;

// As in production, in a process of its own: nothing here knows more of it than its address and its mail.
beforeAll(async () => {
  database = await newDatabase();
  provider = await startIdentityProvider(() => redirectUrl);
  dataDir = temporaryFolder();
  mailbox = mailboxIn(dataDir);
  child = spawn(process.execPath, ["--import", "tsx", "src/main.ts"], {
    env: {
      ...process.env,
      NODE_ENV: "production",
      DATA_DIR: dataDir,
      PORT: "0",
      DATABASE_URL: database.gatewayUrl,
      DATABASE_OWNER_URL: database.ownerUrl,
      MASTER_KEY: Buffer.alloc(32, 1).toString("base64"),
      PLATFORM_ADMIN_KEY: PLATFORM_KEY,
      // The provider of this test is on this machine.
      ALLOW_PRIVATE_ADDRESSES: "on",
      LOG_LEVEL: "silent",
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  home = await addressOf(child);
  url = `${home}/graphql`;
}, PATIENCE_MS);

afterAll(async () => {
  child.kill("SIGTERM");
  await once(child, "close");
  await provider.stop();
  await database.drop();
  rmSync(dataDir, { recursive: true, force: true });
});

describe("against a gateway that runs as in production, with the mail that it wrote, a person", () => {
  test(
    "signs up by invitation, confirms their address, signs in, renews, chooses another password and signs out",
    async () => {
      const { tenantId, email, invitation } = await newTenant();
      const door = atTheDoor(url, tenantId);

      const { verifyEmail } = dataOf(await door<Verified>(VERIFY, { token: invitation }));
      expect(verifyEmail.user).toEqual({ email, emailVerified: true });
      const signedUp = dataOf(await door<Auth>(CONFIRM, { token: invitation, password: FIRST_PASSWORD })).auth;
      expect(signedUp).toMatchObject({ expiresIn: 900, user: { email, role: "OWNER", emailVerified: true } });
      await actsAs(signedUp.accessToken, email);
      expect(codesOf(await door(CONFIRM, { token: invitation, password: NEW_PASSWORD }))).toEqual(["UNAUTHENTICATED"]);

      const signedIn = dataOf(await door<Auth>(LOGIN, { email, password: FIRST_PASSWORD })).auth;
      const renewed = await renew(signedIn.refreshToken);
      await actsAs(renewed.accessToken, email);

      expect(dataOf(await door(FORGOT, { email }))).toEqual({ requestPasswordReset: true });
      const reset = await tokenFrom(await mailbox.to(email, 2), "reset");
      const afterReset = dataOf(await door<Auth>(CONFIRM, { token: reset, password: NEW_PASSWORD })).auth;
      for (const old of [signedUp, renewed]) await isOver(old.accessToken);
      expect((await mailbox.to(email, 3)).text).toContain("was changed");
      expect(codesOf(await door(LOGIN, { email, password: FIRST_PASSWORD }))).toEqual(["UNAUTHENTICATED"]);

      const again = dataOf(await door<Auth>(LOGIN, { email, password: NEW_PASSWORD })).auth;
      dataOf(await withToken(url, again.accessToken)(LOGOUT));
      await isOver(again.accessToken, again.refreshToken);
      await actsAs(afterReset.accessToken, email);
    },
    PATIENCE_MS,
  );

  test(
    "does the same through the OpenID provider that their tenant trusts",
    async () => {
      const { tenantId, invitation: ownersInvitation } = await newTenant();
      const door = atTheDoor(url, tenantId);
      const owner = dataOf(await door<Auth>(CONFIRM, { token: ownersInvitation, password: FIRST_PASSWORD })).auth;
      const asOwner = withToken(url, owner.accessToken);
      const { createIdentityProvider } = dataOf(await asOwner<Trusted>(TRUST, { input: trust() }));
      const { id: providerId } = createIdentityProvider.identityProvider;
      ({ redirectUrl } = createIdentityProvider.identityProvider);
      const email = `grace-${randomUUID()}@example.com`;
      const { createUser } = dataOf(await asOwner<Invited>(INVITE, { email }));
      const account: Account = { sub: randomUUID(), email, email_verified: true, name: "Grace" };

      const invitation = await tokenFrom(await mailbox.to(email), "welcome");
      expect(dataOf(await door<Verified>(VERIFY, { token: invitation })).verifyEmail.user.emailVerified).toBe(true);

      const signedIn = await signInAtProvider(tenantId, providerId, account);
      expect(signedIn).toMatchObject({ expiresIn: 900, user: { id: createUser.user.id, email, role: "USER" } });
      const renewed = await renew(signedIn.refreshToken);
      await actsAs(renewed.accessToken, email);

      dataOf(await door(FORGOT, { email }));
      const reset = await tokenFrom(await mailbox.to(email, 2), "reset");
      const afterReset = dataOf(await door<Auth>(CONFIRM, { token: reset, password: NEW_PASSWORD })).auth;
      await isOver(renewed.accessToken);

      const again = await signInAtProvider(tenantId, providerId, account);
      expect(again.user.id).toBe(createUser.user.id);
      dataOf(await withToken(url, again.accessToken)(LOGOUT, { all: true }));
      await isOver(again.accessToken, again.refreshToken);
      await isOver(afterReset.accessToken, afterReset.refreshToken);
    },
    PATIENCE_MS,
  );

  test(
    "who is in two tenants under one address sets a password in one of them, and stays as they are in the other",
    async () => {
      const here = await newTenant();
      const there = await newTenant(here.email, 2);
      for (const { tenantId, invitation } of [here, there])
        dataOf(await atTheDoor(url, tenantId)(CONFIRM, { token: invitation, password: FIRST_PASSWORD }));
      const { email } = here;
      const signIn = (tenantId: string, password: string) => atTheDoor(url, tenantId)<Auth>(LOGIN, { email, password });
      const before = dataOf(await signIn(there.tenantId, FIRST_PASSWORD)).auth;

      dataOf(await atTheDoor(url, here.tenantId)(FORGOT, { email }));
      const variables = { token: await tokenFrom(await mailbox.to(email, 3), "reset"), password: NEW_PASSWORD };
      expect(codesOf(await atTheDoor(url, there.tenantId)(CONFIRM, variables))).toEqual(["TENANT_MISMATCH"]);
      dataOf(await atTheDoor(url, here.tenantId)(CONFIRM, variables));

      expect(codesOf(await signIn(here.tenantId, FIRST_PASSWORD))).toEqual(["UNAUTHENTICATED"]);
      expect(codesOf(await signIn(there.tenantId, NEW_PASSWORD))).toEqual(["UNAUTHENTICATED"]);
      expect(dataOf(await signIn(there.tenantId, FIRST_PASSWORD)).auth.user.id).toBe(before.user.id);
      await actsAs(before.accessToken, email);
    },
    PATIENCE_MS,
  );
});

/** A tenant that the platform makes, whose owner has mail; of several invitations to one address it is the newest. */
async function newTenant(
  ownerEmail = `Owner-${randomUUID()}@Example.com`,
  mails = 1,
): Promise<{ tenantId: string; email: string; invitation: string }> {
  const input = { name: `Journeys ${randomUUID()}`, ownerEmail };
  const asPlatform = sendTo(url, { "X-API-Key": PLATFORM_KEY });
  const { createTenant } = dataOf(
    await asPlatform<{ createTenant: { tenant: { id: string } } }>(CREATE_TENANT, { input }),
  );
  const email = ownerEmail.toLowerCase();
  const invitation = await tokenFrom(await mailbox.to(email, mails), "welcome");
  return { tenantId: createTenant.tenant.id, email, invitation };
}

/** People who are invited may come in by the provider, and nobody else. */
function trust() {
  const { id: clientId, secret: clientSecret } = CLIENT;
  return { name: "Where we work", issuer: provider.issuer, clientId, clientSecret, unknownPeople: "LINK" };
}

interface Trusted {
  readonly createIdentityProvider: { readonly identityProvider: { readonly id: string; readonly redirectUrl: string } };
}
interface Invited {
  readonly createUser: { readonly user: { readonly id: string } };
}
interface Verified {
  readonly verifyEmail: { readonly user: { readonly email: string; readonly emailVerified: boolean } };
}

/** Opens the link of a mail, which must lead to a page of this gateway. @returns the token that the page finds in its address. */
async function tokenFrom({ text }: ReceivedMail, page: string): Promise<string> {
  const [link = ""] = new RegExp(`${home}/account/\\S+`).exec(text) ?? [];
  const address = new URL(link);
  expect(address.pathname).toBe(`/account/${page}`);
  expect(await openBrowser().follow(address)).toMatchObject({ status: 200, text: expect.stringContaining("<form") });
  return new URLSearchParams(address.hash.slice(1)).get("token") ?? "";
}

/** Signs in by browser at the provider, as its page for signing in does. */
async function signInAtProvider(tenantId: string, providerId: string, account: Account): Promise<Auth["auth"]> {
  provider.person(account);
  const start = new URLSearchParams({ tenant: tenantId, provider: providerId });
  const page = await openBrowser().follow(
    `${home}/auth/start?${start.toString()}`,
    ({ pathname }) => pathname === "/account/sign-in",
  );
  const code = new URLSearchParams(page.url.hash.slice(1)).get("code");
  return dataOf(await sendTo(url, {})<Auth>(COMPLETE, { code })).auth;
}

/** Renews a sign-in, which works once. */
async function renew(token: string): Promise<Auth["auth"]> {
  const { auth } = dataOf(await sendTo(url, {})<Auth>(REFRESH, { token }));
  expect(auth.refreshToken).not.toBe(token);
  return auth;
}

async function actsAs(accessToken: string, email: string): Promise<void> {
  expect(dataOf(await withToken(url, accessToken)(WHO))).toMatchObject({ viewer: { email } });
}

async function isOver(accessToken: string, refreshToken?: string): Promise<void> {
  const answer = await withToken(url, accessToken)(WHO);
  expect([answer.status, codesOf(answer)]).toEqual([401, ["UNAUTHENTICATED"]]);
  if (refreshToken === undefined) return;
  expect(codesOf(await sendTo(url, {})(REFRESH, { token: refreshToken }))).toEqual(["UNAUTHENTICATED"]);
}

async function addressOf({ stdout }: ChildProcess): Promise<string> {
  if (!stdout) throw new Error("its output is not read");
  for await (const line of createInterface({ input: stdout })) {
    const [, address] = /^Atrium is ready at (http:\/\/\S+)\/graphql$/.exec(line) ?? [];
    if (address !== undefined) return address;
  }
  throw new Error("it ended before it was ready");
}
