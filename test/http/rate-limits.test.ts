import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import pg from "pg";
import { z } from "zod";
import { openApp } from "../../src/app.ts";
import type { App } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import { newApiKey } from "../../src/context/crypto.ts";
import { openLog } from "../../src/context/log.ts";
import { PLATFORM_KEY, startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { personOf } from "../support/people.ts";
import { hasRedis, startRedis } from "../support/redis.ts";
import { codesOf, dataOf, sendTo } from "../support/send.ts";
import type { Answer, Sender } from "../support/send.ts";
import type { TestTenant } from "../support/tenants.ts";

const LOOK = "{ tenantContext { source } }"; // costs 2
const LIMITS_OF = `{ tenant { limits {
  requestsPerMinute complexityPerMinute requestsPerMinutePerCredential complexityPerMinutePerCredential } } }`;
const limitsNow = z.object({ tenant: z.object({ limits: z.record(z.string(), z.number()) }) });
const ADDRESS_REQUESTS = 600;
const SECOND_KEY = "test-master-key-0123456789-0123456789";

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ DEFAULT_TENANT: "off", TRUST_TENANT_HEADER: "on", TRUSTED_PROXIES: "127.0.0.1,::1" });
});
afterAll(() => app.close());

const others: App[] = [];
afterEach(async () => {
  await Promise.all(others.splice(0).map((other) => other.close()));
});

/** A tenant with its own limits. */
async function tenantWith(limits: Record<string, number>, of = app): Promise<TestTenant> {
  const tenant = await of.newTenant();
  await of.app.context.crossTenant.updateTenant(tenant.id, { limits });
  return tenant;
}

async function times(count: number, send: Sender, query = LOOK): Promise<unknown[]> {
  const answers: unknown[] = [];
  for (let sent = 0; sent < count; sent += 1) answers.push(outcomeOf(await send(query)));
  return answers;
}

function outcomeOf(answer: Answer<unknown>): unknown {
  return codesOf(answer)[0] ?? "ok";
}

function limitHeaders({ headers }: Answer<unknown>): (string | null)[] {
  return ["RateLimit-Limit", "RateLimit-Remaining"].map((name) => headers.get(name));
}

/** Headers as they come from an address behind the proxy. */
function from(address: string, credential: Record<string, string> = {}): Sender {
  return sendTo(app.url, { "X-Forwarded-For": address, ...credential });
}

describe("requests are limited", () => {
  test("for one key, with headers that tell when to come back, while others of its tenant go on", async () => {
    const acme = await tenantWith({ requestsPerMinutePerCredential: 3 });
    const other = await acme.withScopes();

    const first = await acme.send(LOOK);
    expect(limitHeaders(first)).toEqual(["3", "2"]);
    expect(Number(first.headers.get("RateLimit-Reset"))).toBeGreaterThan(0);
    expect(await times(2, acme.send)).toEqual(["ok", "ok"]);

    const refused = await acme.send(LOOK);
    const [error] = refused.errors ?? [];
    expect(refused.status).toBe(429);
    expect(error).toMatchObject({
      message: "Too many requests: this API key may send 3 a minute",
      extensions: { code: "RATE_LIMITED", requestId: expect.any(String) },
    });
    expect(limitHeaders(refused)).toEqual(["3", "0"]);
    expect(refused.headers.get("Retry-After")).toBe(String(error?.extensions["retryAfterSeconds"]));
    expect(Number(refused.headers.get("Retry-After"))).toBeLessThanOrEqual(60);
    expect(await times(1, other)).toEqual(["ok"]);
  });

  test("for a tenant, whoever of it asks, and nobody else", async () => {
    const [acme, globex] = [
      await tenantWith({ requestsPerMinute: 4, requestsPerMinutePerCredential: 3 }),
      await tenantWith({}),
    ];
    const other = await acme.withScopes();

    expect(await times(4, acme.send)).toEqual(["ok", "ok", "ok", "RATE_LIMITED"]);
    // What one key was refused took nothing from its tenant.
    expect(await times(2, other)).toEqual(["ok", "RATE_LIMITED"]);
    expect((await other(LOOK)).errors?.[0]?.message).toContain("this tenant may send 4 a minute");
    expect(await times(1, globex.send)).toEqual(["ok"]);
  });

  test("for one person, with any sign-in", async () => {
    const acme = await tenantWith({ requestsPerMinutePerCredential: 2 });
    const [ada, bob] = [await personOf(app, acme, { role: "owner" }), await personOf(app, acme, { role: "user" })];

    expect(await times(3, ada.send)).toEqual(["ok", "ok", "RATE_LIMITED"]);
    expect((await ada.send(LOOK)).errors?.[0]?.message).toContain("this person may send 2 a minute");
    expect(await times(1, bob.send)).toEqual(["ok"]);
  });

  test("by plan, half of it for one credential, and by overrides", async () => {
    const acme = await app.newTenant();
    const limitsAfter = async (changes: Record<string, unknown>) => {
      const update = "mutation ($input: UpdateTenantInput!) { updateTenant(input: $input) { tenant { id } } }";
      dataOf(await app.platform(update, { input: { id: acme.id, ...changes } }));
      const { tenant } = limitsNow.parse(dataOf(await acme.send(LIMITS_OF)));
      return Object.values(tenant.limits);
    };

    expect(await limitsAfter({ plan: "FREE" })).toEqual([600, 60_000, 300, 30_000]);
    expect(await limitsAfter({ plan: "PRO" })).toEqual([6_000, 600_000, 3_000, 300_000]);
    expect(await limitsAfter({ limits: { requestsPerMinute: 41 } })).toEqual([41, 600_000, 21, 300_000]);
    const own = { requestsPerMinutePerCredential: 500, complexityPerMinutePerCredential: 9_000 };
    expect(await limitsAfter({ limits: own })).toEqual([6_000, 600_000, 500, 9_000]);
  });

  test("by address for callers without a credential, as trusted proxies tell it", async () => {
    const acme = await tenantWith({ requestsPerMinutePerCredential: 2 });
    const header = { "X-Tenant-ID": acme.id };

    expect(await times(3, from("192.0.2.1", header))).toEqual(["ok", "ok", "RATE_LIMITED"]);
    expect(await times(1, from("192.0.2.2", header))).toEqual(["ok"]);
    // Everybody has 2^64 addresses of the sixth version.
    expect(await times(2, from("2001:db8::1", header))).toEqual(["ok", "ok"]);
    expect(await times(1, from("2001:db8:0:0:5::9", header))).toEqual(["RATE_LIMITED"]);
    expect(await times(1, from("2001:db8:0:1::1", header))).toEqual(["ok"]);
  });

  test("by the address of the connection where no proxy is trusted", async () => {
    const open = await startApp({ TRUST_TENANT_HEADER: "on" });
    const acme = await tenantWith({ requestsPerMinutePerCredential: 1 }, open);
    const answers = ["192.0.2.1", "192.0.2.2"].map((address) =>
      sendTo(open.url, { "X-Forwarded-For": address, "X-Tenant-ID": acme.id })(LOOK),
    );

    expect((await Promise.all(answers)).map(outcomeOf).sort()).toEqual(["RATE_LIMITED", "ok"]);
    await open.close();
  });

  test("by address for credentials that are none, while those that are one go on", async () => {
    const { key, id } = await app.newTenant();
    const attempts = Array.from({ length: ADDRESS_REQUESTS + 50 }, () =>
      from("198.51.100.7", { "X-API-Key": newApiKey().text })(LOOK),
    );
    const answers = await Promise.all(attempts);

    const counts = (status: number) => answers.filter((answer) => answer.status === status).length;
    expect(counts(401) + counts(429)).toBe(answers.length);
    expect(counts(401)).toBeGreaterThanOrEqual(ADDRESS_REQUESTS);
    expect(counts(401)).toBeLessThanOrEqual(ADDRESS_REQUESTS * 1.05);
    expect(outcomeOf(await from("198.51.100.7", { Authorization: "Bearer no.token.atall" })(LOOK))).toBe(
      "RATE_LIMITED",
    );
    expect(outcomeOf(await from("198.51.100.7", { "X-API-Key": key })(LOOK))).toBe("ok");
    expect(outcomeOf(await from("198.51.100.8", { "X-API-Key": "wrong", "X-Tenant-ID": id })(LOOK))).toBe(
      "UNAUTHENTICATED",
    );
  });

  test("never for the platform administrator, who takes nothing from the tenant", async () => {
    const acme = await tenantWith({ requestsPerMinute: 1, complexityPerMinute: 4 });
    const answer = await app.platform(LOOK, {}, { "X-Tenant-ID": acme.id });

    expect(await times(3, sendTo(app.url, { "X-API-Key": PLATFORM_KEY, "X-Tenant-ID": acme.id }))).toEqual([
      "ok",
      "ok",
      "ok",
    ]);
    expect(limitHeaders(answer)).toEqual([null, null]);
    expect(await times(2, acme.send)).toEqual(["ok", "RATE_LIMITED"]);
  });

  test("by two gateways together", async () => {
    const acme = await tenantWith({ requestsPerMinutePerCredential: 400 });
    const other = await secondGateway(app);
    const senders = [acme.send, sendTo(`${other.url}/graphql`, { "X-API-Key": acme.key })];
    let given = 0;
    async function ask(send: Sender): Promise<void> {
      while (outcomeOf(await send("{ __typename }")) === "ok") given += 1;
    }
    await Promise.all(senders.flatMap((send) => [ask(send), ask(send), ask(send)]));

    expect(given).toBeGreaterThanOrEqual(400);
    expect(given).toBeLessThanOrEqual(400 * 1.1);
  });
});

async function secondGateway({ database }: TestApp): Promise<App> {
  const { gatewayUrl, ownerUrl } = database;
  const other = await openApp({
    config: readConfig({ PORT: "0", DATABASE_URL: gatewayUrl, DATABASE_OWNER_URL: ownerUrl }),
    gatewayUrl,
    platformAdminKey: PLATFORM_KEY,
    masterKey: SECOND_KEY,
    log: openLog({ logLevel: "silent" }),
  });
  others.push(other);
  return other;
}

describe("prices", () => {
  const LISTED = "query ($first: Int) { sessions(first: $first) { nodes { id } } }";
  const MADE = `mutation { createSession(input: { name: "priced" }) { session { id } } }`;

  test("are in every answer, the same for everybody, compiled or not, and when the operation fails", async () => {
    const [acme, globex] = [await app.newTenant(), await app.newTenant()];
    const answers = [await acme.send(LISTED, { first: 7 }), await globex.send(LISTED, { first: 7 })];
    for (let sent = 0; sent < 3; sent += 1) answers.push(await acme.send(LISTED, { first: 7 }));

    expect(new Set(answers.map(({ comparable }) => comparable)).size).toBe(1);
    expect(answers[0]?.extensions).toEqual({ cost: 15 });
    expect((await acme.send(LISTED, { first: 20 })).extensions).toEqual({ cost: 41 });
    const failed = await acme.send(`mutation { revokeApiKey(id: "${randomUUID()}") { apiKey { id } } }`);
    expect(codesOf(failed)).toEqual(["NOT_FOUND"]);
    expect(failed.extensions).toEqual({ cost: expect.any(Number) });
    expect((await acme.send("{ nothing }")).extensions).toBeUndefined();
  });

  test("are taken from what a credential and its tenant may spend", async () => {
    const acme = await tenantWith({ complexityPerMinute: 300, complexityPerMinutePerCredential: 200 });
    const other = await acme.withScopes("SESSIONS_READ");

    expect(outcomeOf(await acme.send(LISTED, { first: 80 }))).toBe("ok"); // 161
    const refused = await acme.send(LISTED, { first: 25 });
    expect([refused.status, outcomeOf(refused), refused.extensions]).toEqual([429, "RATE_LIMITED", { cost: 51 }]);
    expect(refused.errors?.[0]?.message).toBe(
      "Too much at once: the operation costs 51, and this API key may spend 200 a minute",
    );
    expect(refused.headers.get("Retry-After")).toBe(String(refused.errors?.[0]?.extensions["retryAfterSeconds"]));
    expect(limitHeaders(refused)).toEqual(["200", "39"]);
    // What was refused took nothing: something smaller still finds room.
    expect(outcomeOf(await acme.send(LISTED, { first: 1 }))).toBe("ok"); // 3
    expect((await other(LISTED, { first: 80 })).errors?.[0]?.message).toContain("this tenant may spend 300 a minute");
  });

  test("are told alone when a header asks for it: nothing runs, and nothing is spent", async () => {
    const acme = await tenantWith({ complexityPerMinutePerCredential: 20, requestsPerMinutePerCredential: 50 });
    const ask: Sender = (query, variables) => acme.send(query, variables, { "X-Cost-Only": "true" });

    const answers = [await ask(MADE), await ask(MADE), await ask(MADE)];
    for (const { status, data, errors, extensions } of answers)
      expect({ status, data, errors, extensions }).toEqual({
        status: 200,
        data: null,
        errors: undefined,
        extensions: { cost: 12 },
      });
    expect(await acme.db.session.count()).toBe(0);
    expect((await ask(LISTED, { first: 100 })).extensions).toEqual({ cost: 201 });
    const costly =
      "query ($first: Int) { sessions(first: $first) { nodes { messages(first: 100) { nodes { id role content } } } } }";
    const priced = await ask(costly, { first: 100 });
    expect([priced.errors, Number(priced.extensions?.["cost"]) > 20_000]).toEqual([undefined, true]);
    expect(limitHeaders(priced)).toEqual(["50", "45"]);
    expect(outcomeOf(await acme.send(MADE))).toBe("ok");
  });

  test("are told alone of queries that were compiled before, and not of operations that are wrong", async () => {
    const acme = await app.newTenant();
    const headers = { "X-Cost-Only": "true", Accept: "application/graphql-response+json" };
    for (let sent = 0; sent < 3; sent += 1) dataOf(await acme.send(LISTED, { first: 3 }));

    const priced = await acme.send(LISTED, { first: 3 }, headers);
    expect([priced.status, priced.data, priced.extensions]).toEqual([200, null, { cost: 7 }]);
    expect(outcomeOf(await acme.send(LISTED, { first: "three" }, headers))).toBe("BAD_USER_INPUT");
    expect(outcomeOf(await acme.send("{ nothing }", {}, headers))).toBe("BAD_USER_INPUT");
    expect(outcomeOf(await from("192.0.2.9")(LISTED, {}, headers))).toBe("TENANT_REQUIRED");
  });
});

describe("while limits cannot be counted", () => {
  /** Holds the counts, so that nobody can add to them; the function returned lets go. */
  async function holdCounts({ database }: TestApp): Promise<() => Promise<void>> {
    const client = new pg.Client({ connectionString: database.superuserUrl });
    await client.connect();
    await client.query("BEGIN; LOCK TABLE atrium.rate_limits IN ACCESS EXCLUSIVE MODE");
    return () => client.end();
  }

  async function metricsOf({ app: { url } }: TestApp): Promise<string> {
    return (await fetch(`${url}/metrics`, { headers: { "X-API-Key": PLATFORM_KEY } })).text();
  }

  test("requests pass, and count in the process, when they fail open", async () => {
    const open = await startApp({ RATE_LIMIT_FAILURE: "open" });
    const acme = await tenantWith({ requestsPerMinutePerCredential: 3 }, open);
    const release = await holdCounts(open);

    expect(await times(4, acme.send)).toEqual(["ok", "ok", "ok", "RATE_LIMITED"]);
    expect(await metricsOf(open)).toMatch(/^atrium_rate_limit_store_away 1$/m);
    await release();
    while (open.app.context.accounts.limits.isAway()) await new Promise((resolve) => setImmediate(resolve));
    const text = await metricsOf(open);
    expect(text).toMatch(/^atrium_rate_limit_store_away 0$/m);
    expect(text).toMatch(/^atrium_rate_limited_total\{limit="credential_requests"\} 1$/m);
    await open.close();
  });

  test("requests are refused as UNAVAILABLE when they fail closed, with one line in the log", async () => {
    const closed = await startApp({ RATE_LIMIT_FAILURE: "closed" });
    const acme = await tenantWith({ requestsPerMinutePerCredential: 30 }, closed);
    const release = await holdCounts(closed);

    const refused = await acme.send(LOOK);
    expect([refused.status, outcomeOf(refused)]).toEqual([503, "UNAVAILABLE"]);
    expect(await times(2, acme.send)).toEqual(["UNAVAILABLE", "UNAVAILABLE"]);
    expect(closed.logs.filter(({ level }) => level === "warn")).toHaveLength(1);
    await release();
    while (outcomeOf(await acme.send(LOOK)) !== "ok");
    await closed.close();
  });

  (hasRedis() ? test : test.skip)("Redis counts where REDIS_URL names one, and a gateway outlives it", async () => {
    const redis = await startRedis();
    const counted = await startApp({ REDIS_URL: redis.url });
    const acme = await tenantWith({ requestsPerMinutePerCredential: 3 }, counted);

    expect(await times(4, acme.send)).toEqual(["ok", "ok", "ok", "RATE_LIMITED"]);
    const client = new pg.Client({ connectionString: counted.database.superuserUrl });
    await client.connect();
    expect((await client.query("SELECT FROM atrium.rate_limits")).rowCount).toBe(0);
    await client.end();
    await redis.kill();
    const globex = await counted.newTenant();
    expect(await times(3, globex.send)).toEqual(["ok", "ok", "ok"]);
    await counted.close();
  });
});

describe("what is costly has a limit of its own", () => {
  test("isolation reports: ten a minute for one tenant", async () => {
    const [acme, globex] = [await app.newTenant(), await app.newTenant()];
    const report = "{ isolationReport { ok } }";
    const answers = await Promise.all(Array.from({ length: 12 }, () => acme.send(report)));

    expect(answers.filter((answer) => outcomeOf(answer) === "ok")).toHaveLength(10);
    const refused = answers.find((answer) => outcomeOf(answer) !== "ok");
    expect(refused?.errors?.[0]).toMatchObject({
      message: "At most 10 isolation reports a minute are made for one tenant",
      extensions: { code: "RATE_LIMITED", retryAfterSeconds: expect.any(Number) },
    });
    expect(outcomeOf(await globex.send(report))).toBe("ok");
    expect(outcomeOf(await app.platform(report, {}, { "X-Tenant-ID": acme.id }))).toBe("ok");
  });

  test("active API keys: a thousand for one tenant", async () => {
    const acme = await app.newTenant();
    const make = `mutation { createApiKey(input: { scopes: [SESSIONS_READ] }) { apiKey { id } } }`;
    const [{ id } = { id: "" }] = await acme.db.apiKey.findMany({ take: 1 });
    const there = await acme.db.apiKey.count();
    await acme.db.apiKey.createMany({
      data: Array.from({ length: 999 - there }, () => ({
        keyHash: newApiKey().hash,
        prefix: "atr_00000000",
        scopes: [],
      })),
    });

    expect(outcomeOf(await acme.send(make))).toBe("ok");
    const refused = await acme.send(make);
    expect(refused.errors?.[0]).toMatchObject({
      message: "There can be at most 1,000 active API keys",
      extensions: { code: "QUOTA_EXCEEDED" },
    });
    const rotated = await acme.send(`mutation { rotateApiKey(id: "${id}") { apiKey { id } } }`);
    expect(outcomeOf(rotated)).toBe("QUOTA_EXCEEDED");
    dataOf(await acme.send(`mutation { revokeApiKey(id: "${id}") { apiKey { id } } }`));
    expect(outcomeOf(await acme.send(make))).toBe("ok");
  });
});
