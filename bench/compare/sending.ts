import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { z } from "zod";

export const sendOrders = z.object({
  url: z.string(),
  /** Sent one after the other, from the first again after the last. */
  requests: z.array(z.object({ key: z.string(), body: z.string() })),
  connections: z.number(),
  /** Until then, in seconds; what is under way by then is still awaited, and counted. */
  seconds: z.number(),
  /** Goes on after that time until so many were answered, or four times as long has passed. */
  atLeast: z.number(),
});
export type SendOrders = z.infer<typeof sendOrders>;

const sendFindings = z.object({
  answered: z.number(),
  /** Answers that were not 200, or said "errors"; the first of them in full. */
  failed: z.number(),
  firstFailure: z.string().optional(),
  p50: z.number(),
  p99: z.number(),
});
/** What came of it; times in milliseconds. */
export type SendFindings = z.infer<typeof sendFindings>;

/** The process that sends the requests: its CPU time is counted for nobody. */
export interface Sender {
  /** @throws Error at an answer that is none: figures of failures are worth nothing. */
  readonly send: (orders: SendOrders) => Promise<SendFindings>;
  readonly stop: () => void;
}

export function startSender(): Sender {
  const child = fork(fileURLToPath(new URL("./sender.ts", import.meta.url)), { execArgv: ["--import", "tsx"] });
  return {
    async send(orders) {
      child.send(orders);
      const answer: unknown[] = await once(child, "message");
      const findings = sendFindings.parse(answer[0]);
      if (findings.failed > 0)
        throw new Error(`${findings.failed} of ${findings.answered} failed: ${findings.firstFailure ?? ""}`);
      return findings;
    },
    stop: () => void child.kill(),
  };
}
