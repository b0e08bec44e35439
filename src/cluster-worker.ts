import { toWorker } from "./cluster-messages.ts";
import type { Order, ToPrimary } from "./cluster-messages.ts";

const ASK_WITHIN_MS = 2_000;

/** One of several processes that serve, as it sees the others. */
export interface Primary {
  /** What to serve with. */
  readonly order: Promise<Order>;
  readonly ready: (url: string) => void;
  /** @param lines why it cannot serve. */
  readonly failed: (lines: readonly string[]) => Promise<void>;
  /** Aborted when the process is to end. */
  readonly stop: AbortSignal;
  /** What is counted in each process and asked for in one. */
  readonly siblings: {
    /** Says what this process answers when another one asks. */
    readonly answer: (counts: () => Promise<unknown>) => void;
    /** The counts of all processes that answer in time, of this one, too. */
    readonly ask: () => Promise<readonly unknown[]>;
  };
}

/** Listens to the primary process. When that ends, this one ends by itself. */
export function joinPrimary(): Primary {
  const stopping = new AbortController();
  const waiting = new Map<number, (counts: readonly unknown[]) => void>();
  let asked = 0;
  let count: () => Promise<unknown> = async () => undefined;
  const order = new Promise<Order>((resolve) => {
    process.on("message", (message: unknown) => {
      const { data: said } = toWorker.safeParse(message);
      if (said?.type === "serve") resolve(said.order);
      if (said?.type === "stop") stopping.abort();
      if (said?.type === "count") void count().then((counts) => tell({ type: "counted", id: said.id, counts }));
      if (said?.type === "everybody") waiting.get(said.id)?.(said.counts);
    });
  });

  async function ask(): Promise<readonly unknown[]> {
    asked += 1;
    const id = asked;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<readonly unknown[]>((resolve, reject) => {
        waiting.set(id, resolve);
        timer = setTimeout(() => reject(new Error("the primary process does not answer")), ASK_WITHIN_MS);
        void tell({ type: "ask", id });
      });
    } finally {
      clearTimeout(timer);
      waiting.delete(id);
    }
  }

  void tell({ type: "here" });
  return {
    order,
    ready: (url) => void tell({ type: "ready", url }),
    failed: (lines) => tell({ type: "failed", lines: [...lines] }),
    stop: stopping.signal,
    siblings: { answer: (counts) => (count = counts), ask },
  };
}

/** Resolves when it is on its way; a primary that has gone is no failure of ours. */
async function tell(message: ToPrimary): Promise<void> {
  await new Promise<void>((resolve) => {
    if (process.send) process.send(message, undefined, undefined, () => resolve());
    else resolve();
  });
}
