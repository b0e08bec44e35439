import { parseArgs } from "node:util";
import type { AppContext } from "../context/app-context.ts";
import { UsageError } from "./command.ts";

const USAGE = "atrium token rotate [--drop-old]";

/**
 * `atrium token …`: the keys that sign access tokens.
 *
 * @returns the exit code.
 * @throws UsageError when the words are not understood; AppError when the database does not answer.
 */
export async function runTokenCommand(
  args: readonly string[],
  app: AppContext,
  print: (line: string) => void,
): Promise<number> {
  const [action = "", ...rest] = args;
  if (action !== "rotate") throw new UsageError(USAGE);
  const isDroppingOld = parse(rest);
  const { tokens } = app.accounts;
  const kid = await tokens.rotate();
  if (!isDroppingOld) {
    print(`Key ${kid} is published, and signs access tokens in ten minutes. Nobody is signed out.`);
    return 0;
  }
  const gone = await tokens.dropOldKeys();
  print(`Key ${kid} signs access tokens from now on; ${gone} older ones are gone.`);
  print("Access tokens that they signed are refused within a second: clients go on with their refresh tokens.");
  return 0;
}

function parse(args: readonly string[]): boolean {
  try {
    const { values } = parseArgs({ args: [...args], options: { "drop-old": { type: "boolean", default: false } } });
    return values["drop-old"];
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : "Not understood"}\n${USAGE}`);
  }
}
