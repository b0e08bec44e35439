import pg from "pg";
import type { Logger } from "./log.ts";

const CHANNEL = "atrium_revoked"; // triggers on tenants and api_keys notify it, whoever changes them
const RECONNECT_MS = 500;

/** The line on which the database tells every process that something was revoked. */
export interface Revocations {
  readonly close: () => Promise<void>;
}

/**
 * Listens for revocations, and reconnects by itself.
 *
 * @param on.heard something changed: forget what is cached.
 * @param on.listening false while the line is down. Caching must stop then, or a revoked key would live on here.
 */
export function listenForRevocations(
  url: string,
  log: Logger,
  on: { readonly heard: () => void; readonly listening: (isListening: boolean) => void },
): Revocations {
  let isClosed = false;
  let client: pg.Client | undefined;
  let timer: NodeJS.Timeout | undefined;

  async function connect(): Promise<void> {
    const fresh = new pg.Client({
      connectionString: url,
      application_name: "atrium revocations",
      keepAlive: true,
      connectionTimeoutMillis: 5_000,
    });
    client = fresh;
    fresh.on("error", (error) => log.warn({ err: error.message }, "revocation line failed"));
    fresh.on("notification", () => on.heard());
    fresh.once("end", () => {
      on.listening(false);
      if (!isClosed) timer = setTimeout(() => void connect(), RECONNECT_MS);
    });
    try {
      await fresh.connect();
      await fresh.query(`LISTEN ${CHANNEL}`);
      if (!isClosed) on.listening(true);
    } catch (error) {
      log.debug({ err: error instanceof Error ? error.message : String(error) }, "revocation line not there yet");
      // A client that never connected may not say "end" by itself.
      fresh.end().catch(() => undefined);
    }
  }

  void connect();
  return {
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await client?.end().catch(() => undefined);
    },
  };
}
