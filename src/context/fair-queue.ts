import { AppError } from "../errors.ts";

/** What there is to share, and how long it is worth waiting for. */
export interface Room {
  /** How many turns there are at once, of all lanes together. Asked at each decision, so that it may change. */
  readonly turns: () => number;
  /** Whether those who have turns slow each other down, so that nobody is better off for having many. Asked like the above. */
  readonly isCrowded: () => boolean;
  /** How many may wait in one lane; whoever comes after them is refused. */
  readonly waitingInLane: number;
  /** How long somebody waits, in milliseconds, give or take a twentieth of a second. */
  readonly patienceMs: number;
}

/** Somebody's place: with a turn, or waiting for one. */
export interface Place {
  /**
   * Undefined: the turn is there. Otherwise it comes with this promise.
   *
   * @throws UNAVAILABLE when nothing came in time, or the queue was closed; RATE_LIMITED to somebody who left, and no longer listens.
   */
  readonly turn: Promise<void> | undefined;
  /** Gives the turn back, or stops waiting for it. Calls after the first change nothing. */
  readonly leave: () => void;
}

/** How a queue stands, and how many were sent away since it was opened. */
export interface QueueCounts {
  readonly running: number;
  readonly waiting: number;
  /** Refused because too many of their lane waited. */
  readonly full: number;
  /** Sent away because nothing came in time. */
  readonly late: number;
}

export interface FairQueue {
  /** @throws RATE_LIMITED when too many of this lane wait; UNAVAILABLE once the queue is closed. */
  readonly enter: (lane: string) => Place;
  readonly counts: () => QueueCounts;
  /** Sends away whoever waits; turns that were given run on. */
  readonly close: () => void;
}

interface Lane {
  readonly name: string;
  running: number;
  /** In the order in which they came; a set, so that one may leave from the middle. */
  readonly waiting: Set<Waiter>;
}

interface Waiter {
  readonly since: number;
  readonly come: () => void;
  readonly refuse: (reason: AppError) => void;
}

/** The turns that were begun in some time. */
interface TurnRecord {
  readonly since: number;
  all: number;
  readonly ofLane: Map<string, number>;
}

const SWEEP_MS = 50; // while somebody waits, and only then
const RESERVE = 8; // one turn in so many is kept for lanes that have none,
const RESERVE_FROM = 4; // unless there are so few that one more matters to everybody
const REMEMBERED_MS = 1_000; // to twice as long: somebody who asks once a second is still there in between
const GREED = 1.5; // times the equal share,
const CHANCE = 3; // and so many standard deviations more: of few turns, somebody always has twice as many as others

/**
 * Hands out turns lane by lane, so that a lane with a thousand waiting delays another by one turn and not by a thousand.
 *
 * In a crowd, a lane that has had much more than its share of late has a turn only while nobody else has one: what is left over goes to whoever
 * wants most, and costs the others little. Nobody starves: whoever gets nothing has soon had less than that.
 *
 * A lane alone may have nearly all turns. Where there are several, each has at most its equal share, but never less than one. Some turns are
 * kept for whoever has none, so that somebody who comes now and then need not wait until a crowd has finished.
 *
 * Costs some additions while nobody waits. There is a timer while somebody does.
 */
export function openFairQueue(room: Room): FairQueue {
  const lanes = new Map<string, Lane>();
  // Lanes in which somebody waits; the first is next, and goes to the end when it had a turn.
  const round = new Set<Lane>();
  const counts = { running: 0, waiting: 0, full: 0, late: 0 };
  let lately = newRecord(performance.now());
  let before = newRecord(performance.now());
  let sweeping: NodeJS.Timeout | undefined;
  let isClosed = false;

  function forgetOld(): void {
    const now = performance.now();
    if (now - lately.since < REMEMBERED_MS) return;
    before = now - lately.since < 2 * REMEMBERED_MS ? lately : newRecord(now);
    lately = newRecord(now);
  }

  /** Whether a lane has had many more turns of late than would be its equal share of all that were given. */
  function isGreedy(lane: Lane): boolean {
    forgetOld();
    const own = (lately.ofLane.get(lane.name) ?? 0) + (before.ofLane.get(lane.name) ?? 0);
    const sharers = Math.max(lanes.size, lately.ofLane.size, before.ofLane.size);
    const share = (lately.all + before.all) / sharers;
    return own > GREED * share + CHANCE * Math.sqrt(share);
  }

  function hasTurn(lane: Lane): boolean {
    const turns = Math.max(1, room.turns());
    if (counts.running >= turns) return false;
    const isCrowded = room.isCrowded();
    if (isCrowded && isGreedy(lane)) return counts.running === 0;
    if (lane.running === 0) return true;
    const free = turns < RESERVE_FROM ? turns : turns - Math.ceil(turns / RESERVE);
    const share = Math.floor(turns / lanes.size);
    return counts.running < free && lane.running < Math.min(free, isCrowded ? Math.max(2, share) : share);
  }

  function begin(lane: Lane): void {
    forgetOld();
    lane.running += 1;
    counts.running += 1;
    lately.all += 1;
    lately.ofLane.set(lane.name, (lately.ofLane.get(lane.name) ?? 0) + 1);
  }

  function forgetEmpty(lane: Lane): void {
    if (lane.waiting.size === 0) round.delete(lane);
    if (lane.waiting.size === 0 && lane.running === 0) lanes.delete(lane.name);
    if (round.size > 0) return;
    clearTimeout(sweeping);
    sweeping = undefined;
  }

  function withdraw(lane: Lane, waiter: Waiter): void {
    lane.waiting.delete(waiter);
    counts.waiting -= 1;
    forgetEmpty(lane);
  }

  /** Gives turns as long as there are any. A lane that is put at the end of the round is met again here. */
  function giveTurns(): void {
    for (const lane of round) {
      const [first] = lane.waiting;
      if (!first || !hasTurn(lane)) continue;
      round.delete(lane);
      round.add(lane);
      begin(lane);
      withdraw(lane, first);
      first.come();
    }
  }

  function sweep(): void {
    sweeping = undefined;
    const latest = performance.now() - room.patienceMs;
    for (const lane of round) {
      for (const waiter of lane.waiting) {
        if (waiter.since > latest) break;
        counts.late += 1;
        withdraw(lane, waiter);
        waiter.refuse(new AppError("UNAVAILABLE", "There is too much to do; the request waited for its turn in vain"));
      }
    }
    // There may be more turns than before, although nobody gave one back.
    giveTurns();
    if (round.size > 0) sweepLater();
  }

  function sweepLater(): void {
    sweeping ??= setTimeout(sweep, SWEEP_MS).unref();
  }

  function wait(lane: Lane): Place {
    if (lane.waiting.size >= room.waitingInLane) {
      counts.full += 1;
      throw tooMany("Too many requests of this tenant wait already");
    }
    let isTurn = false;
    let hasLeft = false;
    let waiter: Waiter | undefined;
    const turn = new Promise<void>((resolve, refuse) => {
      function come(): void {
        isTurn = true;
        resolve();
      }
      waiter = { since: performance.now(), come, refuse };
      lane.waiting.add(waiter);
    });
    // Whoever left does not listen any more; that is no mistake.
    turn.catch(() => undefined);
    counts.waiting += 1;
    round.add(lane);
    sweepLater();
    function leave(): void {
      if (hasLeft) return;
      hasLeft = true;
      if (isTurn) end(lane);
      if (!waiter || !lane.waiting.has(waiter)) return;
      withdraw(lane, waiter);
      waiter.refuse(tooMany("The request was given up while it waited"));
      giveTurns();
    }
    return { turn, leave };
  }

  function end(lane: Lane): void {
    lane.running -= 1;
    counts.running -= 1;
    forgetEmpty(lane);
    if (round.size > 0) giveTurns();
  }

  return {
    enter(name) {
      if (isClosed) throw stopping();
      const known = lanes.get(name);
      const lane = known ?? { name, running: 0, waiting: new Set() };
      if (!known) lanes.set(name, lane);
      if (lane.waiting.size > 0 || !hasTurn(lane)) return wait(lane);
      begin(lane);
      let hasLeft = false;
      function leave(): void {
        if (!hasLeft) end(lane);
        hasLeft = true;
      }
      return { turn: undefined, leave };
    },
    counts: () => counts,
    close() {
      isClosed = true;
      for (const lane of round) {
        for (const waiter of lane.waiting) {
          withdraw(lane, waiter);
          waiter.refuse(stopping());
        }
      }
    },
  };
}

function newRecord(since: number): TurnRecord {
  return { since, all: 0, ofLane: new Map() };
}

/** Too much at once of one tenant, or of one address: a second later there is room again, or others will say so. */
export function tooMany(message: string): AppError {
  return new AppError("RATE_LIMITED", message, { retryAfterSeconds: 1 });
}

function stopping(): AppError {
  return new AppError("UNAVAILABLE", "The service is stopping");
}
