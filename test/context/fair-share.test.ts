import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import pg from "pg";
import { openFairPool } from "../../src/context/fair-pool.ts";
import { openFairQueue } from "../../src/context/fair-queue.ts";
import type { FairQueue, Place, Room } from "../../src/context/fair-queue.ts";
import { openFairShare } from "../../src/context/fair-share.ts";
import { newDatabase } from "../support/database.ts";
import type { TestDatabase } from "../support/database.ts";

const LONG_MS = 600_000;

function queueOf(turns: number, room: Partial<Room> = {}): FairQueue {
  return openFairQueue({
    turns: () => turns,
    isCrowded: () => false,
    waitingInLane: 2_000,
    patienceMs: LONG_MS,
    ...room,
  });
}

/** Lanes in the order in which their turns come; `next` ends the oldest turn and waits until others have had theirs. */
function served(queue: FairQueue): {
  readonly enter: (lane: string) => Place;
  readonly next: () => Promise<void>;
  readonly order: string[];
} {
  const order: string[] = [];
  const holding: Place[] = [];
  function enter(lane: string): Place {
    const place = queue.enter(lane);
    const begin = (): void => {
      order.push(lane);
      holding.push(place);
    };
    if (place.turn) place.turn.then(begin, () => undefined);
    else begin();
    return place;
  }
  async function next(): Promise<void> {
    holding.shift()?.leave();
    // What was settled by that has its say before anything else happens.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { enter, next, order };
}

const times = (count: number, work: () => unknown): unknown[] => Array.from({ length: count }, work);
const refusal = (attempt: () => unknown): unknown => {
  try {
    attempt();
    return undefined;
  } catch (error) {
    return error;
  }
};

describe("turns", () => {
  test("go round: a thousand who wait in one lane delay another by one turn each time, and not by a thousand", async () => {
    const { enter, next, order } = served(queueOf(1));
    times(1_000, () => enter("crowd"));
    times(3, () => enter("second"));
    enter("third");
    for (let turn = 0; turn < 8; turn += 1) await next();

    expect(order).toEqual([..."crowd crowd second third".split(" "), ..."crowd second crowd second crowd".split(" ")]);
  });

  test("come in the order of arrival within a lane", async () => {
    const queue = queueOf(1);
    const order: number[] = [];
    const places = [0, 1, 2, 3].map((number) => {
      const place = queue.enter("one");
      void place.turn?.then(() => order.push(number));
      return place;
    });
    for (const place of places) {
      place.leave();
      await place.turn;
    }

    expect(order).toEqual([1, 2, 3]);
  });

  test("are nearly all for a lane that is alone, with a few kept for whoever comes", () => {
    const queue = queueOf(20);
    times(30, () => queue.enter("alone"));

    expect(queue.counts()).toMatchObject({ running: 17, waiting: 13 });
    expect(queue.enter("newcomer").turn).toBeUndefined();
    expect(queue.enter("another").turn).toBeUndefined();
  });

  test("are shared equally by lanes that all want more, whoever came first", async () => {
    const { enter, next, order } = served(queueOf(20));
    times(100, () => enter("early"));
    times(100, () => enter("late"));
    for (let turn = 0; turn < 60; turn += 1) await next();
    const last = order.slice(-16);

    expect(last.filter((lane) => lane === "early")).toHaveLength(8);
    expect(last.filter((lane) => lane === "late")).toHaveLength(8);
  });

  test("are given one for each lane where there are more lanes than turns", () => {
    const queue = queueOf(2);
    for (const lane of ["first", "second", "third"]) times(2, () => queue.enter(lane));

    expect(queue.counts()).toMatchObject({ running: 2, waiting: 4 });
  });

  describe("in a crowd", () => {
    test("are for a lane that has had much more than its share of late only while nobody else has one", () => {
      const queue = queueOf(4, { isCrowded: () => true });
      for (let turn = 0; turn < 200; turn += 1) queue.enter("flood").leave();
      const other = queue.enter("other");
      const flood = [1, 2, 3].map(() => queue.enter("flood"));
      expect(queue.counts()).toMatchObject({ running: 1, waiting: 3 });

      const later = queue.enter("other");
      other.leave();
      expect(queue.counts()).toMatchObject({ running: 1, waiting: 3 });
      later.leave();
      expect(queue.counts()).toMatchObject({ running: 1, waiting: 2 });
      flood[0]?.leave();
      expect(queue.counts()).toMatchObject({ running: 1, waiting: 1 });
    });

    test("come to a lane that has had much more than its share, however many of others there are, once it had less", () => {
      const queue = queueOf(4, { isCrowded: () => true });
      for (let turn = 0; turn < 200; turn += 1) queue.enter("flood").leave();
      let other = queue.enter("other");
      const flood = queue.enter("flood");
      let turns = 0;
      while (queue.counts().waiting > 0 && turns < 100) {
        const next = queue.enter("other");
        other.leave();
        other = next;
        turns += 1;
      }

      expect(turns).toBeLessThan(100);
      flood.leave();
    });

    test("are several for a lane that keeps to its share, and asks for two things at a time", () => {
      const queue = queueOf(4, { isCrowded: () => true });
      for (let turn = 0; turn < 200; turn += 1) queue.enter("flood").leave();
      queue.enter("flood");

      expect([queue.enter("other"), queue.enter("other")].map(({ turn }) => turn)).toEqual([undefined, undefined]);
    });

    test("are nearly all for a lane that is alone", () => {
      const queue = queueOf(4, { isCrowded: () => true });
      times(20, () => queue.enter("alone"));

      expect(queue.counts()).toMatchObject({ running: 3, waiting: 17 });
    });
  });

  test("that become more are given although nobody ended one", async () => {
    let turns = 1;
    const queue = openFairQueue({
      turns: () => turns,
      isCrowded: () => false,
      waitingInLane: 10,
      patienceMs: LONG_MS,
    });
    queue.enter("one");
    const waiting = queue.enter("one");
    turns = 2;

    await waiting.turn;
    expect(queue.counts()).toMatchObject({ running: 2, waiting: 0 });
  });
});

describe("who waits", () => {
  test("is refused beyond a number in each lane, and other lanes are not", () => {
    const queue = queueOf(1, { waitingInLane: 5 });
    times(6, () => queue.enter("crowd"));

    expect(refusal(() => queue.enter("crowd"))).toMatchObject({ code: "RATE_LIMITED", retryAfterSeconds: 1 });
    expect(queue.enter("other").turn).toBeInstanceOf(Promise);
    expect(queue.counts()).toEqual({ running: 1, waiting: 6, full: 1, late: 0 });
  });

  test("is sent away when no turn comes in time, and is not counted any more", async () => {
    const queue = queueOf(1, { patienceMs: 1 });
    const first = queue.enter("one");
    const late = [queue.enter("one"), queue.enter("two")];

    for (const { turn } of late) await expect(turn).rejects.toMatchObject({ code: "UNAVAILABLE" });
    for (const { leave } of [first, ...late]) leave();
    expect(queue.counts()).toEqual({ running: 0, waiting: 0, full: 0, late: 2 });
  });

  test("and goes away leaves the turn to the next, once, however often that is said", async () => {
    const queue = queueOf(1);
    const [first, gone, next] = [queue.enter("one"), queue.enter("one"), queue.enter("one")];
    gone.leave();
    gone.leave();
    first.leave();
    first.leave();

    await next.turn;
    await expect(gone.turn).rejects.toMatchObject({ code: "RATE_LIMITED" });
    expect(queue.counts()).toMatchObject({ running: 1, waiting: 0 });
  });

  test("is sent away when the queue is closed, and nobody comes in after", async () => {
    const queue = queueOf(1);
    const [running, waiting] = [queue.enter("one"), queue.enter("one")];
    queue.close();

    await expect(waiting.turn).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(refusal(() => queue.enter("one"))).toMatchObject({ code: "UNAVAILABLE" });
    running.leave();
    expect(queue.counts()).toMatchObject({ running: 0, waiting: 0 });
  });

  test("always comes to a turn, and never more have one than there are, whatever happens in which order", () => {
    const step = fc.record({ lane: fc.integer({ min: 0, max: 4 }), leaves: fc.boolean(), which: fc.nat(30) });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.boolean(),
        fc.array(step, { maxLength: 200 }),
        (turns, isCrowded, steps) => {
          const queue = queueOf(turns, { isCrowded: () => isCrowded });
          const places: Place[] = [];
          for (const { lane, leaves, which } of steps) {
            if (leaves) places[which % Math.max(1, places.length)]?.leave();
            else places.push(queue.enter(String(lane)));
            const { running, waiting } = queue.counts();
            expect(running).toBeLessThanOrEqual(turns);
            // Where somebody waits, somebody is served: nothing stands still.
            expect(running > 0 || waiting === 0).toBe(true);
          }
          for (const place of places) place.leave();
          expect(queue.counts()).toMatchObject({ running: 0, waiting: 0 });
        },
      ),
    );
  });
});

describe("executions", () => {
  test("are few while the process is busy, and many while it waits for something else", async () => {
    let at = 0;
    let isBusy = true;
    const share = openFairShare({ most: 40, busy: () => (isBusy ? 1 : 0.1), now: () => at });
    const ends: (() => void)[] = [];
    const begin = (lane: string): void => {
      const work = (): Promise<void> => new Promise((resolve) => ends.push(resolve));
      void share.arrive(lane).inTurn(work);
    };
    const rest = async (): Promise<void> => {
      for (const end of ends.splice(0)) end();
      await new Promise((resolve) => setImmediate(resolve));
    };
    for (let measure = 0; measure < 100; measure += 1) {
      at += 50;
      begin("one");
      await rest();
    }
    times(30, () => begin("one"));
    expect(share.counts()).toMatchObject({ running: 3, waiting: 27 });

    isBusy = false;
    while (share.counts().waiting > 0) {
      at += 50;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(share.counts().running).toBe(30);
    await rest();
  });

  test("of one tenant are bounded from their arrival on, whether they wait, run, or still send their body", () => {
    const share = openFairShare({ most: 40, presentOfOne: 3 });
    const guests = [share.arrive("one"), share.arrive("one"), share.arrive("one")];

    expect(refusal(() => share.arrive("one"))).toMatchObject({ code: "RATE_LIMITED", retryAfterSeconds: 1 });
    expect(refusal(() => share.arrive("two"))).toBeUndefined();
    guests[0]?.leave();
    guests[0]?.leave();
    expect(refusal(() => share.arrive("one"))).toBeUndefined();
    expect(refusal(() => share.arrive("one"))).toMatchObject({ code: "RATE_LIMITED" });
    expect(share.counts().full).toBe(2);
  });

  test("do not begin for somebody who has gone, and go on to their end for somebody who goes", async () => {
    const share = openFairShare({ most: 1 });
    const [first, second] = [share.arrive("one"), share.arrive("one")];
    let end: () => void = () => undefined;
    const running = first.inTurn(() => new Promise<void>((resolve) => (end = resolve)));
    let hasBegun = false;
    const waiting = second.inTurn(async () => (hasBegun = true));
    first.leave();
    second.leave();

    await expect(waiting).rejects.toMatchObject({ code: "RATE_LIMITED" });
    expect(share.counts()).toMatchObject({ running: 1, waiting: 0 });
    end();
    await running;
    expect(share.counts().running).toBe(0);
    expect(hasBegun).toBe(false);
  });

  test("give their turn back when they fail", async () => {
    const share = openFairShare({ most: 1 });
    const failing = share.arrive("one").inTurn(async () => {
      throw new Error("failed");
    });

    await expect(failing).rejects.toThrow("failed");
    expect(share.counts().running).toBe(0);
  });
});

describe("connections", () => {
  let database: TestDatabase;
  let pool: pg.Pool;
  beforeAll(async () => {
    database = await newDatabase();
    pool = new pg.Pool({ connectionString: database.gatewayUrl, max: 5 });
    pool.on("error", () => undefined);
  });
  afterAll(async () => {
    await pool.end();
    await database.drop();
  });

  test("are lent to tenants in turn, and never all of them: look-ups that span tenants have one left", async () => {
    const fair = openFairPool(pool, 5);
    const order: string[] = [];
    const ask = async (tenant: string): Promise<pg.PoolClient> => {
      const client = await fair.of(tenant).connect();
      order.push(tenant);
      return client;
    };
    const lent = [];
    for (let index = 0; index < 3; index += 1) lent.push(await ask("flood"));
    const waiting = [ask("flood"), ask("flood"), ask("flood"), ask("other"), ask("other")];
    lent.push((await waiting[3]) ?? []);

    expect((await pool.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
    expect(fair.counts()).toMatchObject({ running: 4, waiting: 4 });
    for (const client of lent.flat()) client.release();
    for (const client of await Promise.all([waiting[4], ...waiting.slice(0, 2)])) client?.release();
    (await waiting[2])?.release();
    expect(order.slice(0, 4)).toEqual(["flood", "flood", "flood", "other"]);
    expect(order.lastIndexOf("other")).toBeLessThan(order.lastIndexOf("flood"));
    expect(fair.counts()).toMatchObject({ running: 0, waiting: 0 });
  });

  test("that are thrown away, or cannot be made, give their turn back", async () => {
    const fair = openFairPool(pool, 2);
    const nowhere = new pg.Pool({ connectionString: "postgresql://nobody:none@127.0.0.1:1/none", max: 2 });
    const broken = openFairPool(nowhere, 2);
    for (let attempt = 0; attempt < 5; attempt += 1) {
      (await fair.of("one").connect()).release(true);
      await expect(broken.of("one").connect()).rejects.toThrow("ECONNREFUSED");
    }

    expect(fair.counts()).toMatchObject({ running: 0, waiting: 0 });
    expect(broken.counts()).toMatchObject({ running: 0, waiting: 0 });
    await nowhere.end();
  });

  test("are refused to whoever still waits when the gateway closes", async () => {
    const fair = openFairPool(pool, 1);
    const lent = await fair.of("one").connect();
    const waiting = fair.of("two").connect();
    fair.close();

    await expect(waiting).rejects.toThrow("timeout exceeded when trying to connect");
    lent.release();
  });
});
