import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { ALL_SCOPES } from "../../src/context/permissions.ts";
import {
  CreateApiKeyDocument,
  ListApiKeysDocument,
  ReadTrailDocument,
  RevokeApiKeyDocument,
  RotateApiKeyDocument,
} from "../generated/operations/graphql.ts";
import type { CreateApiKeyInput, CreateApiKeyMutation, ListApiKeysQuery } from "../generated/operations/graphql.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf, sendTo } from "../support/send.ts";
import type { Answer, Sender } from "../support/send.ts";
import { anId } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";

let now = new Date("2030-01-01T12:00:00.000Z");
let app: TestApp;
beforeAll(async () => {
  app = await startApp({}, { clock: { now: () => now } });
});
afterAll(() => app.close());

const HOUR_MS = 3_600_000;
type Key = ListApiKeysQuery["apiKeys"]["nodes"][number];
type Issued = CreateApiKeyMutation["createApiKey"];

async function create(send: Sender, input: CreateApiKeyInput): Promise<Issued> {
  return dataOf(await send(CreateApiKeyDocument, { input })).createApiKey;
}

async function rotate(send: Sender, id: string): Promise<Issued> {
  return dataOf(await send(RotateApiKeyDocument, { id })).rotateApiKey;
}

async function keysOf(tenant: TestTenant, activeOnly?: boolean): Promise<readonly Key[]> {
  return dataOf(await tenant.send(ListApiKeysDocument, activeOnly === undefined ? {} : { activeOnly })).apiKeys.nodes;
}

function ask(key: string): Promise<Answer> {
  return sendTo(app.url, { "X-API-Key": key })("{ tenantContext { scopes } }");
}

/** The codes of the first refusal; a revocation takes at most a second to reach every process. */
async function refusal(key: string): Promise<unknown[]> {
  const deadline = performance.now() + 1_000;
  for (;;) {
    const codes = codesOf(await ask(key));
    if (codes.length > 0 || performance.now() > deadline) return codes;
  }
}

describe("making a key", () => {
  test("the text is in the answer alone; it works at once, with its scopes and no others", async () => {
    const acme = await app.newTenant();

    const { key, apiKey } = await create(acme.send, {
      name: "reports",
      scopes: ["FILES_READ", "SESSIONS_READ", "FILES_READ"],
    });
    const whoAmI = dataOf(await ask(key));
    const stored = await acme.db.apiKey.findUnique({ where: { id: apiKey.id } });

    expect(key.startsWith(`${apiKey.prefix}_`)).toBe(true);
    expect(apiKey).toMatchObject({ name: "reports", active: true, expiresAt: null, lastUsedAt: null });
    expect(whoAmI).toEqual({ tenantContext: { scopes: ["SESSIONS_READ", "FILES_READ"] } });
    expect(JSON.stringify(stored)).not.toContain(key);
    expect(JSON.stringify(await keysOf(acme))).not.toContain(key.slice(apiKey.prefix.length));
  });

  test("it expires after the days that were asked for, and not before", async () => {
    const acme = await app.newTenant();
    const begin = now;

    const { key, apiKey } = await create(acme.send, { scopes: ["FILES_READ"], expiresInDays: 2 });
    now = new Date(begin.getTime() + 48 * HOUR_MS - 1);
    const before = await ask(key);
    now = new Date(begin.getTime() + 48 * HOUR_MS);
    const after = await ask(key);

    expect(apiKey.expiresAt).toBe(now.toISOString());
    expect(codesOf(before)).toEqual([]);
    expect(codesOf(after)).toEqual(["API_KEY_EXPIRED"]);
  });

  test.each<[string, CreateApiKeyInput, string]>([
    ["no scope at all", { scopes: [] }, "input.scopes"],
    ["an empty name", { scopes: ["FILES_READ"], name: "" }, "input.name"],
    ["a long name", { scopes: ["FILES_READ"], name: "x".repeat(256) }, "input.name"],
    ["no day", { scopes: ["FILES_READ"], expiresInDays: 0 }, "input.expiresInDays"],
    ["a day ago", { scopes: ["FILES_READ"], expiresInDays: -1 }, "input.expiresInDays"],
    ["more than ten years", { scopes: ["FILES_READ"], expiresInDays: 3_651 }, "input.expiresInDays"],
  ])("%s is refused, naming what is wrong", async (_what, input, path) => {
    const acme = await app.newTenant();

    const answer = await acme.send(CreateApiKeyDocument, { input });

    expect(codesOf(answer)).toEqual(["BAD_USER_INPUT"]);
    expect(answer.errors?.[0]?.extensions["fields"]).toMatchObject([{ path }]);
  });

  test("nobody hands on a scope that they do not have", async () => {
    const acme = await app.newTenant();
    const clerk = await acme.withScopes("TENANT_ADMIN", "FILES_READ");

    const within = await create(clerk, { scopes: ["FILES_READ"] });
    const beyond = await clerk(CreateApiKeyDocument, { input: { scopes: ["FILES_READ", "MEMORY_READ"] } });

    expect(within.apiKey.scopes).toEqual(["FILES_READ"]);
    expect(codesOf(beyond)).toEqual(["FORBIDDEN"]);
    expect(beyond.errors?.[0]?.message).toContain("MEMORY_READ");
  });
});

describe("listing keys", () => {
  test("newest first; revoked and expired ones only when they are asked for", async () => {
    const acme = await app.newTenant();
    const [working, expiring, revoked] = [
      await create(acme.send, { name: "works", scopes: ["FILES_READ"] }),
      await create(acme.send, { name: "expires", scopes: ["FILES_READ"], expiresInDays: 1 }),
      await create(acme.send, { name: "revoked", scopes: ["FILES_READ"] }),
    ];
    dataOf(await acme.send(RevokeApiKeyDocument, { id: revoked.apiKey.id }));
    now = new Date(now.getTime() + 24 * HOUR_MS);

    const active = await keysOf(acme);
    const all = await keysOf(acme, false);

    expect(active.map(({ id }) => id)).toContain(working.apiKey.id);
    expect(active.every((key) => key.active)).toBe(true);
    expect(all.slice(0, 3).map(({ name, active: works }) => [name, works])).toEqual([
      ["revoked", false],
      ["expires", false],
      ["works", true],
    ]);
    expect(all.length - active.length).toBe(2);
    expect(expiring.apiKey.active).toBe(true);
  });

  test("a key of the predecessor has every scope, and the beginning that all of them had", async () => {
    const acme = await app.newTenant();
    const { id } = await acme.db.apiKey.create({ data: { keyHash: anId(), name: "old" }, select: { id: true } });

    const old = (await keysOf(acme)).find((key) => key.id === id);

    expect(old).toMatchObject({ prefix: "kn_", active: true });
    expect(old?.scopes).toHaveLength(ALL_SCOPES.length);
  });
});

describe("rotating a key", () => {
  test("the successor has the same name, scopes and expiry; the old key works for one more day", async () => {
    const acme = await app.newTenant();
    const old = await create(acme.send, { name: "nightly", scopes: ["FILES_READ"], expiresInDays: 30 });
    const begin = now;

    const successor = await rotate(acme.send, old.apiKey.id);
    const [both, one] = await Promise.all([ask(old.key), ask(successor.key)]);
    now = new Date(begin.getTime() + 24 * HOUR_MS);
    const [ended, goesOn] = await Promise.all([ask(old.key), ask(successor.key)]);

    expect(successor.key).not.toBe(old.key);
    expect(successor.apiKey).toMatchObject({
      name: "nightly",
      scopes: ["FILES_READ"],
      expiresAt: old.apiKey.expiresAt,
    });
    expect([both, one, ended, goesOn].map(codesOf)).toEqual([[], [], ["API_KEY_EXPIRED"], []]);
  });

  test("a key that ends sooner than the overlap is not made to live longer", async () => {
    const acme = await app.newTenant();
    const old = await create(acme.send, { scopes: ["FILES_READ"], expiresInDays: 1 });
    now = new Date(now.getTime() + HOUR_MS);

    await rotate(acme.send, old.apiKey.id);
    const after = (await keysOf(acme)).find(({ id }) => id === old.apiKey.id);

    expect(after?.expiresAt).toBe(old.apiKey.expiresAt);
  });

  test("one key has one successor, however many ask at the same time", async () => {
    const acme = await app.newTenant();
    const old = await create(acme.send, { scopes: ["FILES_READ"] });
    const before = await keysOf(acme);

    const answers = await Promise.all([1, 2, 3, 4].map(() => acme.send(RotateApiKeyDocument, { id: old.apiKey.id })));
    const later = await acme.send(RotateApiKeyDocument, { id: old.apiKey.id });

    expect(answers.map(codesOf).sort()).toEqual([[], ["CONFLICT"], ["CONFLICT"], ["CONFLICT"]]);
    expect(codesOf(later)).toEqual(["CONFLICT"]);
    expect(await keysOf(acme)).toHaveLength(before.length + 1);
  });

  test("a key that ends sooner than the overlap has one successor as well, though nothing of it changes", async () => {
    const acme = await app.newTenant();
    const old = await create(acme.send, { scopes: ["FILES_READ"], expiresInDays: 1 });
    now = new Date(now.getTime() + HOUR_MS);

    const answers = await Promise.all(
      [1, 2, 3, 4, 5, 6].map(() => acme.send(RotateApiKeyDocument, { id: old.apiKey.id })),
    );

    expect(answers.map(codesOf).filter((codes) => codes.length === 0)).toHaveLength(1);
  });

  test("a revoked or expired key has no successor", async () => {
    const acme = await app.newTenant();
    const revoked = await create(acme.send, { scopes: ["FILES_READ"] });
    const expired = await create(acme.send, { scopes: ["FILES_READ"], expiresInDays: 1 });
    dataOf(await acme.send(RevokeApiKeyDocument, { id: revoked.apiKey.id }));
    now = new Date(now.getTime() + 24 * HOUR_MS);

    expect(codesOf(await acme.send(RotateApiKeyDocument, { id: revoked.apiKey.id }))).toEqual(["CONFLICT"]);
    expect(codesOf(await acme.send(RotateApiKeyDocument, { id: expired.apiKey.id }))).toEqual(["CONFLICT"]);
  });

  test("rotating is no way to a key that may do more than oneself", async () => {
    const acme = await app.newTenant();
    const strong = await create(acme.send, { scopes: ["MEMORY_READ", "FILES_READ"] });
    const clerk = await acme.withScopes("TENANT_ADMIN", "FILES_READ");

    expect(codesOf(await clerk(RotateApiKeyDocument, { id: strong.apiKey.id }))).toEqual(["FORBIDDEN"]);
  });
});

describe("revoking a key", () => {
  test("it is refused within a second, and revoking it again changes nothing", async () => {
    const acme = await app.newTenant();
    const { key, apiKey } = await create(acme.send, { scopes: ["FILES_READ"] });
    dataOf(await ask(key));

    const first = dataOf(await acme.send(RevokeApiKeyDocument, { id: apiKey.id }));
    const again = dataOf(await acme.send(RevokeApiKeyDocument, { id: apiKey.id }));
    const events = dataOf(await acme.send(ReadTrailDocument, { action: "api_key.revoke" }));

    expect(await refusal(key)).toEqual(["UNAUTHENTICATED"]);
    expect(again).toEqual(first);
    expect(events.auditEvents.nodes).toHaveLength(1);
  });
});

describe("who may manage keys", () => {
  test("only those with TENANT_ADMIN", async () => {
    const acme = await app.newTenant();
    const other = await create(acme.send, { scopes: ["FILES_READ"] });
    const clerk = await acme.withScopes("SESSIONS_READ", "USERS_ADMIN");

    const answers = [
      await clerk(ListApiKeysDocument),
      await clerk(CreateApiKeyDocument, { input: { scopes: ["SESSIONS_READ"] } }),
      await clerk(RotateApiKeyDocument, { id: other.apiKey.id }),
      await clerk(RevokeApiKeyDocument, { id: other.apiKey.id }),
      await app.anonymous(ListApiKeysDocument),
    ];

    expect(answers.map(codesOf)).toEqual(answers.map(() => ["FORBIDDEN"]));
  });

  test("another tenant's key looks exactly like a missing one, and stays as it is", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const { key, apiKey } = await create(acme.send, { scopes: ["FILES_READ"] });

    for (const operation of [RotateApiKeyDocument, RevokeApiKeyDocument].map(String)) {
      const foreign = await globex.send(operation, { id: apiKey.id });
      const missing = await globex.send(operation, { id: anId() });

      expect(codesOf(foreign)).toEqual(["NOT_FOUND"]);
      expect(foreign.comparable).toBe(missing.comparable);
    }
    expect(codesOf(await ask(key))).toEqual([]);
  });

  test("the audit trail tells who did what to which key, and holds no text of a key", async () => {
    const acme = await app.newTenant();
    const old = await create(acme.send, { name: "nightly", scopes: ["FILES_READ"] });
    const successor = await rotate(acme.send, old.apiKey.id);
    dataOf(await acme.send(RevokeApiKeyDocument, { id: old.apiKey.id }));

    const { auditEvents } = dataOf(await acme.send(ReadTrailDocument));
    const trail = JSON.stringify(auditEvents.nodes);

    expect(auditEvents.nodes).toMatchObject([
      { action: "api_key.revoke", target: old.apiKey.id },
      { action: "api_key.rotate", target: old.apiKey.id, details: { successor: successor.apiKey.id } },
      { action: "api_key.create", target: old.apiKey.id, details: { scopes: ["files_read"] } },
    ]);
    expect(trail).not.toContain(old.key.slice(old.apiKey.prefix.length));
    expect(trail).not.toContain(successor.key.slice(successor.apiKey.prefix.length));
  });
});
