import {
  Arg,
  Args,
  Ctx,
  Field,
  FieldResolver,
  InputType,
  InterfaceType,
  Mutation,
  ObjectType,
  Query,
  registerEnumType,
  Resolver,
  Root,
} from "type-graphql";
import type { TenantContext } from "../context/tenant-context.ts";
import * as integrations from "../services/integrations/integrations.ts";
import type {
  IntegrationKind,
  IntegrationProvider,
  IntegrationPurpose,
  IntegrationStatus,
} from "../services/integrations/integrations.ts";
import * as users from "../services/users.ts";
import { connectionOf, PageArguments } from "./connection.ts";
import { Node } from "./node.ts";
import { DateTime, EntityId, JSONObject, URLScalar } from "./scalars.ts";
import { User } from "./users.ts";

registerEnumType(integrations.INTEGRATION_KINDS, {
  name: "IntegrationKind",
  description: "What an integration is for.",
  valuesConfig: {
    CALENDAR: { description: "A calendar." },
    EMAIL: { description: "A mailbox." },
    MCP_SERVER: { description: "A server of tools that speaks the Model Context Protocol." },
    WHATSAPP: { description: "A WhatsApp account; it was noted by an earlier system and cannot be used." },
    OTHER: { description: "Something that an earlier system noted and that is not known." },
  },
});

registerEnumType(integrations.INTEGRATION_PROVIDERS, {
  name: "IntegrationProvider",
  description: "Who runs the account or server.",
  valuesConfig: {
    GOOGLE: { description: "Google Calendar and Gmail." },
    CALDAV: { description: "Any server that speaks CalDAV." },
    IMAP: { description: "Any server that speaks IMAP." },
    MCP: { description: "Any server that speaks the Model Context Protocol." },
    APPLE: { description: "Apple; noted by an earlier system." },
    MICROSOFT: { description: "Microsoft; noted by an earlier system." },
    OTHER: { description: "Somebody that an earlier system noted and that is not known." },
  },
});

registerEnumType(integrations.INTEGRATION_PURPOSES, {
  name: "IntegrationPurpose",
  description: "Whose an integration is.",
  valuesConfig: {
    USER: { description: "One user's." },
    SERVICE: { description: "The tenant's as a whole." },
  },
});

registerEnumType(integrations.INTEGRATION_STATUSES, {
  name: "IntegrationStatus",
  description: "How an integration stands.",
  valuesConfig: {
    AUTHORIZATION_REQUIRED: { description: "Somebody must allow access, for the first time or again." },
    CONNECTED: { description: "Works, as far as is known." },
    ERROR: { description: "The last attempt to use it failed." },
    DISABLED: { description: "Switched off." },
  },
});

@InterfaceType({
  implements: Node,
  description: "A connected outside account or server; its credentials are never shown.",
  resolveType: (value: integrations.Integration) => TYPES[value.__typename],
})
abstract class Integration extends Node {
  @Field(() => integrations.INTEGRATION_KINDS, { description: "What it is for." })
  kind!: IntegrationKind;

  @Field(() => integrations.INTEGRATION_PROVIDERS, { description: "Who runs the account or server." })
  provider!: IntegrationProvider;

  @Field(() => integrations.INTEGRATION_PURPOSES, { description: "Whose it is." })
  purpose!: IntegrationPurpose;

  @Field(() => String, { description: "What it is called, 1 to 255 characters." })
  name!: string;

  @Field(() => Boolean, { description: "Whether it is switched on." })
  enabled!: boolean;

  @Field(() => integrations.INTEGRATION_STATUSES, { description: "How it stands." })
  status!: IntegrationStatus;

  @Field(() => String, { nullable: true, description: "Why it stands so, where there is more to say." })
  statusMessage!: string | null;

  @Field(() => String, { nullable: true, description: "Address or user name of the outside account, when known." })
  account!: string | null;

  @Field(() => JSONObject, { description: "What else is known of it; whatever is named like a secret is left out." })
  metadata!: object;

  @Field(() => DateTime, { description: "When it was connected." })
  createdAt!: Date;
}

@ObjectType({ implements: [Integration, Node], description: "A connected calendar.", simpleResolvers: true })
class CalendarIntegration extends Integration {}

@ObjectType({ implements: [Integration, Node], description: "A connected mailbox.", simpleResolvers: true })
class EmailIntegration extends Integration {}

@ObjectType({ implements: [Integration, Node], description: "A connected server of tools.", simpleResolvers: true })
class McpIntegration extends Integration {
  @Field(() => URLScalar, { description: "Where the server is, without credentials." })
  serverUrl!: string;
}

@ObjectType({
  implements: [Integration, Node],
  description: "Something that an earlier system noted and that cannot be used.",
  simpleResolvers: true,
})
class OtherIntegration extends Integration {}

// By the names that the service gives them, so that the compiler sees when one is missing.
const TYPES = { CalendarIntegration, EmailIntegration, McpIntegration, OtherIntegration };

const IntegrationConnection = connectionOf(() => Integration, "Integration");

@InputType({ description: "Which integrations a list shows; what is left out does not restrict it." })
class IntegrationFilter {
  @Field(() => [integrations.INTEGRATION_KINDS], { nullable: true, description: "Only those for this." })
  kind?: IntegrationKind[] | null;

  @Field(() => [integrations.INTEGRATION_PROVIDERS], { nullable: true, description: "Only those of these providers." })
  provider?: IntegrationProvider[] | null;

  @Field(() => Boolean, { nullable: true, description: "Only those that are switched on, or only those that are not." })
  enabled?: boolean | null;
}

@InputType({ description: "Changes of an integration: what is left out stays, null is refused." })
class UpdateIntegrationInput {
  @Field(() => EntityId, { description: "The integration to change." })
  id!: string;

  @Field(() => String, { nullable: true, description: "Another name, 1 to 255 characters." })
  name?: string | null;

  @Field(() => Boolean, { nullable: true, description: "Switch it on or off." })
  enabled?: boolean | null;
}

@ObjectType({ description: "An integration as it stands after the change.", simpleResolvers: true })
class IntegrationPayload {
  @Field(() => Integration, { description: "The integration." })
  integration!: integrations.Integration;
}

@ObjectType({ description: "What was deleted.", simpleResolvers: true })
class DeleteIntegrationPayload {
  @Field(() => EntityId, { description: "Id of the integration that is gone." })
  deletedId!: string;
}

@Resolver(() => Integration)
export class IntegrationResolver {
  @FieldResolver(() => User, {
    nullable: true,
    description: "Whose it is; null when it belongs to the tenant as a whole.",
  })
  user(@Root() integration: integrations.Integration, @Ctx() ctx: TenantContext) {
    return integration.userId === null ? null : users.byId(ctx).load(integration.userId);
  }

  @Query(() => IntegrationConnection, {
    description: "The accounts and servers that the tenant has connected, the first one first.",
  })
  integrations(
    @Args(() => PageArguments) page: PageArguments,
    @Arg("filter", () => IntegrationFilter, { nullable: true, description: "Only some of them." })
    filter: IntegrationFilter | null | undefined,
    @Ctx() ctx: TenantContext,
  ) {
    return integrations.list(ctx, page, filter ?? {});
  }

  @Query(() => Integration, {
    nullable: true,
    description: "One integration; null when there is none.",
  })
  integration(
    @Arg("id", () => EntityId, { description: "The integration's id." }) id: string,
    @Ctx() ctx: TenantContext,
  ) {
    return integrations.find(ctx, id);
  }

  @Mutation(() => IntegrationPayload, {
    description: "Rename an integration, or switch it on or off.",
  })
  async updateIntegration(
    @Arg("input", () => UpdateIntegrationInput, { description: "The integration and its changes." })
    input: UpdateIntegrationInput,
    @Ctx() ctx: TenantContext,
  ) {
    return { integration: await integrations.update(ctx, input.id, input) };
  }

  @Mutation(() => DeleteIntegrationPayload, {
    description: "Delete an integration with its credentials.",
  })
  async deleteIntegration(
    @Arg("id", () => EntityId, { description: "The integration to delete." }) id: string,
    @Ctx() ctx: TenantContext,
  ) {
    await integrations.remove(ctx, id);
    return { deletedId: id };
  }
}
