import { parseArgs } from "node:util";
import type { ParseArgsConfig } from "node:util";
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

/**
 * Takes the words behind a command apart: at most one that is no option, and the options that there are.
 *
 * @throws UsageError for whatever else is there, in the words of `usage`.
 */
export function readWords<Options extends NonNullable<ParseArgsConfig["options"]>>(
  args: readonly string[],
  options: Options,
  usage: string,
) {
  try {
    const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options });
    if (positionals.length > 1) throw new UsageError(`Put a name of several words into quotes. ${usage}`);
    return { subject: positionals[0], options: values };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${error instanceof Error ? error.message : "Not understood"}\n${usage}`);
  }
}

/** The role under which the gateway connects; the migrations give it its rights. */
export function roleOf(gatewayUrl: string): string {
  return decodeURIComponent(new URL(gatewayUrl).username);
}
