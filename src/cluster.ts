import cluster from "node:cluster";
import type { Worker } from "node:cluster";
import { setTimeout as pause } from "node:timers/promises";
import { toPrimary } from "./cluster-messages.ts";
import type { Order, ToWorker } from "./cluster-messages.ts";
import type { Logger } from "./context/log.ts";

const PAUSE_MS = 100; // before a process that ended is replaced; twice as long each time, so that one that cannot live does not keep a core busy
const PAUSE_MAX_MS = 30_000;
const STEADY_MS = 60_000; // who lived so long begins again with the shortest pause
const STOP_WITHIN_MS = 9_000; // of the ten seconds in which everything must have ended
const COUNT_WITHIN_MS = 1_000;

export interface WorkersOptions {
  readonly count: number;
  /** The file that a process begins with. */
  readonly program: string;
  /** The settings with which this process was started: a replacement gets the same. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly order: Order;
  readonly log: Logger;
  /** Aborted when the start is to end. */
  readonly interruption: AbortSignal;
}

/** Several processes that serve on one port. */
export interface Workers {
  /** Where they answer: `http://host:port`. */
  readonly url: string;
  /** Lets all of them finish what is under way; after nine seconds the rest is killed. */
  readonly close: () => Promise<void>;
}

interface Started {
  readonly worker: Worker;
  /** Where it answers. Rejects when it ends before that. */
  readonly ready: Promise<string>;
  /** Its exit code, or the signal that ended it. Never rejects. */
  readonly ended: Promise<string>;
}

/**
 * Starts processes that serve beside each other, and replaces those that end. This process takes the connections and hands them out in turn;
 * it serves nothing itself.
 *
 * @throws Error with what the first process said, when it cannot serve; the interruption's reason when that comes first. None is left then.
 */
export async function startWorkers(options: WorkersOptions): Promise<Workers> {
  const { count, order, log, interruption } = options;
  const stopping = new AbortController();
  const alive = new Set<Started>();
  const waiting = new Map<number, (counts: unknown) => void>();
  let asked = 0;
  cluster.setupPrimary({ exec: options.program, args: [], serialization: "advanced" });

  function startOne(): Started {
    const worker = cluster.fork(options.environment);
    // A message to one that has just ended fails; its end is seen by itself.
    worker.on("error", () => undefined);
    const ended = new Promise<string>((resolve) => {
      worker.once("exit", (code: number | null, signal: string | null) => resolve(signal ?? `exit code ${code ?? ""}`));
    });
    const ready = new Promise<string>((resolve, reject) => {
      worker.on("message", (message: unknown) => {
        const { data: said } = toPrimary.safeParse(message);
        if (said?.type === "here") tell(worker, { type: "serve", order });
        if (said?.type === "ready") resolve(said.url);
        if (said?.type === "failed") reject(new Error(said.lines.join("\n")));
        if (said?.type === "counted") waiting.get(said.id)?.(said.counts);
        if (said?.type === "ask") void answer(worker, said.id);
      });
      void ended.then((how) => reject(new Error(`a process ended before it could serve: ${how}`)));
    });
    const started = { worker, ready, ended };
    alive.add(started);
    void ended.then(() => alive.delete(started));
    return started;
  }

  /** What the processes have counted that answer in time. */
  async function answer(worker: Worker, id: number): Promise<void> {
    const counts = await Promise.all([...alive].map(countsOf));
    tell(worker, { type: "everybody", id, counts: counts.filter((found) => found !== undefined) });
  }

  async function countsOf({ worker, ended }: Started): Promise<unknown> {
    asked += 1;
    const id = asked;
    const told = new Promise<unknown>((resolve) => waiting.set(id, resolve));
    tell(worker, { type: "count", id });
    const patience = new AbortController();
    const tooLate = pause(COUNT_WITHIN_MS, undefined, { signal: patience.signal }).catch(() => undefined);
    const counts = await Promise.race([told, tooLate, ended.then(() => undefined)]);
    patience.abort();
    waiting.delete(id);
    return counts;
  }

  /** Replaces a process each time it ends, until the stop. */
  async function keep(first: Started): Promise<void> {
    let current = first;
    let failures = 0;
    for (;;) {
      const began = performance.now();
      const how = await current.ended;
      if (stopping.signal.aborted) return;
      failures = performance.now() - began > STEADY_MS ? 0 : failures + 1;
      const pauseMs = Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** Math.max(0, failures - 1));
      log.error({ pid: current.worker.process.pid, ended: how, pauseMs }, "a process ended, another takes its place");
      await pause(pauseMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- the pause was the time in which it may have changed
      if (stopping.signal.aborted) return;
      current = startOne();
      current.ready.catch((error: unknown) =>
        log.error({ err: error instanceof Error ? error.message : String(error) }, "a process could not serve"),
      );
    }
  }

  async function close(): Promise<void> {
    stopping.abort();
    const killing = setTimeout(() => {
      for (const { worker } of alive) worker.process.kill("SIGKILL");
    }, STOP_WITHIN_MS);
    for (const { worker } of alive) tell(worker, { type: "stop" });
    await Promise.all([...alive].map(({ ended }) => ended));
    clearTimeout(killing);
  }

  const interrupted = new Promise<never>((_resolve, reject) => {
    const end = (): void => reject(new Error("The start was interrupted"));
    if (interruption.aborted) end();
    interruption.addEventListener("abort", end);
  });
  try {
    // One by itself, so that what keeps all of them from serving is said once.
    const first = startOne();
    const url = await Promise.race([first.ready, interrupted]);
    const others = Array.from({ length: count - 1 }, startOne);
    await Promise.race([Promise.all(others.map(({ ready }) => ready)), interrupted]);
    for (const started of [first, ...others]) void keep(started);
    return { url, close };
  } catch (error) {
    for (const { ready } of alive) ready.catch(() => undefined);
    await close();
    throw error;
  }
}

function tell(worker: Worker, message: ToWorker): void {
  if (worker.isConnected()) worker.send(message, undefined, undefined, () => undefined);
}
