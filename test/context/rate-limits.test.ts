import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { Writable } from "node:stream";
import pg from "pg";
import { openLog } from "../../src/context/log.ts";
import { openPool } from "../../src/context/prisma.ts";
import { openPostgresStore, openRedisStore } from "../../src/context/rate-limit-stores.ts";
import { openRateLimits } from "../../src/context/rate-limits.ts";
import type { Allowance, RateLimitOptions, RateLimits, Standing } from "../../src/context/rate-limits.ts";
import { newDatabase } from "../support/database.ts";
import type { TestDatabase } from "../support/database.ts";
import { hasRedis, startRedis } from "../support/redis.ts";
import type { TestRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";

const MINUTE = 60;
const SHARE = 0.05; // of an allowance, that a process may give beyond it
const CALLERS = 10;

/** A store that all processes of a test share, and that can go away. */
interface Place {
  readonly open: (failure?: RateLimitOptions["failure"]) => RateLimits;
  readonly away: () => Promise<void>;
  readonly back: () => Promise<void>;
  readonly close: () => Promise<void>;
}

const opened: RateLimits[] = [];
const logged: string[] = [];

function open({
  store,
  failure,
}: {
  readonly store: RateLimitOptions["store"];
  readonly failure: RateLimitOptions["failure"] | undefined;
}): RateLimits {
  const log = openLog(
    { logLevel: "info" },
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        logged.push(...chunk.toString().split("\n").filter(Boolean));
        done();
      },
    }),
  );
  // A store that goes away is given up soon; one that is there may be slow on a busy machine.
  const patience = failure === undefined ? { patienceMs: 30_000 } : {};
  const limits = openRateLimits({ store, failure: failure ?? "closed", log, ...patience });
  opened.push(limits);
  return limits;
}

async function inPostgres(): Promise<Place & { readonly database: TestDatabase }> {
  const database = await newDatabase();
  const pool = openPool({ url: database.gatewayUrl, max: 5, onConnectionError: () => undefined });
  let holder: pg.Client | undefined;
  return {
    database,
    open: (failure) => open({ store: openPostgresStore(pool), failure }),
    async away() {
      holder = new pg.Client({ connectionString: database.superuserUrl });
      await holder.connect();
      await holder.query("BEGIN; LOCK TABLE atrium.rate_limits IN ACCESS EXCLUSIVE MODE");
    },
    async back() {
      await holder?.end();
    },
    async close() {
      await pool.end();
      await database.drop();
    },
  };
}

async function inRedis(): Promise<Place> {
  const redis: TestRedis = await startRedis();
  return {
    open: (failure) => open({ store: openRedisStore(redis.url), failure }),
    away: redis.kill,
    back: redis.start,
    close: redis.kill,
  };
}

function allowance(points: number, seconds = MINUTE): Allowance {
  return { name: "things", points, seconds };
}

/** Takes one point after another, from several callers at once, until each was refused. @returns how many were given. */
async function takeAll(processes: readonly RateLimits[], of: Allowance, key: string): Promise<number> {
  let given = 0;
  async function call(limits: RateLimits): Promise<void> {
    while ((await limits.take(of, key, 1)).isWithin) given += 1;
  }
  await Promise.all(processes.flatMap((limits) => Array.from({ length: CALLERS }, () => call(limits))));
  return given;
}

afterEach(async () => {
  await Promise.all(opened.splice(0).map((limits) => limits.close()));
  logged.splice(0);
});

describe.each([
  { name: "in PostgreSQL", start: inPostgres, isThere: true },
  { name: "in Redis", start: inRedis, isThere: hasRedis() },
])("limits counted $name", ({ start, isThere }) => {
  const here = isThere ? test : test.skip;
  let place: Place;
  beforeAll(async () => {
    if (isThere) place = await start();
  });
  afterAll(async () => {
    if (isThere) await place.close();
  });

  here("a small allowance is exact, whichever process is asked", async () => {
    const processes = [place.open(), place.open()];
    const key = randomUUID();

    expect(await takeAll(processes, allowance(30), key)).toBe(30);
    expect(await processes[0]?.look(allowance(30), key)).toMatchObject({ isWithin: false, remaining: 0 });
  });

  here("a large allowance is exact for one process", async () => {
    expect(await takeAll([place.open()], allowance(2_000), randomUUID())).toBe(2_000);
  });

  here("two processes together give at most a twentieth each beyond a large allowance", async () => {
    const given = await takeAll([place.open(), place.open()], allowance(2_000), randomUUID());

    expect(given).toBeGreaterThanOrEqual(2_000);
    expect(given).toBeLessThanOrEqual(2_000 * (1 + 2 * SHARE));
  });

  here("what one process took, another one knows soon, and at once when the first stops", async () => {
    const [first, second] = [place.open(), place.open()];
    const [key, other] = [randomUUID(), randomUUID()];
    await first.take(allowance(2_000), key, 40);
    await until(async () => (await second.look(allowance(2_000), key)).remaining === 1_960);

    await first.take(allowance(2_000), other, 70);
    await first.close();
    expect((await second.look(allowance(2_000), other)).remaining).toBe(1_930);
  });

  here("what is too much for what is left takes nothing of it", async () => {
    const limits = place.open();
    const key = randomUUID();
    const taken: Standing[] = [];
    for (const points of [900, 200, 90, 20, 10]) taken.push(await limits.take(allowance(1_000), key, points));

    expect(taken.map(({ isWithin }) => isWithin)).toEqual([true, false, true, false, true]);
    expect(limits.refusals.get("things")).toBe(2);
  });

  here("what is given back can be taken again", async () => {
    const limits = place.open();
    for (const given of [allowance(10), allowance(1_000)]) {
      const key = randomUUID();
      await limits.take(given, key, given.points);
      expect((await limits.take(given, key, 1)).isWithin).toBe(false);
      await limits.take(given, key, -5);
      expect((await limits.take(given, key, 2)).isWithin).toBe(true);
    }
  });

  here("a count begins anew when its time is over, and when it is told to", async () => {
    const limits = place.open();
    const key = randomUUID();
    for (const brief of [allowance(1, 1), allowance(200, 1)]) {
      await until(async () => !(await limits.take(brief, key, brief.points)).isWithin);
      await until(async () => (await limits.take(brief, key, brief.points)).isWithin);
    }
    const full = await limits.take(allowance(1), key, 1);
    await limits.reset(allowance(1), key);

    expect(full.resetSeconds).toBeGreaterThan(0);
    expect((await limits.take(allowance(1), key, 1)).isWithin).toBe(true);
  });

  here("counts of different names, keys and processes that end are apart", async () => {
    const limits = place.open();
    const key = randomUUID();
    await limits.take(allowance(1), key, 1);

    expect((await limits.take(allowance(1), randomUUID(), 1)).isWithin).toBe(true);
    expect((await limits.take({ ...allowance(1), name: "others" }, key, 1)).isWithin).toBe(true);
    expect((await limits.take(allowance(1), key, 1)).isWithin).toBe(false);
  });

  here("while the store is away each process counts for itself; it says so once, and heals by itself", async () => {
    const [limits, other] = [place.open("open"), place.open("open")];
    const key = randomUUID();
    await limits.take(allowance(20), key, 5);
    await place.away();
    await limits.take(allowance(20), key, 1);

    expect(limits.isAway()).toBe(true);
    expect(await takeAll([limits], allowance(20), key)).toBe(14);
    expect(logged.filter((line) => line.includes("is away"))).toHaveLength(1);

    await place.back();
    await until(() => !limits.isAway());
    // What was taken meanwhile counts; what was known before is gone with a Redis that died.
    expect(await takeAll([limits], allowance(20), key)).toBeLessThanOrEqual(5);
    await until(async () => (await other.look(allowance(20), key)).remaining < 20);
    expect(logged.filter((line) => line.includes("answers again"))).toHaveLength(1);
  });

  here("while the store is away, limits that fail closed refuse, and heal by themselves", async () => {
    const limits = place.open("closed");
    await limits.take(allowance(20), "key", 1);
    await place.away();

    await expect(limits.take(allowance(20), "key", 1)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await expect(limits.take(allowance(20_000), "key", 1)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await expect(limits.look(allowance(20), "key")).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await place.back();
    await until(() => !limits.isAway());
    expect((await limits.take(allowance(20), "key", 1)).isWithin).toBe(true);
  });
});

describe("counts in PostgreSQL", () => {
  let place: Awaited<ReturnType<typeof inPostgres>>;
  let database: pg.Client;
  beforeAll(async () => {
    place = await inPostgres();
    database = new pg.Client({ connectionString: place.database.superuserUrl });
    await database.connect();
  });
  afterAll(async () => {
    await database.end();
    await place.close();
  });

  test("tell nobody whose they are", async () => {
    const limits = place.open();
    await limits.take(allowance(5), "somebody@example.com", 1);
    const { rows } = await database.query<{ key: string }>("SELECT key FROM atrium.rate_limits");

    expect(rows.length).toBeGreaterThan(0);
    expect(rows.every(({ key }) => /^[0-9a-f]{64}$/.test(key))).toBe(true);
  });

  test("that are far from their limit cost one statement for many keys, and a handful for thousands of takes", async () => {
    await database.query("TRUNCATE atrium.rate_limits");
    await database.query(`
      CREATE TABLE statements (at timestamptz DEFAULT now());
      GRANT INSERT ON statements TO PUBLIC;
      CREATE FUNCTION note_statement() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO statements DEFAULT VALUES; RETURN NULL; END $$;
      CREATE TRIGGER note AFTER INSERT OR UPDATE ON atrium.rate_limits FOR EACH STATEMENT EXECUTE FUNCTION note_statement()`);
    const limits = place.open();
    const keys = Array.from({ length: 50 }, () => randomUUID());
    for (const key of keys) for (let taken = 0; taken < 100; taken += 1) await limits.take(allowance(100_000), key, 1);
    await limits.close();

    const { rows } = await database.query<{ keys: number; points: number; statements: number }>(`
      SELECT count(*)::int AS keys, sum(points)::int AS points,
        (SELECT count(DISTINCT at)::int FROM statements) AS statements FROM atrium.rate_limits`);
    expect(rows[0]).toMatchObject({ keys: 50, points: 5_000 });
    expect(rows[0]?.statements).toBeLessThan(50);
  });

  test("that are over are removed", async () => {
    await database.query("INSERT INTO atrium.rate_limits VALUES ('over', 1, 1), ('not over', 1, 9000000000000)");
    const pool = openPool({ url: place.database.gatewayUrl, max: 1, onConnectionError: () => undefined });
    await openPostgresStore(pool).clear();
    await pool.end();
    const { rows } = await database.query("SELECT key FROM atrium.rate_limits WHERE key LIKE '%over'");

    expect(rows).toEqual([{ key: "not over" }]);
  });
});

test("a flood near a limit asks the store a few times, not once for each, and gives no more than is left", async () => {
  const database = await newDatabase();
  const pool = openPool({ url: database.gatewayUrl, max: 5, onConnectionError: () => undefined });
  const store = openPostgresStore(pool);
  let asked = 0;
  const counting: RateLimitOptions["store"] = {
    ...store,
    add: (additions) => {
      asked += 1;
      return store.add(additions);
    },
  };
  const limits = open({ store: counting, failure: undefined });
  await limits.take(allowance(2_000), "flood", 1_850);

  const before = asked;
  const taken = await Promise.all(Array.from({ length: 500 }, () => limits.take(allowance(2_000), "flood", 1)));
  await Promise.all(opened.splice(0).map((open) => open.close()));
  await pool.end();
  await database.drop();

  expect(taken.filter(({ isWithin }) => isWithin)).toHaveLength(150);
  expect(taken.slice(0, 150).every(({ isWithin }) => isWithin)).toBe(true);
  expect(asked - before).toBeLessThan(10);
});
