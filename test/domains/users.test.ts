import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { ROLE_SCOPES } from "../../src/context/permissions.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { personOf } from "../support/people.ts";
import { codesOf, dataOf, sendTo } from "../support/send.ts";
import type { Answer, Sender } from "../support/send.ts";
import { anId } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";
import { anAddress, create, mutate, resend, update, userOf } from "../support/users.ts";
import type { Input } from "../support/users.ts";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const PASSWORD = "seven purple gondolas drift";
interface Asked {
  readonly tenantContext: { readonly scopes: readonly string[] };
}

function pathsOf(answer: Answer<unknown>): unknown {
  return answer.errors?.[0]?.extensions["fields"];
}

/** The platform's administrator inside a tenant. */
function platformIn(tenant: TestTenant): Sender {
  return (document, variables) => app.platform(document, variables, { "X-Tenant-ID": tenant.id });
}

/** The first refusal of somebody whose access ends; a revocation takes at most a second to reach every process. */
async function refusalOf(send: Sender): Promise<unknown[]> {
  const deadline = performance.now() + 1_000;
  for (;;) {
    const codes = codesOf(await send("{ tenantContext { scopes } }"));
    if (codes.length > 0 || performance.now() > deadline) return codes;
  }
}

describe("adding people", () => {
  test("an address in lower case is one person of a tenant, and another person of another tenant", async () => {
    const [acme, globex] = [await app.newTenant(), await app.newTenant()];
    const email = anAddress();

    const here = userOf(await create(acme.send, { email: email.toUpperCase(), name: "Ada" }));
    const there = userOf(await create(globex.send, { email, name: "Ada of another house" }));
    const twice = await create(acme.send, { email });

    expect(here).toMatchObject({
      email,
      name: "Ada",
      role: "USER",
      active: true,
      emailVerified: false,
      timezone: "UTC",
    });
    expect(there.email).toBe(email);
    expect(there.id).not.toBe(here.id);
    expect(codesOf(twice)).toEqual(["CONFLICT"]);
  });

  test("of two who add the same address at the same instant one is refused", async () => {
    const acme = await app.newTenant();
    const email = anAddress();

    const answers = await Promise.all(Array.from({ length: 5 }, () => create(acme.send, { email })));

    expect(answers.flatMap(codesOf)).toEqual(["CONFLICT", "CONFLICT", "CONFLICT", "CONFLICT"]);
    expect(await acme.db.user.count()).toBe(1);
  });

  test("a password is kept as argon2id and is in no answer", async () => {
    const acme = await app.newTenant();

    const answer = await create(acme.send, { email: anAddress(), password: PASSWORD });
    const [stored] = await acme.db.user.findMany();

    expect(stored?.passwordHash).toMatch(/^\$argon2id\$/);
    expect(answer.comparable).not.toContain(PASSWORD);
  });

  test.each<[string, Input, string]>([
    ["an address of 256 characters", { email: `${"a".repeat(244)}@example.com` }, "input.email"],
    ["an empty name", { email: "ada@example.com", name: "" }, "input.name"],
    ["a name of 256 characters", { email: "ada@example.com", name: "x".repeat(256) }, "input.name"],
    ["a short password", { email: "ada@example.com", password: "short" }, "input.password"],
    ["a common password", { email: "ada@example.com", password: "password1234" }, "input.password"],
  ])("%s is refused, naming what is wrong", async (_what, input, path) => {
    const acme = await app.newTenant();

    const answer = await create(acme.send, input);

    expect(codesOf(answer)).toEqual(["BAD_USER_INPUT"]);
    expect(pathsOf(answer)).toMatchObject([{ path }]);
  });

  test.each([
    "ada",
    "ada@",
    "a b@example.com",
    "ada@example.com, eve@example.com",
    "ada@example.com\r\nBcc: eve@example.com",
  ])("%j is no address", async (email) => {
    const acme = await app.newTenant();

    expect(codesOf(await create(acme.send, { email }))).toEqual(["BAD_USER_INPUT"]);
    expect(await acme.db.user.count()).toBe(0);
  });

  test("a tenant has at most 10,000 people", async () => {
    const acme = await app.newTenant();
    const superuser = new pg.Client({ connectionString: app.database.superuserUrl });
    await superuser.connect();
    await superuser.query(
      "INSERT INTO users (tenant_id, email) SELECT $1, n || '@example.com' FROM generate_series(1, 10000) AS n",
      [acme.id],
    );
    await superuser.end();

    expect(codesOf(await create(acme.send, { email: anAddress() }))).toEqual(["QUOTA_EXCEEDED"]);
  });
});

describe("who may manage people", () => {
  test.each(["user", "viewer"] as const)("a %s neither sees nor changes people", async (role) => {
    const acme = await app.newTenant();
    const { send, id } = await personOf(app, acme, { role });

    const answers = [
      await send("{ users { totalCount } }"),
      await send("query ($id: ID!) { user(id: $id) { email } }", { id }),
      await create(send, { email: anAddress() }),
      await update(send, { id, name: "Eve" }),
      await resend(send, id),
    ];

    expect(answers.map(codesOf)).toEqual(answers.map(() => ["FORBIDDEN"]));
    expect(await acme.db.user.count()).toBe(1);
  });

  test("a key needs USERS_ADMIN, and has no profile", async () => {
    const acme = await app.newTenant();
    const clerk = await acme.withScopes("TENANT_ADMIN", "SESSIONS_WRITE");

    expect(codesOf(await create(clerk, { email: anAddress() }))).toEqual(["FORBIDDEN"]);
    expect(codesOf(await mutate(acme.send, "updateProfile", { name: "Key" }))).toEqual(["FORBIDDEN"]);
  });

  test.each(["an administrator", "a key"])("%s neither makes owners nor changes one", async (who) => {
    const acme = await app.newTenant();
    const owner = await personOf(app, acme, { role: "owner" });
    const clerk = await personOf(app, acme, { role: "user" });
    const admin = await personOf(app, acme, { role: "admin" });
    const send = who === "a key" ? acme.send : admin.send;

    const answers = [
      await create(send, { email: anAddress(), role: "OWNER" }),
      await update(send, { id: clerk.id, role: "OWNER" }),
      await update(send, { id: owner.id, name: "Somebody else" }),
      await update(send, { id: owner.id, role: "USER" }),
      await update(send, { id: owner.id, active: false }),
      await update(send, { id: owner.id, email: anAddress() }),
    ];
    const allowed = await update(send, { id: clerk.id, role: "ADMIN" });

    expect(answers.map(codesOf)).toEqual(answers.map(() => ["FORBIDDEN"]));
    expect(userOf(allowed).role).toBe("ADMIN");
    expect(await acme.db.user.count({ where: { role: "owner", active: true } })).toBe(1);
  });

  test("a key gives nobody more than its own scopes, neither by a role nor by an address", async () => {
    const acme = await app.newTenant();
    const clerk = await acme.withScopes("USERS_ADMIN");
    const person = await personOf(app, acme, { role: "user" });
    const reader = await acme.withScopes("USERS_ADMIN", ...ROLE_SCOPES.viewer.map((scope) => scope.toUpperCase()));

    const answers = [
      await create(clerk, { email: anAddress(), role: "VIEWER" }),
      await create(reader, { email: anAddress(), role: "USER" }),
      await create(reader, { email: anAddress(), role: "ADMIN" }),
      await update(clerk, { id: person.id, role: "ADMIN" }),
      await update(clerk, { id: person.id, email: anAddress() }),
    ];

    expect(answers.map(codesOf)).toEqual(answers.map(() => ["FORBIDDEN"]));
    expect(userOf(await create(reader, { email: anAddress(), role: "VIEWER" })).role).toBe("VIEWER");
    expect(userOf(await update(clerk, { id: person.id, active: false })).active).toBe(false);
    expect(codesOf(await update(clerk, { id: person.id, active: true }))).toEqual(["FORBIDDEN"]);
  });

  test("owners and the platform make owners", async () => {
    const acme = await app.newTenant();
    const owner = await personOf(app, acme, { role: "owner" });

    const second = userOf(await create(owner.send, { email: anAddress(), role: "OWNER" }));
    const third = userOf(await create(platformIn(acme), { email: anAddress(), role: "OWNER" }));
    const demoted = userOf(await update(owner.send, { id: second.id, role: "USER" }));

    expect([second.role, third.role, demoted.role]).toEqual(["OWNER", "OWNER", "USER"]);
  });

  test("nobody changes their own role or deactivates themself; one's own name is another matter", async () => {
    const acme = await app.newTenant();
    await personOf(app, acme, { role: "owner" });
    const owner = await personOf(app, acme, { role: "owner" });
    const admin = await personOf(app, acme, { role: "admin" });

    const answers = [
      await update(owner.send, { id: owner.id, role: "ADMIN" }),
      await update(owner.send, { id: owner.id, active: false }),
      await update(admin.send, { id: admin.id, role: "USER" }),
      await update(admin.send, { id: admin.id, active: false }),
    ];

    expect(answers.map(codesOf)).toEqual(answers.map(() => ["FORBIDDEN"]));
    expect(userOf(await update(owner.send, { id: owner.id, name: "Ada", role: "OWNER" })).name).toBe("Ada");
  });
});

describe("the last active owner", () => {
  test("is neither demoted nor deactivated, even by the platform; another owner frees them", async () => {
    const acme = await app.newTenant();
    const platform = platformIn(acme);
    const { id } = userOf(await create(platform, { email: anAddress(), role: "OWNER" }));
    const gone = userOf(await create(platform, { email: anAddress(), role: "OWNER" }));
    dataOf(await update(platform, { id: gone.id, active: false }));

    const refused = [await update(platform, { id, role: "ADMIN" }), await update(platform, { id, active: false })];
    dataOf(await update(platform, { id: gone.id, active: true }));
    const freed = await update(platform, { id, role: "ADMIN" });

    expect(refused.map(codesOf)).toEqual([["CONFLICT"], ["CONFLICT"]]);
    expect(userOf(freed).role).toBe("ADMIN");
  });

  test("stays when two owners demote each other at the same instant, however often they try", async () => {
    for (let round = 0; round < 5; round += 1) {
      const acme = await app.newTenant();
      const [one, other] = [await personOf(app, acme, { role: "owner" }), await personOf(app, acme, { role: "owner" })];

      const answers = await Promise.all([
        update(one.send, { id: other.id, role: "USER" }),
        update(other.send, { id: one.id, role: "USER" }),
        update(one.send, { id: other.id, active: false }),
        update(other.send, { id: one.id, active: false }),
      ]);

      expect(await acme.db.user.count({ where: { role: "owner", active: true } })).toBe(1);
      expect(new Set(answers.flatMap(codesOf))).not.toContain("INTERNAL_SERVER_ERROR");
    }
  });
});

describe("changing people", () => {
  test("another role counts from the next request on", async () => {
    const acme = await app.newTenant();
    const person = await personOf(app, acme, { role: "admin" });
    dataOf(await person.send("{ users { totalCount } }"));

    dataOf(await update(acme.send, { id: person.id, role: "VIEWER" }));
    const deadline = performance.now() + 1_000;
    for (;;) {
      const { scopes } = dataOf(await person.send<Asked>("{ tenantContext { scopes } }")).tenantContext;
      if (!scopes.includes("USERS_ADMIN")) break;
      expect(performance.now()).toBeLessThan(deadline);
    }

    expect(codesOf(await person.send("{ users { totalCount } }"))).toEqual(["FORBIDDEN"]);
  });

  test("deactivating ends sign-ins within a second, and takes tokens and waiting mail away", async () => {
    const acme = await app.newTenant();
    const person = await personOf(app, acme, { role: "user" });
    const { id: userId } = person;
    await acme.db.oneTimeToken.create({
      data: { userId, purpose: "reset", tokenHash: "0".repeat(64), expiresAt: new Date("2099-01-01") },
    });
    dataOf(await person.send("{ viewer { id } }"));

    dataOf(await update(acme.send, { id: userId, active: false }));

    expect(await refusalOf(person.send)).toEqual(["UNAUTHENTICATED"]);
    const [signIn] = await acme.db.signIn.findMany({ where: { userId } });
    expect(signIn).toMatchObject({ endReason: "deactivated" });
    expect(await acme.db.oneTimeToken.count({ where: { userId } })).toBe(0);
    expect(codesOf(await resend(acme.send, userId))).toEqual(["CONFLICT"]);
  });

  test("an address that the tenant has is CONFLICT; null is refused, but clears a name", async () => {
    const acme = await app.newTenant();
    const ada = userOf(await create(acme.send, { email: anAddress(), name: "Ada" }));
    const eve = userOf(await create(acme.send, { email: anAddress() }));

    const taken = await update(acme.send, { id: ada.id, email: eve.email.toUpperCase() });
    const nulls = await update(acme.send, { id: ada.id, email: null, role: null, active: null });
    const cleared = await update(acme.send, { id: ada.id, name: null });

    expect(codesOf(taken)).toEqual(["CONFLICT"]);
    expect(pathsOf(nulls)).toMatchObject([{ path: "input.email" }, { path: "input.role" }, { path: "input.active" }]);
    expect(userOf(cleared)).toMatchObject({ name: null, email: ada.email });
  });

  test("what changes nothing leaves no trace", async () => {
    const acme = await app.newTenant();
    const { id, email } = userOf(await create(acme.send, { email: anAddress(), name: "Ada" }));

    dataOf(await update(acme.send, { id, email, name: "Ada", role: "USER", active: true }));

    expect(await acme.db.auditEvent.count({ where: { action: "user.update" } })).toBe(0);
  });
});

describe("one's own profile", () => {
  test("viewer and tenantContext show the person who asks, and nobody for a key", async () => {
    const acme = await app.newTenant();
    const person = await personOf(app, acme, { role: "viewer" });

    const asked = "{ viewer { id email } tenantContext { user { id } } }";
    const [own, key] = [dataOf(await person.send(asked)), dataOf(await acme.send(asked))];

    expect(own).toEqual({ viewer: { id: person.id, email: person.email }, tenantContext: { user: { id: person.id } } });
    expect(key).toEqual({ viewer: null, tenantContext: { user: null } });
  });

  test("name, time zone and metadata are one's own to change, and null clears them", async () => {
    const acme = await app.newTenant();
    const { send } = await personOf(app, acme, { role: "user" });
    const wanted = { name: "Ada", timezone: "Europe/Vienna", metadata: { theme: "dark" } };

    const changed = userOf(await mutate(send, "updateProfile", wanted));
    const cleared = userOf(await mutate(send, "updateProfile", { name: null, timezone: null, metadata: null }));

    expect(changed).toMatchObject(wanted);
    expect(cleared).toMatchObject({ name: null, timezone: "UTC", metadata: {} });
  });

  test.each<[string, Input]>([
    ["a time zone that nobody knows", { timezone: "Mars/Olympus" }],
    ["metadata beyond 64 KiB", { metadata: { text: "x".repeat(65_536) } }],
    ["a name of 256 characters", { name: "x".repeat(256) }],
  ])("%s is refused", async (_what, input) => {
    const acme = await app.newTenant();
    const { send } = await personOf(app, acme, { role: "user" });

    expect(codesOf(await mutate(send, "updateProfile", input))).toEqual(["BAD_USER_INPUT"]);
  });
});

describe("listing people", () => {
  test("by role, activity and a part of name or address, in which % and _ are themselves", async () => {
    const acme = await app.newTenant();
    const rows = [
      { email: "ada@example.com", name: "Ada 100%", role: "owner" },
      { email: "grace@example.com", name: "Grace", role: "user", active: false },
      { email: "old_hand@example.com", role: "superuser" }, // the predecessor knew no roles
    ];
    await acme.db.user.createMany({ data: rows });
    const emails = async (filter: string) => {
      const list = `{ users(${filter}) { nodes { email } } }`;
      return dataOf(await acme.send<{ users: { nodes: { email: string }[] } }>(list)).users.nodes.map(
        ({ email }) => email.split("@")[0],
      );
    };

    expect(await emails("role: OWNER")).toEqual(["ada"]);
    expect(await emails("role: VIEWER")).toEqual(["old_hand"]);
    expect(await emails("active: false")).toEqual(["grace"]);
    expect(await emails('search: "GRA"')).toEqual(["grace"]);
    expect(await emails('search: "%"')).toEqual(["ada"]);
    expect(await emails('search: "_"')).toEqual(["old_hand"]);
  });
});

test("a tenant's people are nobody else's business: an owner of one sees nothing of another", async () => {
  const [acme, globex] = [await app.newTenant(), await app.newTenant()];
  const owner = await personOf(app, acme, { role: "owner" });
  const foreign = await personOf(app, globex, { role: "user" });

  const mismatch = await sendTo(app.url, { Authorization: `Bearer ${owner.token}`, "X-Tenant-ID": globex.id })(
    "{ users { totalCount } }",
  );
  const change = await update(owner.send, { id: foreign.id, name: "taken" });
  const missing = await update(owner.send, { id: anId(), name: "taken" });

  expect(codesOf(mismatch)).toEqual(["TENANT_MISMATCH"]);
  expect(codesOf(change)).toEqual(["NOT_FOUND"]);
  expect(change.comparable).toBe(missing.comparable);
});
