import { Field, InputType, registerEnumType } from "type-graphql";
import * as identityProviders from "../services/identity-providers.ts";
import type { GivenRole } from "../services/identity-providers.ts";
import { EntityId } from "./scalars.ts";

registerEnumType(identityProviders.GIVEN_ROLES, {
  name: "GivenRole",
  description: "A role that a provider may give. OWNER is not among them: owners are made by owners.",
  valuesConfig: {
    ADMIN: { description: "Manages the tenant and its people." },
    USER: { description: "Works with what is theirs." },
    VIEWER: { description: "Reads and changes nothing." },
  },
});

@InputType({
  description:
    "In which claims a provider says what, where it is not the usual one: a name, or names with dots between.",
})
class IdentityProviderClaimsInput {
  @Field(() => String, {
    nullable: true,
    description: "Who it is, for good, 1 to 255 characters; sub when left out. Never one that can change hands.",
  })
  user?: string | null;

  @Field(() => String, { nullable: true, description: "The address, 1 to 255 characters; email when left out." })
  email?: string | null;

  @Field(() => String, {
    nullable: true,
    description: "Whether the address is verified, 1 to 255 characters; email_verified when left out.",
  })
  emailVerified?: string | null;

  @Field(() => String, { nullable: true, description: "The person's name, 1 to 255 characters; name when left out." })
  name?: string | null;

  @Field(() => String, {
    nullable: true,
    description: "Words for roles, a text or a list, 1 to 255 characters; none is looked at when left out.",
  })
  role?: string | null;
}

@InputType({ description: "A provider's word for a role." })
class IdentityProviderRoleInput {
  @Field(() => String, { description: "The provider's word, 1 to 255 characters." })
  word!: string;

  @Field(() => identityProviders.GIVEN_ROLES, { description: "The role that it means here." })
  role!: GivenRole;
}

@InputType({ description: "What can be said of a provider, new or not." })
class IdentityProviderSettingsInput {
  @Field(() => String, {
    nullable: true,
    description:
      "The secret that the provider gave with the client's id, 1 to 1000 characters; null for a public client.",
  })
  clientSecret?: string | null;

  @Field(() => IdentityProviderClaimsInput, {
    nullable: true,
    description: "Claims that are not the usual ones; null for none.",
  })
  claims?: IdentityProviderClaimsInput | null;

  @Field(() => [IdentityProviderRoleInput], {
    nullable: true,
    description:
      "Words for roles, at most 50. The highest one that a token has counts at each use, and is kept at each sign-in, but for owners.",
  })
  roles?: IdentityProviderRoleInput[] | null;

  @Field(() => identityProviders.UNKNOWN_PEOPLE, {
    nullable: true,
    description: "What becomes of people whom the tenant does not know; REFUSE at first.",
  })
  unknownPeople?: identityProviders.UnknownPeople | null;

  @Field(() => identityProviders.GIVEN_ROLES, {
    nullable: true,
    description: "The role of people who are added, where no word says another; USER at first.",
  })
  defaultRole?: GivenRole | null;

  @Field(() => [String], {
    nullable: true,
    description: "Domains of addresses that the provider may speak for, at most 50; an empty list restricts nothing.",
  })
  emailDomains?: string[] | null;
}

@InputType({ description: "A provider to trust." })
export class CreateIdentityProviderInput extends IdentityProviderSettingsInput {
  @Field(() => String, { description: "What people call it, 1 to 255 characters." })
  name!: string;

  @Field(() => String, {
    description: "Its https address as its tokens name it in iss, at most 500 characters; it stays for good.",
  })
  issuer!: string;

  @Field(() => String, { description: "The id under which the provider knows the gateway, 1 to 255 characters." })
  clientId!: string;

  @Field(() => String, {
    nullable: true,
    description: "What an access token must be meant for, 1 to 500 characters; the client's id when left out.",
  })
  audience?: string | null;
}

@InputType({ description: "What to change about a provider: absent stays." })
export class UpdateIdentityProviderInput extends IdentityProviderSettingsInput {
  @Field(() => EntityId, { description: "The provider to change." })
  id!: string;

  @Field(() => String, { nullable: true, description: "What people call it, 1 to 255 characters." })
  name?: string | null;

  @Field(() => String, { nullable: true, description: "The id under which the provider knows the gateway." })
  clientId?: string | null;

  @Field(() => String, { nullable: true, description: "What an access token must be meant for, 1 to 500 characters." })
  audience?: string | null;

  @Field(() => Boolean, { nullable: true, description: "Whether it is trusted; false is heeded within a second." })
  active?: boolean | null;
}
