import { Arg, Ctx, Field, ObjectType, Query, registerEnumType, Resolver } from "type-graphql";
import type { TenantContext } from "../context/tenant-context.ts";
import * as usage from "../services/usage.ts";
import type { Granularity, UsageMetric } from "../services/usage.ts";
import { BigIntScalar, DateTime } from "./scalars.ts";

registerEnumType(usage.USAGE_METRICS, {
  name: "UsageMetric",
  description: "What is counted of a tenant.",
  valuesConfig: {
    REQUESTS: { description: "Requests to the GraphQL API that were let in." },
    COMPLEXITY: { description: "The sum of the prices of executed operations." },
    INPUT_TOKENS: { description: "Tokens that language models were given." },
    OUTPUT_TOKENS: { description: "Tokens that language models gave." },
    STORAGE_BYTES: { description: "Bytes of all files, at the end of a period or now: a level, not a sum." },
    EMBEDDINGS: { description: "Texts that were embedded." },
    TOOL_CALLS: { description: "Calls of tools by the assistant." },
  },
});

registerEnumType(usage.GRANULARITIES, {
  name: "Granularity",
  description: "A piece of time in UTC.",
  valuesConfig: {
    HOUR: { description: "An hour of the clock." },
    DAY: { description: "A calendar day." },
    MONTH: { description: "A calendar month." },
  },
});

@ObjectType({ description: "What a tenant used of one metric in one period.", simpleResolvers: true })
class UsagePoint {
  @Field(() => usage.USAGE_METRICS, { description: "What was counted." })
  metric!: UsageMetric;

  @Field(() => DateTime, { description: "The period's beginning, in UTC." })
  start!: Date;

  @Field(() => BigIntScalar, { description: "How much, in the metric's unit." })
  value!: bigint;
}

@Resolver()
export class UsageResolver {
  @Query(() => [UsagePoint], {
    description:
      "What this tenant used, by metric and start: whole periods that have a part in the time asked for, at most 1,000 points; periods without any use are left out.",
  })
  usage(
    @Arg("from", () => DateTime, { description: "Where the time asked for begins." }) from: Date,
    @Arg("to", () => DateTime, { description: "Where it ends; after `from`, itself not included." }) to: Date,
    @Arg("granularity", () => usage.GRANULARITIES, {
      defaultValue: usage.GRANULARITIES.DAY,
      description: "How long a point's period is.",
    })
    granularity: Granularity,
    @Arg("metrics", () => [usage.USAGE_METRICS], {
      nullable: true,
      description: "Only these metrics; all of them when it is absent or null.",
    })
    metrics: UsageMetric[] | null | undefined,
    @Ctx() ctx: TenantContext,
  ) {
    return usage.list(ctx, { from, to, granularity, metrics });
  }
}
