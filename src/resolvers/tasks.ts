import {
  Arg,
  Args,
  Ctx,
  Field,
  FieldResolver,
  Int,
  ObjectType,
  Query,
  registerEnumType,
  Resolver,
  Root,
} from "type-graphql";
import type { SessionRow, TaskRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import * as sessions from "../services/sessions.ts";
import * as tasks from "../services/tasks.ts";
import type { TaskPriority, TaskStatus } from "../services/tasks.ts";
import { connectionOf, PageArguments } from "./connection.ts";
import { objectOf } from "./metadata.ts";
import { Node } from "./node.ts";
import { DateTime, EntityId, JSONObject } from "./scalars.ts";
import { Session } from "./sessions.ts";

registerEnumType(tasks.TASK_STATUSES, {
  name: "TaskStatus",
  description: "Where a task stands.",
  valuesConfig: {
    QUEUED: { description: "Waits for its turn." },
    RUNNING: { description: "Is being worked on." },
    WAITING_USER: { description: "Waits for a person's answer." },
    COMPLETED: { description: "Done." },
    FAILED: { description: "Given up after an error." },
    CANCELLED: { description: "Called off before it was done." },
  },
});

registerEnumType(tasks.TASK_PRIORITIES, {
  name: "TaskPriority",
  description: "How soon a task gets its turn.",
  valuesConfig: {
    CRITICAL: { description: "Before everything else." },
    HIGH: { description: "Before what is usual." },
    MEDIUM: { description: "As usual." },
    LOW: { description: "When nothing else waits." },
  },
});

@ObjectType({ implements: Node, description: "A piece of work in the background.", simpleResolvers: true })
class Task extends Node {
  @Field(() => String, { description: "The kind of work, like `resolve_contradiction`." })
  type!: string;

  @Field(() => String, { nullable: true, description: "Why it failed last; null when it has not." })
  error!: string | null;

  @Field(() => Int, { description: "How often it was tried." })
  attempts!: number;

  @Field(() => DateTime, { description: "When it was queued." })
  createdAt!: Date;

  @Field(() => DateTime, { description: "When it changed last." })
  updatedAt!: Date;
}

const TaskConnection = connectionOf(() => Task, "Task");

@Resolver(() => Task)
export class TaskResolver {
  @FieldResolver(() => tasks.TASK_STATUSES, { description: "Where it stands." })
  status(@Root() task: TaskRow): TaskStatus {
    return tasks.statusOf(task);
  }

  @FieldResolver(() => tasks.TASK_PRIORITIES, { description: "How soon it gets its turn." })
  priority(@Root() task: TaskRow): TaskPriority {
    return tasks.priorityOf(task);
  }

  @FieldResolver(() => JSONObject, { description: "What it works on; its shape depends on the type." })
  payload(@Root() task: TaskRow): object {
    return objectOf(task.payload);
  }

  @FieldResolver(() => JSONObject, { nullable: true, description: "What came out; null until it is completed." })
  result(@Root() task: TaskRow): object | null {
    return task.result === null ? null : objectOf(task.result);
  }

  @FieldResolver(() => Session, {
    nullable: true,
    description: "The session it works for; null when it works for none.",
  })
  session(@Root() task: TaskRow, @Ctx() ctx: TenantContext) {
    return task.sessionId === null ? null : sessions.find(ctx, task.sessionId);
  }

  @Query(() => TaskConnection, { description: "The tenant's background work, newest first." })
  tasks(
    @Args(() => PageArguments) page: PageArguments,
    @Arg("status", () => [tasks.TASK_STATUSES], { nullable: true, description: "Only tasks that stand so." })
    status: TaskStatus[] | null | undefined,
    @Arg("sessionId", () => EntityId, {
      nullable: true,
      description: "Only tasks of this session; none when it does not exist.",
    })
    sessionId: string | null | undefined,
    @Ctx() ctx: TenantContext,
  ) {
    return tasks.list(ctx, page, { status, sessionId });
  }

  @Query(() => Task, { nullable: true, description: "One task; null when there is none." })
  task(@Arg("id", () => EntityId, { description: "The task's id." }) id: string, @Ctx() ctx: TenantContext) {
    return tasks.find(ctx, id);
  }
}

@Resolver(() => Session)
export class SessionTasksResolver {
  @FieldResolver(() => TaskConnection, { description: "Background work for this session, newest first." })
  tasks(
    @Root() session: SessionRow,
    @Args(() => PageArguments) page: PageArguments,
    @Arg("status", () => [tasks.TASK_STATUSES], { nullable: true, description: "Only tasks that stand so." })
    status: TaskStatus[] | null | undefined,
    @Ctx() ctx: TenantContext,
  ) {
    return tasks.pageOfSession(ctx, session.id, page, { status });
  }
}
