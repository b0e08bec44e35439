import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { createHash, randomUUID } from "node:crypto";
import pg from "pg";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { openBrowser } from "../support/browser.ts";
import type { Browser, Page } from "../support/browser.ts";
import { AUDIENCE, CLIENT, startIdentityProvider } from "../support/identity-provider.ts";
import type { Account, TestProvider } from "../support/identity-provider.ts";
import { personOf } from "../support/people.ts";
import { codesOf, dataOf } from "../support/send.ts";
import type { TestTenant } from "../support/tenants.ts";

const COMPLETE = `mutation ($code: String!) {
  completeSignIn(code: $code) { accessToken refreshToken expiresIn user { id email role } }
}`;
const WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
const STALE = "This sign-in was not begun in this browser, was used already, or has expired. Please begin again.";

interface Complete {
  readonly completeSignIn: {
    readonly accessToken: string;
    readonly refreshToken: string;
    readonly expiresIn: number;
    readonly user: { readonly id: string; readonly email: string; readonly role: string };
  };
}

let provider: TestProvider;
let app: TestApp;
let later = 0;
let addresses = 0;

beforeAll(async () => {
  let url = "";
  provider = await startIdentityProvider(() => `${url}/auth/callback/${markOf(provider.issuer)}`);
  const installation = {
    issuer: provider.issuer,
    audience: AUDIENCE,
    clientId: CLIENT.id,
    clientSecret: CLIENT.secret,
    name: "The installation's",
    tenants: "*",
    claims: { tenant: "organisation", role: "position" },
    roles: { boss: "owner", clerk: "user" },
    unknownPeople: "create",
  };
  app = await startApp(
    {
      OIDC_ISSUERS: JSON.stringify([installation]),
      CORS_ORIGINS: "https://app.example",
      // Each test comes from an address of its own, so that no test uses up another's attempts.
      TRUSTED_PROXIES: "127.0.0.1",
    },
    { clock: { now: () => new Date(Date.now() + later) } },
  );
  ({ url } = app.app);
});
afterEach(() => {
  later = 0;
  addresses += 1;
});
afterAll(async () => {
  await app.close();
  await provider.stop();
});

async function trusting(settings: Record<string, string> = {}): Promise<{ tenant: TestTenant; id: string }> {
  const tenant = await app.newTenant();
  const owner = await personOf(app, tenant, { role: "owner" });
  const input = {
    name: "Ours",
    issuer: provider.issuer,
    clientId: CLIENT.id,
    clientSecret: CLIENT.secret,
    unknownPeople: "CREATE",
    ...settings,
  };
  const answer = await owner.send<{ createIdentityProvider: { identityProvider: { id: string } } }>(
    `mutation ($input: CreateIdentityProviderInput!) { createIdentityProvider(input: $input) { identityProvider { id } } }`,
    { input },
  );
  return { tenant, id: dataOf(answer).createIdentityProvider.identityProvider.id };
}

function newBrowser(cookies?: Map<string, string>): Browser {
  return openBrowser(cookies, { "X-Forwarded-For": `198.51.100.${addresses}` });
}

function startAddress(tenant: string, providerId: string, redirect?: string): string {
  const query = new URLSearchParams({ tenant, provider: providerId, ...(redirect !== undefined && { redirect }) });
  return `${app.app.url}/auth/start?${query.toString()}`;
}

const markOf = (issuer: string): string => createHash("sha256").update(issuer).digest("hex").slice(0, 32);
const isCallback = (url: URL): boolean => url.pathname.startsWith("/auth/callback/");
const isBack = (url: URL): boolean => url.pathname === "/account/sign-in";

const account = (more: Partial<Account> = {}): Account => {
  const sub = randomUUID();
  return { sub, email: `${sub}@example.com`, email_verified: true, name: "Ada", ...more };
};

function codeIn({ url }: Page): string {
  return new URLSearchParams(url.hash.slice(1)).get("code") ?? "";
}

async function complete(code: string, headers: Record<string, string> = {}) {
  return app.anonymous<Complete>(COMPLETE, { code }, headers);
}

describe("signing in by browser at an outside provider", () => {
  test("adds the person, hands over a code in the fragment, and the code is worth tokens once", async () => {
    const { tenant, id } = await trusting();
    const ada = account();
    provider.person(ada);

    const page = await newBrowser().follow(startAddress(tenant.id, id), isBack);

    expect(page.url.origin).toBe(app.app.url);
    expect(page.url.search).toBe("");
    const answer = dataOf(await complete(codeIn(page))).completeSignIn;
    expect(answer).toMatchObject({ expiresIn: 900, user: { email: ada.email, role: "USER" } });
    const me = await app.anonymous("{ viewer { email } }", {}, { Authorization: `Bearer ${answer.accessToken}` });
    expect(dataOf(me)).toEqual({ viewer: { email: ada.email } });
    const actions = (await tenant.db.auditEvent.findMany()).map(({ action, actor }) => [action, actor]);
    expect(actions).toContainEqual(["account.sign_in", `user:${answer.user.id}`]);
    expect(codesOf(await complete(codeIn(page)))).toEqual(["UNAUTHENTICATED"]);
    expect(await tenant.db.signIn.findMany()).toMatchObject([expect.anything(), { method: "outside" }]);
  });

  test("is the same person the next time, and another one in another tenant", async () => {
    const [acme, globex] = [await trusting(), await trusting()];
    const ada = account();
    const signIn = async ({ tenant, id }: typeof acme) => {
      provider.person(ada);
      const page = await newBrowser().follow(startAddress(tenant.id, id), isBack);
      return dataOf(await complete(codeIn(page))).completeSignIn.user;
    };

    const [one, again, other] = [await signIn(acme), await signIn(acme), await signIn(globex)];

    expect(again.id).toBe(one.id);
    expect(other.id).not.toBe(one.id);
    expect(other.email).toBe(one.email);
  });

  test("takes the tenant from the state alone: headers and parameters of the way back change nothing", async () => {
    const { tenant, id } = await trusting();
    const globex = await app.newTenant();
    provider.person(account());
    const browser = newBrowser();
    const { url } = await browser.follow(startAddress(tenant.id, id), isCallback);
    url.searchParams.set("tenant", globex.id);

    const answer = await fetch(url, {
      redirect: "manual",
      headers: {
        "X-Tenant-ID": globex.id,
        "X-Forwarded-For": "198.51.100.200",
        Cookie: [...browser.cookies].map(([name, value]) => `${name}=${value}`).join("; "),
      },
    });

    const code = new URLSearchParams(new URL(answer.headers.get("location") ?? "").hash.slice(1)).get("code") ?? "";
    expect(codesOf(await complete(code, { "X-Tenant-ID": globex.id }))).toEqual(["TENANT_MISMATCH"]);
    expect(codesOf(await complete(code))).toEqual([]);
    expect(await globex.db.user.count()).toBe(0);
  });

  test("goes back to allowed places only", async () => {
    const { tenant, id } = await trusting();
    provider.person(account());

    const back = await newBrowser().follow(
      startAddress(tenant.id, id, "https://app.example/in?x=1"),
      ({ origin }) => origin === "https://app.example",
    );
    expect(back.url.href).toMatch(/^https:\/\/app\.example\/in\?x=1#code=atr_o_/);
    for (const place of [
      "https://evil.example/",
      "https://app.example.evil.example/",
      "https://app.example@evil.example/",
      "https://me@app.example/",
      "//evil.example",
      "javascript:alert(1)",
      `${app.app.url.replace("http:", "https:")}/`,
    ])
      expect([place, (await newBrowser().follow(startAddress(tenant.id, id, place))).status]).toEqual([place, 400]);
  });

  test("says the same of a tenant that is not there, one that is suspended, and a provider of another one", async () => {
    const [acme, globex] = [await trusting(), await trusting()];
    const suspended = await trusting();
    await app.app.context.crossTenant.updateTenant(suspended.tenant.id, { active: false });

    const pages = await Promise.all(
      [
        [randomUUID(), acme.id],
        ["nonsense", acme.id],
        [suspended.tenant.id, suspended.id],
        [acme.tenant.id, globex.id],
        [acme.tenant.id, "nonsense"],
      ].map(([tenant = "", id = ""]) => newBrowser().follow(startAddress(tenant, id))),
    );

    expect(pages.map(({ status }) => status)).toEqual(Array(5).fill(400));
    expect(new Set(pages.map(({ text }) => text)).size).toBe(1);
  });
});

describe("the way back is refused", () => {
  test("to another browser, to nobody's, twice, too late, and with a state that was changed: always in the same words", async () => {
    const [acme, globex] = [await trusting(), await trusting()];
    provider.person(account());
    const begin = async ({ tenant, id }: typeof acme) => {
      const browser = newBrowser();
      return { browser, ...(await browser.follow(startAddress(tenant.id, id), isCallback)) };
    };
    const mine = await begin(acme);
    const theirs = await begin(globex);
    const withState = (url: URL, state: string): URL => {
      const changed = new URL(url);
      changed.searchParams.set("state", state);
      return changed;
    };
    const state = mine.url.searchParams.get("state") ?? "";
    const foreign = theirs.url.searchParams.get("state") ?? "";
    const tampered = `${state.slice(0, -1)}${state.endsWith("A") ? "B" : "A"}`;
    // As if a stranger's cookie were planted under the name that belongs to this state.
    const planted = new Map([...mine.browser.cookies.keys()].map((name) => [name, "planted"]));

    const refused = [
      await newBrowser().follow(mine.url),
      await newBrowser(planted).follow(mine.url),
      await theirs.browser.follow(mine.url),
      await mine.browser.follow(withState(mine.url, foreign)),
      await mine.browser.follow(withState(mine.url, tampered)),
      await mine.browser.follow(withState(mine.url, "")),
    ];
    // What others tried has not spoiled it.
    expect((await mine.browser.follow(mine.url, isBack)).url.hash).toMatch(/^#code=/);
    refused.push(await mine.browser.follow(mine.url));
    later = 11 * 60_000;
    refused.push(await theirs.browser.follow(theirs.url));

    for (const { status, text } of refused) {
      expect(status).toBe(400);
      expect(text).toContain(STALE);
    }
    expect(new Set(refused.map(({ text }) => text)).size).toBe(1);
  });

  test("at another issuer's address, and from one that is not who it says: before a code goes anywhere", async () => {
    const { tenant, id } = await trusting();
    provider.person(account());
    const begin = async () => {
      const browser = newBrowser();
      return { browser, ...(await browser.follow(startAddress(tenant.id, id), isCallback)) };
    };
    const [elsewhere, foreign, silent] = [await begin(), await begin(), await begin()];
    elsewhere.url.pathname = `/auth/callback/${markOf("https://hostile.example")}`;
    foreign.url.searchParams.set("iss", "https://hostile.example");
    silent.url.searchParams.delete("iss");
    const before = provider.seen("/token");
    const { status, text } = await elsewhere.browser.follow(elsewhere.url);
    expect([status, text.includes(STALE)]).toEqual([400, true]);
    expect((await foreign.browser.follow(foreign.url)).status).toBe(502);
    expect((await silent.browser.follow(silent.url)).status).toBe(502);
    expect(provider.seen("/token")).toBe(before);
  });

  test("kindly, when the person chose not to sign in", async () => {
    const { tenant, id } = await trusting();
    provider.person(null);

    const page = await newBrowser().follow(startAddress(tenant.id, id));

    expect(page.status).toBe(403);
    expect(page.text).toContain("You chose not to sign in there");
  });

  test("to somebody whom the tenant does not want, and says it in JSON to those who want that", async () => {
    const { tenant, id } = await trusting({ unknownPeople: "REFUSE" });
    provider.person(account());
    const browser = newBrowser();

    const page = await browser.follow(startAddress(tenant.id, id));

    expect(page.status).toBe(403);
    expect(page.text).toContain("This account is not known here");
    await app.app.context.accounts.refusals.flush();
    const refusals = await tenant.db.auditEvent.findMany({ where: { action: "account.sign_in_refused" } });
    expect(refusals).toHaveLength(1);
    const json = await fetch(`${app.app.url}/auth/callback/nonsense?state=nonsense&code=nonsense`);
    expect(await json.json()).toMatchObject({ errors: [{ extensions: { code: "BAD_USER_INPUT" } }] });
  });

  test("to an address that only looks like another", async () => {
    const { tenant, id } = await trusting();
    provider.person(account({ email: "mar\u212A@example.com" }));
    expect((await newBrowser().follow(startAddress(tenant.id, id))).status).toBe(403);
  });

  test("with a code that the provider did not give, which its answer does not show", async () => {
    const { tenant, id } = await trusting();
    provider.person(account());
    const browser = newBrowser();
    const { url } = await browser.follow(startAddress(tenant.id, id), isCallback);
    url.searchParams.set("code", "of-another");

    const page = await browser.follow(url);

    expect(page.status).toBe(502);
    expect(page.text).not.toMatch(/invalid_grant|of-another|secret/);
  });

  test("to a deactivated person, and a code that was handed out before is worth nothing", async () => {
    const { tenant, id } = await trusting();
    const ada = account();
    provider.person(ada);
    const page = await newBrowser().follow(startAddress(tenant.id, id), isBack);
    await tenant.db.user.update({ where: { email: ada.email ?? "" }, data: { active: false } });

    expect(codesOf(await complete(codeIn(page)))).toEqual(["UNAUTHENTICATED"]);
    expect((await newBrowser().follow(startAddress(tenant.id, id))).status).toBe(403);
  });

  test("a code does not outlive its minute", async () => {
    const { tenant, id } = await trusting();
    provider.person(account());
    const page = await newBrowser().follow(startAddress(tenant.id, id), isBack);

    later = 61_000;

    expect(codesOf(await complete(codeIn(page)))).toEqual(["UNAUTHENTICATED"]);
  });
});

describe("a provider of the installation", () => {
  const at = async (tenant: TestTenant, who: Account): Promise<Page> => {
    provider.person(who);
    return newBrowser().follow(startAddress(tenant.id, provider.issuer), isBack);
  };

  test("adds people where its claim names the tenant, with the role that its word is mapped to, OWNER included", async () => {
    const acme = await app.newTenant();
    const page = await at(acme, account({ more: { organisation: acme.id, position: "boss" } }));

    expect(dataOf(await complete(codeIn(page))).completeSignIn.user.role).toBe("OWNER");
  });

  test("lets nobody into a tenant that its claim does not name, or that they chose themselves", async () => {
    const [acme, globex] = [await app.newTenant(), await app.newTenant()];

    expect((await at(acme, account({ more: { organisation: globex.id } }))).status).toBe(403);
    expect((await at(acme, account({ more: { organisation: "*" } }))).status).toBe(403);
    expect((await at(acme, account())).status).toBe(403);
    expect(await acme.db.user.count()).toBe(0);
  });

  test("changes roles at each sign-in, but demotes no owner, however short a time they have been one", async () => {
    const acme = await app.newTenant();
    const ada = account({ more: { organisation: acme.id, position: "clerk" } });
    const roleAfter = async (stored: string) => {
      await acme.db.user.updateMany({ where: { email: ada.email ?? "" }, data: { role: stored } });
      return dataOf(await complete(codeIn(await at(acme, ada)))).completeSignIn.user.role;
    };
    await at(acme, ada);
    expect(await roleAfter("admin")).toBe("USER");
    expect(await roleAfter("owner")).toBe("OWNER");
    await acme.db.user.updateMany({ where: { email: ada.email ?? "" }, data: { role: "admin" } });
    const other = new pg.Client({ connectionString: app.database.superuserUrl });
    await other.connect();
    try {
      await other.query("BEGIN");
      await other.query("UPDATE users SET role = 'owner' WHERE tenant_id = $1", [acme.id]);
      const page = at(acme, ada);
      while ((await other.query(WAITING)).rowCount === 0);
      await other.query("COMMIT");
      expect(dataOf(await complete(codeIn(await page))).completeSignIn.user.role).toBe("OWNER");
    } finally {
      await other.end();
    }
  });
});

test("a client that begins again and again is slowed down", async () => {
  const { tenant, id } = await trusting();
  const browser = newBrowser();
  const statuses = [];
  for (let count = 0; count < 31; count += 1)
    statuses.push(
      (await browser.follow(startAddress(tenant.id, id), ({ port }) => port !== new URL(app.url).port)).status,
    );

  expect(statuses.slice(0, 30)).toEqual(Array(30).fill(0));
  expect(statuses[30]).toBe(429);
});
