import { openContext } from "./app.ts";
import { runAdopt } from "./cli/adopt.ts";
import { UsageError } from "./cli/command.ts";
import type { CommandContext } from "./cli/command.ts";
import { runIsolate } from "./cli/isolate.ts";
import { runMigrate } from "./cli/migrate.ts";
import { ConfigError, readConfig, readEnvironment } from "./config.ts";
import type { Config } from "./config.ts";
import type { AppContext } from "./context/app-context.ts";
import { openLog } from "./context/log.ts";
import { joinDatabase } from "./embedded/database.ts";
import { readOrMakeSecrets } from "./embedded/secrets.ts";

interface Command {
  readonly summary: string;
  readonly run: (args: readonly string[], context: CommandContext) => Promise<number>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  migrate: { summary: "deploy | status | draft <name> | check | resolve <step> applied|rolled-back", run: runMigrate },
  isolate: {
    summary: "prove on the live database that tenants are kept apart; exit code 1 when a check fails",
    run: runIsolation,
  },
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

async function runIsolation(_args: readonly string[], context: CommandContext): Promise<number> {
  return withContext(context, (app) => runIsolate(app, context.print));
}

/** Runs a command on everything that the gateway works with, but its server. */
async function withContext(
  { config, print }: CommandContext,
  work: (app: AppContext, config: Config) => Promise<number>,
): Promise<number> {
  const database = await joinDatabase(config, print);
  const log = openLog({ logLevel: "error" });
  const app = openContext({
    config,
    gatewayUrl: database.gatewayUrl,
    log,
    platformAdminKey: readOrMakeSecrets(config).platformAdminKey,
  });
  try {
    return await work(app, config);
  } finally {
    await app.close();
    await database.close();
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
