import { describe, expect, test } from "@jest/globals";
import {
  buildSchema,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isIntrospectionType,
  isListType,
  isNonNullType,
  isObjectType,
  isScalarType,
  isSpecifiedScalarType,
} from "graphql";
import type { GraphQLArgument, GraphQLNamedType, GraphQLSchema, GraphQLType } from "graphql";
import { FIELDS, OPERATIONS } from "../../src/context/permissions.ts";
import { buildAtriumSchema } from "../../src/resolvers/index.ts";

/** Mutations that the contract gives arguments of their own, with these. All others take one `input`, or a bare `id`. */
const OWN_ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  clearShortTermMemory: ["sessionId"],
  completeSignIn: ["code"],
  deleteNotifications: ["ids"],
  deleteSession: ["id", "hard"],
  forget: ["ids"],
  logout: ["allDevices"],
  markAllNotificationsRead: ["filter"],
  refreshToken: ["refreshToken"],
  requestPasswordReset: ["email"],
  resendInvitation: ["userId"],
  verifyEmail: ["token"],
};
/** Mutations that share a payload, or answer with something simple, as the contract says. */
const OTHER_ANSWERS: Readonly<Record<string, string>> = {
  archiveSession: "SessionPayload",
  changePassword: "AuthPayload",
  clearShortTermMemory: "Boolean",
  completeSignIn: "AuthPayload",
  confirmPasswordReset: "AuthPayload",
  createApiKey: "CreateApiKeyPayload",
  createIdentityProvider: "IdentityProviderPayload",
  createMessage: "MessagePayload",
  createSession: "SessionPayload",
  createUser: "UserPayload",
  login: "AuthPayload",
  logout: "Boolean",
  markAllNotificationsRead: "MarkNotificationsReadPayload",
  markNotificationRead: "NotificationPayload",
  refreshToken: "AuthPayload",
  requestPasswordReset: "Boolean",
  resendInvitation: "Boolean",
  restoreSession: "SessionPayload",
  revokeApiKey: "ApiKeyPayload",
  rotateApiKey: "CreateApiKeyPayload",
  setShortTermMemory: "ShortTermMemoryPayload",
  updateIdentityProvider: "IdentityProviderPayload",
  updateIntegration: "IntegrationPayload",
  updateMemory: "LongTermMemoryPayload",
  updateProfile: "UserPayload",
  updateSession: "SessionPayload",
  updateTenant: "TenantPayload",
  updateUser: "UserPayload",
  verifyEmail: "UserPayload",
};
/** The one list whose items may be null: an id that finds nothing keeps its place. */
const LISTS_WITH_GAPS = ["Query.nodes"];
const LISTS = ["first", "after", "last", "before"];

interface Place {
  readonly where: string;
  readonly description: string | null | undefined;
  readonly type?: GraphQLType;
}

/** A field of an object, an interface or an input, as far as these rules look at it. */
interface FieldFacts {
  readonly name: string;
  readonly type: GraphQLType;
  readonly description?: string | null | undefined;
  readonly deprecationReason?: string | null | undefined;
  readonly args: readonly GraphQLArgument[];
}

function fieldsOf(type: GraphQLNamedType | null | undefined): readonly FieldFacts[] {
  if (isObjectType(type) || isInterfaceType(type)) return Object.values(type.getFields());
  return isInputObjectType(type) ? Object.values(type.getFields()).map((field) => ({ ...field, args: [] })) : [];
}

function typesOf(schema: GraphQLSchema): readonly GraphQLNamedType[] {
  return Object.values(schema.getTypeMap()).filter(
    (type) => !isIntrospectionType(type) && !isSpecifiedScalarType(type),
  );
}

/** Every type, field, argument and enum value, with its coordinate. */
function placesOf(schema: GraphQLSchema): readonly Place[] {
  return typesOf(schema).flatMap((type) => [
    ...(isRoot(type) || isScalarType(type) ? [] : [{ where: type.name, description: type.description }]),
    ...(isEnumType(type) ? type.getValues() : []).map(({ name, description }) => ({
      where: `${type.name}.${name}`,
      description,
    })),
    ...fieldsOf(type).flatMap((field) => [
      { where: `${type.name}.${field.name}`, description: field.description, type: field.type },
      ...field.args.map((argument) => ({
        where: `${type.name}.${field.name}(${argument.name}:)`,
        description: argument.description,
        type: argument.type,
      })),
    ]),
  ]);
}

/** The roots are put together from every domain, and have nothing to say of themselves. */
function isRoot({ name }: GraphQLNamedType): boolean {
  return ["Query", "Mutation", "Subscription"].includes(name);
}

/** What conventions.md §6 forbids, one line each. */
function breaches(schema: GraphQLSchema): string[] {
  const places = placesOf(schema);
  const mutations = fieldsOf(schema.getMutationType());
  return [
    ...places
      .filter(({ description }) => !isSentence(description))
      .map(({ where }) => `${where} is not described by a sentence`),
    ...typesOf(schema).flatMap(namesIn),
    ...places.filter(({ where }) => namesTenant(where)).map(({ where }) => `${where} names a tenant`),
    ...places
      .filter(({ where, type }) => type && hasNullItems(type) && !LISTS_WITH_GAPS.includes(where))
      .map(({ where }) => `${where} is a list with items that may be null`),
    ...mutations.flatMap(mutationBreaches),
    ...typesOf(schema).flatMap((type) => fieldsOf(type).flatMap((field) => listBreaches(type, field))),
    ...typesOf(schema).flatMap((type) => fieldsOf(type).flatMap((field) => deprecationBreaches(type, field))),
  ].sort();
}

/** The contract's mark of the platform's operations stands before the sentence. */
function isSentence(description: string | null | undefined): boolean {
  return /^(@platform )?[A-Z0-9][^]*\.$/.test(description ?? "");
}

function namesIn(type: GraphQLNamedType): string[] {
  const wrong: string[] = [];
  if (!/^[A-Z][A-Za-z0-9]*$/.test(type.name)) wrong.push(`${type.name} is not in PascalCase`);
  if (isInputObjectType(type) && !/(Input|Filter|Order)$/.test(type.name))
    wrong.push(`${type.name} is an input that does not say so`);
  if (isEnumType(type)) {
    for (const { name } of type.getValues())
      if (!/^[A-Z][A-Z0-9_]*$/.test(name)) wrong.push(`${type.name}.${name} is not in UPPER_SNAKE_CASE`);
  }
  for (const field of fieldsOf(type)) {
    const names = [field.name, ...field.args.map(({ name }) => name)];
    wrong.push(
      ...names
        .filter((name) => !/^[a-z][A-Za-z0-9]*$/.test(name))
        .map((name) => `${type.name}.${name} is not in camelCase`),
    );
  }
  return wrong;
}

/** The tenant comes with the credential. Only the platform's own operations name one, and theirs is called `id`. */
function namesTenant(where: string): boolean {
  return /[.(]tenant_?id\b/i.test(where);
}

function hasNullItems(type: GraphQLType): boolean {
  if (isNonNullType(type)) return hasNullItems(type.ofType);
  return isListType(type) && (!isNonNullType(type.ofType) || hasNullItems(type.ofType));
}

function mutationBreaches({ name, args, type }: FieldFacts): string[] {
  const given = args.map((argument) => argument.name);
  const wanted = OWN_ARGUMENTS[name] ?? (given[0] === "id" ? ["id"] : ["input"]);
  const input = args.find((argument) => argument.name === "input");
  const title = `${name.slice(0, 1).toUpperCase()}${name.slice(1)}`;
  return [
    ...([...given].sort().join() === [...wanted].sort().join()
      ? []
      : [`Mutation.${name} takes ${given.join(", ")}, not ${wanted.join(", ")}`]),
    ...(input && String(input.type) !== `${title}Input!` ? [`Mutation.${name}(input:) is ${String(input.type)}`] : []),
    ...(String(type) === `${OTHER_ANSWERS[name] ?? `${title}Payload`}!`
      ? []
      : [`Mutation.${name} answers ${String(type)}`]),
  ];
}

/** A connection takes the four arguments of paging, may be paged both ways, and is never null. */
function listBreaches(type: GraphQLNamedType, field: FieldFacts): string[] {
  if (!/Connection!?$/.test(String(field.type))) return [];
  const given = field.args.map(({ name }) => name);
  const missing = LISTS.filter((name) => !given.includes(name));
  return [
    ...(missing.length === 0 ? [] : [`${type.name}.${field.name} lacks ${missing.join(", ")}`]),
    ...(isNonNullType(field.type) ? [] : [`${type.name}.${field.name} may be null`]),
  ];
}

function deprecationBreaches(type: GraphQLNamedType, field: FieldFacts): string[] {
  const reason = field.deprecationReason;
  if (reason == null || /Use .+ Goes away after \d{4}-\d{2}-\d{2}\./.test(reason)) return [];
  return [`${type.name}.${field.name} is deprecated without saying what to use and until when`];
}

describe("the schema's conventions", () => {
  const schema = buildAtriumSchema();

  test("everything is described, named and shaped as docs/conventions.md says", () => {
    expect(breaches(schema)).toEqual([]);
  });

  test("what the platform alone may do says so first", () => {
    const operations = [schema.getQueryType(), schema.getMutationType()].flatMap((type) =>
      type ? fieldsOf(type) : [],
    );
    const marked = operations
      .filter(({ description }) => description?.startsWith("@platform "))
      .map(({ name }) => name);

    expect(marked.sort()).toEqual(["createTenant", "tenantById", "tenants", "updateTenant"]);
  });

  test("what an operation or a field needs is said in its description, once, and nowhere else", () => {
    const need =
      /@platform|Needs (?:[A-Z]+_[A-Z_]+(?:, and whatever scopes it gives)?|no scope|an owner of the tenant|a person who is signed in)\.|Works without a credential\./g;
    const said = placesOf(schema).map(({ where, description }) => ({
      where,
      times: [...(description ?? "").matchAll(need)].length,
      wanted: where in OPERATIONS || where in FIELDS ? 1 : 0,
    }));

    expect(said.filter(({ times, wanted }) => times !== wanted)).toEqual([]);
  });

  test("every connection has edges, nodes, page and count", () => {
    const connections = typesOf(schema).filter(({ name }) => name.endsWith("Connection"));

    expect(connections.length).toBeGreaterThan(8);
    for (const type of connections) {
      const node = type.name.replace(/Connection$/, "");
      expect(fieldsOf(type).map((field) => `${field.name}: ${String(field.type)}`)).toEqual([
        `edges: [${node}Edge!]!`,
        `nodes: [${node}!]!`,
        "pageInfo: PageInfo!",
        "totalCount: Int!",
      ]);
    }
  });

  test("the scalars are those of the contract, and each says what it holds", () => {
    const scalars = typesOf(schema).filter(isScalarType);

    expect(scalars.map(({ name }) => name).sort()).toEqual([
      "BigInt",
      "DateTime",
      "EmailAddress",
      "JSONObject",
      "TimeZone",
      "URL",
    ]);
    expect(scalars.filter(({ description }) => !description)).toEqual([]);
  });

  test.each([
    [
      "a field without a description",
      'type Query { "A thing." a: String b: String }',
      "Query.b is not described by a sentence",
    ],
    [
      "a description that is no sentence",
      'type Query { "a thing" a: String }',
      "Query.a is not described by a sentence",
    ],
    [
      "a value in lower case",
      '"Words." enum Word { "One." one } type Query { "A thing." a: Word }',
      "Word.one is not in UPPER_SNAKE_CASE",
    ],
    [
      "an argument that names a tenant",
      'type Query { "A thing." a("Whose." tenantId: ID): String }',
      "Query.a(tenantId:) names a tenant",
    ],
    [
      "items that may be null",
      'type Query { "Things." a: [String]! }',
      "Query.a is a list with items that may be null",
    ],
    ["a name with an underscore", 'type Query { "A thing." a_b: String }', "Query.a_b is not in camelCase"],
    [
      "a mutation with loose arguments",
      'type Mutation { "Do." doIt("Text." text: String): String } type Query { "A thing." a: String }',
      "Mutation.doIt takes text, not input",
    ],
    [
      "a deprecation without a date",
      'type Query { "A thing." a: String @deprecated(reason: "Old.") }',
      "Query.a is deprecated without saying what to use and until when",
    ],
  ])("%s is a breach", (_what, text, breach) => {
    expect(breaches(buildSchema(text))).toContain(breach);
  });
});
