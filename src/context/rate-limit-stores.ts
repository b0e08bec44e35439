import { Redis } from "ioredis";
import type pg from "pg";
import { RateLimiterPostgres, RateLimiterRedis } from "rate-limiter-flexible";
import type { RateLimiterRes } from "rate-limiter-flexible";

/** Points to add to one count. Negative ones give back. */
interface Addition {
  /** A hash: a count tells nobody whose it is. */
  readonly key: string;
  readonly points: number;
  /** How long the count lasts, if it begins with this. */
  readonly seconds: number;
}

/** What a store knows of one count. */
export interface Counted {
  readonly points: number;
  /** When the count begins anew, in milliseconds since 1970; undefined when nothing is counted. */
  readonly endsAt: number | undefined;
}

/** Where counts are that all processes share. Every method rejects while the store is away. */
export interface CountStore {
  /** Adds to counts, each named once. @returns how they stand after it, in the same order. */
  readonly add: (additions: readonly Addition[]) => Promise<readonly Counted[]>;
  readonly read: (key: string) => Promise<Counted>;
  readonly remove: (key: string) => Promise<void>;
  /** Removes what is over, as far as the store does not do so by itself. */
  readonly clear: () => Promise<void>;
  readonly close: () => Promise<void>;
}

const CLEARED_AT_ONCE = 10_000;
// The limiters only count: whether a count is within an allowance is decided by who asks, so that one limiter does for all allowances.
const UNBOUNDED = { points: Number.MAX_SAFE_INTEGER, duration: 60 };

const NOTHING: Counted = { points: 0, endsAt: undefined };

function countedFrom(found: RateLimiterRes): Counted {
  return { points: found.consumedPoints, endsAt: Date.now() + Math.max(0, found.msBeforeNext) };
}

/**
 * Counts in the table atrium.rate_limits, through the pool that everything else uses. One count is one statement of
 * rate-limiter-flexible; many are one statement, too, which does the same: the library has none for it.
 */
export function openPostgresStore(pool: pg.Pool): CountStore {
  const limiter = new RateLimiterPostgres({
    ...UNBOUNDED,
    storeClient: pool,
    storeType: "pool",
    schemaName: "atrium",
    tableName: "rate_limits",
    tableCreated: true,
    clearExpiredByTimeout: false,
    keyPrefix: "",
  });

  async function addMany(additions: readonly Addition[]): Promise<readonly Counted[]> {
    const now = Date.now();
    const { rows } = await pool.query<{ key: string; points: number; expire: string }>({
      name: "atrium_rate_limits_add",
      text: ADD_MANY,
      values: [
        additions.map(({ key }) => key),
        additions.map(({ points }) => points),
        additions.map(({ seconds }) => now + seconds * 1000),
        now,
      ],
    });
    const found = new Map(rows.map(({ key, points, expire }) => [key, { points, endsAt: Number(expire) }]));
    return additions.map(({ key }) => found.get(key) ?? NOTHING);
  }

  return {
    async add(additions) {
      const [first, ...more] = additions;
      if (!first) return [];
      if (more.length > 0) return addMany(additions);
      return [countedFrom(await limiter.penalty(first.key, first.points, { customDuration: first.seconds }))];
    },
    async read(key) {
      const found = await limiter.get(key);
      return found ? countedFrom(found) : NOTHING;
    },
    async remove(key) {
      await limiter.delete(key);
    },
    async clear() {
      await pool.query(CLEAR, [Date.now(), CLEARED_AT_ONCE]);
    },
    close: async () => undefined,
  };
}

// In the order of their keys, so that two processes that add to the same counts wait for each other, and never both.
const ADD_MANY = `
  INSERT INTO atrium.rate_limits AS counted (key, points, expire)
  SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[]) AS added (key, points, expire) ORDER BY added.key
  ON CONFLICT (key) DO UPDATE SET
    points = CASE WHEN counted.expire <= $4::bigint THEN excluded.points ELSE counted.points + excluded.points END,
    expire = CASE WHEN counted.expire <= $4::bigint THEN excluded.expire ELSE counted.expire END
  RETURNING key, points, expire`;

// Waits for nobody, so that it is no part of a deadlock; what somebody holds is no longer over in a moment.
const CLEAR = `
  DELETE FROM atrium.rate_limits WHERE key IN (
    SELECT key FROM atrium.rate_limits WHERE expire <= $1::bigint LIMIT $2::int FOR UPDATE SKIP LOCKED
  )`;

/** Counts in Redis, which forgets by itself what is over. Connects at the first count. */
export function openRedisStore(url: string): CountStore {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    // What waits for a connection fails with it: a count that is sent minutes later would count for another minute.
    maxRetriesPerRequest: 0,
    enableAutoPipelining: true,
    retryStrategy: (times) => Math.min(times * RECONNECT_STEP_MS, RECONNECT_MAX_MS),
  });
  // Whoever counts is told by the command that fails; without a listener, a connection that breaks would write to the console.
  redis.on("error", () => undefined);
  const limiter = new RateLimiterRedis({ ...UNBOUNDED, storeClient: redis, keyPrefix: "atrium:limit" });

  return {
    add: async (additions) =>
      Promise.all(
        additions.map(async ({ key, points, seconds }) =>
          countedFrom(await limiter.penalty(key, points, { customDuration: seconds })),
        ),
      ),
    async read(key) {
      const found = await limiter.get(key);
      return found ? countedFrom(found) : NOTHING;
    },
    async remove(key) {
      await limiter.delete(key);
    },
    clear: async () => undefined,
    async close() {
      redis.disconnect();
    },
  };
}

const CONNECT_TIMEOUT_MS = 1_000;
const RECONNECT_STEP_MS = 100;
const RECONNECT_MAX_MS = 2_000;
