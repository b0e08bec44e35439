import { getNamedType, isInterfaceType, isLeafType, isObjectType, isRequiredArgument } from "graphql";
import type { GraphQLArgument, GraphQLField, GraphQLNamedType, GraphQLSchema } from "graphql";

// As deep as a list below an item of a list; the gateway's own limits stay in force, so pages are small.
const DEPTH_MAX = 4;

/** Queries for each field of Query that select all that can be selected below it. `ids` stands in for arguments that take an id. */
export function queriesForEverything(
  schema: GraphQLSchema,
  ids: readonly string[],
): { field: string; queries: string[] }[] {
  const fields = Object.values(schema.getQueryType()?.getFields() ?? {});
  return fields.map((field) => {
    const selections = selectionsOf(schema, getNamedType(field.type));
    return {
      field: field.name,
      queries: argumentsOf(field, ids).flatMap((args) =>
        selections.map((selection) => `query { ${field.name}${args} ${selection} }`),
      ),
    };
  });
}

/** One for each type that an interface stands for: fields of one name and several types do not go into one selection. */
function selectionsOf(schema: GraphQLSchema, type: GraphQLNamedType): string[] {
  if (!isInterfaceType(type)) return [selectAll(schema, type, 1)];
  return schema
    .getPossibleTypes(type)
    .map((possible) => `{ __typename ... on ${possible.name} ${selectAll(schema, possible, 1)} }`);
}

function argumentsOf(field: GraphQLField<unknown, unknown>, ids: readonly string[]): string[] {
  if (field.args.some(({ name }) => name === "first")) return ["(first: 3)"];
  if (field.args.some(({ name }) => name === "ids")) return [`(ids: ["${ids.join('", "')}"])`];
  const required = field.args.filter(isRequiredArgument);
  return required.length === 0
    ? [""]
    : ids.map((id) => `(${required.map((argument) => `${argument.name}: "${valueOf(argument, id)}"`).join(", ")})`);
}

/** What is asked for where an argument is required: a time that today lies in, or the id. */
function valueOf({ name, type }: GraphQLArgument, id: string): string {
  if (getNamedType(type).name !== "DateTime") return id;
  const day = 86_400_000;
  return new Date(Date.now() + (name === "from" ? -day : day)).toISOString();
}

function selectAll(schema: GraphQLSchema, type: GraphQLNamedType, depth: number): string {
  if (isLeafType(type)) return "";
  if (isInterfaceType(type)) {
    const parts = schema
      .getPossibleTypes(type)
      .map((possible) => `... on ${possible.name} ${selectAll(schema, possible, depth)}`);
    return `{ __typename ${parts.join(" ")} }`;
  }
  if (!isObjectType(type)) throw new Error(`${type.name} cannot be selected`);
  const parts = Object.values(type.getFields()).flatMap((field) => {
    const below = getNamedType(field.type);
    if (field.args.some(isRequiredArgument)) return [];
    // `edges` holds what `nodes` holds.
    if (isLeafType(below)) return [field.name];
    if (field.name === "edges" || depth >= DEPTH_MAX) return [];
    const size = field.args.some(({ name }) => name === "first") ? "(first: 2)" : "";
    return [`${field.name}${size} ${selectAll(schema, below, depth + 1)}`];
  });
  return `{ __typename ${parts.join(" ")} }`;
}
