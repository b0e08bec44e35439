import { setTimeout as wait } from "node:timers/promises";
import type pg from "pg";
import { AdoptError } from "./report.ts";

// Whoever waits for an exclusive lock makes everybody after it wait, too. So each attempt gives up soon, lets the others
// through, and comes back later.
const ATTEMPT_MS = 300;
const PAUSE_MIN_MS = 100;
const PAUSE_MAX_MS = 3_000;

// Row locks: below PostgreSQL's deadlock_timeout of one second, so that in a deadlock it is never the client that is sacrificed.
const ROW_LOCK_MS = 700;

const GAVE_UP = new Set(["55P03", "57014", "40P01", "40001"]); // lock not available, cancelled by the time-out, deadlock, serialisation

export interface LockWatch {
  /** Longest time, in milliseconds, for which an attempt kept readers out, its waiting included. */
  longestMs: number;
  /** How long to go on trying before giving up, in milliseconds. */
  readonly patienceMs: number;
  /** Told about each attempt that did not get its locks. */
  readonly onWait: (message: string) => void;
}

/**
 * Runs `work` in a transaction that holds `tables` exclusively. Attempts are short and repeated, and each is measured.
 *
 * @throws AdoptError when the locks were not to be had within the watch's patience; it names the processes in the way.
 */
export async function exclusively<T>(
  client: pg.Client,
  watch: LockWatch,
  tables: readonly string[],
  work: () => Promise<T>,
): Promise<T> {
  return patiently(client, watch, tables, async () => {
    const start = performance.now();
    try {
      await client.query("BEGIN");
      await client.query(`SET LOCAL statement_timeout = ${String(ATTEMPT_MS)}`);
      await client.query(`SET LOCAL lock_timeout = ${String(ATTEMPT_MS)}`);
      if (tables.length > 0) await client.query(`LOCK TABLE ${tables.join(", ")} IN ACCESS EXCLUSIVE MODE`);
      await client.query("SET LOCAL statement_timeout = 0");
      const result = await work();
      await client.query("COMMIT");
      return result;
    } catch (error) {
      await rollback(client);
      throw error;
    } finally {
      watch.longestMs = Math.max(watch.longestMs, performance.now() - start);
    }
  });
}

/** Runs `work` in a transaction that never waits long for a row: it is rolled back and repeated instead. */
export async function inTransaction<T>(client: pg.Client, watch: LockWatch, work: () => Promise<T>): Promise<T> {
  return patiently(client, watch, [], async () => {
    try {
      await client.query(`BEGIN; SET LOCAL lock_timeout = ${String(ROW_LOCK_MS)}`);
      const result = await work();
      await client.query("COMMIT");
      return result;
    } catch (error) {
      await rollback(client);
      throw error;
    }
  });
}

async function patiently<T>(
  client: pg.Client,
  watch: LockWatch,
  tables: readonly string[],
  attempt: () => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + watch.patienceMs;
  for (let pauseMs = PAUSE_MIN_MS; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS)) {
    try {
      return await attempt();
    } catch (error) {
      if (!gaveUp(error)) throw error;
      const blockers = await processesInTheWay(client, tables);
      if (performance.now() > deadline) {
        throw new AdoptError(
          `Other connections hold the tables (${blockers}). Nothing is half-done: run adopt again when they have finished.`,
        );
      }
      watch.onWait(`waiting for other connections to finish (${blockers})`);
      // Jitter keeps two programs with the same rhythm from meeting again and again.
      await wait(pauseMs * (0.5 + Math.random()));
    }
  }
}

async function processesInTheWay(client: pg.Client, tables: readonly string[]): Promise<string> {
  const found = await client.query<{ pid: number; since: string | null }>(
    `SELECT DISTINCT l.pid, to_char(a.xact_start AT TIME ZONE 'UTC', 'HH24:MI:SS "UTC"') AS since
     FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
     WHERE l.granted AND l.pid <> pg_backend_pid() AND l.locktype = 'relation'
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND (cardinality($1::text[]) = 0 OR l.relation = ANY ($1::regclass[]))
     ORDER BY l.pid LIMIT 5`,
    [tables],
  );
  if (found.rows.length === 0) return "gone meanwhile";
  return found.rows
    .map(({ pid, since }) => `process ${String(pid)}${since === null ? "" : ` since ${since}`}`)
    .join(", ");
}

async function rollback(client: pg.Client): Promise<void> {
  try {
    await client.query("ROLLBACK");
  } catch {
    // The connection is gone, and the transaction with it; the error that brought us here tells why.
  }
}

function gaveUp(error: unknown): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string" && GAVE_UP.has(error.code);
}
