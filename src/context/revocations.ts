import pg from "pg";
import { newRequestId } from "./crypto.ts";
import type { Logger } from "./log.ts";

const CHANNEL = "atrium_revoked"; // triggers notify it of whatever ends or changes somebody's access, whoever writes it
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const RECONNECT_MS = 500;
const DEAF_RETRY_MS = 30_000; // it is deaf until somebody changes a setting, here or at the pooler
const HEARTBEAT_MS = 500; // with the time for an answer, a cut line is known within a second or two
const ANSWER_TIMEOUT_MS = 1_000;
const CONNECT_TIMEOUT_MS = 5_000;
const ECHO_TIMEOUT_MS = 5_000;
const DEAF =
  "notices of revocation do not arrive, so no key, token or tenant is cached, and each request looks them up: set DATABASE_LISTEN_URL to an address of the same database that leads straight to PostgreSQL, or through a pooler in session mode";

/** The line on which the database tells every process that something was revoked. */
export interface Revocations {
  /** Whether the line is up: notices arrive. */
  readonly isListening: () => boolean;
  readonly close: () => Promise<void>;
}

export interface RevocationLine {
  readonly url: string;
  /** Notifies a channel on the connections that requests use. */
  readonly notify: (channel: string) => Promise<unknown>;
  readonly log: Logger;
}

/**
 * Listens for revocations, and reconnects by itself. A line counts as up when it has heard what was notified on the connections that
 * requests use: behind a pooler in transaction mode, LISTEN succeeds and nothing is ever heard.
 *
 * @param on.heard something changed, in one tenant or of no tenant: forget what is cached.
 * @param on.listening false while the line is down. Caching must stop then, or a revoked key would live on here.
 */
export function listenForRevocations(
  { url, notify, log }: RevocationLine,
  on: { readonly heard: (tenantId: string | undefined) => void; readonly listening: (isListening: boolean) => void },
): Revocations {
  // One for the process: behind a pooler, whatever is listened to stays with the pooler's connection.
  const echo = `atrium_echo_${newRequestId().replaceAll("-", "")}`;
  let isClosed = false;
  let isDeaf = false;
  let isListening = false;
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
    fresh.on("notification", ({ channel, payload = "" }) => {
      if (channel === CHANNEL) on.heard(UUID.test(payload) ? payload : undefined);
    });
    fresh.once("end", () => lose(fresh));
    try {
      await fresh.connect();
      await fresh.query(`LISTEN ${CHANNEL}; LISTEN ${echo}`);
      const hears = await hearsEcho(fresh);
      if (isClosed || current !== fresh) return;
      if (!hears) {
        if (!isDeaf) log.warn(DEAF);
        isDeaf = true;
        lose(fresh, DEAF_RETRY_MS);
        return;
      }
      isDeaf = false;
      isListening = true;
      on.listening(true);
      listenToHeart(fresh);
    } catch (error) {
      log.debug({ err: error instanceof Error ? error.message : String(error) }, "revocation line not there yet");
      lose(fresh);
    }
  }

  /** Nothing else may be sent on the line meanwhile: a pooler could then pass the echo on by chance. */
  async function hearsEcho(client: pg.Client): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const heard = new Promise<boolean>((resolve) => {
      client.on("notification", ({ channel }) => {
        if (channel === echo) resolve(true);
      });
      client.once("end", () => resolve(false));
    });
    await notify(echo);
    const patience = new Promise<boolean>((resolve) => (timer = setTimeout(resolve, ECHO_TIMEOUT_MS, false)));
    const hears = await Promise.race([heard, patience]);
    clearTimeout(timer);
    return hears;
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

  function lose(client: pg.Client, retryMs = RECONNECT_MS): void {
    if (current !== client) return;
    current = undefined;
    clearTimeout(heartbeat);
    isListening = false;
    on.listening(false);
    // Its end may never come on a line that is cut; nobody waits for it.
    client.end().catch(() => undefined);
    if (!isClosed) reconnecting = setTimeout(() => void connect(), retryMs);
  }

  void connect();
  return {
    isListening: () => isListening,
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
