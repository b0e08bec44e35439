import { readdirSync, readFileSync } from "node:fs";

// What the operating system says of processes. Linux only: /proc.

const NANOSECONDS = 1_000_000; // in a millisecond
const KILOBYTE = 1_024;

/** CPU time of some processes, by process. */
export type CpuTimes = ReadonlyMap<number, number>;

/** A process and all that it has started, directly or not. */
function treeOf(root: number): number[] {
  const children = readdirSync(`/proc/${root}/task`).flatMap((task) =>
    read(`/proc/${root}/task/${task}/children`).split(" ").filter(Boolean).map(Number),
  );
  return [root, ...children.flatMap((child) => (isRunning(child) ? treeOf(child) : []))];
}

/**
 * CPU time so far of a process and all that it has started, in milliseconds: user and system, of all threads. From the scheduler, which
 * counts nanoseconds; the usual counters of /proc are in hundredths of a second, too coarse for twenty processes and two seconds.
 */
export function cpuTimesOf(root: number): CpuTimes {
  return new Map(treeOf(root).map((pid) => [pid, cpuMillisecondsOf(pid)]));
}

/** What came to it between two readings, in milliseconds. What ended in between is missing: at most a connection that was closed. */
export function cpuBetween(before: CpuTimes, after: CpuTimes): number {
  return [...after].reduce((sum, [pid, time]) => sum + Math.max(0, time - (before.get(pid) ?? 0)), 0);
}

/** Resident memory of a process and all that it has started, in bytes: now, and at most so far. */
export function memoryOf(root: number): { readonly now: number; readonly most: number } {
  const of = (name: string): number =>
    treeOf(root)
      .map((pid) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(read(`/proc/${pid}/status`))?.[1] ?? 0))
      .reduce((sum, kilobytes) => sum + kilobytes * KILOBYTE, 0);
  return { now: of("VmRSS"), most: of("VmHWM") };
}

/** The process that all of a PostgreSQL's others descend from. */
export function postmasterOf(dataDir: string): number {
  return Number(read(`${dataDir}/postgres/postmaster.pid`).split("\n")[0]);
}

function cpuMillisecondsOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .map((task) => Number(read(`/proc/${pid}/task/${task}/schedstat`).split(" ")[0]) / NANOSECONDS)
      .reduce((sum, time) => sum + time, 0);
  } catch {
    return 0; // ended between being listed and being read
  }
}

function isRunning(pid: number): boolean {
  return read(`/proc/${pid}/stat`) !== "";
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // ended meanwhile
  }
}
