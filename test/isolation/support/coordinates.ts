import { getNamedType, isInputObjectType, isInterfaceType, isObjectType } from "graphql";
import type { GraphQLArgument, GraphQLInputField, GraphQLSchema } from "graphql";

/** Every argument and input field that takes an id, and every one that takes a cursor, as `Type.field(input.id)`. */
export function coordinatesOf(schema: GraphQLSchema): { readonly ids: string[]; readonly cursors: string[] } {
  const ids: string[] = [];
  const cursors: string[] = [];
  for (const type of Object.values(schema.getTypeMap())) {
    if (type.name.startsWith("__") || !(isObjectType(type) || isInterfaceType(type))) continue;
    for (const field of Object.values(type.getFields())) {
      collect(field.args, "", [], (path, kind) => {
        (kind === "id" ? ids : cursors).push(`${type.name}.${field.name}(${path})`);
      });
    }
  }
  return { ids, cursors };
}

function collect(
  inputs: readonly (GraphQLArgument | GraphQLInputField)[],
  prefix: string,
  above: readonly string[],
  found: (path: string, kind: "id" | "cursor") => void,
): void {
  for (const input of inputs) {
    const type = getNamedType(input.type);
    if (type.name === "ID") found(prefix + input.name, "id");
    else if (input.name === "after" || input.name === "before") found(prefix + input.name, "cursor");
    else if (isInputObjectType(type) && !above.includes(type.name)) {
      collect(Object.values(type.getFields()), `${prefix}${input.name}.`, [...above, type.name], found);
    }
  }
}
