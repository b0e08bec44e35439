import { Arg, Args, Ctx, Field, ObjectType, Query, Resolver } from "type-graphql";
import type { TenantContext } from "../context/tenant-context.ts";
import * as audit from "../services/audit.ts";
import { connectionOf, PageArguments } from "./connection.ts";
import { Node } from "./node.ts";
import { DateTime, JSONObject } from "./scalars.ts";

@ObjectType({ implements: Node, description: "One entry of the tenant's audit trail.", simpleResolvers: true })
class AuditEvent extends Node {
  @Field(() => String, { description: "What was done: the thing and the verb, like `session.create`." })
  action!: string;

  @Field(() => String, { description: "Who did it, like `api_key:<id>`." })
  actor!: string;

  @Field(() => String, { nullable: true, description: "Id of what it was done to." })
  target!: string | null;

  @Field(() => String, { nullable: true, description: "Address the request came from." })
  ip!: string | null;

  @Field(() => String, { nullable: true, description: "Id of the request that it belongs to, as in logs and errors." })
  requestId!: string | null;

  @Field(() => JSONObject, { description: "Names and counts that belong to the action; never contents or secrets." })
  details!: unknown;

  @Field(() => DateTime, { description: "When it was done." })
  createdAt!: Date;
}

const AuditEventConnection = connectionOf(() => AuditEvent, "AuditEvent");

@Resolver()
export class AuditResolver {
  @Query(() => AuditEventConnection, { description: "Who did what in this tenant, newest first." })
  auditEvents(
    @Args(() => PageArguments) page: PageArguments,
    @Arg("action", () => String, { nullable: true, description: "Only this action." })
    action: string | null | undefined,
    @Arg("actor", () => String, { nullable: true, description: "Only what this actor did, like `user:<id>`." })
    actor: string | null | undefined,
    @Arg("target", () => String, { nullable: true, description: "Only what was done to the object with this id." })
    target: string | null | undefined,
    @Arg("since", () => DateTime, { nullable: true, description: "Only what was done at this time or later." })
    since: Date | null | undefined,
    @Ctx() ctx: TenantContext,
  ) {
    return audit.list(ctx, page, { action, actor, target, since });
  }
}
