import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { request } from "node:http";
import pg from "pg";
import { z } from "zod";
import { expectedMigration } from "../../src/migrate/migrate.ts";
import { PLATFORM_KEY, startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { rawPost } from "../support/raw-request.ts";
import { refusalOf } from "../support/refusal.ts";
import { dataOf } from "../support/send.ts";

const ORIGIN = "https://app.example";
const SAMPLE_KEY = "atr_sample00_a-key-of-a-sample-tenant</script>";

let app: TestApp;
let base: string;
beforeAll(async () => {
  app = await startApp({ CORS_ORIGINS: ORIGIN }, { sampleKey: SAMPLE_KEY });
  base = app.app.url;
});
afterAll(() => app.close());

async function get(route: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${base}${route}`, { headers });
}

/** The playground as somebody gets it who knows this machine by that name; fetch would set its own. */
async function pageUnder(host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request(`${base}/playground`, { headers: { Host: host } }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("end", () => resolve(Buffer.concat(chunks).toString()));
    })
      .on("error", reject)
      .end();
  });
}

/** One statement as the owner of the tables. */
async function asOwner(statement: string, values: string[] = []): Promise<void> {
  const client = new pg.Client({ connectionString: app.database.ownerUrl });
  await client.connect();
  await client.query(statement, values);
  await client.end();
}

describe("/livez and /readyz", () => {
  test("say that the process runs, and that it can serve", async () => {
    expect([(await get("/livez")).status, (await get("/readyz")).status]).toEqual([200, 200]);
    expect(await (await get("/readyz")).json()).toEqual({
      ok: true,
      checks: { database: "ok", migrations: "ok", process: "ok" },
    });
  });

  test("are not ready until the last migration of this version is applied", async () => {
    const step = [expectedMigration()];
    await asOwner("UPDATE _prisma_migrations SET finished_at = NULL WHERE migration_name = $1", step);
    const behind = await get("/readyz");
    await asOwner("UPDATE _prisma_migrations SET finished_at = now() WHERE migration_name = $1", step);

    expect(behind.status).toBe(503);
    expect(await behind.json()).toEqual({
      ok: false,
      checks: { database: "ok", migrations: "behind", process: "ok" },
    });
    expect((await get("/livez")).status).toBe(200);
    expect((await get("/readyz")).status).toBe(200);
  });
});

describe("/metrics", () => {
  test("counts requests by outcome, and who relies on no credential", async () => {
    const { send, id } = await app.newTenant();
    await send("{ __typename }");
    await send("{ nothing }");
    await app.anonymous("{ __typename }");
    await app.anonymous("{ __typename }", {}, { "X-Tenant-ID": id });
    const text = await (await get("/metrics")).text();

    for (const line of [
      `atrium_requests_total{route="/graphql",outcome="ok"} 3`,
      `atrium_requests_total{route="/graphql",outcome="client_error"} 1`,
      `atrium_request_duration_seconds_count{route="/graphql"} 4`,
      `atrium_tenant_resolutions_total{source="api_key",credential="yes"} 2`,
      `atrium_tenant_resolutions_total{source="default",credential="no"} 1`,
      `atrium_tenant_resolutions_total{source="header",credential="no"} 1`,
    ]) {
      expect(text).toContain(`${line}\n`);
    }
    expect(text).toMatch(/^atrium_statements_total \d+$/m);
    expect(text).toMatch(/^atrium_pool_connections\{state="idle"\} [1-9]/m);
    expect(text).not.toContain(id);
  });

  test("are for this machine, and for the platform administrator from elsewhere", async () => {
    const { key } = await app.newTenant();
    const elsewhere = { "X-Forwarded-For": "203.0.113.7" };

    expect((await get("/metrics")).status).toBe(200);
    expect((await get("/metrics", { ...elsewhere, "X-API-Key": PLATFORM_KEY })).status).toBe(200);
    expect(await refusalOf(await get("/metrics", elsewhere))).toMatchObject({ status: 401, code: "UNAUTHENTICATED" });
    expect(await refusalOf(await get("/metrics", { ...elsewhere, "X-API-Key": key }))).toMatchObject({
      status: 403,
      code: "FORBIDDEN",
    });
  });
});

describe("/playground", () => {
  test("comes wholly from this process, under a policy that allows nothing else", async () => {
    const response = await get("/playground");
    const html = await response.text();
    const policy = response.headers.get("content-security-policy") ?? "";
    const addresses = [...html.matchAll(/(?:src|href)="([^"]*)"|from "([^"]*)"/g)].map(([, a, b]) => a ?? b);

    expect(addresses.length).toBeGreaterThan(2);
    for (const address of addresses) expect(address).toMatch(/^\/playground\/static\/|^data:,$/);
    expect(html).not.toMatch(/https?:\/\//);
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toMatch(/https?:|\*|unsafe-eval|script-src[^;]*unsafe-inline/);
    for (const address of addresses.filter((each) => each !== "data:,")) {
      const file = await get(address ?? "");
      expect([address, file.status]).toEqual([address, 200]);
      expect(Number(file.headers.get("content-length"))).toBeGreaterThan(100);
    }
  });

  test("has the sample key filled in for this machine, and nothing in it ends the script", async () => {
    const html = await (await get("/playground")).text();

    expect(html).toContain("atr_sample00_a-key-of-a-sample-tenant\\u003c/script>");
    expect(html).not.toContain(SAMPLE_KEY);
  });

  test("keeps the sample key from whoever comes through a proxy, or by another name than this machine's own", async () => {
    const bodies = await Promise.all([
      get("/playground", { "X-Forwarded-For": "203.0.113.7" }).then((response) => response.text()),
      get("/playground", { Forwarded: "for=203.0.113.7" }).then((response) => response.text()),
      pageUnder("rebound.example"),
      pageUnder("localhost.rebound.example:4000"),
    ]);

    for (const html of bodies) expect(html).not.toContain("atr_sample00");
    for (const host of ["localhost:4000", "LOCALHOST", "127.0.0.1", "[::1]:4000"]) {
      expect([host, await pageUnder(host)]).toEqual([host, expect.stringContaining("atr_sample00")]);
    }
  });

  test("begins with a query that answers", async () => {
    const html = await (await get("/playground")).text();
    const [, settings = ""] = /Object\.assign\(RURU_CONFIG, (.*)\);<\/script>/.exec(html) ?? [];
    const { defaultQuery } = z.object({ defaultQuery: z.string() }).parse(JSON.parse(settings));
    const { send, name } = await app.newTenant();

    expect(dataOf(await send(defaultQuery))).toMatchObject({ tenantContext: { tenant: { name } } });
  });

  test("has no files but its own", async () => {
    for (const path of ["nope.js", "../server.js", "..%2f..%2fpackage.json", "ruru.js.map"]) {
      expect([path, (await get(`/playground/static/${path}`)).status]).toEqual([path, 404]);
    }
  });
});

describe("every answer", () => {
  test("outside of GraphQL has the shape of a GraphQL error when it is one", async () => {
    for (const [route, method] of [
      ["/nothing", "GET"],
      ["/graphql/", "GET"],
      ["/graphql", "DELETE"],
      ["/livez", "POST"],
    ] as const) {
      expect(await refusalOf(await fetch(`${base}${route}`, { method }))).toMatchObject({
        status: 404,
        code: "NOT_FOUND",
      });
    }
  });

  test("tells browsers to guess nothing and to frame nothing", async () => {
    for (const route of ["/livez", "/nothing", "/schema.graphql"]) {
      const { headers } = await get(route);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("content-security-policy")).toBe("default-src 'none';frame-ancestors 'none'");
    }
  });

  test("may be read by pages of the configured origins and of no other", async () => {
    async function preflight(origin: string) {
      const headers = {
        Origin: origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key",
      };
      return fetch(app.url, { method: "OPTIONS", headers });
    }
    const allowed = await preflight(ORIGIN);

    expect(allowed.headers.get("access-control-allow-origin")).toBe(ORIGIN);
    expect(allowed.headers.get("access-control-allow-headers")).toContain("X-API-Key");
    expect(allowed.headers.get("access-control-allow-credentials")).toBeNull();
    expect((await preflight("https://evil.example")).headers.get("access-control-allow-origin")).toBeNull();
    const answer = await rawPost(
      app.url,
      [
        ["Content-Type", "application/json"],
        ["Origin", ORIGIN],
      ],
      `{"query":"{ __typename }"}`,
    );
    expect(answer.headers).toMatchObject({
      "access-control-allow-origin": ORIGIN,
      vary: expect.stringMatching(/Authorization, X-API-Key, X-Tenant-ID.*Origin/),
    });
  });
});
