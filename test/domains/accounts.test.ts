import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import {
  addMailedToken, addPerson, atTheDoor, CHANGE, CONFIRM, FORGOT, LOGIN, LOGOUT, OTHER_PASSWORD, PASSWORD, REFRESH, signIn, VERIFY, WHO, withToken,
} from "../support/door.ts"; // prettier-ignore
import type { Auth } from "../support/door.ts";
import { codesOf, dataOf } from "../support/send.ts";
import { anId } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ DEFAULT_TENANT: "off", TRUST_TENANT_HEADER: "off", TRUSTED_PROXIES: "127.0.0.1" });
});
afterAll(() => app.close());

// Each test comes from an address of its own: attempts are counted by address.
let addresses = 0;
const anAddress = () => `198.51.${Math.floor(++addresses / 250)}.${addresses % 250}`;

interface Place {
  readonly acme: TestTenant;
  readonly send: ReturnType<typeof atTheDoor>;
  readonly ip: string;
}

async function aTenant(): Promise<Place> {
  const acme = await app.newTenant();
  const ip = anAddress();
  const door = atTheDoor(app.url, acme.id);
  return { acme, ip, send: (document, variables) => door(document, variables, { "X-Forwarded-For": ip }) };
}

const eventsOf = async ({ db }: TestTenant) => {
  await app.app.context.accounts.refusals.flush();
  return (await db.auditEvent.findMany({ orderBy: { id: "asc" } })).filter(({ action }) =>
    action.startsWith("account."),
  );
};

describe("login", () => {
  test("gives tokens that act as the person, in whatever case the address is written", async () => {
    const { acme, send } = await aTenant();
    const alice = await addPerson(acme);

    const { auth } = dataOf(await send<Auth>(LOGIN, { email: "ALICE@Example.com", password: PASSWORD }));

    expect(auth).toMatchObject({ expiresIn: 900, user: { id: alice.id, role: "USER" } });
    expect(dataOf(await withToken(app.url, auth.accessToken)(WHO))).toMatchObject({ viewer: { id: alice.id } });
    expect(await eventsOf(acme)).toMatchObject([
      { action: "account.sign_in", actor: `user:${alice.id}`, target: alice.id },
    ]);
  });

  test("answers the same, byte for byte, whatever is wrong", async () => {
    const { acme, send, ip } = await aTenant();
    const suspended = await app.newTenant();
    await addPerson(acme);
    await addPerson(acme, { email: "gone@example.com", active: false });
    await addPerson(acme, { email: "invited@example.com", passwordHash: null });
    await addPerson(acme, { email: "adopted@example.com", passwordHash: `$2b$12$${"a".repeat(53)}` });
    await addPerson(suspended);
    dataOf(
      await app.platform(
        `mutation { updateTenant(input: { id: "${suspended.id}", active: false }) { tenant { id } } }`,
      ),
    );
    const elsewhere = (id: string) =>
      atTheDoor(app.url, id)(LOGIN, { email: "alice@example.com", password: PASSWORD }, { "X-Forwarded-For": ip });

    const answers = [
      await send(LOGIN, { email: "alice@example.com", password: "not the password" }),
      await send(LOGIN, { email: "nobody@example.com", password: PASSWORD }),
      await send(LOGIN, { email: "gone@example.com", password: PASSWORD }),
      await send(LOGIN, { email: "invited@example.com", password: "" }),
      await send(LOGIN, { email: "adopted@example.com", password: PASSWORD }),
      await send(LOGIN, { email: "alice@example.com", password: "x".repeat(5_000) }),
      await elsewhere(anId()),
      await elsewhere(suspended.id),
    ];

    expect(codesOf(answers[0] ?? (await send(WHO)))).toEqual(["UNAUTHENTICATED"]);
    expect(new Set(answers.map(({ comparable }) => comparable)).size).toBe(1);
    const refused = (await eventsOf(acme)).filter(({ action }) => action === "account.sign_in_refused");
    expect(refused.every(({ actor }) => actor === "system:sign-in")).toBe(true);
  });

  test("the same address in two tenants is two people", async () => {
    const [one, two] = [await aTenant(), await aTenant()];
    await addPerson(one.acme);
    const other = await addPerson(two.acme);

    const { auth } = dataOf(await two.send<Auth>(LOGIN, { email: "alice@example.com", password: PASSWORD }));

    expect(auth.user.id).toBe(other.id);
    const answer = await withToken(app.url, auth.accessToken, { "X-Tenant-ID": one.acme.id })(WHO);
    expect([answer.status, ...codesOf(answer)]).toEqual([403, "TENANT_MISMATCH"]);
  });

  test("needs a tenant to be named", async () => {
    const answer = await app.anonymous(LOGIN, { email: "alice@example.com", password: PASSWORD });

    expect(codesOf(answer)).toEqual(["TENANT_REQUIRED"]);
  });

  test("is refused to nobody for ever: the one address, then other addresses, then a known one", async () => {
    const { acme, send } = await aTenant();
    await addPerson(acme);
    const email = "alice@example.com";
    dataOf(await send(LOGIN, { email, password: PASSWORD })); // now this address is known
    const from = (ip: string, password: string) =>
      atTheDoor(app.url, acme.id)(LOGIN, { email, password }, { "X-Forwarded-For": ip });
    const codes: unknown[] = [];
    for (let attempt = 0; attempt < 6; attempt += 1) codes.push(...codesOf(await from("203.0.113.1", "wrong")));
    expect(codes).toEqual([...Array.from({ length: 5 }, () => "UNAUTHENTICATED"), "RATE_LIMITED"]);
    for (let index = 0; index < 50; index += 1) await from(`203.0.113.${10 + index}`, "wrong");

    const stranger = await from("203.0.113.99", PASSWORD);
    const owner = await send(LOGIN, { email, password: PASSWORD });

    expect(codesOf(stranger)).toEqual(["RATE_LIMITED"]);
    expect(stranger.errors?.[0]?.extensions["retryAfterSeconds"]).toBeGreaterThan(0);
    expect(codesOf(owner)).toEqual([]);
  });

  test("counts attempts for people that there are not as for those that there are", async () => {
    const { acme, send } = await aTenant();
    await addPerson(acme);
    const tries = async (email: string) => {
      const codes: unknown[] = [];
      for (let attempt = 0; attempt < 7; attempt += 1)
        codes.push(...codesOf(await send(LOGIN, { email, password: "wrong" })));
      return codes;
    };

    expect(await tries("nobody@example.com")).toEqual(await tries("alice@example.com"));
  });

  test("counts each of several attempts in one request, and forgets them when it was the person", async () => {
    const { acme, send } = await aTenant();
    await addPerson(acme);
    const one = (name: number, password: string) =>
      `a${name}: login(input: { email: "alice@example.com", password: "${password}" }) { expiresIn }`;
    const four = `mutation { ${[1, 2, 3, 4].map((name) => one(name, "wrong")).join(" ")} }`;

    expect(codesOf(await send(four))[0]).toBe("UNAUTHENTICATED");
    dataOf(await send(LOGIN, { email: "alice@example.com", password: PASSWORD }));
    const again = await send(`mutation { ${one(1, "wrong")} }`);

    expect(codesOf(again)).toEqual(["UNAUTHENTICATED"]);
  });

  test("makes a hash of older parameters anew", async () => {
    const { acme, send } = await aTenant();
    const { hash } = await import("@node-rs/argon2");
    const weak = await hash(PASSWORD, { memoryCost: 8_192, timeCost: 1 });
    const { id } = await addPerson(acme, { passwordHash: weak });

    dataOf(await send(LOGIN, { email: "alice@example.com", password: PASSWORD }));

    const { passwordHash } = (await acme.db.user.findUnique({ where: { id } })) ?? {};
    expect(passwordHash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    dataOf(await send(LOGIN, { email: "alice@example.com", password: PASSWORD }));
  });
});

describe("refreshToken", () => {
  test("gives new tokens once, with the role that the person has now", async () => {
    const { acme, send } = await aTenant();
    const { id } = await addPerson(acme);
    const first = dataOf(await send<Auth>(LOGIN, { email: "alice@example.com", password: PASSWORD })).auth;
    await acme.db.user.update({ where: { id }, data: { role: "admin" } });

    const { auth } = dataOf(await app.anonymous<Auth>(REFRESH, { token: first.refreshToken }));

    expect(auth.user.role).toBe("ADMIN");
    expect(JSON.parse(Buffer.from(auth.accessToken.split(".")[1] ?? "", "base64url").toString())).toMatchObject({
      role: "admin",
    });
    expect(auth.refreshToken).not.toBe(first.refreshToken);
  });

  test("a token that comes twice ends the sign-in, for both who have it", async () => {
    const { acme, send } = await aTenant();
    const { id } = await addPerson(acme);
    const { auth } = dataOf(await send<Auth>(LOGIN, { email: "alice@example.com", password: PASSWORD }));
    const next = dataOf(await app.anonymous<Auth>(REFRESH, { token: auth.refreshToken })).auth;

    expect(codesOf(await app.anonymous(REFRESH, { token: auth.refreshToken }))).toEqual(["UNAUTHENTICATED"]);
    expect(codesOf(await app.anonymous(REFRESH, { token: next.refreshToken }))).toEqual(["UNAUTHENTICATED"]);
    expect((await withToken(app.url, next.accessToken)(WHO)).status).toBe(401);
    expect(await acme.db.signIn.findMany()).toMatchObject([{ endReason: "token_reused" }]);
    const reused = (await eventsOf(acme)).filter(({ action }) => action === "account.refresh_reused");
    expect(reused).toMatchObject([{ target: id }]);
  });

  test("of ten who send one token at once, at most one gets on, and the sign-in is over", async () => {
    const { acme, send } = await aTenant();
    await addPerson(acme);
    const { auth } = dataOf(await send<Auth>(LOGIN, { email: "alice@example.com", password: PASSWORD }));

    const answers = await Promise.all(
      Array.from({ length: 10 }, () => app.anonymous<Auth>(REFRESH, { token: auth.refreshToken })),
    );

    expect(answers.filter(({ errors }) => !errors)).toHaveLength(1);
    expect(await acme.db.signIn.findMany()).toMatchObject([{ endReason: "token_reused" }]);
  });

  test("is refused for what is unknown, expired, another tenant's, or of somebody inactive", async () => {
    const { acme, send } = await aTenant();
    const other = await app.newTenant();
    const { id } = await addPerson(acme);
    const tokens = async () => dataOf(await send<Auth>(LOGIN, { email: "alice@example.com", password: PASSWORD })).auth;
    const [expired, inactive] = [await tokens(), await tokens()];
    const [oldest] = await acme.db.refreshToken.findMany({ orderBy: { createdAt: "asc" }, take: 1 });
    await acme.db.refreshToken.updateMany({ where: { id: oldest?.id ?? "" }, data: { expiresAt: new Date(0) } });
    const refresh = (token: string) => app.anonymous(REFRESH, { token });

    for (const token of ["", "nonsense", `atr_r_${"A".repeat(22)}_${"A".repeat(43)}`, expired.refreshToken])
      expect(codesOf(await refresh(token))).toEqual(["UNAUTHENTICATED"]);
    expect(codesOf(await atTheDoor(app.url, other.id)(REFRESH, { token: inactive.refreshToken }))).toEqual([
      "TENANT_MISMATCH",
    ]);
    await acme.db.user.update({ where: { id }, data: { active: false } });
    expect(codesOf(await refresh(inactive.refreshToken))).toEqual(["UNAUTHENTICATED"]);
  });
});

describe("logout", () => {
  test("ends this sign-in, or all of the person's", async () => {
    const { acme } = await aTenant();
    const { id } = await addPerson(acme);
    const [one, two, three] = await Promise.all([1, 2, 3].map(() => signIn(app.url, acme.id)));
    const works = async (auth: Auth["auth"] | undefined) =>
      (await withToken(app.url, auth?.accessToken ?? "")(WHO)).status;

    dataOf(await withToken(app.url, one?.accessToken ?? "")(LOGOUT));
    expect([await works(one), await works(two), await works(three)]).toEqual([401, 200, 200]);
    expect(codesOf(await app.anonymous(REFRESH, { token: one?.refreshToken }))).toEqual(["UNAUTHENTICATED"]);

    dataOf(await withToken(app.url, two?.accessToken ?? "")(LOGOUT, { all: true }));
    expect([await works(two), await works(three)]).toEqual([401, 401]);
    const out = (await eventsOf(acme)).filter(({ action }) => action === "account.sign_out");
    expect(out).toMatchObject([{ actor: `user:${id}`, details: { ended: 1 } }, { details: { ended: 2 } }]);
  });

  test("is for people", async () => {
    const { acme } = await aTenant();

    expect(codesOf(await acme.send(LOGOUT))).toEqual(["FORBIDDEN"]);
  });
});

describe("changePassword", () => {
  test("ends every sign-in, begins a new one, and tells of it by mail", async () => {
    const { acme } = await aTenant();
    const { id } = await addPerson(acme);
    const [here, there] = [await signIn(app.url, acme.id), await signIn(app.url, acme.id)];
    const link = await addMailedToken(acme, "reset", id);

    const { auth } = dataOf(
      await withToken(app.url, here.accessToken)<Auth>(CHANGE, { old: PASSWORD, new: OTHER_PASSWORD }),
    );

    const status = async (token: string) => (await withToken(app.url, token)(WHO)).status;
    expect([await status(here.accessToken), await status(there.accessToken), await status(auth.accessToken)]).toEqual([
      401, 401, 200,
    ]);
    expect(codesOf(await app.anonymous(CONFIRM, { token: link, password: PASSWORD }))).toEqual(["UNAUTHENTICATED"]);
    await signIn(app.url, acme.id, "alice@example.com", OTHER_PASSWORD);
    expect((await app.mailbox.to("alice@example.com")).subject).toMatch(/password/i);
  });

  test("needs the current one, and refuses weak ones and the same", async () => {
    const { acme } = await aTenant();
    const { id } = await addPerson(acme);
    const { accessToken } = await signIn(app.url, acme.id);
    const change = async (old: string, fresh: string) =>
      (await withToken(app.url, accessToken)(CHANGE, { old, new: fresh })).errors?.[0]?.extensions["fields"];

    expect(await change("wrong", OTHER_PASSWORD)).toMatchObject([{ path: "input.currentPassword" }]);
    expect(await change(PASSWORD, PASSWORD)).toMatchObject([{ path: "input.newPassword" }]);
    expect(await change(PASSWORD, "password1234")).toMatchObject([{ path: "input.newPassword" }]);
    expect((await withToken(app.url, accessToken)(WHO)).status).toBe(200);
    const refused = (await eventsOf(acme)).filter(({ action }) => action === "account.password_change_refused");
    expect(refused).toMatchObject([{ actor: `user:${id}`, target: id }]);
  });

  test("a password that is changed while somebody signs in with the old one lets nobody in", async () => {
    const { acme } = await aTenant();
    await addPerson(acme);
    const { accessToken } = await signIn(app.url, acme.id);

    const late = [1, 2, 3, 4].map(() =>
      atTheDoor(app.url, acme.id)<Auth>(LOGIN, { email: "alice@example.com", password: PASSWORD }),
    );
    const { auth } = dataOf(
      await withToken(app.url, accessToken)<Auth>(CHANGE, { old: PASSWORD, new: OTHER_PASSWORD }),
    );
    const cameIn = (await Promise.all(late)).flatMap(({ data }) => (data ? [data.auth.accessToken] : []));

    for (const token of cameIn) expect((await withToken(app.url, token)(WHO)).status).toBe(401);
    expect((await withToken(app.url, auth.accessToken)(WHO)).status).toBe(200);
  });
});

describe("tokens that come by mail", () => {
  test("an invitation proves the address once, then sets the first password once, and signs in", async () => {
    const { acme, send } = await aTenant();
    const { id } = await addPerson(acme, { passwordHash: null, emailVerified: false });
    const token = await addMailedToken(acme, "invitation", id);

    expect(dataOf(await send(VERIFY, { token }))).toMatchObject({ verifyEmail: { user: { emailVerified: true } } });
    expect(codesOf(await send(VERIFY, { token }))).toEqual(["UNAUTHENTICATED"]);
    expect(codesOf(await send(CONFIRM, { token, password: "too short" }))).toEqual(["BAD_USER_INPUT"]);
    const { auth } = dataOf(await send<Auth>(CONFIRM, { token, password: PASSWORD }));
    expect(codesOf(await send(CONFIRM, { token, password: OTHER_PASSWORD }))).toEqual(["UNAUTHENTICATED"]);

    expect((await withToken(app.url, auth.accessToken)(WHO)).status).toBe(200);
    expect((await eventsOf(acme)).map(({ action, actor }) => [action, actor]).toSorted()).toEqual([
      ["account.email_verified", `user:${id}`],
      ["account.password_reset", `user:${id}`],
      ["account.sign_in", `user:${id}`],
    ]);
  });

  test("a reset works once, proves the address, ends all sign-ins, and lets in whoever was locked out", async () => {
    const { acme, send } = await aTenant();
    const email = `${anId()}@example.com`;
    await addPerson(acme, { email, emailVerified: false });
    const before = dataOf(await send<Auth>(LOGIN, { email, password: PASSWORD })).auth;
    expect(dataOf(await send(FORGOT, { email: email.toUpperCase() }))).toEqual({ requestPasswordReset: true });
    const { token } = await app.mailbox.to(email);
    for (let attempt = 0; attempt < 6; attempt += 1) await send(LOGIN, { email, password: "wrong" });

    const { auth } = dataOf(await send<Auth>(CONFIRM, { token, password: OTHER_PASSWORD }));

    expect(auth.user.emailVerified).toBe(true);
    expect((await withToken(app.url, before.accessToken)(WHO)).status).toBe(401);
    expect((await withToken(app.url, auth.accessToken)(WHO)).status).toBe(200);
    expect(codesOf(await send(CONFIRM, { token, password: PASSWORD }))).toEqual(["UNAUTHENTICATED"]);
  });

  test("asking for a reset writes and answers the same whoever has the address, and stops after a while without telling", async () => {
    const { acme, send } = await aTenant();
    await addPerson(acme);
    const ask = async (email: string) => (await send(FORGOT, { email })).comparable;

    const known = await ask("alice@example.com");
    expect(known).toContain('{"requestPasswordReset":true}');
    for (let more = 0; more < 5; more += 1) expect(await ask("nobody@example.com")).toBe(known);
    const asked = (await eventsOf(acme)).filter(({ action }) => action === "account.password_reset_request");
    expect(asked).toHaveLength(1 + 3);
  });

  test("are refused when expired, of a person or tenant that is inactive, for something else, or of another tenant", async () => {
    const { acme, send } = await aTenant();
    const { id } = await addPerson(acme, { passwordHash: null, emailVerified: false });
    const { id: gone } = await addPerson(acme, { email: "gone@example.com", active: false });
    const other = await app.newTenant();
    const invitation = await addMailedToken(acme, "invitation", id);
    const refused = [
      await addMailedToken(acme, "invitation", id, new Date(Date.now() - 1)),
      await addMailedToken(acme, "invitation", gone),
      await addMailedToken(acme, "verification", id),
      "nonsense",
    ];

    for (const token of refused)
      expect(codesOf(await send(CONFIRM, { token, password: PASSWORD }))).toEqual(["UNAUTHENTICATED"]);
    expect(codesOf(await send(VERIFY, { token: await addMailedToken(acme, "reset", id) }))).toEqual([
      "UNAUTHENTICATED",
    ]);
    expect(codesOf(await atTheDoor(app.url, other.id)(CONFIRM, { token: invitation, password: PASSWORD }))).toEqual([
      "TENANT_MISMATCH",
    ]);
    dataOf(await send(CONFIRM, { token: invitation, password: PASSWORD }));
  });

  test("of two who show one token at once, one gets in", async () => {
    const { acme, send } = await aTenant();
    const { id } = await addPerson(acme);
    const token = await addMailedToken(acme, "reset", id);

    const answers = await Promise.all([
      send<Auth>(CONFIRM, { token, password: OTHER_PASSWORD }),
      send<Auth>(CONFIRM, { token, password: "deserts of slow silver" }),
    ]);

    expect(answers.map(codesOf).toSorted()).toEqual([[], ["UNAUTHENTICATED"]]);
    expect(await acme.db.signIn.count()).toBe(1);
  });
});
