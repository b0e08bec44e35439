import type { ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, startServer, stopLeftOver, stopServer } from "./postgres-process.ts";
import type { RunAs } from "./postgres-user.ts";

const START_ATTEMPTS_MAX = 3; // between choosing a free port and using it, somebody else may
const RESTART_PAUSE_MS = 100;
const RESTART_PAUSE_MAX_MS = 5_000;

interface ServerSettings {
  readonly folder: string;
  readonly runAs: RunAs;
  readonly program: string;
  readonly flags: readonly string[];
  readonly onProgress: (line: string) => void;
}

/**
 * Runs the server on a free port until `stop`. A server that ends by itself is started again on the same port, for as long as it
 * takes, so that the addresses given out stay valid and the gateway recovers without help.
 */
export async function superviseServer(settings: ServerSettings): Promise<{ port: number; stop(): Promise<void> }> {
  const { folder, runAs, program, flags, onProgress } = settings;
  const start = (port: number): Promise<ChildProcess> =>
    startServer(runAs, program, ["-D", folder, "-p", String(port), ...flags]);
  let isStopping = false;
  let restarting: Promise<void> = Promise.resolve();

  await stopLeftOver(folder, onProgress);
  const { port, child } = await startOnFreePort(start);
  let server = watch(child);

  function watch(started: ChildProcess): ChildProcess {
    started.once("exit", () => {
      if (!isStopping) restarting = restart();
    });
    return started;
  }

  async function restart(): Promise<void> {
    for (let pauseMs = RESTART_PAUSE_MS; !isStopping; pauseMs = Math.min(pauseMs * 2, RESTART_PAUSE_MAX_MS)) {
      onProgress("PostgreSQL ended unexpectedly; starting it again");
      try {
        await stopLeftOver(folder, onProgress);
        server = watch(await start(port));
        return;
      } catch (error) {
        onProgress(error instanceof Error ? error.message : String(error));
        await sleep(pauseMs);
      }
    }
  }

  // When this process ends without `stop`, by an exception for instance, the server must not be left behind.
  function stopAtExit(): void {
    server.kill("SIGINT");
  }
  process.once("exit", stopAtExit);

  return {
    port,
    stop: async () => {
      isStopping = true;
      await restarting;
      const hasEnded = (): boolean => server.exitCode !== null || server.signalCode !== null;
      if (server.pid !== undefined && !hasEnded()) await stopServer(server.pid, hasEnded);
      process.removeListener("exit", stopAtExit);
    },
  };
}

async function startOnFreePort(
  start: (port: number) => Promise<ChildProcess>,
): Promise<{ port: number; child: ChildProcess }> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      return { port, child: await start(port) };
    } catch (error) {
      const isTaken = error instanceof Error && error.message.includes("could not bind");
      if (!isTaken || attempt === START_ATTEMPTS_MAX) throw error;
    }
  }
}
