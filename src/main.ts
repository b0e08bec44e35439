import { openApp, openContext } from "./app.ts";
import type { App, AppOptions } from "./app.ts";
import { roleOf } from "./cli/command.ts";
import { ConfigError, readConfig, readEnvironment } from "./config.ts";
import type { Config } from "./config.ts";
import { openDatabase } from "./embedded/database.ts";
import type { OpenDatabase } from "./embedded/database.ts";
import { describeSampleData, makeSampleData } from "./embedded/sample-data.ts";
import type { SampleTenant } from "./embedded/sample-data.ts";
import { readOrMakeSecrets } from "./embedded/secrets.ts";
import { deploy } from "./migrate/migrate.ts";

const STOP_WITHIN_MS = 10_000; // contract/operations.md: SIGTERM, then exit 0 within 10 s

interface Running {
  readonly app: App;
  readonly database: OpenDatabase;
}

await run();

async function run(): Promise<void> {
  try {
    const config = readConfig(readEnvironment());
    const running = await start(config);
    let stopping: Promise<void> | undefined;
    // Not once(): a second Ctrl-C while stopping would end the process at once and leave PostgreSQL behind.
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.on(signal, () => {
        stopping ??= stop(running, signal);
      });
    }
  } catch (error) {
    for (const line of describe(error)) process.stderr.write(`${line}\n`);
    process.exitCode = 1;
  }
}

async function start(config: Config): Promise<Running> {
  const database = await openDatabase(config, say);
  try {
    const applied = await deploy(database.ownerUrl, { gatewayRole: roleOf(database.gatewayUrl), onProgress: say });
    if (applied.length > 0) say(`Applied ${applied.length} migrations`);
    const secrets = readOrMakeSecrets(config);
    const options = { config, gatewayUrl: database.gatewayUrl, platformAdminKey: secrets.platformAdminKey };
    const samples = config.sampleData ? await prepareSamples(options, config.dataDir) : [];
    const app = await openApp({ ...options, sampleKey: samples[0]?.key });
    say(`Atrium is ready at ${app.url}/graphql`);
    for (const line of describeSampleData(samples, app.url)) say(line);
    return { app, database };
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** Before the port is open, so that nobody ever sees half of them. */
async function prepareSamples(options: AppOptions, dataDir: string): Promise<readonly SampleTenant[]> {
  const context = openContext(options);
  try {
    return await makeSampleData(context, dataDir);
  } finally {
    await context.close();
  }
}

async function stop(running: Running, signal: string): Promise<void> {
  say(`Stopping (${signal})`);
  // A part that hangs must not keep the process: whoever sent the signal sends SIGKILL next, and PostgreSQL would be left behind.
  const deadline = setTimeout(() => process.exit(1), STOP_WITHIN_MS);
  deadline.unref();
  await running.app.close();
  await running.database.close();
  process.exit(0);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** What is wrong, a line each, without a stack: whoever starts the gateway is not its developer. */
function describe(error: unknown): readonly string[] {
  if (error instanceof ConfigError) return error.problems;
  return [error instanceof Error ? error.message : String(error)];
}
