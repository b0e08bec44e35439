import { openContext } from "./app.ts";
import { runAdopt } from "./cli/adopt.ts";
import { runAuditCommand } from "./cli/audit.ts";
import { UsageError } from "./cli/command.ts";
import type { CommandContext } from "./cli/command.ts";
import { describeFailure } from "./cli/failures.ts";
import { runIsolate } from "./cli/isolate.ts";
import { runKeyCommand } from "./cli/key.ts";
import { runMigrate } from "./cli/migrate.ts";
import { runTenantCommand } from "./cli/tenant.ts";
import { runUserCommand } from "./cli/user.ts";
import { runTokenCommand } from "./cli/token.ts";
import { readConfig, readEnvironment } from "./config.ts";
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
    run: onContext((_args, app, print) => runIsolate(app, print)),
  },
  tenant: { summary: "create <name> | list | suspend <id> | resume <id>", run: onContext(runTenantCommand) },
  key: { summary: "create | revoke <id>  keys of a tenant", run: onContext(runKeyCommand) },
  audit: {
    summary: "verify [--tenant <id>] [--anchor <file>] [--write-anchor <file>]  find what was changed in audit trails",
    run: onContext(runAuditCommand),
  },
  user: { summary: "create <e-mail address>  people of a tenant", run: onContext(runUserCommand) },
  token: {
    summary: "rotate [--drop-old]  the key that signs access tokens",
    run: onContext(runTokenCommand),
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
    for (const line of describeFailure(error)) process.stderr.write(`${line}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}

/** A command on everything that the gateway works with, but its server. */
function onContext(
  command: (args: readonly string[], app: AppContext, print: CommandContext["print"]) => Promise<number>,
): Command["run"] {
  return async (args, { config, print }) => {
    const database = await joinDatabase(config, print);
    const secrets = readOrMakeSecrets(config);
    const log = openLog({ logLevel: "error" });
    const app = openContext({ config, gatewayUrl: database.gatewayUrl, log, ...secrets });
    try {
      return await command(args, app, print);
    } finally {
      await app.close();
      await database.close();
    }
  };
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
