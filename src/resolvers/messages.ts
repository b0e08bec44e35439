import {
  Arg,
  Args,
  Ctx,
  Field,
  FieldResolver,
  InputType,
  Int,
  Mutation,
  ObjectType,
  Query,
  registerEnumType,
  Resolver,
  Root,
} from "type-graphql";
import type { MessageRow, Prisma, SessionRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import * as messages from "../services/messages.ts";
import * as sessions from "../services/sessions.ts";
import { connectionOf, PageArguments } from "./connection.ts";
import { objectOf } from "./metadata.ts";
import { Node } from "./node.ts";
import { DateTime, EntityId, JSONObject } from "./scalars.ts";
import { Session } from "./sessions.ts";

registerEnumType(messages.MESSAGE_ROLES, {
  name: "MessageRole",
  description: "Who says something in a session.",
  valuesConfig: {
    USER: { description: "The person." },
    ASSISTANT: { description: "The assistant." },
    SYSTEM: { description: "The gateway itself, or whoever is not known as one of the others." },
    TOOL: { description: "A tool that the assistant used." },
  },
});

@ObjectType({ implements: Node, description: "Something said in a session.", simpleResolvers: true })
class Message extends Node {
  @Field(() => String, { description: "What was said, as plain text of 1 to 1,000,000 characters." })
  content!: string;

  @Field(() => DateTime, { description: "When it was said." })
  createdAt!: Date;
}

const MessageConnection = connectionOf(() => Message, "Message");

@InputType({ description: "A message to store." })
class CreateMessageInput {
  @Field(() => EntityId, {
    description: "The session it belongs to, which must be open: neither archived nor deleted.",
  })
  sessionId!: string;

  @Field(() => messages.MESSAGE_ROLES, { defaultValue: messages.MESSAGE_ROLES.USER, description: "Who says it." })
  role!: messages.MessageRole;

  @Field(() => String, { description: "What is said, as plain text of 1 to 1,000,000 characters." })
  content!: string;

  @Field(() => JSONObject, { nullable: true, description: "Whatever the client keeps with it, at most 64 KiB." })
  metadata?: Prisma.InputJsonObject | null;

  @Field(() => String, {
    nullable: true,
    description: "1 to 255 characters; repeating the call with it within 24 hours returns the first answer.",
  })
  idempotencyKey?: string | null;
}

@ObjectType({ description: "A message that was stored.", simpleResolvers: true })
class MessagePayload {
  @Field(() => Message, { description: "The message." })
  message!: MessageRow;
}

@Resolver(() => Message)
export class MessageResolver {
  @FieldResolver(() => messages.MESSAGE_ROLES, { description: "Who said it." })
  role(@Root() message: MessageRow): messages.MessageRole {
    return messages.roleOf(message);
  }

  @FieldResolver(() => JSONObject, { description: "Whatever clients keep with the message." })
  metadata(@Root() message: MessageRow): object {
    return objectOf(message.metadata);
  }

  @FieldResolver(() => Session, { description: "The session it was said in." })
  session(@Root() message: MessageRow, @Ctx() ctx: TenantContext) {
    return sessions.mustFind(ctx, message.sessionId);
  }

  @Query(() => Message, {
    nullable: true,
    description: "One message; null when there is none.",
  })
  message(@Arg("id", () => EntityId, { description: "The message's id." }) id: string, @Ctx() ctx: TenantContext) {
    return messages.find(ctx, id);
  }

  @Mutation(() => MessagePayload, {
    description: "Store a message without running the assistant; CONFLICT when the session is archived or deleted.",
  })
  async createMessage(
    @Arg("input", () => CreateMessageInput, { description: "The message to store." }) input: CreateMessageInput,
    @Ctx() ctx: TenantContext,
  ) {
    return { message: await messages.create(ctx, input) };
  }
}

@Resolver(() => Session)
export class SessionMessagesResolver {
  @FieldResolver(() => MessageConnection, { description: "What was said, oldest first." })
  messages(
    @Root() session: SessionRow,
    @Args(() => PageArguments) page: PageArguments,
    @Arg("role", () => [messages.MESSAGE_ROLES], { nullable: true, description: "Only what these said." })
    role: messages.MessageRole[] | null | undefined,
    @Ctx() ctx: TenantContext,
  ) {
    return messages.pageOfSession(ctx, session.id, role, page);
  }

  @FieldResolver(() => Int, { description: "How many messages the session has." })
  messageCount(@Root() session: SessionRow, @Ctx() ctx: TenantContext) {
    return messages.countOfSession(ctx, session.id);
  }
}
