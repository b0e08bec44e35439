import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { authenticate } from "../../src/context/authenticate.ts";
import { isWellFormedKey, newApiKey, sha256 } from "../../src/context/crypto.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf, sendTo } from "../support/send.ts";
import type { Answer } from "../support/send.ts";
import type { TestTenant } from "../support/tenants.ts";

const MINUTE_MS = 60_000;
const FORM = /^atr_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}$/;
const LEGACY_TEXT = "kn_q7-Zt0_pXb1mVnR4sYkLw8uE2cHf6GdJ3aQxT9oBi5M";

let now = new Date("2030-05-01T12:00:00.000Z");
let app: TestApp;
beforeAll(async () => {
  app = await startApp({}, { clock: { now: () => now } });
});
afterAll(() => app.close());

function ask(key: string): Promise<Answer> {
  return sendTo(app.url, { "X-API-Key": key })("{ tenantContext { scopes tenant { id } } }");
}

/** Stores a key as it might be found in the table. */
async function stored(tenant: TestTenant, data: { readonly active?: boolean; readonly expiresAt?: Date | null }) {
  const key = newApiKey();
  const { id } = await tenant.db.apiKey.create({
    data: { keyHash: key.hash, prefix: key.prefix, scopes: ["sessions_read"], ...data },
    select: { id: true },
  });
  return { id, text: key.text };
}

describe("the text of a key", () => {
  test("has a mark, a prefix to recognise it by, 256 random bits and a checksum, and is never the same", () => {
    const keys = Array.from({ length: 200 }, newApiKey);

    for (const { text, prefix, hash } of keys) {
      expect(text).toMatch(FORM);
      expect(text.startsWith(`${prefix}_`)).toBe(true);
      expect(hash).toBe(sha256(text));
    }
    expect(new Set(keys.map(({ text }) => text)).size).toBe(200);
    expect(43 * Math.log2(62)).toBeGreaterThanOrEqual(256);
  });

  test("with one character changed, lost, doubled or swapped is not well-formed", () => {
    fc.assert(
      fc.property(fc.integer({ min: 4, max: 61 }), fc.constantFrom("0", "a", "Z", "9", "_", "-"), (at, other) => {
        const { text } = newApiKey();
        const [head, letter, tail] = [text.slice(0, at), text.charAt(at), text.slice(at + 1)];
        const spoilt = [
          `${head}${other}${tail}`,
          `${head}${tail}`,
          `${head}${letter}${letter}${tail}`,
          `${head}${tail.slice(0, 1)}${letter}${tail.slice(1)}`,
        ];
        expect(spoilt.filter((typo) => typo !== text && isWellFormedKey(typo))).toEqual([]);
      }),
    );
  });

  test("with a typing error is refused without asking the database", async () => {
    const { text } = newApiKey();
    const typo = `${text.slice(0, -1)}${text.endsWith("a") ? "b" : "a"}`;
    const asked: string[] = [];
    const parts = {
      ...app.app.context,
      crossTenant: {
        ...app.app.context.crossTenant,
        keyByHash: async (hash: string) => {
          asked.push(hash);
          return null;
        },
      },
    };
    const present = (key: string) => authenticate(parts, { tenantId: [], apiKey: [key], authorization: [] });

    await expect(present(typo)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    expect(asked).toEqual([]);
    await expect(present(text)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    expect(asked).toEqual([sha256(text)]);
  });
});

describe("what a key opens", () => {
  test("the database has its hash, and neither its text nor its secret part", async () => {
    const acme = await app.newTenant();
    const rows = await acme.db.apiKey.findMany({});

    expect(rows.map(({ keyHash }) => keyHash)).toContain(sha256(acme.key));
    expect(JSON.stringify(rows)).not.toContain(acme.key.slice(13));
  });

  test("unknown, mistyped and revoked keys are refused with one answer, and an expired one says so", async () => {
    const acme = await app.newTenant();
    const revoked = await stored(acme, { active: false });
    const expired = await stored(acme, { expiresAt: new Date(now.getTime()) });
    const unknown = await ask(newApiKey().text);

    expect(codesOf(unknown)).toEqual(["UNAUTHENTICATED"]);
    expect(unknown.status).toBe(401);
    expect((await ask(revoked.text)).comparable).toBe(unknown.comparable);
    expect((await ask(`${acme.key.slice(0, -1)}-`)).comparable).toBe(unknown.comparable);
    expect(codesOf(await ask(expired.text))).toEqual(["API_KEY_EXPIRED"]);
  });

  test("a revoked key that has expired as well does not tell that it existed", async () => {
    const acme = await app.newTenant();
    const both = await stored(acme, { active: false, expiresAt: new Date(now.getTime() - MINUTE_MS) });

    expect(codesOf(await ask(both.text))).toEqual(["UNAUTHENTICATED"]);
  });

  test("a key of the predecessor goes on working, with every scope", async () => {
    const acme = await app.newTenant();
    await acme.db.apiKey.create({ data: { keyHash: sha256(LEGACY_TEXT), name: "from before" }, select: { id: true } });

    const answer = dataOf(await ask(LEGACY_TEXT));

    expect(answer).toMatchObject({ tenantContext: { tenant: { id: acme.id } } });
    expect(answer).toHaveProperty("tenantContext.scopes.length", 13);
  });
});

describe("when a key was used last", () => {
  async function lastUse(tenant: TestTenant, id: string): Promise<number | undefined> {
    const row = await tenant.db.apiKey.findUnique({ where: { id }, select: { lastUsedAt: true } });
    return row?.lastUsedAt?.getTime();
  }

  /** It is noted behind the answer, so the row is looked at until it changes. */
  async function changedFrom(tenant: TestTenant, id: string, before: number | undefined): Promise<number | undefined> {
    const deadline = performance.now() + 2_000;
    for (;;) {
      const at = await lastUse(tenant, id);
      if (at !== before || performance.now() > deadline) return at;
    }
  }

  test("is noted, but at most once a minute", async () => {
    const acme = await app.newTenant();
    const { id, text } = await stored(acme, {});
    const first = now.getTime();

    await ask(text);
    expect(await changedFrom(acme, id, undefined)).toBe(first);

    now = new Date(first + MINUTE_MS - 1);
    await ask(text);
    // Uses are noted in order: once a later one is there, an earlier one would be as well.
    const other = await stored(acme, {});
    await ask(other.text);
    await changedFrom(acme, other.id, undefined);
    expect(await lastUse(acme, id)).toBe(first);

    now = new Date(first + MINUTE_MS);
    await ask(text);
    expect(await changedFrom(acme, id, first)).toBe(first + MINUTE_MS);
  });

  test("a refused request is no use", async () => {
    const acme = await app.newTenant();
    const refused = await stored(acme, { expiresAt: now });
    const admitted = await stored(acme, {});

    await ask(refused.text);
    await ask(admitted.text);

    expect(await changedFrom(acme, admitted.id, undefined)).toBe(now.getTime());
    expect(await lastUse(acme, refused.id)).toBeUndefined();
  });
});
