import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { dataOf } from "../support/send.ts";

const ASK = "{ sessions { totalCount } }";
const TENANTS_NAMED = 50;
const CLIENTS_NAMED = 50;
const PATIENCE_MS = 60_000; // many tenants are made, on a machine that is busy with other tests

async function metricsOf(app: TestApp): Promise<string> {
  return (await fetch(`${app.app.url}/metrics`)).text();
}

/** The values of a label, in the samples of one metric. */
function labels(text: string, metric: string, label: string): string[] {
  const samples = text.split("\n").filter((line) => line.startsWith(`${metric}{`));
  return samples.map((line) => new RegExp(`${label}="([^"]*)"`).exec(line)?.[1] ?? "");
}

describe("/metrics", () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp();
  });
  afterAll(() => app.close());

  test("names no tenant unless the operator asks for it", async () => {
    const { send, id } = await app.newTenant();
    await send(ASK);
    const text = await metricsOf(app);

    expect(text).not.toContain(id);
    expect(text).not.toContain("atrium_tenant_usage_total");
    expect(text).not.toMatch(/^atrium_\S*\{[^}]*\btenant="/m);
  });

  test("says how much usage waits to be written, and that it was", async () => {
    const { send } = await app.newTenant();
    await send(ASK);

    expect(await metricsOf(app)).toMatch(/^atrium_usage_unflushed [1-9]/m);
    await app.app.context.meters.flush();
    const text = await metricsOf(app);
    for (const line of ["atrium_usage_unflushed 0", "atrium_usage_flush_failures_total 0", "atrium_usage_lost_total 0"])
      expect(text).toContain(`${line}\n`);
  });

  test("names the clients without a credential, of which there are at most 50 and the others", async () => {
    for (let each = 0; each < CLIENTS_NAMED + 5; each += 1)
      await app.anonymous(ASK, {}, { "apollographql-client-name": `client ${each}` });
    const text = await metricsOf(app);

    expect(text).toContain('atrium_open_access_requests_total{via="default",client="client 0"} 1\n');
    expect(text).toContain('atrium_open_access_requests_total{via="default",client="others"} 5\n');
    expect(labels(text, "atrium_open_access_requests_total", "client")).toHaveLength(CLIENTS_NAMED + 1);
  });
});

test(
  "/metrics names the 50 busiest tenants where the operator asks for it, and no more",
  async () => {
    const app = await startApp({ METRICS_TENANTS: "on" });
    const tenants = await Promise.all(Array.from({ length: TENANTS_NAMED + 5 }, () => app.newTenant()));
    const busiest = tenants.at(-1);
    await Promise.all(tenants.map(async ({ send }) => dataOf(await send(ASK))));
    for (let each = 0; each < 2; each += 1) await busiest?.send(ASK);
    const text = await metricsOf(app);
    await app.close();

    expect(new Set(labels(text, "atrium_tenant_usage_total", "tenant")).size).toBe(TENANTS_NAMED);
    expect(new Set(labels(text, "atrium_tenant_usage_total", "metric"))).toEqual(new Set(["requests", "complexity"]));
    expect(text).toContain(`atrium_tenant_usage_total{tenant="${busiest?.id ?? ""}",metric="requests"} 3\n`);
  },
  PATIENCE_MS,
);
