import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { CreateTenantDocument, ReadTrailDocument, UpdateTenantDocument } from "../generated/operations/graphql.ts";
import type { CreateTenantInput, CreateTenantMutation } from "../generated/operations/graphql.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf, sendTo } from "../support/send.ts";
import { anId } from "../support/tenants.ts";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

function aName(): string {
  return `Tenant ${anId()}`;
}

async function create(input: CreateTenantInput): Promise<CreateTenantMutation["createTenant"]> {
  return dataOf(await app.platform(CreateTenantDocument, { input })).createTenant;
}

describe("the trail of what the platform did to a tenant", () => {
  test("is in the tenant concerned, whichever tenant the administrator named", async () => {
    const elsewhere = await app.newTenant();
    const { tenant, apiKey } = await create({ name: aName(), plan: "PRO" });
    const { id } = tenant;
    dataOf(await app.platform(UpdateTenantDocument, { input: { id, active: false } }, { "X-Tenant-ID": elsewhere.id }));
    dataOf(
      await app.platform(
        UpdateTenantDocument,
        { input: { id, active: true, limits: null } },
        { "X-Tenant-ID": elsewhere.id },
      ),
    );

    const trail = dataOf(await sendTo(app.url, { "X-API-Key": apiKey })(ReadTrailDocument)).auditEvents.nodes;

    expect(trail).toEqual([
      {
        action: "tenant.update",
        actor: "platform",
        target: id,
        details: { changed: ["active", "limits"] },
      },
      { action: "tenant.update", actor: "platform", target: id, details: { changed: ["active"] } },
      {
        action: "tenant.create",
        actor: "platform",
        target: id,
        details: { name: tenant.name, plan: "pro" },
      },
    ]);
    expect(dataOf(await elsewhere.send(ReadTrailDocument)).auditEvents.nodes).toEqual([]);
  });

  test("has nothing of what was refused", async () => {
    const acme = await app.newTenant();
    const { tenant } = await create({ name: aName() });

    const taken = await app.platform(UpdateTenantDocument, { input: { id: acme.id, name: tenant.name } });
    const forbidden = await acme.send(UpdateTenantDocument, { input: { id: acme.id, name: aName() } });

    expect([taken, forbidden].map(codesOf)).toEqual([["CONFLICT"], ["FORBIDDEN"]]);
    expect(dataOf(await acme.send(ReadTrailDocument)).auditEvents.nodes).toEqual([]);
  });
});
