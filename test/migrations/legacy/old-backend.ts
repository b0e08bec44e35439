import { randomUUID } from "node:crypto";
import type pg from "pg";
import { connect } from "./database.ts";

/** What an old backend did while it ran. */
export interface Activity {
  /** Acknowledged rows. */
  readonly sessions: Set<string>;
  readonly messages: Set<string>;
  /** Titles of sessions after acknowledged updates. */
  readonly titles: Map<string, string>;
  /** Rows that it had written and did not see. */
  readonly unseen: string[];
  /** Errors other than the loss of a connection. */
  readonly errors: string[];
  connectionsLost: number;
}

export interface OldBackend {
  /** Ends the work and tells what was done. */
  stop(): Promise<Activity>;
}

/**
 * Works on a database as the predecessor's backend did, with one statement after the other and no idea of tenants.
 *
 * @param first its first connection; when one is lost, it opens another, as a pool does.
 * @param staysConnected false for one that opens a new connection for each piece of work.
 */
export function startOldBackend(url: string, first: pg.Client, staysConnected: boolean): OldBackend {
  const activity: Activity = {
    sessions: new Set(),
    messages: new Set(),
    titles: new Map(),
    unseen: [],
    errors: [],
    connectionsLost: 0,
  };
  let isStopping = false;
  let client = first;

  async function work(): Promise<void> {
    while (!isStopping) {
      try {
        if (!staysConnected) client = await connect(url);
        await converse(client, activity);
        if (!staysConnected) await client.end();
      } catch (error) {
        if (!isLostConnection(error)) {
          activity.errors.push(String(error));
          return;
        }
        activity.connectionsLost += 1;
        client = await connect(url);
      }
    }
    await client.end();
  }

  const working = work();
  return {
    stop: async () => {
      isStopping = true;
      await working;
      return activity;
    },
  };
}

async function converse(client: pg.Client, activity: Activity): Promise<void> {
  const session = randomUUID();
  await client.query("INSERT INTO sessions (id, name, status, metadata) VALUES ($1, 'chat', 'active', '{}')", [
    session,
  ]);
  activity.sessions.add(session);
  for (const role of ["user", "assistant"]) {
    const message = randomUUID();
    await client.query(
      "INSERT INTO messages (id, session_id, role, content, metadata) VALUES ($1, $2, $3, 'perché', '{\"tools_used\": []}')",
      [message, session, role],
    );
    activity.messages.add(message);
  }
  const title = `title of ${session}`;
  await client.query("UPDATE sessions SET title = $2, updated_at = clock_timestamp() WHERE id = $1", [session, title]);
  activity.titles.set(session, title);
  const seen = await client.query("SELECT id FROM messages WHERE session_id = $1 ORDER BY timestamp", [session]);
  if (seen.rowCount !== 2) activity.unseen.push(session);
}

function isLostConnection(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ("code" in error && error.code === "57P01") return true; // terminated by an administrator
  return /Connection terminated|not queryable|Client has encountered a connection error/.test(error.message);
}
