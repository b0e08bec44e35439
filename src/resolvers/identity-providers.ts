import {
  Arg,
  Ctx,
  Field,
  FieldResolver,
  Mutation,
  ObjectType,
  Query,
  registerEnumType,
  Resolver,
  Root,
} from "type-graphql";
import type { IdentityProviderRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import * as identityProviders from "../services/identity-providers.ts";
import * as users from "../services/users.ts";
import type { UserRole } from "../services/users.ts";
import { CreateIdentityProviderInput, UpdateIdentityProviderInput } from "./identity-provider-inputs.ts";
import { DateTime, EntityId, URLScalar } from "./scalars.ts";

registerEnumType(identityProviders.UNKNOWN_PEOPLE, {
  name: "UnknownPeople",
  description: "What becomes of people whom the tenant does not know when a provider vouches for them.",
  valuesConfig: {
    REFUSE: { description: "They are refused." },
    LINK: {
      description:
        "They are who has their address here, if provider and tenant have both verified it; else they are refused.",
    },
    CREATE: { description: "As LINK; whoever's verified address nobody has here is added." },
  },
});

@ObjectType({
  description: "In which claims a provider says what; null where it is the usual claim.",
  simpleResolvers: true,
})
class IdentityProviderClaims {
  @Field(() => String, { nullable: true, description: "Who it is, for good; usually sub." })
  user?: string | null;

  @Field(() => String, { nullable: true, description: "The address; usually email." })
  email?: string | null;

  @Field(() => String, { nullable: true, description: "Whether the address is verified; usually email_verified." })
  emailVerified?: string | null;

  @Field(() => String, { nullable: true, description: "What the person is called; usually name." })
  name?: string | null;

  @Field(() => String, { nullable: true, description: "Words for roles; none is looked at when null." })
  role?: string | null;
}

@ObjectType({ description: "A provider's word for a role.", simpleResolvers: true })
class IdentityProviderRole {
  @Field(() => String, { description: "The provider's word." })
  word!: string;

  @Field(() => users.USER_ROLES, { description: "The role that it means here." })
  role!: UserRole;
}

@ObjectType({
  description: "An OpenID provider that the tenant trusts to say who its people are. Its secret is never shown.",
  simpleResolvers: true,
})
class IdentityProvider {
  @Field(() => EntityId, { description: "The provider's id." })
  id!: string;

  @Field(() => String, { description: "What people call it when they sign in." })
  name!: string;

  @Field(() => String, { description: "As its tokens name it in iss." })
  issuer!: string;

  @Field(() => String, { description: "The id under which the provider knows the gateway." })
  clientId!: string;

  @Field(() => String, { description: "What an access token must be meant for, in aud." })
  audience!: string;

  @Field(() => Boolean, { description: "Whether it is trusted at all." })
  active!: boolean;

  @Field(() => DateTime, { description: "When it was added." })
  createdAt!: Date;
}

@ObjectType({ description: "A provider as it stands after the change.", simpleResolvers: true })
class IdentityProviderPayload {
  @Field(() => IdentityProvider, { description: "The provider." })
  identityProvider!: IdentityProviderRow;
}

@ObjectType({ description: "The provider that is no longer trusted.", simpleResolvers: true })
class DeleteIdentityProviderPayload {
  @Field(() => EntityId, { description: "The id that is gone." })
  deletedId!: string;
}

@Resolver(() => IdentityProvider)
export class IdentityProviderResolver {
  @FieldResolver(() => Boolean, {
    description: "Whether a secret is kept for it that can still be read; a public client has none.",
  })
  hasClientSecret(@Root() provider: IdentityProviderRow, @Ctx() ctx: TenantContext): boolean {
    return identityProviders.hasSecret(ctx, provider);
  }

  @FieldResolver(() => URLScalar, {
    description: "Where it sends browsers back to: register this address at the provider. Each issuer has its own.",
  })
  redirectUrl(@Root() provider: IdentityProviderRow, @Ctx() ctx: TenantContext): string {
    return identityProviders.redirectAddressOf(ctx, provider);
  }

  @FieldResolver(() => IdentityProviderClaims, { description: "In which claims it says what." })
  claims(@Root() provider: IdentityProviderRow): IdentityProviderClaims {
    return identityProviders.claimsOf(provider);
  }

  @FieldResolver(() => [IdentityProviderRole], { description: "Its words for roles." })
  roles(@Root() provider: IdentityProviderRow): readonly { readonly word: string; readonly role: UserRole }[] {
    return identityProviders.rolesOf(provider);
  }

  @FieldResolver(() => identityProviders.UNKNOWN_PEOPLE, {
    description: "What becomes of people whom the tenant does not know.",
  })
  unknownPeople(@Root() provider: IdentityProviderRow): identityProviders.UnknownPeople {
    return identityProviders.unknownPeopleOf(provider);
  }

  @FieldResolver(() => users.USER_ROLES, {
    description: "The role of people who are added, where no word says another.",
  })
  defaultRole(@Root() provider: IdentityProviderRow): UserRole {
    return identityProviders.defaultRoleOf(provider);
  }

  @FieldResolver(() => [String], {
    description: "Domains of addresses that it may speak for; empty restricts nothing.",
  })
  emailDomains(@Root() provider: IdentityProviderRow): string[] {
    return identityProviders.emailDomainsOf(provider);
  }

  @Query(() => [IdentityProvider], {
    description: "The OpenID providers that the tenant trusts, oldest first, at most 20.",
  })
  identityProviders(@Ctx() ctx: TenantContext) {
    return identityProviders.list(ctx);
  }

  @Mutation(() => IdentityProviderPayload, {
    description:
      "Trust an OpenID provider to say who the tenant's people are. QUOTA_EXCEEDED beyond 20; CONFLICT for a client of an issuer that is there already.",
  })
  async createIdentityProvider(
    @Arg("input", () => CreateIdentityProviderInput, { description: "The provider." })
    input: CreateIdentityProviderInput,
    @Ctx() ctx: TenantContext,
  ) {
    return { identityProvider: await identityProviders.create(ctx, input) };
  }

  @Mutation(() => IdentityProviderPayload, { description: "Change a provider, within a second." })
  async updateIdentityProvider(
    @Arg("input", () => UpdateIdentityProviderInput, { description: "What to change." })
    input: UpdateIdentityProviderInput,
    @Ctx() ctx: TenantContext,
  ) {
    return { identityProvider: await identityProviders.update(ctx, input) };
  }

  @Mutation(() => DeleteIdentityProviderPayload, {
    description: "Trust a provider no longer, within a second; people and their sign-ins stay.",
  })
  async deleteIdentityProvider(
    @Arg("id", () => EntityId, { description: "The provider." }) id: string,
    @Ctx() ctx: TenantContext,
  ) {
    await identityProviders.remove(ctx, id);
    return { deletedId: id };
  }
}
