import "reflect-metadata";
import { isInterfaceType, isObjectType } from "graphql";
import type { GraphQLSchema } from "graphql";
import { buildSchemaSync } from "type-graphql";
import { FIELDS, OPERATIONS } from "../context/permissions.ts";
import type { Need } from "../context/permissions.ts";
import { AccountResolver } from "./accounts.ts";
import { ApiKeyResolver } from "./api-keys.ts";
import { AuditResolver } from "./audit.ts";
import { FileResolver, SessionFilesResolver } from "./files.ts";
import { HealthResolver } from "./health.ts";
import { IdentityProviderResolver } from "./identity-providers.ts";
import { IntegrationResolver } from "./integrations.ts";
import { IsolationResolver } from "./isolation.ts";
import { LongTermMemoryResolver } from "./memory.ts";
import { MessageResolver, SessionMessagesResolver } from "./messages.ts";
import { NotificationResolver, SessionNotificationsResolver } from "./notifications.ts";
import { MediumTermMemoryResolver, SessionMemoryResolver, ShortTermMemoryResolver } from "./session-memory.ts";
import { NodeResolver } from "./nodes.ts";
import { OpenAccessResolver } from "./open-access.ts";
import { OutsideSignInResolver } from "./outside-sign-in.ts";
import { SessionResolver } from "./sessions.ts";
import { SessionTasksResolver, TaskResolver } from "./tasks.ts";
import { TenantResolver } from "./tenants.ts";
import { UsageResolver } from "./usage.ts";
import { UserResolver } from "./users.ts";

/** The schema, from every resolver class. Printed to schema.graphql by `npm run schema:print`. */
export function buildAtriumSchema(): GraphQLSchema {
  const schema = buildSchemaSync({
    resolvers: [
      AccountResolver,
      ApiKeyResolver,
      AuditResolver,
      HealthResolver,
      IdentityProviderResolver,
      IsolationResolver,
      FileResolver,
      MessageResolver,
      NodeResolver,
      OutsideSignInResolver,
      OpenAccessResolver,
      SessionFilesResolver,
      SessionMessagesResolver,
      SessionResolver,
      TenantResolver,
      UsageResolver,
      UserResolver,
      IntegrationResolver,
      LongTermMemoryResolver,
      MediumTermMemoryResolver,
      NotificationResolver,
      SessionMemoryResolver,
      SessionNotificationsResolver,
      SessionTasksResolver,
      ShortTermMemoryResolver,
      TaskResolver,
    ],
    // Inputs are checked by services, so that jobs and other edges are covered as well.
    validate: false,
  });
  for (const type of Object.values(schema.getTypeMap())) {
    // type-graphql answers with a promise, for which compiled operations do not wait; without it, GraphQL reads the row's own __typename.
    if (isInterfaceType(type)) type.resolveType = undefined;
  }
  printNeeds(schema);
  return schema;
}

/** Says in each description what the field asks of its caller, from the one table of it. @throws for an operation that the table lacks. */
function printNeeds(schema: GraphQLSchema): void {
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
  for (const type of Object.values(schema.getTypeMap()).filter(isObjectType)) {
    for (const field of Object.values(type.getFields())) {
      const coordinate = `${type.name}.${field.name}`;
      const need = OPERATIONS[coordinate] ?? FIELDS[coordinate];
      if (need) field.description = withNeed(field.description ?? "", need);
      else if (roots.includes(type))
        throw new Error(`${coordinate} is missing in OPERATIONS of context/permissions.ts`);
    }
  }
}

function withNeed(description: string, need: Need): string {
  switch (need.kind) {
    case "scope":
      return `${description} Needs ${need.scope.toUpperCase()}${need.gives ? ", and whatever scopes it gives" : ""}.`;
    case "owner":
      return `${description} Needs an owner of the tenant.`;
    case "person":
      return `${description} Needs a person who is signed in.`;
    case "platform":
      return `@platform ${description}`;
    case "tenant":
      return `${description} Needs no scope.`;
    case "door":
      return `${description} Works without a credential.`;
  }
}
