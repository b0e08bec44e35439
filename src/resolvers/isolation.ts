import { Ctx, Field, ObjectType, Query, Resolver } from "type-graphql";
import type { TenantContext } from "../context/tenant-context.ts";
import * as isolation from "../services/isolation.ts";
import { DateTime } from "./scalars.ts";

@ObjectType({ description: "One thing that keeps tenants apart, and whether it holds.", simpleResolvers: true })
class IsolationCheck {
  @Field(() => String, { description: "What must be true." })
  name!: string;

  @Field(() => String, { nullable: true, description: "The table that was looked at; null where there is none." })
  table!: string | null;

  @Field(() => Boolean, { description: "Whether it is true; false as well when it could not be checked." })
  ok!: boolean;

  @Field(() => String, { description: "What was found, and for a failure what to do about it." })
  detail!: string;
}

@ObjectType({
  description: "What stands between two tenants, checked against the live database at the time of asking.",
  simpleResolvers: true,
})
class IsolationReport {
  @Field(() => Boolean, { description: "Whether every check was passed." })
  ok!: boolean;

  @Field(() => DateTime, { description: "When it was asked." })
  checkedAt!: Date;

  @Field(() => [IsolationCheck], { description: "Every check: of the catalogue first, then of the live probe." })
  checks!: IsolationCheck[];
}

@Resolver()
export class IsolationResolver {
  @Query(() => IsolationReport, {
    description: "Hold the walls between tenants against the live database, and try them with two tenants made for it.",
  })
  isolationReport(@Ctx() ctx: TenantContext) {
    return isolation.report(ctx);
  }
}
