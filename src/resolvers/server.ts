import { ApolloServer } from "@apollo/server";
import {
  ApolloServerPluginCacheControlDisabled,
  ApolloServerPluginLandingPageDisabled,
} from "@apollo/server/plugin/disabled";
import type { GraphQLSchema } from "graphql";
import type { TenantContext } from "../context/tenant-context.ts";

/** Apollo Server over the schema. */
export function openApollo(schema: GraphQLSchema): ApolloServer<TenantContext> {
  return new ApolloServer<TenantContext>({
    schema,
    csrfPrevention: true,
    plugins: [ApolloServerPluginCacheControlDisabled(), ApolloServerPluginLandingPageDisabled()],
  });
}
