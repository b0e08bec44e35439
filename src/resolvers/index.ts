import "reflect-metadata";
import type { GraphQLSchema } from "graphql";
import { buildSchemaSync } from "type-graphql";
import { AuditResolver } from "./audit.ts";
import { SessionResolver } from "./sessions.ts";
import { UserResolver } from "./users.ts";

/** The schema, from every resolver class. Printed to schema.graphql by `npm run schema:print`. */
export function buildAtriumSchema(): GraphQLSchema {
  return buildSchemaSync({
    resolvers: [AuditResolver, SessionResolver, UserResolver],
    // Inputs are checked by services, so that jobs and other edges are covered as well.
    validate: false,
  });
}
