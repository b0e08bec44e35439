import { Field, FieldResolver, ObjectType, registerEnumType, Resolver, Root } from "type-graphql";
import * as users from "../services/users.ts";
import type { Person, UserRole } from "../services/users.ts";
import { objectOf } from "./metadata.ts";
import { Node } from "./node.ts";
import { DateTime, EmailAddress, JSONObject, TimeZone } from "./scalars.ts";

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
}
