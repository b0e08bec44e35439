import { Arg, Ctx, Query, Resolver } from "type-graphql";
import type { TenantContext } from "../context/tenant-context.ts";
import * as nodes from "../services/nodes.ts";
import { Node } from "./node.ts";
import type { Typed } from "./node.ts";
import { EntityId } from "./scalars.ts";

@Resolver()
export class NodeResolver {
  @Query(() => Node, {
    nullable: true,
    description: "Whatever has this id; null when there is none, or when your scopes do not let you read it.",
  })
  async node(@Arg("id", () => EntityId, { description: "The id of anything." }) id: string, @Ctx() ctx: TenantContext) {
    return typed(await nodes.find(ctx, id));
  }

  @Query(() => [Node], {
    nullable: "items",
    description: "Whatever has these ids, in their order; null for each that is not there or that you may not read.",
  })
  async nodes(
    @Arg("ids", () => [EntityId], { description: "The ids of anything, at most 100." }) ids: string[],
    @Ctx() ctx: TenantContext,
  ) {
    return (await nodes.findAll(ctx, ids)).map(typed);
  }
}

function typed(found: nodes.Found | null): Typed | null {
  return found && { ...found.row, __typename: found.kind };
}
