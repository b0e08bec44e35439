import { Ctx, Field, FieldResolver, ObjectType, Query, registerEnumType, Resolver, Root } from "type-graphql";
import type { OpenAccessRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import * as openAccess from "../services/open-access.ts";
import { BigIntScalar, DateTime } from "./scalars.ts";

registerEnumType(openAccess.OPEN_WAYS, {
  name: "OpenAccessVia",
  description: "A way to a tenant's data that needs no credential.",
  valuesConfig: {
    DEFAULT: { description: "Naming no tenant, where there is a default tenant." },
    HEADER: { description: "Naming the tenant in `X-Tenant-ID`, where that alone is trusted." },
  },
});

@ObjectType({ description: "A client that came to this tenant's data without a credential.", simpleResolvers: true })
class OpenAccess {
  @Field(() => String, {
    description:
      "As the client calls itself: `apollographql-client-name`, else the product of its User-Agent, else `unknown`; `others` stands for all beyond the first 100.",
  })
  client!: string;

  @Field(() => BigIntScalar, { description: "How many requests it sent." })
  requests!: bigint;

  @Field(() => DateTime, { description: "When it came first." })
  firstSeenAt!: Date;

  @Field(() => DateTime, { description: "When it came last." })
  lastSeenAt!: Date;
}

@Resolver(() => OpenAccess)
export class OpenAccessResolver {
  @Query(() => [OpenAccess], {
    description: "Clients that still come to this tenant's data without a credential, latest first.",
  })
  openAccess(@Ctx() ctx: TenantContext) {
    return openAccess.list(ctx);
  }

  @FieldResolver(() => openAccess.OPEN_WAYS, { description: "By which way it came." })
  via(@Root() row: OpenAccessRow) {
    return openAccess.viaOf(row);
  }
}
