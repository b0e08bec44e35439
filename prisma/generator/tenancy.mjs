// A Prisma generator: writes what the scoped client must know of each model, and the types under which services see it.
// Prisma's own client keeps no description of the models at run time, and its input types offer `tenantId`.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import generatorHelper from "@prisma/generator-helper";

const TENANT_MODEL = "Tenant";

generatorHelper.generatorHandler({
  onManifest: () => ({ prettyName: "Tenancy of the models", defaultOutput: "./generated" }),
  async onGenerate({ dmmf, generator }) {
    const models = dmmf.datamodel.models;
    const owned = models.filter((model) => model.name !== TENANT_MODEL);
    const orphan = owned.find((model) => !model.fields.some((field) => field.name === "tenantId"));
    if (orphan)
      throw new Error(`Model ${orphan.name} has no tenantId. Every model but ${TENANT_MODEL} belongs to a tenant.`);
    mkdirSync(generator.output.value, { recursive: true });
    writeFileSync(path.join(generator.output.value, "models.ts"), describe(owned));
    writeFileSync(path.join(generator.output.value, "client-types.ts"), declareTypes(owned));
  },
});

const lowerFirst = (name) => name.charAt(0).toLowerCase() + name.slice(1);

/** Unique look-ups that begin with the tenant: the name Prisma gives the compound, and its other fields. */
function tenantUniques(model) {
  const compounds = [model.primaryKey, ...model.uniqueIndexes].filter(Boolean);
  return compounds
    .filter((compound) => compound.fields.includes("tenantId"))
    .map((compound) => ({
      name: compound.name ?? compound.fields.join("_"),
      fields: compound.fields.filter((field) => field !== "tenantId"),
    }));
}

/** The field by which a row of a list names the row above it, beside the tenant. */
function foreignKeyOf(models, { type, relationName }) {
  const owning = models
    .find((model) => model.name === type)
    .fields.find((field) => field.relationName === relationName && field.relationFromFields.length > 0);
  return owning.relationFromFields.find((name) => name !== "tenantId");
}

function describe(models) {
  const description = {};
  for (const model of models) {
    const relations = {};
    for (const field of model.fields.filter((candidate) => candidate.kind === "object")) {
      relations[field.name] = {
        model: field.type,
        isList: field.isList,
        isRequired: field.isRequired,
        ...(field.isList && { foreignKey: foreignKeyOf(models, field) }),
      };
    }
    description[model.name] = {
      client: lowerFirst(model.name),
      table: model.dbName ?? model.name,
      scalars: model.fields.filter((field) => field.kind !== "object").map((field) => field.name),
      columns: Object.fromEntries(
        model.fields
          .filter((field) => field.kind !== "object")
          .map((field) => [field.name, field.dbName ?? field.name]),
      ),
      types: Object.fromEntries(
        model.fields
          .filter((field) => field.kind !== "object")
          .map((field) => [field.name, field.isList ? `${field.type}[]` : field.type]),
      ),
      relations,
      uniques: tenantUniques(model),
      hasId: model.fields.some((field) => field.name === "id"),
    };
  }
  return `// Written by prisma/generator/tenancy.mjs.
export interface RelationDescription {
  readonly model: string;
  readonly isList: boolean;
  readonly isRequired: boolean;
  /** Of a list: the field by which its rows name the row above them, beside the tenant. */
  readonly foreignKey?: string;
}
export interface ModelDescription {
  readonly client: string;
  readonly table: string;
  readonly scalars: readonly string[];
  readonly columns: Readonly<Record<string, string>>;
  /** Prisma's name of each field's type, with [] behind it for lists. */
  readonly types: Readonly<Record<string, string>>;
  readonly relations: Readonly<Record<string, RelationDescription>>;
  readonly uniques: readonly { readonly name: string; readonly fields: readonly string[] }[];
  readonly hasId: boolean;
}
export const TENANT_OWNED_MODELS: Readonly<Record<string, ModelDescription>> = ${JSON.stringify(description, null, 2)};
`;
}

function declareTypes(models) {
  const parts = models.map((model) => {
    const name = model.name;
    const unique = tenantUniques(model)
      .map((compound) => `{ ${compound.fields.map((field) => `${field}: string`).join("; ")} }`)
      .join(" | ");
    const hidden = model.fields.some((field) => field.name === "id") ? `"tenantId" | "id"` : `"tenantId"`;
    return `
export interface ${name}Where extends Omit<Prisma.${name}WhereInput, "tenantId" | "tenant" | "AND" | "OR" | "NOT"> {
  AND?: ${name}Where | ${name}Where[];
  OR?: ${name}Where[];
  NOT?: ${name}Where | ${name}Where[];
}
export type ${name}Unique = (${unique}) & Omit<${name}Where, "id">;
export type ${name}Create = Omit<Prisma.${name}CreateManyInput, ${hidden}>;
export type ${name}Update = Omit<Prisma.${name}UncheckedUpdateManyInput, ${hidden}>;
export interface ${name}Operations {
  findUnique<T extends Of<Prisma.${name}FindUniqueArgs, { where: ${name}Unique }>>(args: Exactly<T, Of<Prisma.${name}FindUniqueArgs, { where: ${name}Unique }>>): Promise<Prisma.Result<Prisma.${name}Delegate, T, "findUnique">>;
  findFirst<T extends Of<Prisma.${name}FindFirstArgs, { where?: ${name}Where; cursor?: ${name}Unique }>>(args?: Exactly<T, Of<Prisma.${name}FindFirstArgs, { where?: ${name}Where; cursor?: ${name}Unique }>>): Promise<Prisma.Result<Prisma.${name}Delegate, T, "findFirst">>;
  findMany<T extends Of<Prisma.${name}FindManyArgs, { where?: ${name}Where; cursor?: ${name}Unique }>>(args?: Exactly<T, Of<Prisma.${name}FindManyArgs, { where?: ${name}Where; cursor?: ${name}Unique }>>): Promise<Prisma.Result<Prisma.${name}Delegate, T, "findMany">>;
  create<T extends Of<Prisma.${name}CreateArgs, { data: ${name}Create }>>(args: Exactly<T, Of<Prisma.${name}CreateArgs, { data: ${name}Create }>>): Promise<Prisma.Result<Prisma.${name}Delegate, T, "create">>;
  createMany(args: { data: ${name}Create[]; skipDuplicates?: boolean }): Promise<Prisma.BatchPayload>;
  update<T extends Of<Prisma.${name}UpdateArgs, { where: ${name}Unique; data: ${name}Update }>>(args: Exactly<T, Of<Prisma.${name}UpdateArgs, { where: ${name}Unique; data: ${name}Update }>>): Promise<Prisma.Result<Prisma.${name}Delegate, T, "update">>;
  updateMany(args: { where?: ${name}Where; data: ${name}Update; limit?: number }): Promise<Prisma.BatchPayload>;
  upsert<T extends Of<Prisma.${name}UpsertArgs, { where: ${name}Unique; create: ${name}Create; update: ${name}Update }>>(args: Exactly<T, Of<Prisma.${name}UpsertArgs, { where: ${name}Unique; create: ${name}Create; update: ${name}Update }>>): Promise<Prisma.Result<Prisma.${name}Delegate, T, "upsert">>;
  delete<T extends Of<Prisma.${name}DeleteArgs, { where: ${name}Unique }>>(args: Exactly<T, Of<Prisma.${name}DeleteArgs, { where: ${name}Unique }>>): Promise<Prisma.Result<Prisma.${name}Delegate, T, "delete">>;
  deleteMany(args?: { where?: ${name}Where; limit?: number }): Promise<Prisma.BatchPayload>;
  count(args?: { where?: ${name}Where }): Promise<number>;
  groupBy<T extends Of<Prisma.${name}GroupByArgs, { where?: ${name}Where }>>(args: T): Promise<Grouped<T, Prisma.${name}GroupByOutputType>[]>;
}`;
  });
  return `// Written by prisma/generator/tenancy.mjs.
import type { Prisma } from "../client/client.ts";

type Of<Args, Own> = Omit<Args, keyof Own | "include"> & Own;
type Exactly<T, Allowed> = { [Key in keyof T]: Key extends keyof Allowed ? T[Key] : never };
type Grouped<T, Output> = Pick<Output, Extract<keyof Output, (T extends { by: infer By } ? (By extends readonly (infer Field)[] ? Field : By) : never) | keyof T>>;
${parts.join("\n")}

/** One tenant's rows: what services see of the database. */
export interface TenantDb {
${models.map((model) => `  readonly ${lowerFirst(model.name)}: ${model.name}Operations;`).join("\n")}
}
`;
}
