import { openApp, openContext } from "./app.ts";
import type { App, AppOptions } from "./app.ts";
import { roleOf } from "./cli/command.ts";
import { describeFailure } from "./cli/failures.ts";
import { readConfig, readEnvironment } from "./config.ts";
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
  // Before anything is started: a signal that comes early must not leave a PostgreSQL behind either.
  const interruption = listenForSignals();
  let running: Running;
  try {
    running = await start(readConfig(readEnvironment()), interruption);
  } catch (error) {
    if (interruption.aborted) process.exit(0);
    for (const line of describeFailure(error)) process.stderr.write(`${line}\n`);
    process.exitCode = 1;
    return;
  }
  if (interruption.aborted) await stop(running);
  else interruption.addEventListener("abort", () => void stop(running));
}

/** Aborted by the first signal that asks for an end. Later ones change nothing: a second Ctrl-C would end the process at once and leave PostgreSQL behind. */
function listenForSignals(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) return;
      say(`Stopping (${name})`);
      // A part that hangs must not keep the process: whoever sent the signal sends SIGKILL next, and PostgreSQL would be left behind.
      setTimeout(() => process.exit(1), STOP_WITHIN_MS).unref();
      controller.abort();
    });
  }
  return controller.signal;
}

/** @throws the interruption's reason when it comes before the port is open; nothing is left running then, as after every failure. */
async function start(config: Config, interruption: AbortSignal): Promise<Running> {
  const database = await openDatabase(config, say);
  try {
    interruption.throwIfAborted();
    const applied = await deploy(database.ownerUrl, { gatewayRole: roleOf(database.gatewayUrl), onProgress: say });
    if (applied.length > 0) say(`Applied ${applied.length} migrations`);
    interruption.throwIfAborted();
    const secrets = readOrMakeSecrets(config);
    const options = { config, gatewayUrl: database.gatewayUrl, ...secrets };
    const samples = config.sampleData ? await prepareSamples(options, config.dataDir) : [];
    interruption.throwIfAborted();
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

async function stop(running: Running): Promise<void> {
  await running.app.close();
  await running.database.close();
  process.exit(0);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
