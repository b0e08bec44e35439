import { runAdopt } from "./cli/adopt.ts";
import { UsageError } from "./cli/command.ts";
import type { CommandContext } from "./cli/command.ts";
import { runMigrate } from "./cli/migrate.ts";
import { ConfigError, readConfig, readEnvironment } from "./config.ts";

interface Command {
  readonly summary: string;
  readonly run: (args: readonly string[], context: CommandContext) => Promise<number>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  migrate: { summary: "deploy | status | draft <name> | check | resolve <step> applied|rolled-back", run: runMigrate },
  adopt: { summary: "[--dry-run]  bring a database of the predecessor to the current schema", run: runAdopt },
};

await run(process.argv.slice(2));

async function run([name = "help", ...args]: readonly string[]): Promise<void> {
  const command = COMMANDS[name];
  if (!command) {
    for (const line of help()) print(line);
    process.exitCode = ["help", "--help", "-h"].includes(name) ? 0 : 2;
    return;
  }
  try {
    process.exitCode = await command.run(args, { config: readConfig(readEnvironment()), print });
  } catch (error) {
    const lines =
      error instanceof ConfigError ? error.problems : [error instanceof Error ? error.message : String(error)];
    for (const line of lines) process.stderr.write(`${line}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}

function help(): string[] {
  return [
    "atrium <command>",
    "",
    ...Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(8)} ${summary}`),
  ];
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
