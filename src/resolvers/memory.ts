import {
  Arg,
  Args,
  Ctx,
  Field,
  FieldResolver,
  Float,
  InputType,
  Mutation,
  ObjectType,
  Query,
  registerEnumType,
  Resolver,
  Root,
} from "type-graphql";
import type { MemoryLongRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import * as memory from "../services/memory/memory.ts";
import type { MemoryKind } from "../services/memory/memory.ts";
import { connectionOf, PageArguments } from "./connection.ts";
import { Node } from "./node.ts";
import { DateTime, EntityId } from "./scalars.ts";
import { Session, SessionPayload } from "./sessions.ts";

registerEnumType(memory.longTerm.MEMORY_KINDS, {
  name: "MemoryKind",
  description: "What a memory is about.",
  valuesConfig: {
    FACT: { description: "Something that is so." },
    PREFERENCE: { description: "What somebody likes or wants." },
    PERSONAL_INFO: { description: "Something about a person." },
    CONTACT: { description: "How to reach somebody." },
    PROJECT: { description: "Something that is being worked on." },
    EMAIL: { description: "Taken from an e-mail." },
    WEB: { description: "Taken from the web." },
    SUMMARY: { description: "A conversation, or several memories, in short." },
    GENERAL: { description: "Anything else." },
  },
});

@ObjectType({ implements: Node, description: "Something learned for good.", simpleResolvers: true })
class LongTermMemory extends Node {
  @Field(() => String, { description: "What was learned, 1 to 20,000 characters." })
  content!: string;

  @Field(() => DateTime, { description: "When it was learned." })
  createdAt!: Date;

  @Field(() => DateTime, { description: "When it was changed last." })
  updatedAt!: Date;
}

const LongTermMemoryConnection = connectionOf(() => LongTermMemory, "LongTermMemory");

@InputType({ description: "Which memories are meant; what is left out does not restrict them." })
class MemoryFilter {
  @Field(() => Float, { nullable: true, description: "Only memories that matter at least so much, 0 to 1." })
  minImportance?: number | null;

  @Field(() => [memory.longTerm.MEMORY_KINDS], { nullable: true, description: "Only memories about this." })
  kind?: MemoryKind[] | null;

  @Field(() => [EntityId], {
    nullable: true,
    description: "Only memories learned from at least one of these sessions, at most 100.",
  })
  sessionIds?: string[] | null;

  @Field(() => DateTime, { nullable: true, description: "Only memories learned after this instant." })
  createdAfter?: Date | null;

  @Field(() => DateTime, { nullable: true, description: "Only memories learned before this instant." })
  createdBefore?: Date | null;
}

@InputType({ description: "Something to remember." })
class RememberInput {
  @Field(() => String, { description: "What to remember, 1 to 20,000 characters." })
  content!: string;

  @Field(() => memory.longTerm.MEMORY_KINDS, {
    defaultValue: memory.longTerm.MEMORY_KINDS.GENERAL,
    description: "What it is about.",
  })
  kind!: MemoryKind;

  @Field(() => Float, { defaultValue: 0.5, description: "How much it matters, 0 to 1." })
  importance!: number;

  @Field(() => [EntityId], { defaultValue: [], description: "Sessions it was learned from, at most 100." })
  learnedFromSessionIds!: string[];
}

@InputType({ description: "Changes of a memory: what is left out stays, null is refused." })
class UpdateMemoryInput {
  @Field(() => EntityId, { description: "The memory to change." })
  id!: string;

  @Field(() => String, { nullable: true, description: "What to remember instead, 1 to 20,000 characters." })
  content?: string | null;

  @Field(() => memory.longTerm.MEMORY_KINDS, { nullable: true, description: "What it is about." })
  kind?: MemoryKind | null;

  @Field(() => Float, { nullable: true, description: "How much it matters, 0 to 1." })
  importance?: number | null;
}

@ObjectType({ description: "What was remembered.", simpleResolvers: true })
class RememberPayload {
  @Field(() => LongTermMemory, { description: "The memory." })
  memory!: MemoryLongRow;

  @Field(() => Boolean, { description: "False where a near-duplicate was there already and was merged with it." })
  created!: boolean;
}

@ObjectType({ description: "A memory as it stands after the change.", simpleResolvers: true })
class LongTermMemoryPayload {
  @Field(() => LongTermMemory, { description: "The memory." })
  memory!: MemoryLongRow;
}

@ObjectType({ description: "What was forgotten.", simpleResolvers: true })
class ForgetPayload {
  @Field(() => [EntityId], { description: "Ids of the memories that are gone; unknown ones are left out." })
  deletedIds!: readonly string[];
}

@Resolver(() => LongTermMemory)
export class LongTermMemoryResolver {
  @FieldResolver(() => memory.longTerm.MEMORY_KINDS, { description: "What it is about." })
  kind(@Root() row: MemoryLongRow): MemoryKind {
    return memory.longTerm.kindOf(row);
  }

  @FieldResolver(() => Float, { description: "How much it matters, 0 to 1." })
  importance(@Root() row: MemoryLongRow): number {
    return memory.longTerm.importanceOf(row);
  }

  @FieldResolver(() => [Session], {
    description: "The sessions it was learned from, those that are gone or deleted left out.",
  })
  learnedFromSessions(@Root() row: MemoryLongRow, @Ctx() ctx: TenantContext) {
    return memory.longTerm.sessionsOf(ctx, row);
  }

  @Query(() => LongTermMemoryConnection, {
    description: "What the tenant's assistant has learned for good, newest first.",
  })
  longTermMemories(
    @Args(() => PageArguments) page: PageArguments,
    @Arg("filter", () => MemoryFilter, { nullable: true, description: "Only some of them." })
    filter: MemoryFilter | null | undefined,
    @Ctx() ctx: TenantContext,
  ) {
    return memory.longTerm.list(ctx, page, filter ?? {});
  }

  @Query(() => LongTermMemory, {
    nullable: true,
    description: "One memory; null when there is none.",
  })
  longTermMemory(
    @Arg("id", () => EntityId, { description: "The memory's id." }) id: string,
    @Ctx() ctx: TenantContext,
  ) {
    return memory.longTerm.find(ctx, id);
  }

  @Mutation(() => RememberPayload, { description: "Remember something for good." })
  async remember(
    @Arg("input", () => RememberInput, { description: "What to remember." }) input: RememberInput,
    @Ctx() ctx: TenantContext,
  ) {
    return { memory: await memory.longTerm.remember(ctx, input), created: true };
  }

  @Mutation(() => LongTermMemoryPayload, { description: "Change what is remembered." })
  async updateMemory(
    @Arg("input", () => UpdateMemoryInput, { description: "The memory and its changes." }) input: UpdateMemoryInput,
    @Ctx() ctx: TenantContext,
  ) {
    return { memory: await memory.longTerm.update(ctx, input.id, input) };
  }

  @Mutation(() => ForgetPayload, {
    description: "Delete memories for good, at most 100 at once.",
  })
  async forget(
    @Arg("ids", () => [EntityId], { description: "The memories to forget." }) ids: string[],
    @Ctx() ctx: TenantContext,
  ) {
    return { deletedIds: await memory.longTerm.forget(ctx, ids) };
  }

  @Mutation(() => SessionPayload, {
    description:
      "Archive a session and index its conversation into long-term memory; CONFLICT when it is archived already.",
  })
  async archiveSession(
    @Arg("id", () => EntityId, { description: "The session to archive." }) id: string,
    @Ctx() ctx: TenantContext,
  ) {
    return { session: await memory.archiveSession(ctx, id) };
  }
}
