import { TENANT_OWNED_MODELS } from "../../../src/context/generated/tenancy/models.ts";
import type { TestTenant } from "../../support/tenants.ts";
import { materialOf } from "./material.ts";
import type { Owner } from "./material.ts";

/** A tenant with a row of every model, and what it is called. */
export interface Furnished extends Owner {
  readonly tenant: TestTenant;
}

interface Look {
  /** Stands in every row of this tenant, and in no other. */
  readonly canary: string;
  /** What two tenants may have in common: everything that people choose without thinking of others. */
  readonly alike?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** Gives a tenant one row of each model, parents first. */
export async function furnish(tenant: TestTenant, { canary, alike = {} }: Look): Promise<Furnished> {
  const ids: Record<string, string> = {};
  const models = Object.keys(TENANT_OWNED_MODELS);
  const parents = ["User", "Session"];
  for (const model of [...parents, ...models.filter((name) => !parents.includes(name))]) {
    const data = { ...materialOf(model).row({ tenantId: tenant.id, canary, ids }, `of ${tenant.id}`), ...alike[model] };
    ids[model] = await create(tenant, model, fitting(data, tenant.id));
  }
  return { tenant, tenantId: tenant.id, canary, ids };
}

/** The models whose rows belong to a person, or hang on somebody's session. */
export const PERSONAL_MODELS: readonly string[] = Object.entries(TENANT_OWNED_MODELS).flatMap(([model, { scalars }]) =>
  scalars.includes("userId") || scalars.includes("sessionId") ? [model] : [],
);

/** Gives a person of a tenant one row of each model that can belong to them, and a session of their own. */
export async function furnishPerson(tenant: TestTenant, userId: string, canary: string): Promise<Owner> {
  const ids: Record<string, string> = { User: userId };
  for (const model of ["Session", ...PERSONAL_MODELS.filter((name) => name !== "Session")]) {
    const data = materialOf(model).row({ tenantId: tenant.id, canary, ids }, `of ${userId}`);
    ids[model] = await create(tenant, model, data);
  }
  return { tenantId: tenant.id, canary, ids };
}

/** Hashes have a length, and two tenants of one test never share one. */
function fitting(data: Readonly<Record<string, unknown>>, tenantId: string): Record<string, unknown> {
  const hash = tenantId.replaceAll("-", "").repeat(2);
  const unique = Object.hasOwn(data, "keyHash") ? { keyHash: `${hash.slice(0, 63)}f` } : {};
  const email = typeof data["email"] === "string" ? { email: data["email"].replace(/^of /, "of-") } : {};
  return { ...data, ...unique, ...email };
}

async function create(tenant: TestTenant, model: string, data: object): Promise<string> {
  const client = TENANT_OWNED_MODELS[model]?.client ?? "";
  const operations: unknown = Reflect.get(tenant.db, client);
  const call: unknown = operations instanceof Object ? Reflect.get(operations, "create") : undefined;
  if (typeof call !== "function") throw new Error(`${model} cannot be made`);
  const row: unknown = await Reflect.apply(call, operations, [{ data }]);
  const id: unknown = row instanceof Object ? (Reflect.get(row, "id") ?? Reflect.get(row, "sessionId")) : undefined;
  if (typeof id !== "string") throw new Error(`${model} has no id`);
  return id;
}
