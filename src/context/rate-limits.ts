import { LRUCache } from "lru-cache";
import { unavailable } from "../errors.ts";
import { sha256 } from "./crypto.ts";
import { describeException } from "./exceptions.ts";
import type { Logger } from "./log.ts";
import type { CountStore, Counted } from "./rate-limit-stores.ts";

/** How much of something is allowed in a time. */
export interface Allowance {
  /** Names what is counted; part of the key, and the label of its metric: one of a few constants, never something a client chooses. */
  readonly name: string;
  readonly points: number;
  readonly seconds: number;
}

/** How a count stands after something was taken from an allowance. */
export interface Standing {
  /** False where what was taken went beyond the allowance. */
  readonly isWithin: boolean;
  /** Points left until the count begins anew; never below 0. */
  readonly remaining: number;
  /** Whole seconds until the count begins anew, at least 1. */
  readonly resetSeconds: number;
}

/** Counts shared by all processes. Keys are hashed before they leave the process: a count tells nobody whose it is. */
export interface RateLimits {
  /**
   * Takes points; negative ones give back. A count begins with the first point and lasts as long as its allowance says.
   *
   * Allowances of up to EXACT_MAX points ask the store for every take, and count what goes beyond as well: never more is given than is
   * allowed. Larger ones are taken here while they are far from used up and told to the store in batches; from NEAR of the allowance on,
   * every take asks. What goes beyond them is not counted. All processes together give at most SHARE of the allowance for each process
   * beyond it.
   *
   * @throws UNAVAILABLE while the store is away and limits fail closed. When they fail open, each process counts for itself.
   */
  readonly take: (allowance: Allowance, key: string, points: number) => Promise<Standing>;
  /** How a count stands, without taking anything. @throws as take. */
  readonly look: (allowance: Allowance, key: string) => Promise<Standing>;
  /** Begins a count anew. @throws as take. */
  readonly reset: (allowance: Allowance, key: string) => Promise<void>;
  /** Whether the store does not answer. */
  readonly isAway: () => boolean;
  /** How often something went beyond an allowance in this process, by the allowance's name. */
  readonly refusals: ReadonlyMap<string, number>;
  /** Sends what was counted here, and lets go of the store. */
  readonly close: () => Promise<void>;
}

export interface RateLimitOptions {
  readonly store: CountStore;
  /** What happens while the store is away: "open" counts in this process, "closed" refuses. */
  readonly failure: "open" | "closed";
  readonly log: Logger;
  /** After so many milliseconds without an answer the store is away; longer where a test must not depend on the machine. */
  readonly patienceMs?: number;
}

const EXACT_MAX = 100;
const NEAR = 0.9;
/** The part of an allowance that a process may give without having told the store; two processes then give 10 % too much at worst. */
const SHARE = 0.05;
const SEND_EVERY_MS = 250;
const ASK_AGAIN_MS = 1_000; // while the store is away
const PATIENCE_MS = 1_000;
const CLEAR_EVERY_MS = 300_000;
const COUNTS_MAX = 20_000; // some 300 bytes each

/** One count, as this process sees it. */
interface Count {
  readonly seconds: number;
  /** What the store said last; counts for all processes. */
  known: number;
  /** Whether the store has said anything yet. */
  isKnown: boolean;
  /** Taken here, and not sent. */
  unsent: number;
  /** On its way. */
  sending: number;
  /** Sent without an answer: whether it arrived nobody knows, so it counts here, and is not sent again. */
  lost: number;
  /** When the count begins anew, in milliseconds since 1970. */
  endsAt: number;
  /** Who waits for the store's word on this count, in the order they came. */
  readonly asking: Asking[];
  /** Whether a question about it is on its way. */
  isAsked: boolean;
}

interface Asking {
  readonly points: number;
  readonly resolve: (standing: Standing) => void;
  readonly reject: (error: Error) => void;
}

/** Counts by a store, with what is on its way to it kept here. */
export function openRateLimits({ store, failure, log, patienceMs = PATIENCE_MS }: RateLimitOptions): RateLimits {
  const refusals = new Map<string, number>();
  const unsent = new Map<string, Count>();
  const counts = new LRUCache<string, Count>({
    max: COUNTS_MAX,
    // While nothing can be sent, what waits to be sent must not grow either.
    dispose(_count, id) {
      if (isAway) unsent.delete(id);
    },
  });
  let isAway = false;
  let isClosed = false;
  let unanswered = 0;
  let running: Promise<unknown> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  let clearing = later(clear, jittered(CLEAR_EVERY_MS));

  function countOf(id: string, seconds: number): Count {
    // One that was pushed out before it was sent is still the same count.
    const found = counts.get(id) ?? unsent.get(id);
    const now = Date.now();
    if (found && found.endsAt > now) return found;
    unsent.delete(id);
    const endsAt = now + seconds * 1000;
    const nothing = { known: 0, isKnown: false, unsent: 0, sending: 0, lost: 0, isAsked: false };
    const begun: Count = { seconds, ...nothing, asking: [], endsAt };
    counts.set(id, begun);
    return begun;
  }

  function keep(id: string, count: Count, points: number): void {
    count.unsent += points;
    unsent.set(id, count);
    timer ??= isClosed ? undefined : later(send, isAway ? ASK_AGAIN_MS : SEND_EVERY_MS);
  }

  async function take(allowance: Allowance, id: string, points: number): Promise<Standing> {
    const count = countOf(id, allowance.seconds);
    if (isAway) return takeHere(allowance, id, count, points);
    if (allowance.points <= EXACT_MAX) return ask(allowance, id, count, points);
    const after = usedOf(count) + points;
    // Others only add to it: asking would not find less.
    if (points > 0 && count.isKnown && after > allowance.points) return standing(allowance, count, false);
    const untold = count.unsent + count.sending + points;
    if (after > allowance.points * NEAR || untold > allowance.points * SHARE) return ask(allowance, id, count, points);
    keep(id, count, points);
    return standing(allowance, count, true);
  }

  /** Takes with the store's word. Of those that ask while an answer is on its way, one question asks for all: a flood must not queue up at one row. */
  function ask(allowance: Allowance, id: string, count: Count, points: number): Promise<Standing> {
    return new Promise((resolve, reject) => {
      count.asking.push({ points, resolve, reject });
      if (!count.isAsked) askForAll(allowance, id, count).catch(reject);
    });
  }

  async function askForAll(allowance: Allowance, id: string, count: Count): Promise<void> {
    count.isAsked = true;
    while (count.asking.length > 0) {
      const asking = count.asking.splice(0);
      const wanted = asking.reduce((sum, { points }) => sum + points, 0);
      const waiting = count.unsent;
      count.unsent = 0;
      count.sending += waiting + wanted;
      const addition = { key: sha256(id), points: waiting + wanted, seconds: allowance.seconds };
      const answer = await reach(() => store.add([addition]));
      count.sending -= waiting + wanted;
      if (answer) adopt(count, answer[0]);
      else count.lost += waiting;
      let used = count.known + count.lost - wanted;
      for (const { points, resolve, reject } of asking) {
        try {
          if (!answer) {
            resolve(takeHere(allowance, id, count, points));
            continue;
          }
          const isWithin = used + points <= allowance.points;
          // What goes beyond a large allowance is given back, so that something smaller still finds room.
          if (isWithin || points < 0 || allowance.points <= EXACT_MAX) used += points;
          else keep(id, count, -points);
          resolve(standing(allowance, count, isWithin));
        } catch (error) {
          reject(error instanceof Error ? error : new Error("a limit could not be counted"));
        }
      }
    }
    count.isAsked = false;
  }

  /** Counts in this process alone. @throws UNAVAILABLE when limits fail closed. */
  function takeHere(allowance: Allowance, id: string, count: Count, points: number): Standing {
    refuseIfClosed();
    const isWithin = usedOf(count) + points <= allowance.points;
    if (isWithin || points < 0) keep(id, count, points);
    return standing(allowance, count, isWithin);
  }

  function refuseIfClosed(): void {
    // Without a cause: the outage is in the log already, once.
    if (failure === "closed") throw unavailable(undefined);
  }

  /** Sends all that was counted here. While the store is away this is also how it is seen to be back. */
  async function send(): Promise<void> {
    timer = undefined;
    if (isAway && unanswered > 0) {
      // A store that hangs holds a connection of the pool for each question: one more would be one less for everybody.
      if (!isClosed) timer = later(send, ASK_AGAIN_MS);
      return;
    }
    const batch = [...unsent].filter(([, count]) => count.unsent !== 0);
    unsent.clear();
    const additions = batch.map(([id, count]) => ({ key: sha256(id), points: count.unsent, seconds: count.seconds }));
    for (const [index, [, count]] of batch.entries()) {
      count.sending += additions[index]?.points ?? 0;
      count.unsent = 0;
    }
    const answer = await reach(() => (batch.length > 0 ? store.add(additions) : store.read(sha256("")).then(() => [])));
    for (const [index, [, count]] of batch.entries()) {
      const { points = 0 } = additions[index] ?? {};
      count.sending -= points;
      if (answer) adopt(count, answer[index]);
      else count.lost += points;
    }
  }

  async function clear(): Promise<void> {
    if (!isAway) await reach(() => store.clear());
    if (!isClosed) clearing = later(clear, jittered(CLEAR_EVERY_MS));
  }

  function later(work: () => Promise<void>, afterMs: number): NodeJS.Timeout {
    return setTimeout(() => void (running = Promise.all([running, work()])), afterMs).unref();
  }

  /** What the store answers; undefined when it does not, which is logged once, until it answers again. */
  async function reach<Answer>(work: () => Promise<Answer>): Promise<Answer | undefined> {
    try {
      const answer = await inTime(counted(work), patienceMs);
      if (isAway) log.info("the store of rate limits answers again");
      isAway = false;
      return answer;
    } catch (cause) {
      if (!isAway) log.warn({ cause: describeException(cause), failure }, "the store of rate limits is away");
      isAway = true;
      if (!isClosed) timer ??= later(send, ASK_AGAIN_MS);
      return undefined;
    }
  }

  async function counted<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    unanswered += 1;
    try {
      return await work();
    } finally {
      unanswered -= 1;
    }
  }

  return {
    async take(allowance, key, points) {
      const found = await take(allowance, idOf(allowance, key), points);
      if (!found.isWithin && points > 0) refusals.set(allowance.name, (refusals.get(allowance.name) ?? 0) + 1);
      return found;
    },
    async look(allowance, key) {
      const id = idOf(allowance, key);
      const count = countOf(id, allowance.seconds);
      const answer = isAway ? undefined : await reach(() => store.read(sha256(id)));
      if (answer) adopt(count, answer);
      else refuseIfClosed();
      return standing(allowance, count, usedOf(count) <= allowance.points);
    },
    async reset(allowance, key) {
      const id = idOf(allowance, key);
      counts.delete(id);
      unsent.delete(id);
      const isDone = !isAway && (await reach(async () => store.remove(sha256(id)).then(() => true)));
      if (isDone !== true) refuseIfClosed();
    },
    isAway: () => isAway,
    refusals,
    async close() {
      isClosed = true;
      clearTimeout(timer);
      clearTimeout(clearing);
      await running;
      if (unsent.size > 0) await send();
      clearTimeout(timer);
      await store.close();
    },
  };
}

function idOf({ name }: Allowance, key: string): string {
  return JSON.stringify([name, key]);
}

function usedOf({ known, unsent, sending, lost }: Count): number {
  return known + unsent + sending + lost;
}

function adopt(count: Count, found: Counted | undefined): void {
  count.known = found?.points ?? 0;
  count.isKnown = true;
  if (found?.endsAt !== undefined) count.endsAt = found.endsAt;
}

function standing({ points }: Allowance, count: Count, isWithin: boolean): Standing {
  const resetSeconds = Math.max(1, Math.ceil((count.endsAt - Date.now()) / 1000));
  return { isWithin, remaining: Math.max(0, points - usedOf(count)), resetSeconds };
}

function jittered(ms: number): number {
  return ms * (0.5 + Math.random()); // so that the processes take turns
}

async function inTime<Answer>(answer: Promise<Answer>, patienceMs: number): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_resolve, reject) => {
    // One more turn: where this process was too busy to look, the answer is there already.
    const giveUp = (): unknown => setImmediate(() => reject(new Error(`no answer in ${patienceMs} ms`)));
    timer = setTimeout(giveUp, patienceMs);
  });
  try {
    return await Promise.race([answer, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}
