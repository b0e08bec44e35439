import type { QueryName } from "./options.ts";
import type { Round } from "./measure.ts";

/** The goals of issue 4: Atrium's CPU a request, divided by that of another. */
export const GOALS: Readonly<Record<QueryName, Readonly<Record<string, number>>>> = {
  Q1: { postgraphile: 0.65, mercurius: 1.15, limit: 2.0 },
  Q2: { postgraphile: 0.6, mercurius: 0.95, limit: 1.8 },
  Q3: { postgraphile: 0.6, mercurius: 0.85, limit: 1.8 },
  Q4: { postgraphile: 0.65, mercurius: 1.4, limit: 2.2 },
  Q5: { postgraphile: 0.65, mercurius: 1.15, limit: 2.0 },
};

/** Statements of Q2, the frame of each not counted; what a process writes in the background makes them a fraction more. */
export const STATEMENTS_MAX = 2;
export const MEMORY_MAX_MB = 250;

/** A value, and how far it was apart between process starts. */
export interface Figure {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** Chooses rounds, all of one query. */
export interface Choice {
  readonly draw: string;
  readonly query: QueryName;
  readonly server: string;
}

/** The median over process starts, of the medians of each start's rounds; undefined where there are none. */
export function figureOf(
  rounds: readonly Round[],
  choice: Choice,
  valueOf: (round: Round) => number,
): Figure | undefined {
  const starts = byStart(rounds, choice).map((ofStart) => median(ofStart.map(valueOf)));
  return figureFrom(starts);
}

/** Total CPU of one server divided by that of another: of each start by itself, because what disturbs a start disturbs both. */
export function ratioOf(rounds: readonly Round[], choice: Choice, other: Omit<Choice, "query">): Figure | undefined {
  const others = byStart(rounds, { ...choice, ...other });
  const ratios = byStart(rounds, choice).flatMap((ofStart) => {
    const same = others.find(([round]) => round?.start === ofStart[0]?.start);
    return same ? [median(ofStart.map(totalCpu)) / median(same.map(totalCpu))] : [];
  });
  return figureFrom(ratios);
}

/** CPU of the server and of PostgreSQL, in milliseconds a request. */
export function totalCpu({ serverCpu, postgresCpu }: Round): number {
  return serverCpu + postgresCpu;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

function figureFrom(starts: readonly number[]): Figure | undefined {
  if (starts.length === 0) return undefined;
  return { median: median(starts), least: Math.min(...starts), most: Math.max(...starts) };
}

function byStart(rounds: readonly Round[], { draw, query, server }: Choice): Round[][] {
  const chosen = rounds.filter((round) => round.draw === draw && round.query === query && round.server === server);
  const starts = [...new Set(chosen.map(({ start }) => start))];
  return starts.map((start) => chosen.filter((round) => round.start === start));
}
