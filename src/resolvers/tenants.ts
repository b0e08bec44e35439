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
import type { TenantRecord } from "../context/cross-tenant.ts";
import { SCOPES } from "../context/permissions.ts";
import type { Scope } from "../context/permissions.ts";
import type { ApiKeyRow } from "../context/rows.ts";
import { TENANT_SOURCES } from "../context/tenant-context.ts";
import type { TenantContext, TenantSource } from "../context/tenant-context.ts";
import * as apiKeys from "../services/api-keys.ts";
import * as tenants from "../services/tenants.ts";
import * as users from "../services/users.ts";
import type { Person } from "../services/users.ts";
import { ApiKey } from "./api-keys.ts";
import { connectionOf, PageArguments } from "./connection.ts";
import { Node } from "./node.ts";
import { BigIntScalar, DateTime, EmailAddress, EntityId, JSONObject } from "./scalars.ts";
import { User } from "./users.ts";

registerEnumType(TENANT_SOURCES, {
  name: "TenantSource",
  description: "What decided the tenant of a request.",
  valuesConfig: {
    HEADER: { description: "The header X-Tenant-ID chose it." },
    API_KEY: { description: "The API key belongs to it." },
    TOKEN: { description: "The token names it." },
    DEFAULT: { description: "Nothing named one, so it is the default tenant." },
  },
});

registerEnumType(tenants.ISOLATION_MODES, {
  name: "IsolationMode",
  description: "Where a tenant's rows are.",
  valuesConfig: {
    SHARED: { description: "In the tables that tenants share, behind the walls." },
    SCHEMA: { description: "In a schema of its own." },
  },
});

registerEnumType(tenants.PLANS, {
  name: "Plan",
  description: "What a tenant has subscribed to; decides its limits.",
  valuesConfig: {
    FREE: { description: "To try it: 600 requests a minute, 1 GiB of files." },
    PRO: { description: "For a team: 6,000 requests a minute, 100 GiB of files." },
    ENTERPRISE: { description: "For an organisation: 60,000 requests a minute, 1 TiB of files." },
  },
});

@ObjectType({ description: "What a tenant may use: its plan's limits, with its own overrides.", simpleResolvers: true })
class TenantLimits {
  @Field(() => Int, { description: "Requests a minute." })
  requestsPerMinute!: number;

  @Field(() => Int, { description: "Sum of the prices of a minute's operations." })
  complexityPerMinute!: number;

  @Field(() => Int, { description: "Requests a minute of one API key or one person." })
  requestsPerMinutePerCredential!: number;

  @Field(() => Int, { description: "Sum of the prices of a minute's operations of one API key or one person." })
  complexityPerMinutePerCredential!: number;

  @Field(() => BigIntScalar, { description: "Bytes of files." })
  storageBytes!: number;

  @Field(() => BigIntScalar, { description: "Tokens of language models, in and out, in a calendar month." })
  tokensPerMonth!: number;
}

@ObjectType({ implements: Node, description: "An organisation whose data no other one sees.", simpleResolvers: true })
class Tenant extends Node {
  @Field(() => String, { description: "What the tenant is called; unique." })
  name!: string;

  @Field(() => String, { description: "The name of its schema, should it ever get one; unique, and stays." })
  schemaName!: string;

  @Field(() => Boolean, { description: "Whether its requests are served; false while suspended." })
  active!: boolean;

  @Field(() => JSONObject, { description: "Whatever the platform keeps with the tenant." })
  metadata!: object;

  @Field(() => DateTime, { description: "When the tenant was made." })
  createdAt!: Date;
}

const TenantConnection = connectionOf(() => Tenant, "Tenant");

@ObjectType("TenantContext", {
  description: "Who is asking, in which tenant, and how that was decided.",
  simpleResolvers: true,
})
class WhoAsks {
  @Field(() => Tenant, { description: "The tenant that the request acts in." })
  tenant!: TenantRecord;

  @Field(() => TENANT_SOURCES, { description: "What decided the tenant." })
  source!: TenantSource;

  @Field(() => User, { nullable: true, description: "The person who asks; null for keys and for nobody." })
  user!: Person | null;

  @Field(() => ApiKey, { nullable: true, description: "The key that the request came with; null without one." })
  apiKey!: ApiKeyRow | null;

  @Field(() => [SCOPES], { description: "What the request may do." })
  scopes!: readonly Scope[];
}

@InputType({ description: "A tenant to make." })
class CreateTenantInput {
  @Field(() => String, { description: "What the tenant is called, 1 to 255 characters; unique." })
  name!: string;

  @Field(() => String, {
    nullable: true,
    description:
      "1 to 63 lower-case letters, digits and _; unique. When left out: tenant_ and the name in plain letters.",
  })
  schemaName?: string | null;

  @Field(() => tenants.ISOLATION_MODES, {
    defaultValue: tenants.ISOLATION_MODES.SHARED,
    description: "Where its rows will be; a tenant begins in the shared tables, so SCHEMA is refused.",
  })
  isolation!: tenants.IsolationMode;

  @Field(() => tenants.PLANS, { defaultValue: tenants.PLANS.FREE, description: "What it has subscribed to." })
  plan!: tenants.Plan;

  @Field(() => JSONObject, { nullable: true, description: "Whatever the platform keeps with it, at most 64 KiB." })
  metadata?: Record<string, unknown> | null;

  @Field(() => EmailAddress, {
    nullable: true,
    description: "Its first user, with the role OWNER, who is invited by mail; at most 255 characters.",
  })
  ownerEmail?: string | null;
}

@ObjectType({ description: "A tenant that was just made.", simpleResolvers: true })
class CreateTenantPayload {
  @Field(() => Tenant, { description: "The tenant." })
  tenant!: TenantRecord;

  @Field(() => String, { description: "Text of its first API key, which may do everything in it; shown this once." })
  apiKey!: string;
}

@InputType({ description: "Changes of a tenant: what is left out stays, null clears limits and metadata." })
class UpdateTenantInput {
  @Field(() => EntityId, { description: "The tenant to change." })
  id!: string;

  @Field(() => String, { nullable: true, description: "Another name, 1 to 255 characters; null is refused." })
  name?: string | null;

  @Field(() => Boolean, {
    nullable: true,
    description: "Whether its requests are served, from within a second in every process; null is refused.",
  })
  active?: boolean | null;

  @Field(() => tenants.PLANS, { nullable: true, description: "Another plan; null is refused." })
  plan?: tenants.Plan | null;

  @Field(() => JSONObject, {
    nullable: true,
    description:
      "Replaces the overrides of the plan's limits: whole numbers by the names of TenantLimits; those left out are as in the plan.",
  })
  limits?: Record<string, unknown> | null;

  @Field(() => JSONObject, { nullable: true, description: "Replaces the metadata whole; at most 64 KiB." })
  metadata?: Record<string, unknown> | null;
}

@ObjectType({ description: "A tenant as it stands after the change.", simpleResolvers: true })
class TenantPayload {
  @Field(() => Tenant, { description: "The tenant." })
  tenant!: TenantRecord;
}

@Resolver(() => Tenant)
export class TenantResolver {
  @FieldResolver(() => Boolean, { description: "Whether requests that name no tenant may come here." })
  isDefault(@Root() tenant: TenantRecord): boolean {
    return tenants.isDefault(tenant);
  }

  @FieldResolver(() => tenants.ISOLATION_MODES, { description: "Where its rows are." })
  isolation(@Root() tenant: TenantRecord): tenants.IsolationMode {
    return tenants.isolationOf(tenant);
  }

  @FieldResolver(() => tenants.PLANS, { description: "What it has subscribed to." })
  plan(@Root() tenant: TenantRecord): tenants.Plan {
    return tenants.planOf(tenant);
  }

  @FieldResolver(() => TenantLimits, { description: "What it may use." })
  limits(@Root() tenant: TenantRecord): tenants.TenantLimits {
    return tenants.limitsOf(tenant);
  }

  @Query(() => WhoAsks, { description: "Who is asking, in which tenant, and how that was decided." })
  async tenantContext(@Ctx() ctx: TenantContext) {
    const tenant = tenants.own(ctx);
    const [apiKey, user] = await Promise.all([apiKeys.current(ctx), users.viewer(ctx)]);
    return { tenant, source: ctx.source, user, apiKey, scopes: [...ctx.actor.scopes] };
  }

  @Query(() => Tenant, { description: "The tenant that the request acts in." })
  tenant(@Ctx() ctx: TenantContext) {
    return tenants.own(ctx);
  }

  @Query(() => TenantConnection, { description: "All tenants, oldest first." })
  tenants(
    @Args(() => PageArguments) page: PageArguments,
    @Arg("active", () => Boolean, { nullable: true, description: "Only active ones, or only suspended ones." })
    active: boolean | null | undefined,
    @Arg("search", () => String, {
      nullable: true,
      description: "Text that the name contains, in upper or lower case; at most 255 characters.",
    })
    search: string | null | undefined,
    @Ctx() ctx: TenantContext,
  ) {
    return tenants.list(ctx, page, { active, search });
  }

  @Query(() => Tenant, { nullable: true, description: "Any tenant, active or not; null when there is none." })
  tenantById(@Arg("id", () => EntityId, { description: "The tenant's id." }) id: string, @Ctx() ctx: TenantContext) {
    return tenants.find(ctx, id);
  }

  @Mutation(() => CreateTenantPayload, { description: "Make a tenant with its first API key." })
  createTenant(
    @Arg("input", () => CreateTenantInput, { description: "The tenant to make." }) input: CreateTenantInput,
    @Ctx() ctx: TenantContext,
  ) {
    return tenants.create(ctx, input);
  }

  @Mutation(() => TenantPayload, { description: "Change a tenant, suspend it or resume it." })
  async updateTenant(
    @Arg("input", () => UpdateTenantInput, { description: "The tenant and its changes." }) input: UpdateTenantInput,
    @Ctx() ctx: TenantContext,
  ) {
    return { tenant: await tenants.update(ctx, input.id, input) };
  }
}
