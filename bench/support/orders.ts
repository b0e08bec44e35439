import { z } from "zod";

export const orders = z.object({
  url: z.string(),
  keys: z.array(z.string()),
  query: z.string(),
  /** Requests a second, of all keys together. 0: as many as are answered, `atOnce` at a time. */
  rate: z.number(),
  atOnce: z.number(),
  /** How long to send, in seconds; the first of them are not counted. */
  seconds: z.number(),
  warmUpSeconds: z.number(),
});

/** What a sender has to send. */
export type Orders = z.infer<typeof orders>;

export const findings = z.object({
  /** Of each request that was answered with 200, in milliseconds, from when it was due to the end of its answer. */
  latenciesMs: z.array(z.number()),
  sent: z.number(),
  /** Answers by status; 0 is none. */
  statuses: z.record(z.string(), z.number()),
  /** How much of one core the sender took, from 0 to 1. */
  cpuShare: z.number(),
});

/** What came of it. */
export type Findings = z.infer<typeof findings>;
