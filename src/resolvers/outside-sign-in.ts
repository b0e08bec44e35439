import { Arg, Ctx, Mutation, Resolver } from "type-graphql";
import type { TenantContext } from "../context/tenant-context.ts";
import * as outsideSignIn from "../services/outside-sign-in.ts";
import { AuthPayload, payloadOf } from "./accounts.ts";

@Resolver()
export class OutsideSignInResolver {
  @Mutation(() => AuthPayload, {
    description:
      "End a sign-in at an outside provider: exchange the code that the browser came back with, once, within a minute. UNAUTHENTICATED when it does not work.",
  })
  async completeSignIn(
    @Arg("code", () => String, { description: "The code from the address's fragment." }) code: string,
    @Ctx() ctx: TenantContext,
  ) {
    return payloadOf(await outsideSignIn.complete(ctx, code));
  }
}
