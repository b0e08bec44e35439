import { GraphQLError, GraphQLID, GraphQLScalarType, Kind } from "graphql";

export {
  GraphQLBigInt as BigIntScalar,
  GraphQLDateTime as DateTime,
  GraphQLEmailAddress as EmailAddress,
  GraphQLJSONObject as JSONObject,
  GraphQLTimeZone as TimeZone,
  GraphQLURL as URLScalar,
} from "graphql-scalars";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

function parseId(value: unknown): string {
  if (typeof value !== "string" || !UUID.test(value)) {
    throw new GraphQLError("An id is a UUID in text form", { extensions: { code: "BAD_USER_INPUT" } });
  }
  return value.toLowerCase();
}

/** GraphQL's own ID, which here is always a UUID: a malformed one is refused before any service runs. */
export const EntityId = new GraphQLScalarType<string, string>({
  name: GraphQLID.name,
  description: "A UUID in text form, opaque to clients.",
  serialize: (value) => GraphQLID.serialize(value),
  parseValue: parseId,
  parseLiteral: (node) => parseId(node.kind === Kind.STRING ? node.value : undefined),
});
