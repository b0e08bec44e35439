import { z } from "zod";

/** What a process needs to know to serve, beyond the settings, which all read for themselves. */
const order = z.object({
  gatewayUrl: z.string(),
  /** A key of a sample tenant, for the explorer. */
  sampleKey: z.string().optional(),
});
export type Order = z.infer<typeof order>;

/** What the primary process says to one that serves. */
export const toWorker = z.discriminatedUnion("type", [
  z.object({ type: z.literal("serve"), order }),
  z.object({ type: z.literal("stop") }),
  /** Asks for its counts. */
  z.object({ type: z.literal("count"), id: z.number() }),
  /** The counts of all, which it asked for. */
  z.object({ type: z.literal("everybody"), id: z.number(), counts: z.array(z.unknown()) }),
]);
export type ToWorker = z.infer<typeof toWorker>;

/** What a process that serves says to the primary. */
export const toPrimary = z.discriminatedUnion("type", [
  /** It listens, and asks what to serve with. */
  z.object({ type: z.literal("here") }),
  z.object({ type: z.literal("ready"), url: z.string() }),
  /** It cannot serve; the lines say why, and what to do. */
  z.object({ type: z.literal("failed"), lines: z.array(z.string()) }),
  z.object({ type: z.literal("counted"), id: z.number(), counts: z.unknown() }),
  /** Asks for the counts of all. */
  z.object({ type: z.literal("ask"), id: z.number() }),
]);
export type ToPrimary = z.infer<typeof toPrimary>;
