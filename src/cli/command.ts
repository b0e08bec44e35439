import type { Config } from "../config.ts";

/** What every command gets. */
export interface CommandContext {
  readonly config: Config;
  /** Writes one line for the operator. */
  readonly print: (line: string) => void;
}

/** The words of a command were not understood; the message shows how it is written. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The role under which the gateway connects; the migrations give it its rights. */
export function roleOf(gatewayUrl: string): string {
  return decodeURIComponent(new URL(gatewayUrl).username);
}
