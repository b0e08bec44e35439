import {
  astFromValue,
  type GraphQLArgument,
  type GraphQLInputField,
  type GraphQLNamedType,
  type GraphQLSchema,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  isRequiredArgument,
  isRequiredInputField,
  isSpecifiedScalarType,
  isUnionType,
  print,
} from "graphql";

/**
 * Compares a schema with the contract. Everything that the contract has must be there exactly: kinds, fields, types with
 * their nullability, arguments, default values, enum values, union members and interfaces. Additions are welcome unless a
 * client written for the contract would break on them: a required argument or input field.
 *
 * @param notYet schema coordinates (`Type`, `Type.field`, `Enum.VALUE`) that are still missing.
 * @returns one sentence for each disagreement; empty when schema and contract agree.
 */
export function disagreements(schema: GraphQLSchema, contract: GraphQLSchema, notYet: readonly string[]): string[] {
  const promised = coordinatesOf(contract);
  const present = coordinatesOf(schema);
  const awaited = new Set(notYet);
  const problems: string[] = [];
  for (const coordinate of awaited) {
    if (!promised.has(coordinate))
      problems.push(`${coordinate} is listed as not yet, but the contract does not have it.`);
    if (present.has(coordinate))
      problems.push(`${coordinate} exists: remove it from the list of what is not yet there.`);
  }
  for (const [coordinate, wanted] of promised) {
    if (enclosing(coordinate).some((name) => awaited.has(name))) continue;
    const found = present.get(coordinate);
    if (found === undefined) problems.push(`${coordinate} is missing: the contract has ${wanted.text}.`);
    else if (found.text !== wanted.text) {
      problems.push(`${coordinate} is ${found.text}, but the contract has ${wanted.text}.`);
    }
  }
  for (const [coordinate, found] of present) {
    const [parent = ""] = enclosing(coordinate).slice(-2);
    if (found.required && !promised.has(coordinate) && promised.has(parent)) {
      problems.push(`${coordinate} is required and not in the contract: clients do not send it.`);
    }
  }
  return problems;
}

interface Described {
  readonly text: string;
  /** A client has to send it. */
  readonly required: boolean;
}

function coordinatesOf(schema: GraphQLSchema): Map<string, Described> {
  const all = Object.values(schema.getTypeMap()).filter(
    (type) => !type.name.startsWith("__") && !isSpecifiedScalarType(type),
  );
  return new Map(
    all.flatMap(entriesOf).map(([coordinate, text, required = false]) => [coordinate, { text, required }]),
  );
}

type Entry = [coordinate: string, text: string, required?: boolean];

function entriesOf(type: GraphQLNamedType): Entry[] {
  const own: Entry = [type.name, `a ${type.constructor.name.replace(/^GraphQL(.*?)(Type)?$/, "$1")}`];
  if (isObjectType(type) || isInterfaceType(type)) {
    const fields = Object.values(type.getFields()).flatMap((field): Entry[] => [
      [`${type.name}.${field.name}`, String(field.type)],
      ...field.args.map((argument): Entry => {
        const coordinate = `${type.name}.${field.name}(${argument.name}:)`;
        return [coordinate, inputOf(argument), isRequiredArgument(argument)];
      }),
    ]);
    const interfaces = type.getInterfaces().map(({ name }): Entry => [`${type.name}:${name}`, `implements ${name}`]);
    return [own, ...interfaces, ...fields];
  }
  if (isInputObjectType(type)) {
    const fields = Object.values(type.getFields());
    return [
      own,
      ...fields.map((field): Entry => [`${type.name}.${field.name}`, inputOf(field), isRequiredInputField(field)]),
    ];
  }
  if (isEnumType(type)) return [own, ...type.getValues().map(({ name }): Entry => [`${type.name}.${name}`, "a value"])];
  if (isUnionType(type))
    return [own, ...type.getTypes().map(({ name }): Entry => [`${type.name}.${name}`, "a member"])];
  return [own];
}

function inputOf(input: GraphQLArgument | GraphQLInputField): string {
  const value = input.defaultValue === undefined ? undefined : astFromValue(input.defaultValue, input.type);
  return value ? `${String(input.type)} = ${print(value)}` : String(input.type);
}

/** `A.b(c:)` lies in `A` and in `A.b`; the coordinate itself comes last. */
function enclosing(coordinate: string): string[] {
  const [type = coordinate] = coordinate.split(/[.:(]/);
  const [field = coordinate] = coordinate.split(/[:(]/);
  return [...new Set([type, field, coordinate])];
}
