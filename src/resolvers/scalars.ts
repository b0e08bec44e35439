import { GraphQLError, GraphQLID, GraphQLScalarType, Kind } from "graphql";
import { GraphQLDateTime, GraphQLEmailAddress } from "graphql-scalars";

export {
  GraphQLBigInt as BigIntScalar,
  GraphQLJSONObject as JSONObject,
  GraphQLTimeZone as TimeZone,
  GraphQLURL as URLScalar,
} from "graphql-scalars";

/** An instant. The year 0 is refused, because PostgreSQL has none: that would look like a fault of ours. */
export const DateTime = new GraphQLScalarType<Date, Date>({
  ...GraphQLDateTime.toConfig(),
  parseValue: (value) => withYear(GraphQLDateTime.parseValue(value)),
  parseLiteral: (node) => withYear(GraphQLDateTime.parseLiteral(node)),
});

/** An e-mail address: checked where it comes in. The predecessor checked none, so what is stored goes out as it is. */
export const EmailAddress = new GraphQLScalarType<string, string>({
  ...GraphQLEmailAddress.toConfig(),
  serialize: String,
});

function withYear(instant: Date): Date {
  if (instant.getUTCFullYear() >= 1) return instant;
  throw new GraphQLError("An instant lies in the years 1 to 9999", { extensions: { code: "BAD_USER_INPUT" } });
}

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
