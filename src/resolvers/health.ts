import { Ctx, Field, Int, ObjectType, Query, Resolver } from "type-graphql";
import type { TenantContext } from "../context/tenant-context.ts";
import * as health from "../services/health.ts";

@ObjectType({ description: "How one service that the gateway needs does.", simpleResolvers: true })
class ServiceHealth {
  @Field(() => String, { description: "What the service is, like `postgres`." })
  name!: string;

  @Field(() => Boolean, { description: "Whether it answers." })
  healthy!: boolean;

  @Field(() => Boolean, { description: "Whether nothing works without it." })
  required!: boolean;

  @Field(() => Int, { nullable: true, description: "Milliseconds to its answer; null when there was none." })
  latencyMs!: number | null;

  @Field(() => String, { nullable: true, description: "What is wrong; null when nothing is." })
  message!: string | null;
}

@ObjectType({ description: "How the gateway does, asked at this moment.", simpleResolvers: true })
class Health {
  @Field(() => Boolean, { description: "Whether every required service is healthy." })
  ok!: boolean;

  @Field(() => [ServiceHealth], { description: "Every service." })
  services!: ServiceHealth[];
}

@Resolver()
export class HealthResolver {
  @Query(() => Health, { description: "How the gateway and what it needs do." })
  health(@Ctx() ctx: TenantContext) {
    return health.check(ctx);
  }
}
