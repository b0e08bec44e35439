import { defineLoader } from "../context/loaders.ts";
import { ownRows, requireScope, SCOPES } from "../context/permissions.ts";
import type { TaskRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { definePageLoader, pageOf } from "./paging.ts";
import type { Page, PageArgs } from "./paging.ts";
import { wordOf, wordsFilter } from "./stored-words.ts";

export const TASK_STATUSES = {
  QUEUED: "queued",
  RUNNING: "running",
  WAITING_USER: "waiting_user",
  COMPLETED: "completed",
  FAILED: "failed",
  CANCELLED: "cancelled",
} as const;
export type TaskStatus = (typeof TASK_STATUSES)[keyof typeof TASK_STATUSES];

export const TASK_PRIORITIES = { CRITICAL: "critical", HIGH: "high", MEDIUM: "medium", LOW: "low" } as const;
export type TaskPriority = (typeof TASK_PRIORITIES)[keyof typeof TASK_PRIORITIES];

const IN_PROGRESS = "in_progress"; // the predecessor's word for a task that runs
const STORED_STATUSES = { ...TASK_STATUSES, IN_PROGRESS } as const;
const ORDER = { field: "createdAt", direction: "desc" } as const;

/** Which tasks a list shows; what is absent or null does not restrict it, and an empty list matches none. */
export interface TaskFilter {
  readonly status?: readonly TaskStatus[] | null | undefined;
  /** A session that does not exist has no tasks. */
  readonly sessionId?: string | null | undefined;
}

/** The background work that the actor may see, newest first. Tasks are part of the conversations they serve, so who reads sessions reads them. */
export async function list(ctx: TenantContext, page: PageArgs, filter: TaskFilter): Promise<Page<TaskRow>> {
  requireScope(ctx, SCOPES.SESSIONS_READ);
  const where = visible(ctx, filter);
  return pageOf(ctx, { list: "tasks", order: ORDER }, page, {
    read: (window) =>
      ctx.db.task.findMany({ where: { AND: [where, window.where] }, orderBy: window.orderBy, take: window.take }),
    count: () => ctx.db.task.count({ where }),
  });
}

/** One page of tasks for each session asked for in the same tick, newest first. */
export async function pageOfSession(
  ctx: TenantContext,
  sessionId: string,
  page: PageArgs,
  filter: TaskFilter,
): Promise<Page<TaskRow>> {
  requireScope(ctx, SCOPES.SESSIONS_READ);
  return loadPage(ctx, sessionId, filter, page);
}

/** One task; null when there is none. All that are asked for in one tick come from one statement. */
export async function find(ctx: TenantContext, id: string): Promise<TaskRow | null> {
  requireScope(ctx, SCOPES.SESSIONS_READ);
  return byId(ctx).load(id);
}

/** Where a task stands; a word that nobody knows has not begun. */
export function statusOf(task: Pick<TaskRow, "status">): TaskStatus {
  const word = wordOf(STORED_STATUSES, task.status, TASK_STATUSES.QUEUED);
  return word === IN_PROGRESS ? TASK_STATUSES.RUNNING : word;
}

/** How soon a task gets its turn; a word that nobody knows is MEDIUM, as the column's default. */
export function priorityOf(task: Pick<TaskRow, "priority">): TaskPriority {
  return wordOf(TASK_PRIORITIES, task.priority, TASK_PRIORITIES.MEDIUM);
}

const byId = defineLoader(async (ctx: TenantContext, ids: readonly string[]) => {
  const rows = await ctx.db.task.findMany({ where: { AND: [visible(ctx, {}), { id: { in: [...ids] } }] } });
  return new Map(rows.map((row) => [row.id, row]));
});

const loadPage = definePageLoader<TaskRow, TaskFilter>({
  list: "session.tasks",
  order: ORDER,
  async read(ctx, sessionIds, filter, { where, orderBy, take }) {
    const sessions = await ctx.db.session.findMany({
      relationLoadStrategy: "join",
      where: { id: { in: [...sessionIds] } },
      select: { id: true, tasks: { where: { AND: [visible(ctx, filter), where] }, orderBy, take } },
    });
    return new Map(sessions.map((session) => [session.id, session.tasks]));
  },
  async count(ctx, sessionIds, filter) {
    const counts = await ctx.db.task.groupBy({
      by: ["sessionId"],
      where: { AND: [visible(ctx, filter), { sessionId: { in: [...sessionIds] } }] },
      _count: { _all: true },
    });
    return new Map(counts.map(({ sessionId, _count }) => [sessionId ?? "", _count?._all ?? 0]));
  },
});

/** Which tasks a caller may see: every read of this file goes through it. */
function visible(ctx: TenantContext, { status, sessionId }: TaskFilter) {
  const asked = {
    ...(status && { status: wordsFilter(STORED_STATUSES, status.flatMap(storedAs), TASK_STATUSES.QUEUED) }),
    ...(sessionId != null && { sessionId }),
  };
  return { AND: [ownRows(ctx), asked] };
}

function storedAs(status: TaskStatus): (TaskStatus | typeof IN_PROGRESS)[] {
  return status === TASK_STATUSES.RUNNING ? [status, IN_PROGRESS] : [status];
}
