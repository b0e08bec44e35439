import {
  Arg,
  Args,
  Ctx,
  Field,
  FieldResolver,
  InputType,
  Mutation,
  ObjectType,
  Query,
  registerEnumType,
  Resolver,
  Root,
} from "type-graphql";
import type { Prisma, SessionRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import * as sessions from "../services/sessions.ts";
import * as users from "../services/users.ts";
import { connectionOf, PageArguments } from "./connection.ts";
import { objectOf } from "./metadata.ts";
import { Node } from "./node.ts";
import { DateTime, EntityId, JSONObject } from "./scalars.ts";
import { User } from "./users.ts";

const ORDER_DIRECTIONS = { ASC: "asc", DESC: "desc" } as const;

registerEnumType(sessions.SESSION_STATUSES, {
  name: "SessionStatus",
  description: "Where a session stands.",
  valuesConfig: {
    ACTIVE: { description: "In use." },
    ARCHIVED: { description: "Put away and indexed into long-term memory; can be restored." },
    DELETED: { description: "Hidden from lists, still readable by its id." },
  },
});

registerEnumType(ORDER_DIRECTIONS, {
  name: "OrderDirection",
  description: "Which end of an order comes first.",
  valuesConfig: {
    ASC: { description: "Smallest or oldest first." },
    DESC: { description: "Greatest or newest first." },
  },
});

registerEnumType(sessions.SESSION_ORDER_FIELDS, {
  name: "SessionOrderField",
  description: "What sessions can be ordered by.",
  valuesConfig: {
    CREATED_AT: { description: "When the session was begun." },
    UPDATED_AT: { description: "When the session, or what was said in it, changed last." },
    NAME: { description: "The session's name, as the database sorts text." },
  },
});

@ObjectType({ implements: Node, description: "A conversation.", simpleResolvers: true })
export class Session extends Node {
  @Field(() => String, { description: "What the session is called, 1 to 255 characters." })
  name!: string;

  @Field(() => String, { nullable: true, description: "A heading, at most 255 characters." })
  title!: string | null;

  @Field(() => String, { nullable: true, description: "What the session is about, at most 10,000 characters." })
  description!: string | null;

  @Field(() => DateTime, { description: "When the session was begun." })
  createdAt!: Date;

  @Field(() => DateTime, { description: "When the session, or what was said in it, changed last." })
  updatedAt!: Date;

  @Field(() => DateTime, {
    nullable: true,
    description: "When the session was archived last; null once it is restored.",
  })
  archivedAt!: Date | null;
}

const SessionConnection = connectionOf(() => Session, "Session");

@InputType({ description: "Which sessions a list shows; what is left out does not restrict it." })
class SessionFilter {
  @Field(() => [sessions.SESSION_STATUSES], {
    nullable: true,
    description: "Only sessions that stand so; all but deleted ones when left out.",
  })
  status?: sessions.SessionStatus[] | null;

  @Field(() => String, {
    nullable: true,
    description: "Text that name, title or description contain, in upper or lower case; at most 255 characters.",
  })
  search?: string | null;

  @Field(() => EntityId, { nullable: true, description: "Only sessions of this user." })
  userId?: string | null;

  @Field(() => DateTime, { nullable: true, description: "Only sessions begun after this instant." })
  createdAfter?: Date | null;

  @Field(() => DateTime, { nullable: true, description: "Only sessions begun before this instant." })
  createdBefore?: Date | null;
}

@InputType({ description: "How a list of sessions is ordered; equals are ordered by id." })
class SessionOrder {
  @Field(() => sessions.SESSION_ORDER_FIELDS, {
    defaultValue: sessions.SESSION_ORDER_FIELDS.UPDATED_AT,
    description: "What counts.",
  })
  field!: sessions.SessionOrderField;

  @Field(() => ORDER_DIRECTIONS, { defaultValue: ORDER_DIRECTIONS.DESC, description: "Which end comes first." })
  direction!: (typeof ORDER_DIRECTIONS)[keyof typeof ORDER_DIRECTIONS];
}

@InputType({ description: "A session to begin." })
class CreateSessionInput {
  @Field(() => String, { description: "What the session is called, 1 to 255 characters." })
  name!: string;

  @Field(() => String, { nullable: true, description: "A heading, at most 255 characters." })
  title?: string | null;

  @Field(() => String, { nullable: true, description: "What the session is about, at most 10,000 characters." })
  description?: string | null;

  @Field(() => JSONObject, {
    nullable: true,
    description: "Whatever the client keeps with the session, at most 64 KiB.",
  })
  metadata?: Prisma.InputJsonObject | null;

  @Field(() => String, {
    nullable: true,
    description: "1 to 255 characters; repeating the call with it within 24 hours returns the first answer.",
  })
  idempotencyKey?: string | null;
}

@InputType({ description: "Changes of a session: what is left out stays, null clears." })
class UpdateSessionInput {
  @Field(() => EntityId, { description: "The session to change." })
  id!: string;

  @Field(() => String, { nullable: true, description: "Another name, 1 to 255 characters; null is refused." })
  name?: string | null;

  @Field(() => String, { nullable: true, description: "Another heading, at most 255 characters." })
  title?: string | null;

  @Field(() => String, { nullable: true, description: "Another description, at most 10,000 characters." })
  description?: string | null;

  @Field(() => JSONObject, { nullable: true, description: "Replaces the metadata whole; at most 64 KiB." })
  metadata?: Prisma.InputJsonObject | null;
}

@ObjectType({ description: "A session as it stands after the change.", simpleResolvers: true })
export class SessionPayload {
  @Field(() => Session, { description: "The session." })
  session!: SessionRow;
}

@ObjectType({ description: "What was deleted.", simpleResolvers: true })
class DeleteSessionPayload {
  @Field(() => EntityId, { description: "Id of the session that is deleted." })
  deletedId!: string;
}

@Resolver(() => Session)
export class SessionResolver {
  @FieldResolver(() => sessions.SESSION_STATUSES, { description: "Where the session stands." })
  status(@Root() session: SessionRow): sessions.SessionStatus {
    return sessions.statusOf(session);
  }

  @FieldResolver(() => JSONObject, { description: "Whatever clients keep with the session." })
  metadata(@Root() session: SessionRow): object {
    return objectOf(session.metadata);
  }

  @FieldResolver(() => User, {
    nullable: true,
    description: "Whose session it is; null when it belongs to the tenant as a whole.",
  })
  user(@Root() session: SessionRow, @Ctx() ctx: TenantContext) {
    return session.userId === null ? null : users.byId(ctx).load(session.userId);
  }

  @Query(() => SessionConnection, { description: "The tenant's sessions, changed last first." })
  sessions(
    @Args(() => PageArguments) page: PageArguments,
    @Arg("filter", () => SessionFilter, { nullable: true, description: "Only some of them." })
    filter: SessionFilter | null | undefined,
    @Arg("orderBy", () => SessionOrder, { nullable: true, description: "Another order." })
    orderBy: SessionOrder | null | undefined,
    @Ctx() ctx: TenantContext,
  ) {
    return sessions.list(ctx, page, filter ?? {}, orderBy ?? undefined);
  }

  @Query(() => Session, {
    nullable: true,
    description: "One session, deleted or not; null when there is none.",
  })
  session(@Arg("id", () => EntityId, { description: "The session's id." }) id: string, @Ctx() ctx: TenantContext) {
    return sessions.find(ctx, id);
  }

  @Mutation(() => SessionPayload, { description: "Begin a session." })
  async createSession(
    @Arg("input", () => CreateSessionInput, { description: "The session to begin." }) input: CreateSessionInput,
    @Ctx() ctx: TenantContext,
  ) {
    return { session: await sessions.create(ctx, input) };
  }

  @Mutation(() => SessionPayload, { description: "Change what is said about a session." })
  async updateSession(
    @Arg("input", () => UpdateSessionInput, { description: "The session and its changes." }) input: UpdateSessionInput,
    @Ctx() ctx: TenantContext,
  ) {
    return { session: await sessions.update(ctx, input.id, input) };
  }

  @Mutation(() => SessionPayload, {
    description: "Make an archived session active again; CONFLICT when it is not archived.",
  })
  async restoreSession(
    @Arg("id", () => EntityId, { description: "The session to restore." }) id: string,
    @Ctx() ctx: TenantContext,
  ) {
    return { session: await sessions.restore(ctx, id) };
  }

  @Mutation(() => DeleteSessionPayload, {
    description: "Delete a session: soft unless hard is true, which removes it with all that hangs on it.",
  })
  async deleteSession(
    @Arg("id", () => EntityId, { description: "The session to delete." }) id: string,
    @Arg("hard", () => Boolean, { nullable: true, defaultValue: false, description: "Remove it for good." })
    hard: boolean | null,
    @Ctx() ctx: TenantContext,
  ) {
    await sessions.remove(ctx, id, { hard: hard ?? false });
    return { deletedId: id };
  }
}
