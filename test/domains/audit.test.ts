import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { setTimeout } from "node:timers/promises";
import pg from "pg";
import { openApp } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import { KINDS_OF_A_TENANT_MAX } from "../../src/context/refusals.ts";
import { PLATFORM_KEY, startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { personOf } from "../support/people.ts";
import { codesOf, dataOf, sendTo } from "../support/send.ts";
import { anId } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";

const FLUSHED_WITHIN_MS = 8_000; // an interval of five seconds, and the writing

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

interface Trail {
  auditEvents: {
    totalCount: number;
    nodes: {
      action: string;
      actor: string;
      target: string | null;
      ip: string | null;
      requestId: string | null;
      details: Record<string, unknown>;
    }[];
  };
}

async function trailOf(tenant: Pick<TestTenant, "send">, filter = ""): Promise<Trail["auditEvents"]["nodes"]> {
  const answer = await tenant.send<Trail>(
    `{ auditEvents(first: 100${filter}) { totalCount nodes { action actor target ip requestId details } } }`,
  );
  const { nodes, totalCount } = dataOf(answer).auditEvents;
  expect(totalCount).toBe(nodes.length);
  return nodes;
}

/** What was refused in a tenant, with all that was noted so far written. */
async function refusalsOf(tenant: Pick<TestTenant, "send">): Promise<Trail["auditEvents"]["nodes"]> {
  await app.app.context.accounts.refusals.flush();
  return trailOf(tenant, ', action: "access.refused"');
}

test("the audit trail is for those who may administer the tenant", async () => {
  const acme = await app.newTenant();
  const reader = await acme.withScopes("SESSIONS_READ");

  expect(dataOf(await acme.send("{ auditEvents { totalCount nodes { id } } }"))).toEqual({
    auditEvents: { totalCount: 0, nodes: [] },
  });
  expect(codesOf(await reader("{ auditEvents { totalCount } }"))).toEqual(["FORBIDDEN"]);
});

describe("an event says", () => {
  test("who did what to what, from where, and in which request", async () => {
    const acme = await app.newTenant();
    const requestId = anId();
    const made = dataOf(
      await acme.send<{ createSession: { session: { id: string } } }>(
        'mutation { createSession(input: { name: "s" }) { session { id } } }',
        {},
        { "X-Request-ID": requestId },
      ),
    ).createSession.session.id;

    expect(await trailOf(acme)).toEqual([
      {
        action: "session.create",
        actor: expect.stringMatching(/^api_key:/),
        target: made,
        ip: expect.stringMatching(/127\.0\.0\.1$/),
        requestId,
        details: {},
      },
    ]);
  });

  test("the same of what the platform does to a tenant", async () => {
    const acme = await app.newTenant();
    const requestId = anId();
    await app.platform(
      `mutation { updateTenant(input: { id: "${acme.id}", metadata: {} }) { tenant { id } } }`,
      {},
      { "X-Request-ID": requestId },
    );

    expect(await trailOf(acme)).toMatchObject([{ action: "tenant.update", actor: "platform", requestId }]);
  });
});

test("the trail is narrowed by action, actor, target and time, alone and together", async () => {
  const acme = await app.newTenant();
  const ada = await personOf(app, acme, { role: "owner" });
  const create = 'mutation { createSession(input: { name: "s" }) { session { id } } }';
  const first = dataOf(await acme.send<{ createSession: { session: { id: string } } }>(create));
  const { id } = first.createSession.session;
  await ada.send(create);
  await ada.send(`mutation { updateSession(input: { id: "${id}", name: "t" }) { session { id } } }`);
  const [last] = await acme.db.auditEvent.findMany({ orderBy: { createdAt: "desc" }, take: 1 });
  const since = last?.createdAt.toISOString();
  const actions = async (filter: string): Promise<string[]> =>
    (await trailOf(acme, filter)).map(({ action }) => action).toSorted();

  expect(await actions(', action: "session.create"')).toEqual(["session.create", "session.create"]);
  expect(await actions(`, actor: "user:${ada.id}"`)).toEqual(["session.create", "session.update"]);
  expect(await actions(`, target: "${id}"`)).toEqual(["session.create", "session.update"]);
  expect(await actions(`, since: "${since}"`)).toContain("session.update");
  expect(await actions(', since: "2999-01-01T00:00:00Z"')).toEqual([]);
  expect(await actions(`, actor: "user:${ada.id}", target: "${id}", action: "session.update"`)).toHaveLength(1);
  expect(await actions(', actor: "user:nobody"')).toEqual([]);
});

describe("a refusal is in the trail:", () => {
  test("an operation that the caller may not use, under the schema's name, once for all times within seconds", async () => {
    const acme = await app.newTenant();
    const powerless = await acme.withScopes();
    const requestId = anId();

    await powerless("query Innocent { mine: sessions { totalCount } }", {}, { "X-Request-ID": requestId });
    await powerless("{ sessions { totalCount } }");
    await powerless("{ apiKeys { totalCount } again: apiKeys { totalCount } }");

    const found = await refusalsOf(acme);
    expect(found.toSorted((left, right) => Number(right.details["count"]) - Number(left.details["count"]))).toEqual([
      {
        action: "access.refused",
        actor: expect.stringMatching(/^api_key:/),
        target: null,
        ip: expect.stringMatching(/127\.0\.0\.1$/),
        requestId,
        details: {
          operation: "Query.sessions",
          code: "FORBIDDEN",
          count: 2,
          from: expect.any(String),
          until: expect.any(String),
        },
      },
      expect.objectContaining({ details: expect.objectContaining({ operation: "Query.apiKeys", count: 1 }) }),
    ]);
  });

  test("what only the platform may do", async () => {
    const acme = await app.newTenant();

    await acme.send('mutation { createTenant(input: { name: "Mine" }) { tenant { id } } }');

    expect(await refusalsOf(acme)).toMatchObject([{ details: { operation: "Mutation.createTenant" } }]);
  });

  test("a key that was revoked, and one that has expired", async () => {
    const acme = await app.newTenant();
    const [revoked, expired] = [await acme.withScopes(), await acme.withScopes()];
    const [first, second] = (await acme.db.apiKey.findMany({ orderBy: { id: "desc" }, take: 2 })).toReversed();
    await acme.db.apiKey.update({ where: { id: first?.id ?? "" }, data: { active: false } });
    await acme.db.apiKey.update({ where: { id: second?.id ?? "" }, data: { expiresAt: new Date(0) } });

    expect(codesOf(await revoked("{ tenant { id } }"))).toEqual(["UNAUTHENTICATED"]);
    expect(codesOf(await expired("{ tenant { id } }"))).toEqual(["API_KEY_EXPIRED"]);

    const found = await refusalsOf(acme);
    expect(found.map(({ actor, details }) => [actor, details["code"]]).toSorted()).toEqual(
      [
        [`api_key:${first?.id}`, "UNAUTHENTICATED"],
        [`api_key:${second?.id}`, "API_KEY_EXPIRED"],
      ].toSorted(),
    );
  });

  test("a sign-in that is over", async () => {
    const acme = await app.newTenant();
    const ada = await personOf(app, acme, { role: "user" });
    await acme.db.signIn.update({ where: { id: ada.signInId }, data: { endedAt: new Date() } });

    expect(codesOf(await ada.send("{ tenant { id } }"))).toEqual(["UNAUTHENTICATED"]);

    expect(await refusalsOf(acme)).toMatchObject([{ actor: `user:${ada.id}`, details: { code: "UNAUTHENTICATED" } }]);
  });

  test("a credential beside another tenant's name or credential, in the trail of the credential's tenant alone", async () => {
    const [acme, globex] = [await app.newTenant(), await app.newTenant()];

    await acme.send("{ tenant { id } }", {}, { "X-Tenant-ID": globex.id });
    expect(await refusalsOf(acme)).toMatchObject([{ details: { code: "TENANT_MISMATCH", count: 1 } }]);
    expect(await refusalsOf(globex)).toEqual([]);

    await acme.send("{ tenant { id } }", {}, { Authorization: `Bearer ${globex.key}` });
    expect(await refusalsOf(acme)).toHaveLength(2);
    expect(await refusalsOf(globex)).toMatchObject([{ details: { code: "TENANT_MISMATCH" } }]);
  });

  test("but not a credential that nobody has, nor input that is wrong", async () => {
    const acme = await app.newTenant();
    const before = await trailOf(acme);

    await sendTo(app.url, { "X-API-Key": `${acme.key.slice(0, -1)}!` })("{ tenant { id } }");
    await acme.send('mutation { createSession(input: { name: "" }) { session { id } } }');
    await acme.send(`{ session(id: "${anId()}") { id } }`);

    expect(await refusalsOf(acme)).toEqual(before);
  });
});

describe("refusals", () => {
  function refuse(tenantId: string, ip: string): void {
    app.app.context.accounts.refusals.add({
      tenantId,
      action: "access.refused",
      actor: "anonymous",
      ip,
      requestId: anId(),
      at: new Date(),
      details: { code: "FORBIDDEN" },
    });
  }

  test("are counted, not written one by one: a caller of a thousand addresses makes fifty-one events", async () => {
    const acme = await app.newTenant();
    for (let round = 0; round < 3; round += 1)
      for (let number = 0; number < 1_000; number += 1) refuse(acme.id, `192.0.2.${number}`);

    const found = await refusalsOf(acme);

    expect(found).toHaveLength(KINDS_OF_A_TENANT_MAX + 1);
    expect(found.reduce((sum, { details }) => sum + Number(details["count"]), 0)).toBe(3_000);
    expect(found.filter(({ actor }) => actor === "system:audit")).toMatchObject([
      { ip: null, details: { count: 3_000 - 3 * KINDS_OF_A_TENANT_MAX } },
    ]);
  });

  test("are written by themselves within seconds, without a statement of the request that was refused", async () => {
    const acme = await app.newTenant();
    const powerless = await acme.withScopes();
    await powerless("{ sessions { totalCount } }");

    const statements = await app.countStatements(() => powerless("{ sessions { totalCount } }"));

    expect(statements).toBe(0);
    const deadline = performance.now() + FLUSHED_WITHIN_MS;
    while ((await acme.db.auditEvent.count()) === 0 && performance.now() < deadline) await setTimeout(50);
    expect(await trailOf(acme)).toMatchObject([{ action: "access.refused", details: { count: 2 } }]);
  });

  test("that cannot be written are kept and tried again; a tenant that is gone does not hold up the others", async () => {
    const acme = await app.newTenant();
    const gateway = new URL(app.database.gatewayUrl).username;
    const superuser = new pg.Client({ connectionString: app.database.superuserUrl });
    await superuser.connect();
    try {
      refuse(anId(), "192.0.2.1");
      refuse(acme.id, "192.0.2.1");
      await superuser.query(`REVOKE INSERT ON audit_events FROM ${gateway}`);
      await app.app.context.accounts.refusals.flush();
      refuse(acme.id, "192.0.2.1");
      await superuser.query(`GRANT INSERT ON audit_events TO ${gateway}`);
    } finally {
      await superuser.end();
    }

    expect(await refusalsOf(acme)).toMatchObject([{ details: { count: 2 } }]);
  });

  test("that were noted last are written when the gateway stops", async () => {
    const acme = await app.newTenant();
    const settings = {
      PORT: "0",
      DATABASE_URL: app.database.gatewayUrl,
      DATABASE_OWNER_URL: app.database.ownerUrl,
      LOG_LEVEL: "silent",
    };
    const other = await openApp({
      config: readConfig(settings),
      gatewayUrl: app.database.gatewayUrl,
      platformAdminKey: PLATFORM_KEY,
      masterKey: "another-master-key-0123456789-0123456789",
    });
    await sendTo(`${other.url}/graphql`, { "X-API-Key": acme.key })(
      'mutation { createTenant(input: { name: "Mine" }) { tenant { id } } }',
    );
    expect(await trailOf(acme)).toEqual([]);

    await other.close();

    expect(await trailOf(acme)).toMatchObject([{ action: "access.refused" }]);
  });
});
