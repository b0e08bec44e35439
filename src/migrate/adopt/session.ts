import { setTimeout as wait } from "node:timers/promises";
import pg from "pg";
import { DEPLOY_LOCK } from "../migrate.ts";
import { AdoptError } from "./report.ts";

const TURN_PATIENCE_MS = 30_000;
const LOOK_AGAIN_MS = 250;

/**
 * Opens the one connection that an adoption works on, and makes sure that it is the only one.
 *
 * @throws AdoptError when another adoption or deploy is at work on this database for longer than half a minute.
 */
export async function openSession(ownerUrl: string, isDryRun: boolean): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: ownerUrl, application_name: "atrium adopt", keepAlive: true });
  // A lost connection is reported by the next statement; without a listener it would end the process.
  client.on("error", () => undefined);
  await client.connect();
  try {
    // A role may have time-outs of its own, meant for its applications and too short for this.
    await client.query(
      "SET search_path = public; SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0",
    );
    await noticeOurEnd(client);
    if (isDryRun) await client.query("SET default_transaction_read_only = on");
    else await takeTurn(client);
    return client;
  } catch (error) {
    await client.end();
    throw error;
  }
}

// A process that was killed leaves its statement running; the server then ends it soon, and with it our lock.
async function noticeOurEnd(client: pg.Client): Promise<void> {
  try {
    await client.query("SET client_connection_check_interval = '1s'");
  } catch {
    // Servers on some systems cannot look; the statement then runs to its end, and the next run waits for that.
  }
}

async function takeTurn(client: pg.Client): Promise<void> {
  const deadline = performance.now() + TURN_PATIENCE_MS;
  for (;;) {
    const { rows } = await client.query<{ taken: boolean }>("SELECT pg_try_advisory_lock($1) AS taken", [DEPLOY_LOCK]);
    if (rows[0]?.taken === true) return;
    if (performance.now() > deadline) {
      throw new AdoptError(
        "Another adoption or deploy is at work on this database. Run adopt again when it has ended.",
      );
    }
    await wait(LOOK_AGAIN_MS);
  }
}
