import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { readdirSync, statSync } from "node:fs";
import path from "node:path";
import * as letters from "../../src/services/mail/letters.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { anAddress, invite, tokenIn } from "../support/invitations.ts";
import { codesOf, dataOf } from "../support/send.ts";
import { anId } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";
import { until } from "../support/until.ts";

function resend(tenant: TestTenant, userId: string) {
  return tenant.send("mutation ($id: ID!) { resendInvitation(userId: $id) }", { id: userId });
}

function update(tenant: TestTenant, input: Readonly<Record<string, unknown>>) {
  return tenant.send("mutation ($input: UpdateUserInput!) { updateUser(input: $input) { user { id } } }", { input });
}

describe("mail that goes into files", () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp({ PUBLIC_URL: "https://atrium.example/", MAIL_FROM: "Atrium <atrium@example.org>" });
  });
  afterAll(() => app.close());

  test("an invitation names the tenant, and leads to the page with a token that is stored as a hash alone", async () => {
    const acme = await app.newTenant();
    const email = anAddress();
    const id = await invite(acme, email);

    const mail = await app.mailbox.to(email);
    const token = await tokenIn(acme.db, mail);

    expect(mail.subject).toBe(`Invitation to ${acme.name}`);
    expect(mail.token).toMatch(/^atr_m_/);
    expect(mail.text).toContain(`https://atrium.example/account/welcome#token=${mail.token}\n`);
    expect(mail.html).toContain(`https://atrium.example/account/welcome#token=${mail.token}"`);
    expect(token).toMatchObject({ userId: id, purpose: "invitation", data: { email } });
    expect(JSON.stringify(await acme.db.oneTimeToken.findMany())).not.toContain(mail.token);
    await until(async () => (await acme.db.mail.count()) === 0);
  });

  test("a mail is a file that only its owner reads, in a folder that only its owner opens", async () => {
    const acme = await app.newTenant();
    const email = anAddress();
    await invite(acme, email);
    await app.mailbox.to(email);

    const files = readdirSync(app.mailbox.folder);
    const modes = files.map((name) => statSync(path.join(app.mailbox.folder, name)).mode & 0o777);

    expect(files).toEqual(files.toSorted());
    expect(files.every((name) => /^\d{8}T\d{9}Z-\d{6}-[0-9a-f-]{36}\.eml$/.test(name))).toBe(true);
    expect(new Set(modes)).toEqual(new Set([0o600]));
    expect(statSync(app.mailbox.folder).mode & 0o777).toBe(0o700);
  });

  test("a tenant invites at most five hundred times an hour; people without an invitation are added all the same", async () => {
    const [acme, globex] = [await app.newTenant(), await app.newTenant()];
    const { limits } = app.app.context.accounts;
    await limits.take({ name: "tenant_invitations", points: 500, seconds: 3_600 }, acme.id, 499);
    const add = async (tenant: TestTenant, sendInvitation: boolean) => {
      const input = { email: anAddress(), sendInvitation };
      const query = "mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id } } }";
      return codesOf(await tenant.send(query, { input }));
    };
    const id = await invite(acme, anAddress());

    expect(await add(acme, true)).toEqual(["RATE_LIMITED"]);
    expect(codesOf(await resend(acme, id))).toEqual(["RATE_LIMITED"]);
    expect(await add(acme, false)).toEqual([]);
    expect(await add(globex, true)).toEqual([]);
  });

  test("what is no longer committed is not sent: a refused mutation leaves no mail", async () => {
    const acme = await app.newTenant();
    const email = anAddress();
    await invite(acme, email);
    await app.mailbox.to(email);

    const refused = await acme.send(
      "mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id } } }",
      { input: { email, sendInvitation: true } },
    );
    const later = anAddress();
    await invite(acme, later);
    await app.mailbox.to(later);

    expect(codesOf(refused)).toEqual(["CONFLICT"]);
    expect((await app.mailbox.all()).filter(({ to }) => to === email)).toHaveLength(1);
  });

  test("a name can neither forge the head of a mail nor put links or HTML into it", async () => {
    const acme = await app.newTenant();
    const email = anAddress();
    const name = 'Eve\r\nBcc: victim@example.com\r\n\r\n<img src="https://evil.example/x"> www.evil.example \u202e';
    await invite(acme, email, name);

    const mail = await app.mailbox.to(email);

    expect(mail.to).toBe(email);
    expect(mail.text.split("\n")[0]).toBe(
      "Hello Eve Bcc: victim@example. com img src= https evil. example/x www. evil. example,",
    );
    expect(mail.html).not.toContain("<img");
    expect(mail.html).not.toContain("evil.example");
    expect((await app.mailbox.all()).some(({ to }) => to.includes("victim"))).toBe(false);
  });

  test("inviting again makes the earlier link useless, five times an hour, and only for whom it is of use", async () => {
    const acme = await app.newTenant();
    const email = anAddress();
    const id = await invite(acme, email);
    const first = await app.mailbox.to(email);

    dataOf(await resend(acme, id));
    const second = await app.mailbox.to(email, 2);

    expect(await tokenIn(acme.db, first)).toBeUndefined();
    expect(await tokenIn(acme.db, second)).toMatchObject({ userId: id });
    for (let more = 2; more <= 5; more += 1) dataOf(await resend(acme, id));
    const limited = await resend(acme, id);
    expect(codesOf(limited)).toEqual(["RATE_LIMITED"]);
    expect(limited.errors?.[0]?.extensions["retryAfterSeconds"]).toBeGreaterThan(0);
    const settled = await acme.db.user.create({
      data: { email: anAddress(), emailVerified: true, passwordHash: "$argon2id$" },
    });
    expect(codesOf(await resend(acme, settled.id))).toEqual(["CONFLICT"]);
    expect(codesOf(await resend(acme, anId()))).toEqual(["NOT_FOUND"]);
  });

  test("another address has to be proven, the old one is told, and what lies in the old mailbox is useless", async () => {
    const acme = await app.newTenant();
    const [old, next] = [anAddress(), anAddress()];
    const { id } = await acme.db.user.create({ data: { email: old, emailVerified: true, passwordHash: "$argon2id$" } });
    await acme.db.oneTimeToken.create({
      data: { userId: id, purpose: "reset", tokenHash: "0".repeat(64), expiresAt: new Date("2099-01-01") },
    });

    dataOf(await update(acme, { id, email: next }));
    const [notice, verification] = [await app.mailbox.to(old), await app.mailbox.to(next)];

    expect(notice).toMatchObject({ subject: `Your e-mail address for ${acme.name} was changed`, token: "" });
    expect(notice.text).not.toContain(next);
    expect(verification.text).toContain("https://atrium.example/account/verify#token=");
    expect(await acme.db.oneTimeToken.findMany()).toMatchObject([{ purpose: "verification", data: { email: next } }]);
    expect(await acme.db.user.findUnique({ where: { id } })).toMatchObject({ email: next, emailVerified: false });
  });

  test("an invitation that was not accepted moves to the new address", async () => {
    const acme = await app.newTenant();
    const [old, next] = [anAddress(), anAddress()];
    const id = await invite(acme, old);
    const first = await app.mailbox.to(old);

    dataOf(await update(acme, { id, email: next }));
    const second = await app.mailbox.to(next);

    expect(second.subject).toBe(`Invitation to ${acme.name}`);
    expect(await tokenIn(acme.db, first)).toBeUndefined();
    expect(await tokenIn(acme.db, second)).toMatchObject({ data: { email: next } });
  });

  test("the owner of a new tenant is invited", async () => {
    const email = anAddress();
    const created = await app.platform<{ createTenant: { tenant: { id: string } } }>(
      "mutation ($input: CreateTenantInput!) { createTenant(input: $input) { tenant { id } } }",
      { input: { name: `House ${anId()}`, ownerEmail: email.toUpperCase() } },
    );
    const { id } = dataOf(created).createTenant.tenant;

    const mail = await app.mailbox.to(email);

    expect(mail.subject).toMatch(/^Invitation to House /);
    expect(await tokenIn(app.app.context.clients.of(id).db, mail)).toMatchObject({ purpose: "invitation" });
  });

  test("the same address in two tenants gets two invitations, each with a token of its tenant", async () => {
    const [acme, globex] = [await app.newTenant(), await app.newTenant()];
    const email = anAddress();
    await invite(acme, email);
    await app.mailbox.to(email);
    await invite(globex, email);
    await app.mailbox.to(email, 2);

    const mails = (await app.mailbox.all()).filter(({ to }) => to === email);
    const known = await Promise.all(mails.map((mail) => tokenIn(globex.db, mail)));

    expect(mails.map(({ subject }) => subject)).toEqual([`Invitation to ${acme.name}`, `Invitation to ${globex.name}`]);
    expect(known.map((token) => token !== undefined)).toEqual([false, true]);
  });

  test("mail to nobody, to the deactivated and to an old address is dropped without a word", async () => {
    const acme = await app.newTenant();
    const gone = await acme.db.user.create({ data: { email: anAddress(), active: false } });
    const moved = await acme.db.user.create({ data: { email: anAddress() } });
    const pointless = [
      { kind: "password_reset", userId: null, email: anAddress() },
      { kind: "password_reset", userId: null, email: gone.email },
      { kind: "invitation", userId: gone.id, email: gone.email },
      { kind: "invitation", userId: moved.id, email: anAddress() },
      { kind: "no kind of ours", userId: moved.id, email: moved.email },
    ];
    for (const data of pointless) await acme.db.mail.create({ data });

    app.app.context.accounts.mail.ring(acme.id);
    await until(async () => (await acme.db.mail.count()) === 0);

    const received = (await app.mailbox.all()).map(({ to }) => to);
    expect(pointless.filter(({ email }) => received.includes(email))).toEqual([]);
    expect(await acme.db.oneTimeToken.count()).toBe(0);
  });
});

describe("what mails say", () => {
  const occasion = { name: "Ada", tenantName: "Acme & <Sons>", token: "atr_m_x", publicUrl: "https://a.example" };
  const kinds = Object.keys(letters.MAIL_KINDS).filter(letters.isMailKind);

  test.each(kinds)("%s names the tenant, loads nothing, and has its token alone on a line or none at all", (kind) => {
    const { subject, text, html } = letters.write(kind, occasion);
    const carriesToken = letters.MAIL_KINDS[kind].purpose !== null;

    expect(subject).toContain("Acme & Sons");
    expect(text.split("\n").includes("atr_m_x")).toBe(carriesToken);
    expect(html.includes("atr_m_x")).toBe(carriesToken);
    expect(html).toContain("Acme &amp; Sons");
    expect(html).not.toMatch(/<(img|script|link|style|iframe)|src=/);
  });
});
