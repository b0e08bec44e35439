import { requireScope, SCOPES } from "../context/permissions.ts";
import { PERIODS } from "../context/tenant-meters.ts";
import type { Period } from "../context/tenant-meters.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { Problems } from "./checks.ts";

/** What is counted of a tenant. The GraphQL name is the key, the stored word the value. */
export const USAGE_METRICS = {
  REQUESTS: "requests",
  COMPLEXITY: "complexity",
  INPUT_TOKENS: "input_tokens",
  OUTPUT_TOKENS: "output_tokens",
  STORAGE_BYTES: "storage_bytes",
  EMBEDDINGS: "embeddings",
  TOOL_CALLS: "tool_calls",
} as const;
export type UsageMetric = (typeof USAGE_METRICS)[keyof typeof USAGE_METRICS];

/** Metrics that add up. The other one is a level: see `measureStorage`. */
type AddedMetric = Exclude<UsageMetric, typeof USAGE_METRICS.STORAGE_BYTES>;

/** How long a point is. The GraphQL name is the key. */
export const GRANULARITIES = PERIODS;
export type Granularity = Period;

/** What was used of a metric in one period; of a level, what it was at the period's end, or is now. */
export interface UsagePoint {
  readonly metric: UsageMetric;
  /** The period's beginning. */
  readonly start: Date;
  readonly value: bigint;
}

export interface UsageQuery {
  readonly from: Date;
  readonly to: Date;
  readonly granularity: Granularity;
  /** All of them when nothing is said. */
  readonly metrics?: readonly UsageMetric[] | null | undefined;
}

const POINTS_MAX = 1_000; // six weeks of hours, or four months of days with every metric
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const MONTHS_A_YEAR = 12;

/**
 * Counts that the tenant used something, now. Kept whether or not the transaction around it is; written within seconds.
 *
 * @param amount a whole number, 0 or more.
 */
export function count(ctx: Pick<TenantContext, "meter" | "clock">, metric: AddedMetric, amount: number): void {
  ctx.meter.add(metric, amount, ctx.clock.now());
}

/**
 * Notes how many bytes the tenant's files have. Belongs after every change of files, in its transaction; whoever else changes files of the
 * tenant waits until that has ended, so the last note is right. Reads all of the tenant's files.
 */
export async function measureStorage(tx: TenantContext): Promise<void> {
  const metric = USAGE_METRICS.STORAGE_BYTES;
  const last = await lockLastLevel(tx);
  const now = startOf(GRANULARITIES.HOUR, tx.clock.now());
  // Another process's clock may be ahead of ours.
  const hour = last !== undefined && last > now ? last : now;
  await tx.db.usageCount.createMany({ data: [{ metric, hour, value: 0n }], skipDuplicates: true });
  await tx.db.usageCount.updateMany({ where: { metric, hour }, data: { value: await storedBytes(tx) } });
}

/**
 * What the tenant used, by metric and period in UTC: every period that has a part in the time asked for, as a whole. What this process has
 * counted so far is in it; another one's counts follow within seconds. Periods in which nothing was used are left out. STORAGE_BYTES is a
 * level, which stays until it changes, so it has a point for every period from its first note on.
 *
 * @returns points in the order of metrics, then of time.
 * @throws BAD_USER_INPUT when `from` is not before `to`, or for more than 1,000 points.
 */
export async function list(ctx: TenantContext, query: UsageQuery): Promise<UsagePoint[]> {
  requireScope(ctx, SCOPES.TENANT_ADMIN);
  const metrics = Object.values(USAGE_METRICS).filter((metric) => query.metrics?.includes(metric) ?? true);
  checkSize(query, metrics.length);
  const span = spanOf(query);
  const hasLevel = metrics.includes(USAGE_METRICS.STORAGE_BYTES);
  await ctx.meter.settle();
  const [sums, levels] = await Promise.all([
    ctx.meter.sums(
      metrics.filter((metric) => metric !== USAGE_METRICS.STORAGE_BYTES),
      span,
    ),
    hasLevel ? storagePoints(ctx, span) : [],
  ]);
  return metrics.flatMap((metric): UsagePoint[] => {
    const points = metric === USAGE_METRICS.STORAGE_BYTES ? levels : sums.filter((point) => point.metric === metric);
    return points
      .map(({ start, value }) => ({ metric, start, value }))
      .toSorted((a, b) => a.start.getTime() - b.start.getTime());
  });
}

interface Span {
  readonly period: Granularity;
  /** The beginning of the first period. */
  readonly from: Date;
  /** The end of the last period. */
  readonly before: Date;
}

function spanOf({ from, to, granularity }: UsageQuery): Span {
  const last = startOf(granularity, new Date(to.getTime() - 1));
  return { period: granularity, from: startOf(granularity, from), before: after(granularity, last) };
}

function checkSize(query: UsageQuery, metrics: number): void {
  const problems = new Problems();
  if (query.from >= query.to) problems.add("from", "is not before `to`");
  problems.throwIfAny();
  const points = metrics * periodsIn(spanOf(query));
  if (points > POINTS_MAX) {
    const hint = "ask for less time, fewer metrics or longer periods";
    problems.add("to", `makes ${points} points; at most ${POINTS_MAX} are given: ${hint}`);
  }
  problems.throwIfAny();
}

/** The level at the end of each period, carried on through those in which it did not change; of the running period, what it is now. */
async function storagePoints(ctx: TenantContext, span: Span): Promise<Omit<UsagePoint, "metric">[]> {
  const thisPeriod = startOf(span.period, ctx.clock.now());
  const isNowAskedFor = span.from <= thisPeriod && thisPeriod < span.before;
  const [noted, bytesNow] = await Promise.all([
    ctx.meter.levels(USAGE_METRICS.STORAGE_BYTES, span),
    isNowAskedFor ? storedBytes(ctx) : undefined,
  ]);
  const points: Omit<UsagePoint, "metric">[] = [];
  let next = 0;
  let value: bigint | undefined;
  for (let start = span.from; start < span.before && start <= thisPeriod; start = after(span.period, start)) {
    for (let level = noted[next]; level && level.start <= start; level = noted[next]) {
      value = level.value;
      next += 1;
    }
    // Files of the predecessor were never noted, and its clients may still add some.
    const level = start.getTime() === thisPeriod.getTime() ? bytesNow : value;
    if (level !== undefined) points.push({ start, value: level });
  }
  return points;
}

async function storedBytes(ctx: TenantContext): Promise<bigint> {
  const [all] = await ctx.db.file.groupBy({ by: ["tenantId"], _sum: { size: true } });
  return all?._sum?.size ?? 0n;
}

/** Makes whoever measures at the same time wait. @returns the hour of the last level, if there is one. */
async function lockLastLevel(tx: TenantContext): Promise<Date | undefined> {
  const metric = USAGE_METRICS.STORAGE_BYTES;
  let locked: Date | undefined;
  for (;;) {
    const last = await tx.db.usageCount.findFirst({ where: { metric }, orderBy: { hour: "desc" } });
    // While we waited for the lock, whoever had it may have begun another hour.
    if (!last || last.hour.getTime() === locked?.getTime()) return locked;
    await tx.db.usageCount.updateMany({ where: { metric, hour: last.hour }, data: { value: { increment: 0 } } });
    locked = last.hour;
  }
}

/** The beginning of the period that an instant lies in. */
function startOf(period: Granularity, at: Date): Date {
  switch (period) {
    case GRANULARITIES.HOUR:
      return new Date(Math.floor(at.getTime() / HOUR_MS) * HOUR_MS);
    case GRANULARITIES.DAY:
      return new Date(Math.floor(at.getTime() / DAY_MS) * DAY_MS);
    case GRANULARITIES.MONTH: {
      const start = new Date(Math.floor(at.getTime() / DAY_MS) * DAY_MS);
      start.setUTCDate(1);
      return start;
    }
  }
}

/** The beginning of the period after the one that begins there. */
function after(period: Granularity, start: Date): Date {
  switch (period) {
    case GRANULARITIES.HOUR:
      return new Date(start.getTime() + HOUR_MS);
    case GRANULARITIES.DAY:
      return new Date(start.getTime() + DAY_MS);
    case GRANULARITIES.MONTH: {
      const next = new Date(start);
      next.setUTCMonth(next.getUTCMonth() + 1);
      return next;
    }
  }
}

function periodsIn({ period, from, before }: Span): number {
  switch (period) {
    case GRANULARITIES.HOUR:
      return (before.getTime() - from.getTime()) / HOUR_MS;
    case GRANULARITIES.DAY:
      return (before.getTime() - from.getTime()) / DAY_MS;
    case GRANULARITIES.MONTH:
      return (
        (before.getUTCFullYear() - from.getUTCFullYear()) * MONTHS_A_YEAR + before.getUTCMonth() - from.getUTCMonth()
      );
  }
}
