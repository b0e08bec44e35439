import { TENANT_OWNED_MODELS } from "./generated/tenancy/models.ts";
import type { ModelDescription } from "./generated/tenancy/models.ts";

type Args = Readonly<Record<string, unknown>>;

/** A call that the scoped client does not allow. A programming error: no client of the API can cause it. */
export class ScopeRefusal extends Error {
  override readonly name = "ScopeRefusal";
}

// What each operation may carry. Prisma's own list is compared with this one by a test: an operation added by an upgrade is refused until
// somebody has thought about it.
const READ = ["where", "select", "include", "omit", "relationLoadStrategy"];
const LIST = [...READ, "orderBy", "cursor", "take", "skip", "distinct"];
const AGGREGATES = ["_count", "_avg", "_sum", "_min", "_max"];
const SHAPE = ["select", "include", "omit", "relationLoadStrategy"];
export const SCOPED_OPERATIONS: Readonly<Record<string, readonly string[]>> = {
  findUnique: READ,
  findUniqueOrThrow: READ,
  findFirst: LIST,
  findFirstOrThrow: LIST,
  findMany: LIST,
  create: [...SHAPE, "data"],
  createMany: ["data", "skipDuplicates"],
  createManyAndReturn: [...SHAPE, "data", "skipDuplicates"],
  update: [...READ, "data"],
  updateMany: ["where", "data", "limit"],
  updateManyAndReturn: [...READ, "data", "limit"],
  upsert: [...READ, "create", "update"],
  delete: READ,
  deleteMany: ["where", "limit"],
  count: ["where", "orderBy", "cursor", "take", "skip", "select"],
  aggregate: ["where", "orderBy", "cursor", "take", "skip", ...AGGREGATES],
  groupBy: ["where", "by", "having", "orderBy", "take", "skip", ...AGGREGATES],
};
/** The tables of the models that belong to a tenant. */
export function tenantTables(): readonly string[] {
  return Object.values(TENANT_OWNED_MODELS).map(({ table }) => table);
}

const BY_UNIQUE = new Set(["findUnique", "findUniqueOrThrow", "update", "upsert", "delete"]);
const LOGIC = new Set(["AND", "OR", "NOT"]);

/**
 * Rewrites the arguments of one Prisma call so that it can only concern one tenant's rows.
 *
 * The tenant goes into every `where` (unique look-ups at top level, others as AND), `cursor` and `data`, and into every nested list that is
 * read or filtered by. Whatever could reach around it is refused: nested writes, explicit tenants and ids, the Tenant model, filters on
 * optional relations (wrong with composite keys in Prisma 7.10), ordering by relations, unknown models, operations and clauses.
 *
 * @param tenantId a UUID, already validated.
 * @throws ScopeRefusal for anything not known to be safe.
 */
export function scopeToTenant(tenantId: string, modelName: string | undefined, operation: string, args: unknown): Args {
  const model = describe(modelName);
  const allowed = SCOPED_OPERATIONS[operation];
  if (!allowed) throw new ScopeRefusal(`${operation} is not available on a tenant's rows`);
  const given = asObject(args ?? {}, "arguments");
  for (const key of Object.keys(given)) {
    if (!allowed.includes(key)) throw new ScopeRefusal(`${operation} does not take ${key}`);
  }
  const scoped: Record<string, unknown> = { ...given };
  if (allowed.includes("where")) {
    scoped["where"] = BY_UNIQUE.has(operation)
      ? scopeUnique(tenantId, model, given["where"])
      : { AND: [{ tenantId }, scopeWhere(tenantId, model, given["where"] ?? {})] };
  }
  if (given["cursor"] !== undefined) scoped["cursor"] = scopeUnique(tenantId, model, given["cursor"]);
  for (const key of ["data", "create"]) {
    if (given[key] !== undefined)
      scoped[key] = scopeData(tenantId, model, given[key], operation.startsWith("update") ? "change" : "new");
  }
  if (given["update"] !== undefined) scoped["update"] = scopeData(tenantId, model, given["update"], "change");
  for (const key of ["select", "include"]) {
    if (given[key] !== undefined && operation !== "count") scoped[key] = scopeShape(tenantId, model, given[key]);
  }
  if (given["orderBy"] !== undefined) refuseRelations(model, given["orderBy"], "orderBy");
  if (given["having"] !== undefined) refuseTenant(given["having"], "having");
  return scoped;
}

function describe(name: string | undefined): ModelDescription {
  const model = name === undefined ? undefined : TENANT_OWNED_MODELS[name];
  if (!model) throw new ScopeRefusal(`${name ?? "raw SQL"} is not available on a tenant's rows`);
  return model;
}

function asObject(value: unknown, what: string): Args {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ScopeRefusal(`${what} must be an object`);
  return { ...value };
}

function scopeUnique(tenantId: string, model: ModelDescription, where: unknown): Args {
  const given = asObject(where ?? {}, "where");
  const unique = model.uniques.find((candidate) => candidate.fields.every((field) => typeof given[field] === "string"));
  if (!unique)
    throw new ScopeRefusal("a unique look-up names the fields of a key that begins with the tenant, as plain strings");
  const rest = Object.fromEntries(Object.entries(given).filter(([key]) => !unique.fields.includes(key)));
  const key = Object.fromEntries(unique.fields.map((field) => [field, given[field]]));
  return { AND: scopeWhere(tenantId, model, rest), [unique.name]: { tenantId, ...key } };
}

function scopeWhere(tenantId: string, model: ModelDescription, where: unknown): Args {
  const scoped: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(asObject(where, "where"))) {
    if (LOGIC.has(key)) {
      scoped[key] = Array.isArray(value)
        ? value.map((part) => scopeWhere(tenantId, model, part))
        : value === undefined
          ? undefined
          : scopeWhere(tenantId, model, value);
    } else if (model.relations[key]) {
      scoped[key] = value === undefined ? undefined : scopeRelationFilter(tenantId, model, key, value);
    } else {
      requireScalar(model, key, "where");
      scoped[key] = value;
    }
  }
  return scoped;
}

function scopeRelationFilter(tenantId: string, model: ModelDescription, key: string, filter: unknown): Args {
  const relation = model.relations[key];
  if (!relation?.isList)
    throw new ScopeRefusal(`filter by ${key}Id, not by ${key}: to-one filters are wrong with composite keys`);
  const target = describe(relation.model);
  const scoped: Record<string, unknown> = {};
  for (const [quantifier, condition] of Object.entries(asObject(filter, key))) {
    if (condition === undefined) continue;
    const inner = scopeWhere(tenantId, target, condition);
    if (quantifier === "some" || quantifier === "none") scoped[quantifier] = { AND: [{ tenantId }, inner] };
    // "every" would look at all rows that the relation reaches, so it is said as "none of ours is otherwise".
    else if (quantifier === "every") scoped["none"] = { AND: [{ tenantId }, { NOT: inner }] };
    else throw new ScopeRefusal(`${key}.${quantifier} is not a known filter`);
  }
  return scoped;
}

function scopeData(tenantId: string, model: ModelDescription, data: unknown, purpose: "new" | "change"): unknown {
  if (Array.isArray(data)) return data.map((row) => scopeData(tenantId, model, row, purpose));
  const given = asObject(data, "data");
  for (const key of Object.keys(given)) {
    if (model.relations[key])
      throw new ScopeRefusal(`write the foreign key, not ${key}: nested writes can move rows between tenants`);
    requireScalar(model, key, "data");
    if (key === "id") throw new ScopeRefusal("ids are made by the database");
  }
  return purpose === "new" ? { ...given, tenantId } : given;
}

function scopeShape(tenantId: string, model: ModelDescription, shape: unknown): Args {
  const scoped: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(asObject(shape, "select"))) {
    const relation = model.relations[key];
    if (key === "_count") scoped[key] = scopeCounts(tenantId, model, value);
    else if (!relation || value === false || value === undefined) scoped[key] = value;
    else scoped[key] = scopeRelationRead(tenantId, relation.model, relation.isList, value);
  }
  return scoped;
}

function scopeRelationRead(tenantId: string, modelName: string, isList: boolean, read: unknown): Args {
  const target = describe(modelName);
  const given = read === true ? {} : asObject(read, "relation");
  const scoped: Record<string, unknown> = { ...given };
  for (const key of Object.keys(given)) {
    if (!LIST.includes(key)) throw new ScopeRefusal(`a nested read does not take ${key}`);
  }
  // A single related row is reached through a key that contains the tenant; Prisma takes no filter there.
  if (isList) scoped["where"] = { AND: [{ tenantId }, scopeWhere(tenantId, target, given["where"] ?? {})] };
  else if (given["where"] !== undefined) throw new ScopeRefusal("a single related row takes no filter");
  if (given["cursor"] !== undefined) scoped["cursor"] = scopeUnique(tenantId, target, given["cursor"]);
  if (given["orderBy"] !== undefined) refuseRelations(target, given["orderBy"], "orderBy");
  for (const key of ["select", "include"]) {
    if (given[key] !== undefined) scoped[key] = scopeShape(tenantId, target, given[key]);
  }
  return scoped;
}

function scopeCounts(tenantId: string, model: ModelDescription, counts: unknown): unknown {
  if (typeof counts !== "object" || counts === null) throw new ScopeRefusal("_count names the relations to count");
  const selected = asObject(asObject(counts, "_count")["select"] ?? {}, "_count.select");
  const select: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(selected)) {
    const relation = model.relations[key];
    if (!relation?.isList) throw new ScopeRefusal(`${key} cannot be counted`);
    const where = value === true ? {} : (asObject(value, key)["where"] ?? {});
    select[key] = { where: { AND: [{ tenantId }, scopeWhere(tenantId, describe(relation.model), where)] } };
  }
  return { select };
}

function requireScalar(model: ModelDescription, key: string, clause: string): void {
  if (key === "tenantId") throw new ScopeRefusal(`${clause} names a tenant; it comes from the context alone`);
  if (!model.scalars.includes(key)) throw new ScopeRefusal(`${clause} does not take ${key}`);
}

function refuseRelations(model: ModelDescription, orderBy: unknown, clause: string): void {
  for (const part of Array.isArray(orderBy) ? orderBy : [orderBy]) {
    for (const key of Object.keys(asObject(part, clause))) {
      if (!AGGREGATES.includes(key) && !model.scalars.includes(key))
        throw new ScopeRefusal(`${clause} does not take ${key}`);
    }
  }
}

function refuseTenant(value: unknown, clause: string): void {
  if (Array.isArray(value)) for (const part of value) refuseTenant(part, clause);
  else if (typeof value === "object" && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      if (key === "tenantId" || key === "tenant")
        throw new ScopeRefusal(`${clause} names a tenant; it comes from the context alone`);
      refuseTenant(inner, clause);
    }
  }
}
