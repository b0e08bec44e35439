import type pg from "pg";
import { RateLimiterPostgres, RateLimiterRes } from "rate-limiter-flexible";
import { sha256 } from "./crypto.ts";

/** How much of something is allowed in a time. */
export interface Allowance {
  /** Names what is counted; part of the key. */
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
  /** Seconds until the count begins anew. */
  readonly resetSeconds: number;
}

/** Counts shared by all processes. Keys are hashed before they leave the process: a count tells nobody whose it is. */
export interface RateLimits {
  /** Takes points, whether or not they are there. While the store is away it counts in this process, or throws UNAVAILABLE, as configured. */
  readonly take: (allowance: Allowance, key: string, points: number) => Promise<Standing>;
  /** How a count stands, without taking anything. */
  readonly look: (allowance: Allowance, key: string) => Promise<Standing>;
  /** Begins a count anew. */
  readonly reset: (allowance: Allowance, key: string) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Counts in PostgreSQL. */
export function openRateLimits(pool: pg.Pool): RateLimits {
  const limiters = new Map<string, RateLimiterPostgres>();

  function limiterOf({ name, points, seconds }: Allowance): RateLimiterPostgres {
    const id = JSON.stringify([name, points, seconds]);
    const known =
      limiters.get(id) ??
      new RateLimiterPostgres({
        storeClient: pool,
        storeType: "pool",
        schemaName: "atrium",
        tableName: "rate_limits",
        tableCreated: true,
        clearExpiredByTimeout: false,
        keyPrefix: "",
        points,
        duration: seconds,
      });
    limiters.set(id, known);
    return known;
  }

  const keyOf = ({ name }: Allowance, key: string): string => sha256(JSON.stringify([name, key]));
  const standing = ({ points, seconds }: Allowance, found: RateLimiterRes | null): Standing => ({
    isWithin: (found?.consumedPoints ?? 0) <= points,
    remaining: Math.max(0, points - (found?.consumedPoints ?? 0)),
    resetSeconds: Math.ceil((found?.msBeforeNext ?? seconds * 1000) / 1000),
  });

  return {
    async take(allowance, key, points) {
      const taken = await limiterOf(allowance)
        .consume(keyOf(allowance, key), points)
        .catch((refused: unknown) => {
          if (refused instanceof RateLimiterRes) return refused;
          throw refused;
        });
      return standing(allowance, taken);
    },
    look: async (allowance, key) => standing(allowance, await limiterOf(allowance).get(keyOf(allowance, key))),
    async reset(allowance, key) {
      await limiterOf(allowance).delete(keyOf(allowance, key));
    },
    close: async () => undefined,
  };
}
