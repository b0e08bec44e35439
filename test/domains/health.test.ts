import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { createTenantContext, TENANT_SOURCES } from "../../src/context/tenant-context.ts";
import type { TenantContext } from "../../src/context/tenant-context.ts";
import * as health from "../../src/services/health.ts";
import { ReadHealthDocument } from "../generated/operations/graphql.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { dataOf } from "../support/send.ts";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterEach(() => void jest.useRealTimers());
afterAll(() => app.close());

/** A context in which the database gives this answer, whatever it is asked. */
async function contextWith(answer: () => Promise<never>): Promise<TenantContext> {
  const { id } = await app.newTenant();
  const { context } = app.app;
  const tenant = await context.crossTenant.tenantById(id);
  if (!tenant) throw new Error("the tenant is missing");
  const actor = { kind: "anonymous", scopes: new Set<never>() } as const;
  const facts = { requestId: "test", ip: undefined, log: context.log, clock: context.clock };
  const ctx = createTenantContext(context, { tenant, source: TENANT_SOURCES.HEADER, actor }, facts);
  return { ...ctx, db: { ...ctx.db, apiKey: { ...ctx.db.apiKey, findFirst: answer } } };
}

describe("health", () => {
  test("tells whoever asks that PostgreSQL answers, and in how many milliseconds", async () => {
    const acme = await app.newTenant();
    const nobodysKey = await acme.withScopes();

    for (const send of [acme.send, nobodysKey, app.anonymous, app.platform]) {
      expect(dataOf(await send(ReadHealthDocument))).toEqual({
        health: {
          ok: true,
          services: [{ name: "postgres", healthy: true, required: true, latencyMs: expect.any(Number), message: null }],
        },
      });
    }
  });

  test("a database that refuses is unhealthy, and so is the gateway; what it said stays in the log", async () => {
    const ctx = await contextWith(() => Promise.reject(new Error("password authentication failed for user atrium")));

    const answer = await health.check(ctx);

    expect(answer).toEqual({
      ok: false,
      services: [{ name: "postgres", healthy: false, required: true, latencyMs: null, message: "It does not answer" }],
    });
    expect(JSON.stringify(app.logs)).toContain("password authentication failed");
  });

  test("a database that never answers is unhealthy after three seconds", async () => {
    const ctx = await contextWith(() => new Promise<never>(() => undefined));
    jest.useFakeTimers();

    const answer = health.check(ctx);
    await jest.advanceTimersByTimeAsync(3_000);

    expect((await answer).ok).toBe(false);
  });
});
