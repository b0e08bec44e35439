import {
  Arg,
  Args,
  Ctx,
  Field,
  FieldResolver,
  InputType,
  Mutation,
  ObjectType,
  Query,
  registerEnumType,
  Resolver,
  Root,
} from "type-graphql";
import type { Prisma } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import * as users from "../services/users.ts";
import type { Person, UserRole } from "../services/users.ts";
import { connectionOf, PageArguments } from "./connection.ts";
import { objectOf } from "./metadata.ts";
import { Node } from "./node.ts";
import { DateTime, EmailAddress, EntityId, JSONObject, TimeZone } from "./scalars.ts";

registerEnumType(users.USER_ROLES, {
  name: "UserRole",
  description: "What a person may do in the tenant.",
  valuesConfig: {
    OWNER: { description: "Everything, billing and deletion of the tenant included." },
    ADMIN: { description: "Manages the tenant and its people." },
    USER: { description: "Works with what is theirs." },
    VIEWER: { description: "Reads and changes nothing." },
  },
});

@ObjectType({ implements: Node, description: "A person of the tenant.", simpleResolvers: true })
export class User extends Node {
  @Field(() => EmailAddress, { description: "Where mail reaches the person; unique within the tenant." })
  email!: string;

  @Field(() => String, { nullable: true, description: "What the person is called." })
  name!: string | null;

  @Field(() => Boolean, { description: "Whether the person may act; false once deactivated." })
  active!: boolean;

  @Field(() => Boolean, { description: "Whether the address has been proven to be the person's." })
  emailVerified!: boolean;

  @Field(() => DateTime, { nullable: true, description: "When the person signed in last; null before the first time." })
  lastLoginAt!: Date | null;

  @Field(() => DateTime, { description: "When the person was added." })
  createdAt!: Date;
}

const UserConnection = connectionOf(() => User, "User");

@InputType({ description: "A person to add." })
class CreateUserInput {
  @Field(() => EmailAddress, {
    description: "Where mail reaches the person, at most 255 characters; kept in lower case, unique within the tenant.",
  })
  email!: string;

  @Field(() => String, { nullable: true, description: "What the person is called, 1 to 255 characters." })
  name?: string | null;

  @Field(() => users.USER_ROLES, {
    defaultValue: users.USER_ROLES.USER,
    description: "What the person may do; only an owner or the platform adds an OWNER.",
  })
  role!: UserRole;

  @Field(() => String, {
    nullable: true,
    description: "A first password, 12 to 1,024 characters and not a common one; without it the person chooses one.",
  })
  password?: string | null;

  @Field(() => Boolean, {
    defaultValue: false,
    description: "Send a mail by which the person proves the address and chooses a password.",
  })
  sendInvitation!: boolean;
}

@InputType({ description: "Changes of a person: what is left out stays, null clears the name." })
class UpdateUserInput {
  @Field(() => EntityId, { description: "The person to change." })
  id!: string;

  @Field(() => EmailAddress, {
    nullable: true,
    description:
      "Another address, at most 255 characters; it has to be proven again, and the old one is told. Null is refused.",
  })
  email?: string | null;

  @Field(() => String, { nullable: true, description: "Another name, 1 to 255 characters." })
  name?: string | null;

  @Field(() => users.USER_ROLES, {
    nullable: true,
    description: "Another role, from the next request on; not one's own. Null is refused.",
  })
  role?: UserRole | null;

  @Field(() => Boolean, {
    nullable: true,
    description: "Whether the person may act; false ends all sign-ins within a second. Null is refused.",
  })
  active?: boolean | null;
}

@InputType({ description: "Changes of what a person says about themself: what is left out stays, null clears." })
class UpdateProfileInput {
  @Field(() => String, { nullable: true, description: "Another name, 1 to 255 characters." })
  name?: string | null;

  @Field(() => TimeZone, { nullable: true, description: "The time zone the person lives in; null means UTC." })
  timezone?: string | null;

  @Field(() => JSONObject, { nullable: true, description: "Replaces the metadata whole; at most 64 KiB." })
  metadata?: Prisma.InputJsonObject | null;
}

@ObjectType({ description: "A person as they stand after the change.", simpleResolvers: true })
export class UserPayload {
  @Field(() => User, { description: "The person." })
  user!: Person;
}

@Resolver(() => User)
export class UserResolver {
  @FieldResolver(() => users.USER_ROLES, { description: "What the person may do in the tenant." })
  role(@Root() user: Person): UserRole {
    return users.roleOf(user);
  }

  @FieldResolver(() => TimeZone, { description: "The time zone the person lives in; UTC when none is known." })
  timezone(@Root() user: Person): string {
    return users.timeZoneOf(user);
  }

  @FieldResolver(() => JSONObject, { description: "Preferences and facts that clients keep with the person." })
  metadata(@Root() user: Person): object {
    return objectOf(user.metadata);
  }

  @Query(() => User, {
    nullable: true,
    description: "The person who asks; null for keys and for nobody.",
  })
  viewer(@Ctx() ctx: TenantContext) {
    return users.viewer(ctx);
  }

  @Query(() => UserConnection, { description: "The people of the tenant, oldest first." })
  users(
    @Args(() => PageArguments) page: PageArguments,
    @Arg("role", () => users.USER_ROLES, { nullable: true, description: "Only people with this role." })
    role: UserRole | null | undefined,
    @Arg("active", () => Boolean, { nullable: true, description: "Only people who may act, or only deactivated ones." })
    active: boolean | null | undefined,
    @Arg("search", () => String, {
      nullable: true,
      description: "Text that name or address contain, in upper or lower case; at most 255 characters.",
    })
    search: string | null | undefined,
    @Ctx() ctx: TenantContext,
  ) {
    return users.list(ctx, page, { role, active, search });
  }

  @Query(() => User, { nullable: true, description: "One person; null when there is none." })
  user(@Arg("id", () => EntityId, { description: "The person's id." }) id: string, @Ctx() ctx: TenantContext) {
    return users.find(ctx, id);
  }

  @Mutation(() => UserPayload, {
    description: "Add a person. CONFLICT when the tenant has the address; QUOTA_EXCEEDED beyond 10,000.",
  })
  async createUser(
    @Arg("input", () => CreateUserInput, { description: "The person to add." }) input: CreateUserInput,
    @Ctx() ctx: TenantContext,
  ) {
    return { user: await users.create(ctx, input) };
  }

  @Mutation(() => UserPayload, {
    description:
      "Change a person. CONFLICT when the tenant has the address, or would lose its last active OWNER; FORBIDDEN for owners by others than owners, and for one's own role.",
  })
  async updateUser(
    @Arg("input", () => UpdateUserInput, { description: "The person and their changes." }) input: UpdateUserInput,
    @Ctx() ctx: TenantContext,
  ) {
    return { user: await users.update(ctx, input.id, input) };
  }

  @Mutation(() => UserPayload, { description: "Change what you say about yourself." })
  async updateProfile(
    @Arg("input", () => UpdateProfileInput, { description: "The changes." }) input: UpdateProfileInput,
    @Ctx() ctx: TenantContext,
  ) {
    return { user: await users.updateProfile(ctx, input) };
  }

  @Mutation(() => Boolean, {
    description:
      "Send an invitation once more; links of earlier ones stop working. Always true; CONFLICT when none is needed, RATE_LIMITED beyond five an hour.",
  })
  async resendInvitation(
    @Arg("userId", () => EntityId, { description: "The person to invite." }) userId: string,
    @Ctx() ctx: TenantContext,
  ) {
    await users.resendInvitation(ctx, userId);
    return true;
  }
}
