import type pg from "pg";
import { openFairQueue } from "./fair-queue.ts";
import type { Place, QueueCounts } from "./fair-queue.ts";
import type { Connections } from "./tenant-pool.ts";

const PATIENCE_MS = 8_000; // less than what Prisma waits for a transaction to begin, so that nobody gives up a connection that is on its way
const WAITING_OF_ONE = 1_000; // more than the requests that one tenant may have under way
const LOOK_UPS = 10; // one connection in so many is kept for what comes before any tenant

/** The shared pool, divided between the tenants that use it. */
export interface FairPool {
  /** Connections for the statements of one tenant. */
  readonly of: (tenantId: string) => Connections;
  readonly counts: () => QueueCounts;
  /** Sends away whoever waits. The pool itself stays open. */
  readonly close: () => void;
}

/**
 * Hands the pool's connections out in turn between the tenants that wait for one; see openFairQueue for how many each may hold.
 *
 * Look-ups that span tenants (authentication above all) ask the pool itself, in which tenants leave a connection free for them, so that no
 * tenant's load keeps another's requests at the door. Nobody who has a connection may ask for a second one: with one tenant's share used up
 * that way, all of its requests would wait for each other until their patience ends.
 *
 * @param max how many connections the pool has.
 */
export function openFairPool(pool: pg.Pool, max: number): FairPool {
  const forTenants = max < 2 ? 1 : max - Math.ceil(max / LOOK_UPS);
  const queue = openFairQueue({
    turns: () => forTenants,
    isCrowded: () => false,
    waitingInLane: WAITING_OF_ONE,
    patienceMs: PATIENCE_MS,
  });

  async function placeOf(tenantId: string): Promise<Place> {
    try {
      const place = queue.enter(tenantId);
      if (place.turn) await place.turn;
      return place;
    } catch (cause) {
      // In the words of pg's own pool: Prisma passes on the text of what is thrown here, and little else.
      throw new Error("timeout exceeded when trying to connect", { cause });
    }
  }

  async function connect(tenantId: string): Promise<pg.PoolClient> {
    const place = await placeOf(tenantId);
    try {
      return givingBack(await pool.connect(), place);
    } catch (error) {
      place.leave();
      throw error;
    }
  }

  return {
    of: (tenantId) => ({ connect: () => connect(tenantId) }),
    counts: queue.counts,
    close: queue.close,
  };
}

/** The pool makes a new `release` each time it lends a connection; this one gives the turn back as well. */
function givingBack(client: pg.PoolClient, place: Place): pg.PoolClient {
  const lent = client.release.bind(client);
  client.release = (error) => {
    try {
      lent(error);
    } finally {
      place.leave();
    }
  };
  return client;
}
