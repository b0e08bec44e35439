import {
  Arg,
  Args,
  Ctx,
  Field,
  FieldResolver,
  InputType,
  Int,
  Mutation,
  ObjectType,
  Query,
  registerEnumType,
  Resolver,
  Root,
} from "type-graphql";
import { SCOPES, storedScopes } from "../context/permissions.ts";
import type { Scope } from "../context/permissions.ts";
import type { ApiKeyRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import * as apiKeys from "../services/api-keys.ts";
import { connectionOf, PageArguments } from "./connection.ts";
import { Node } from "./node.ts";
import { DateTime, EntityId } from "./scalars.ts";

registerEnumType(SCOPES, {
  name: "Scope",
  description: "One thing that a credential may do.",
  valuesConfig: {
    SESSIONS_READ: { description: "Read sessions, their messages and their tasks." },
    SESSIONS_WRITE: { description: "Begin, change and delete sessions; add messages." },
    FILES_READ: { description: "Read files." },
    FILES_WRITE: { description: "Add and delete files." },
    MEMORY_READ: { description: "Read what is remembered." },
    MEMORY_WRITE: { description: "Remember, change and forget." },
    NOTIFICATIONS_READ: { description: "Read notifications." },
    NOTIFICATIONS_WRITE: { description: "Mark notifications as read, resolve and delete them." },
    INTEGRATIONS_READ: { description: "See integrations; never their credentials." },
    INTEGRATIONS_WRITE: { description: "Connect, change and delete integrations." },
    AGENT_RUN: { description: "Have the assistant work." },
    USERS_ADMIN: { description: "Manage the tenant's people." },
    TENANT_ADMIN: { description: "Manage API keys; read the audit trail and the isolation report." },
  },
});

@ObjectType({
  implements: Node,
  description: "A credential of the tenant. Its text is shown once, on creation and rotation; only a hash is stored.",
  simpleResolvers: true,
})
export class ApiKey extends Node {
  @Field(() => String, { nullable: true, description: "What the key is called." })
  name!: string | null;

  @Field(() => DateTime, { description: "When the key was made." })
  createdAt!: Date;

  @Field(() => DateTime, { nullable: true, description: "When the key stops working; null when it does not." })
  expiresAt!: Date | null;

  @Field(() => DateTime, { nullable: true, description: "When the key was used last, noted at most once a minute." })
  lastUsedAt!: Date | null;
}

const ApiKeyConnection = connectionOf(() => ApiKey, "ApiKey");

@InputType({ description: "A key to make." })
class CreateApiKeyInput {
  @Field(() => String, { nullable: true, description: "What the key is called, 1 to 255 characters." })
  name?: string | null;

  @Field(() => [SCOPES], { description: "What the key may do: at least one scope, and none beyond your own." })
  scopes!: Scope[];

  @Field(() => Int, { nullable: true, description: "Days until the key expires, 1 to 3650; never when left out." })
  expiresInDays?: number | null;
}

@ObjectType({ description: "A key that was just made.", simpleResolvers: true })
class CreateApiKeyPayload {
  @Field(() => ApiKey, { description: "The key, as lists show it." })
  apiKey!: ApiKeyRow;

  @Field(() => String, { description: "The key's text, shown this once." })
  key!: string;
}

@ObjectType({ description: "A key as it stands after the change.", simpleResolvers: true })
class ApiKeyPayload {
  @Field(() => ApiKey, { description: "The key." })
  apiKey!: ApiKeyRow;
}

@Resolver(() => ApiKey)
export class ApiKeyResolver {
  @FieldResolver(() => String, { description: "How the key's text begins, to recognise it by." })
  prefix(@Root() key: ApiKeyRow): string {
    return apiKeys.prefixOf(key);
  }

  @FieldResolver(() => [SCOPES], { description: "What the key may do." })
  scopes(@Root() key: ApiKeyRow): readonly Scope[] {
    return storedScopes(key.scopes);
  }

  @FieldResolver(() => Boolean, { description: "Whether the key works: neither revoked nor expired." })
  active(@Root() key: ApiKeyRow, @Ctx() ctx: TenantContext): boolean {
    return apiKeys.isActive(ctx, key);
  }

  @Query(() => ApiKeyConnection, { description: "The tenant's API keys, newest first." })
  apiKeys(
    @Args(() => PageArguments) page: PageArguments,
    @Arg("activeOnly", () => Boolean, {
      nullable: true,
      defaultValue: true,
      description: "Leave out revoked and expired keys.",
    })
    activeOnly: boolean | null,
    @Ctx() ctx: TenantContext,
  ) {
    return apiKeys.list(ctx, page, { activeOnly });
  }

  @Mutation(() => CreateApiKeyPayload, { description: "Make an API key." })
  createApiKey(
    @Arg("input", () => CreateApiKeyInput, { description: "The key to make." }) input: CreateApiKeyInput,
    @Ctx() ctx: TenantContext,
  ) {
    return apiKeys.create(ctx, input);
  }

  @Mutation(() => CreateApiKeyPayload, {
    description:
      "Make a successor with the same name, scopes and expiry; the old key works for 24 more hours. CONFLICT when it is revoked, expired or rotated already.",
  })
  rotateApiKey(
    @Arg("id", () => EntityId, { description: "The key to replace." }) id: string,
    @Ctx() ctx: TenantContext,
  ) {
    return apiKeys.rotate(ctx, id);
  }

  @Mutation(() => ApiKeyPayload, {
    description: "End a key for good, within a second; again changes nothing.",
  })
  async revokeApiKey(
    @Arg("id", () => EntityId, { description: "The key to end." }) id: string,
    @Ctx() ctx: TenantContext,
  ) {
    return { apiKey: await apiKeys.revoke(ctx, id) };
  }
}
