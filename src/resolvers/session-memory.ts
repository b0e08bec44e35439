import { Arg, Ctx, Field, FieldResolver, InputType, Int, Mutation, ObjectType, Resolver, Root } from "type-graphql";
import type { MemoryMediumRow, MemoryShortRow, Prisma, SessionRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import * as memory from "../services/memory/memory.ts";
import * as sessions from "../services/sessions.ts";
import { objectOf } from "./metadata.ts";
import { Node } from "./node.ts";
import { DateTime, EntityId, JSONObject } from "./scalars.ts";
import { Session } from "./sessions.ts";

const SUMMARIES_DEFAULT = 20;
const TTL_SECONDS_DEFAULT = 3_600; // as in the predecessor

@ObjectType({ description: "What the assistant keeps in mind during a session.", simpleResolvers: true })
class ShortTermMemory {
  @Field(() => DateTime, { description: "When it expires." })
  expiresAt!: Date;
}

@ObjectType({
  implements: Node,
  description: "A summary of an earlier part of one session.",
  simpleResolvers: true,
})
class MediumTermMemory extends Node {
  @Field(() => String, { description: "The summary." })
  content!: string;

  @Field(() => DateTime, { description: "When it was summarized." })
  createdAt!: Date;
}

@ObjectType({ description: "What is remembered of one session." })
class SessionMemory {
  @Field(() => ShortTermMemory, {
    nullable: true,
    description: "What is kept in mind now; null when there is nothing, or it has expired.",
  })
  shortTerm(@Root() session: SessionRow, @Ctx() ctx: TenantContext): Promise<MemoryShortRow | null> {
    return memory.shortTerm.ofSession(ctx, session.id);
  }

  @Field(() => [MediumTermMemory], { description: "Summaries of its earlier parts, newest first." })
  mediumTerm(
    @Root() session: SessionRow,
    @Arg("first", () => Int, {
      nullable: true,
      defaultValue: SUMMARIES_DEFAULT,
      description: "How many, at most 100.",
    })
    first: number | null,
    @Ctx() ctx: TenantContext,
  ): Promise<readonly MemoryMediumRow[]> {
    return memory.mediumTerm.ofSession(ctx, session.id, first ?? SUMMARIES_DEFAULT);
  }
}

@InputType({ description: "What to keep in mind during a session." })
class SetShortTermMemoryInput {
  @Field(() => EntityId, { description: "The session." })
  sessionId!: string;

  @Field(() => JSONObject, { description: "What to keep in mind, at most 64 KiB; replaces what was there." })
  context!: Prisma.InputJsonObject;

  @Field(() => Int, {
    defaultValue: TTL_SECONDS_DEFAULT,
    description: "How long, in seconds: 1 to 2,592,000, which are 30 days.",
  })
  ttlSeconds!: number;
}

@ObjectType({ description: "What is kept in mind now.", simpleResolvers: true })
class ShortTermMemoryPayload {
  @Field(() => ShortTermMemory, { description: "The short-term memory." })
  shortTerm!: MemoryShortRow;
}

@Resolver(() => ShortTermMemory)
export class ShortTermMemoryResolver {
  @FieldResolver(() => JSONObject, { description: "What is kept in mind; its shape is the client's." })
  context(@Root() row: MemoryShortRow): object {
    return objectOf(row.contextData);
  }

  @Mutation(() => ShortTermMemoryPayload, {
    description: "Keep something in mind during a session, in place of what was there.",
  })
  async setShortTermMemory(
    @Arg("input", () => SetShortTermMemoryInput, { description: "The session and what to keep in mind." })
    input: SetShortTermMemoryInput,
    @Ctx() ctx: TenantContext,
  ) {
    return { shortTerm: await memory.shortTerm.set(ctx, input) };
  }

  @Mutation(() => Boolean, {
    description: "Clear what is kept in mind during a session; false when there was nothing.",
  })
  clearShortTermMemory(
    @Arg("sessionId", () => EntityId, { description: "The session." }) sessionId: string,
    @Ctx() ctx: TenantContext,
  ) {
    return memory.shortTerm.clear(ctx, sessionId);
  }
}

@Resolver(() => MediumTermMemory)
export class MediumTermMemoryResolver {
  @FieldResolver(() => Session, { description: "The session it summarizes a part of." })
  session(@Root() row: MemoryMediumRow, @Ctx() ctx: TenantContext) {
    return sessions.find(ctx, row.sessionId);
  }
}

@Resolver(() => Session)
export class SessionMemoryResolver {
  @FieldResolver(() => SessionMemory, { description: "What is remembered of this session." })
  memory(@Root() session: SessionRow): SessionRow {
    return session;
  }
}
