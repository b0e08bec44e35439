import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import type { AppContext } from "../../src/context/app-context.ts";
import { newApiKey } from "../../src/context/crypto.ts";
import { resolveRequest } from "../../src/context/request.ts";
import { until } from "../support/until.ts";
import { newTenant, openContext, openGateway } from "./support/gateway.ts";
import type { Gateway } from "./support/gateway.ts";

// Two processes over one database, each with its own caches; a request is resolved as over HTTP, up to the context.

const WITHIN_MS = 1_000;

let one: Gateway;
let other: AppContext;
beforeAll(async () => {
  one = await openGateway();
  other = openContext(one.database);
});
afterAll(async () => {
  await other.close();
  await one.close();
});

let tenantId: string;
let key: string;
let keyId: string;
beforeEach(async () => {
  tenantId = await newTenant(one.context);
  const made = newApiKey();
  const row = await one.context.clients.of(tenantId).db.apiKey.create({
    data: { name: "Key", keyHash: made.hash, prefix: made.prefix, scopes: ["sessions_read"] },
  });
  [key, keyId] = [made.text, row.id];
});

/** "ok", or the code with which a request under the key is refused. */
async function ask(app: AppContext): Promise<string> {
  try {
    const ctx = await resolveRequest(
      app,
      { tenantId: [], apiKey: [key], authorization: [] },
      { requestId: "test", ip: undefined, log: app.log, clock: app.clock },
    );
    return ctx.tenant.id === tenantId ? "ok" : "another tenant";
  } catch (error) {
    return String(error instanceof Error ? Reflect.get(error, "code") : error);
  }
}

/** How long it takes until the process refuses, or a rejection by the test's time-out. */
async function refusedAfter(app: AppContext, code: string, change: () => Promise<unknown>): Promise<number> {
  expect(await ask(app)).toBe("ok");
  await change();
  const began = performance.now();
  await until(async () => (await ask(app)) === code);
  return performance.now() - began;
}

const revoke = () =>
  one.context.clients.of(tenantId).db.apiKey.update({ where: { id: keyId }, data: { active: false } });

describe("within a second, in every process,", () => {
  test("a key that was revoked in another one is refused", async () => {
    await linesOpen(2);
    expect(await refusedAfter(other, "UNAUTHENTICATED", revoke)).toBeLessThan(WITHIN_MS);
    expect(await ask(one.context)).toBe("UNAUTHENTICATED");
  });

  test("a key that was deleted, or expired, by whoever writes to the database is refused", async () => {
    await linesOpen(2);
    const change = "UPDATE api_keys SET expires_at = now() - interval '1 minute' WHERE id = $1";
    expect(await refusedAfter(other, "API_KEY_EXPIRED", () => one.superuser.query(change, [keyId]))).toBeLessThan(
      WITHIN_MS,
    );
    await one.superuser.query("UPDATE api_keys SET expires_at = NULL WHERE id = $1", [keyId]);
    await until(async () => (await ask(other)) === "ok");
    const remove = "DELETE FROM api_keys WHERE id = $1";
    expect(await refusedAfter(other, "UNAUTHENTICATED", () => one.superuser.query(remove, [keyId]))).toBeLessThan(
      WITHIN_MS,
    );
  });

  test("a tenant that was suspended in another one is refused, and served again when it is resumed", async () => {
    await linesOpen(2);
    const suspend = () => one.context.crossTenant.updateTenant(tenantId, { active: false });
    expect(await refusedAfter(other, "TENANT_INACTIVE", suspend)).toBeLessThan(WITHIN_MS);
    await one.context.crossTenant.updateTenant(tenantId, { active: true });
    await until(async () => (await ask(other)) === "ok");
  });
});

test("while the line on which revocations are heard is down, nothing is cached; then it is heard again", async () => {
  const database = new URL(one.database.gatewayUrl).pathname.slice(1);
  await linesOpen(2);
  // Both processes are asked on connections that stay; the lines alone are cut, and cannot come back.
  await Promise.all([ask(one.context), ask(other)]);
  await one.superuser.query(`ALTER DATABASE ${database} WITH CONNECTION LIMIT 0`);
  try {
    await one.superuser.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'atrium revocations'",
    );
    await linesOpen(0);
    for (const active of [false, true, false, true, false]) {
      await one.superuser.query("UPDATE api_keys SET active = $1 WHERE id = $2", [active, keyId]);
      const wanted = active ? "ok" : "UNAUTHENTICATED";
      // The end of a connection is known to its process a moment after it is known to PostgreSQL.
      if (!active) await until(async () => (await ask(other)) === wanted);
      expect(await ask(other)).toBe(wanted);
      await until(async () => (await ask(one.context)) === wanted);
    }
  } finally {
    await one.superuser.query(`ALTER DATABASE ${database} WITH CONNECTION LIMIT -1`);
  }
  await one.superuser.query("UPDATE api_keys SET active = true WHERE id = $1", [keyId]);
  await linesOpen(2);
  expect(await refusedAfter(other, "UNAUTHENTICATED", revoke)).toBeLessThan(WITHIN_MS);
});

async function linesOpen(count: number): Promise<void> {
  await until(async () => {
    const { rows } = await one.superuser.query<{ count: number }>(
      "SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'atrium revocations' AND ($1 = 0 OR query LIKE 'LISTEN%')",
      [count],
    );
    return rows[0]?.count === count;
  });
}
