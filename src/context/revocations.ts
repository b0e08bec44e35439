import pg from "pg";
import type { Logger } from "./log.ts";

const CHANNEL = "atrium_revoked"; // triggers notify it of whatever ends or changes somebody's access, whoever writes it
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const RECONNECT_MS = 500;
const HEARTBEAT_MS = 500; // with the time for an answer, a cut line is known within a second or two
const ANSWER_TIMEOUT_MS = 1_000;
const CONNECT_TIMEOUT_MS = 5_000;

/** The line on which the database tells every process that something was revoked. */
export interface Revocations {
  readonly close: () => Promise<void>;
}

/**
 * Listens for revocations, and reconnects by itself.
 *
 * @param on.heard something changed, in one tenant or of no tenant: forget what is cached.
 * @param on.listening false while the line is down. Caching must stop then, or a revoked key would live on here.
 */
export function listenForRevocations(
  url: string,
  log: Logger,
  on: { readonly heard: (tenantId: string | undefined) => void; readonly listening: (isListening: boolean) => void },
): Revocations {
  let isClosed = false;
  let current: pg.Client | undefined;
  let reconnecting: NodeJS.Timeout | undefined;
  let heartbeat: NodeJS.Timeout | undefined;

  async function connect(): Promise<void> {
    const fresh = new pg.Client({
      connectionString: url,
      application_name: "atrium revocations",
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: ANSWER_TIMEOUT_MS,
    });
    current = fresh;
    fresh.on("error", (error) => log.warn({ err: error.message }, "revocation line failed"));
    fresh.on("notification", ({ payload = "" }) => on.heard(UUID.test(payload) ? payload : undefined));
    fresh.once("end", () => lose(fresh));
    try {
      await fresh.connect();
      await fresh.query(`LISTEN ${CHANNEL}`);
      if (isClosed || current !== fresh) return;
      on.listening(true);
      listenToHeart(fresh);
    } catch (error) {
      log.debug({ err: error instanceof Error ? error.message : String(error) }, "revocation line not there yet");
      lose(fresh);
    }
  }

  /** A line that is cut without a word (a firewall, a host that is gone) looks alive for hours; one that is asked must answer. Asking to listen again changes nothing. */
  function listenToHeart(client: pg.Client): void {
    heartbeat = setTimeout(() => {
      client.query(`LISTEN ${CHANNEL}`).then(
        () => {
          if (current === client) listenToHeart(client);
        },
        () => lose(client),
      );
    }, HEARTBEAT_MS);
    heartbeat.unref();
  }

  function lose(client: pg.Client): void {
    if (current !== client) return;
    current = undefined;
    clearTimeout(heartbeat);
    on.listening(false);
    // Its end may never come on a line that is cut; nobody waits for it.
    client.end().catch(() => undefined);
    if (!isClosed) reconnecting = setTimeout(() => void connect(), RECONNECT_MS);
  }

  void connect();
  return {
    async close() {
      isClosed = true;
      clearTimeout(reconnecting);
      clearTimeout(heartbeat);
      const last = current;
      current = undefined;
      await last?.end().catch(() => undefined);
    },
  };
}
