import { openFairQueue, tooMany } from "./fair-queue.ts";
import type { QueueCounts } from "./fair-queue.ts";

/** How much of the time since it was last asked the process had something to do, from 0 to 1. */
type BusyMeter = () => number;

export interface FairShareOptions {
  /** How many requests may be executed at once while the process has time to spare. */
  readonly most: number;
  /** Other limits than the usual ones, and a process that is as busy as a test wants it. */
  readonly presentOfOne?: number;
  readonly patienceMs?: number;
  readonly busy?: BusyMeter;
  readonly now?: () => number;
}

/** A request on its way through the gateway. */
export interface Guest {
  /**
   * Executes it when its tenant's turn has come. It keeps the turn until `work` has ended, whoever still waits for the answer.
   *
   * @throws UNAVAILABLE when no turn came in time.
   */
  readonly inTurn: <Result>(work: () => Promise<Result>) => Promise<Result>;
  /** The answer is out, or nobody waits for it any more: what has not begun does not begin. */
  readonly leave: () => void;
}

/** How executions stand. */
interface ShareCounts extends QueueCounts {
  /** Requests that have arrived, and have not left. */
  readonly present: number;
}

/** Bounds what one tenant has under way, and lets tenants take turns. */
export interface FairShare {
  /** Before the body is read. @throws RATE_LIMITED when this lane has too much under way already. */
  readonly arrive: (lane: string) => Guest;
  readonly counts: () => ShareCounts;
  readonly close: () => void;
}

const PRESENT_OF_ONE = 256; // with a body of 13 MB at most, which few have
const PATIENCE_MS = 10_000; // a third of a request's deadline
const LEAST = 4; // keeps one thread busy while PostgreSQL works on some of them
const MEASURE_MS = 25;
const NEWEST = 0.25; // how much a new measure counts: four of them, a tenth of a second, make a change of load felt
const BUSY = 0.7;
const IDLE = 0.4;

/**
 * Takes turns at executing requests. A lane is a tenant, or the address of somebody who has none.
 *
 * How many are executed at once follows from how busy the process is. One thread serves everybody: what is executed side by side shares it,
 * so that each request beyond what keeps the thread busy makes all others slower, and no sooner done. While the thread waits (for slow
 * statements, for a database far away) more requests are let in, up to `most`.
 */
export function openFairShare(options: FairShareOptions): FairShare {
  const { most, presentOfOne = PRESENT_OF_ONE, busy = eventLoopMeter(), now = () => performance.now() } = options;
  const least = Math.min(LEAST, most);
  const present = new Map<string, number>();
  let turns = most;
  let usual = 0;
  let measuredAt = now();
  let full = 0;

  function currentTurns(): number {
    const at = now();
    if (at - measuredAt < MEASURE_MS) return turns;
    measuredAt = at;
    usual += (busy() - usual) * NEWEST;
    if (usual > BUSY) turns = Math.max(least, Math.floor(turns / 2));
    else if (usual < IDLE) turns = Math.min(most, Math.ceil(turns * 1.25));
    return turns;
  }

  const queue = openFairQueue({
    turns: currentTurns,
    isCrowded: () => turns < most,
    waitingInLane: presentOfOne,
    patienceMs: options.patienceMs ?? PATIENCE_MS,
  });

  function arrive(lane: string): Guest {
    const before = present.get(lane) ?? 0;
    if (before >= presentOfOne) {
      full += 1;
      throw tooMany("Too many requests of this tenant are under way already");
    }
    present.set(lane, before + 1);
    let hasLeft = false;
    let stopWaiting: (() => void) | undefined;

    function leave(): void {
      if (hasLeft) return;
      hasLeft = true;
      const left = (present.get(lane) ?? 1) - 1;
      if (left === 0) present.delete(lane);
      else present.set(lane, left);
      stopWaiting?.();
    }

    async function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
      if (hasLeft) throw tooMany("The request was given up before it began");
      const place = queue.enter(lane);
      try {
        if (place.turn) {
          stopWaiting = place.leave;
          await place.turn;
          stopWaiting = undefined;
        }
        return await work();
      } finally {
        place.leave();
      }
    }
    return { inTurn, leave };
  }

  return {
    arrive,
    counts: () => ({
      ...queue.counts(),
      full: queue.counts().full + full,
      present: [...present.values()].reduce((sum, count) => sum + count, 0),
    }),
    close: queue.close,
  };
}

function eventLoopMeter(): BusyMeter {
  let before = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    return utilization;
  };
}
