import {
  getNullableType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isRequiredArgument,
  isRequiredInputField,
} from "graphql";
import type { GraphQLField, GraphQLInputType, GraphQLOutputType } from "graphql";
import { randomUUID } from "node:crypto";

/** Gives the id for an argument, by its path in the arguments: `input.id`. */
type IdOf = (path: string) => string;

/**
 * A field with the arguments that it cannot do without, well-formed and harmless, and small pages: what remains to be seen is whether the
 * caller may. Texts are new each time.
 */
export function callOf(field: GraphQLField<unknown, unknown>, idOf: IdOf): string {
  const required = field.args
    .filter(isRequiredArgument)
    .map(({ name, type }) => `${name}: ${literalOf(type, name, idOf)}`);
  const page = field.args.some(({ name }) => name === "first") ? ["first: 4"] : [];
  const given = [...required, ...page];
  return given.length === 0 ? field.name : `${field.name}(${given.join(", ")})`;
}

/** The least that can be selected of a type. */
export function leastOf(type: GraphQLOutputType): string {
  const inner = getNullableType(type);
  if (isListType(inner)) return leastOf(inner.ofType);
  return isLeafType(inner) ? "" : "{ __typename }";
}

const SCALARS: Readonly<Record<string, (path: string, idOf: IdOf) => string>> = {
  ID: (path, idOf) => JSON.stringify(idOf(path)),
  String: () => JSON.stringify(`text ${randomUUID()}`),
  EmailAddress: () => JSON.stringify(`${randomUUID()}@example.com`),
  URL: () => '"https://example.com/"',
  TimeZone: () => '"UTC"',
  DateTime: () => '"2026-01-01T00:00:00Z"',
  JSONObject: () => "{}",
  Boolean: () => "false",
  Int: () => "1",
  Float: () => "1",
  BigInt: () => "1",
};

// Nobody may give a scope away that they do not have; whoever makes keys has this one.
const WORDS: Readonly<Record<string, string>> = { Scope: "TENANT_ADMIN" };

function literalOf(type: GraphQLInputType, path: string, idOf: IdOf): string {
  const inner = getNullableType(type);
  if (isListType(inner)) return `[${literalOf(inner.ofType, path, idOf)}]`;
  if (isEnumType(inner)) return WORDS[inner.name] ?? inner.getValues()[0]?.name ?? "null";
  if (isInputObjectType(inner)) {
    const fields = Object.values(inner.getFields()).filter(isRequiredInputField);
    return `{ ${fields.map((field) => `${field.name}: ${literalOf(field.type, `${path}.${field.name}`, idOf)}`).join(", ")} }`;
  }
  const scalar = SCALARS[inner.name];
  if (!scalar) throw new Error(`no value of ${inner.name} is known: add one to test/isolation/support/harmless.ts`);
  return scalar(path, idOf);
}
