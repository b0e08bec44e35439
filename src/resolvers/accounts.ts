import { Arg, Ctx, Field, InputType, Int, Mutation, ObjectType, Resolver } from "type-graphql";
import type { TenantContext } from "../context/tenant-context.ts";
import * as accounts from "../services/accounts.ts";
import type { SignedIn } from "../services/accounts.ts";
import * as mailedTokens from "../services/mailed-tokens.ts";
import type { Person } from "../services/users.ts";
import { EmailAddress } from "./scalars.ts";
import { User, UserPayload } from "./users.ts";

@ObjectType({ description: "What a client needs to act as a person.", simpleResolvers: true })
export class AuthPayload {
  @Field(() => String, { description: "Goes into the header Authorization, after the word Bearer." })
  accessToken!: string;

  @Field(() => String, {
    description: "Exchanged for new tokens by refreshToken, once, within seven days. A secret like a password.",
  })
  refreshToken!: string;

  @Field(() => Int, { description: "Seconds until the access token expires." })
  expiresIn!: number;

  @Field(() => User, { description: "The person." })
  user!: Person;
}

@InputType({ description: "Who signs in." })
class LoginInput {
  @Field(() => EmailAddress, { description: "The person's address, in upper or lower case." })
  email!: string;

  @Field(() => String, { description: "The person's password." })
  password!: string;
}

@InputType({ description: "A password in exchange for the current one." })
class ChangePasswordInput {
  @Field(() => String, { description: "The password as it is." })
  currentPassword!: string;

  @Field(() => String, { description: "The new one: 12 to 1,024 characters, and none that is soon guessed." })
  newPassword!: string;
}

@InputType({ description: "A password in exchange for a token that came by mail." })
class ConfirmPasswordResetInput {
  @Field(() => String, { description: "The token of a mail for a new password, or of an invitation." })
  token!: string;

  @Field(() => String, { description: "The new password: 12 to 1,024 characters, and none that is soon guessed." })
  newPassword!: string;
}

@Resolver()
export class AccountResolver {
  @Mutation(() => AuthPayload, {
    description:
      "Sign in, in the tenant that X-Tenant-ID names. UNAUTHENTICATED in the same words whatever is wrong; RATE_LIMITED after some attempts.",
  })
  async login(
    @Arg("input", () => LoginInput, { description: "Who signs in." }) input: LoginInput,
    @Ctx() ctx: TenantContext,
  ) {
    return payloadOf(await accounts.login(ctx, input));
  }

  @Mutation(() => AuthPayload, {
    description:
      "Exchange a refresh token for new tokens. It works once: seen again, it ends the sign-in. UNAUTHENTICATED when it does not work. Send no credential with it: one that has expired is refused first.",
  })
  async refreshToken(
    @Arg("refreshToken", () => String, { description: "The refresh token that came last." }) refreshToken: string,
    @Ctx() ctx: TenantContext,
  ) {
    return payloadOf(await accounts.refresh(ctx, refreshToken));
  }

  @Mutation(() => Boolean, {
    description:
      "Sign out: within a second, the tokens of this sign-in work nowhere any more. FORBIDDEN for the token of an outside provider, unless all devices are meant.",
  })
  async logout(
    @Arg("allDevices", () => Boolean, {
      nullable: true,
      defaultValue: false,
      description: "End all of the person's sign-ins instead.",
    })
    allDevices: boolean | null,
    @Ctx() ctx: TenantContext,
  ) {
    await accounts.logout(ctx, allDevices === true);
    return true;
  }

  @Mutation(() => UserPayload, {
    description:
      "Prove an address by a token that came there by mail. UNAUTHENTICATED when it does not work, or has done so.",
  })
  async verifyEmail(
    @Arg("token", () => String, { description: "The token of a verification or an invitation." }) token: string,
    @Ctx() ctx: TenantContext,
  ) {
    return { user: await mailedTokens.verifyEmail(ctx, token) };
  }

  @Mutation(() => Boolean, {
    description:
      "Have a mail sent with which a new password can be set. Always true, whether or not the address is known; the token goes out by mail only.",
  })
  async requestPasswordReset(
    @Arg("email", () => EmailAddress, { description: "The person's address." }) email: string,
    @Ctx() ctx: TenantContext,
  ) {
    await mailedTokens.requestPasswordReset(ctx, email);
    return true;
  }

  @Mutation(() => AuthPayload, {
    description:
      "Set a password by a token that came by mail, and sign in. Ends all other sign-ins. UNAUTHENTICATED when the token does not work; BAD_USER_INPUT for a weak password, which leaves the token as it is.",
  })
  async confirmPasswordReset(
    @Arg("input", () => ConfirmPasswordResetInput, { description: "The token and the password." })
    input: ConfirmPasswordResetInput,
    @Ctx() ctx: TenantContext,
  ) {
    return payloadOf(await mailedTokens.confirmPasswordReset(ctx, input));
  }

  @Mutation(() => AuthPayload, {
    description:
      "Change one's own password. Ends all sign-ins; the answer begins a new one. BAD_USER_INPUT for a wrong current or a weak new password.",
  })
  async changePassword(
    @Arg("input", () => ChangePasswordInput, { description: "Both passwords." }) input: ChangePasswordInput,
    @Ctx() ctx: TenantContext,
  ) {
    return payloadOf(await accounts.changePassword(ctx, input));
  }
}

/** The form in which every way of signing in answers. */
export function payloadOf({ credentials, user }: SignedIn) {
  return { ...credentials, user };
}
