import cluster from "node:cluster";
import { fileURLToPath } from "node:url";
import { openApp, openContext } from "./app.ts";
import type { App, AppOptions } from "./app.ts";
import { roleOf } from "./cli/command.ts";
import { describeFailure } from "./cli/failures.ts";
import { joinPrimary } from "./cluster-worker.ts";
import { startWorkers } from "./cluster.ts";
import { readConfig, readEnvironment } from "./config.ts";
import { openLog } from "./context/log.ts";
import { openDatabase } from "./embedded/database.ts";
import type { OpenDatabase } from "./embedded/database.ts";
import { describeSampleData, makeSampleData } from "./embedded/sample-data.ts";
import type { SampleTenant } from "./embedded/sample-data.ts";
import { readOrMakeSecrets } from "./embedded/secrets.ts";
import { deploy } from "./migrate/migrate.ts";

const STOP_WITHIN_MS = 10_000; // contract/operations.md: SIGTERM, then exit 0 within 10 s

interface Running {
  readonly app: Pick<App, "url" | "close">;
  readonly database: OpenDatabase;
}

await (cluster.isWorker ? serveBesideOthers() : run());

async function run(): Promise<void> {
  // Before anything is started: a signal that comes early must not leave a PostgreSQL behind either.
  const interruption = listenForSignals(say);
  let running: Running;
  try {
    running = await start(interruption);
  } catch (error) {
    if (interruption.aborted) process.exit(0);
    for (const line of describeFailure(error)) process.stderr.write(`${line}\n`);
    process.exitCode = 1;
    return;
  }
  if (interruption.aborted) await stop(running);
  else interruption.addEventListener("abort", () => void stop(running));
}

/** One of several processes: the first one has the database ready, and says when to serve and when to stop. */
async function serveBesideOthers(): Promise<void> {
  const primary = joinPrimary();
  const stopping = AbortSignal.any([primary.stop, listenForSignals(() => undefined)]);
  try {
    const { gatewayUrl, sampleKey } = await primary.order;
    const config = readConfig(readEnvironment());
    const log = openLog(config).child({ pid: process.pid });
    const { siblings } = primary;
    const app = await openApp({ config, gatewayUrl, ...readOrMakeSecrets(config), sampleKey, log, siblings });
    const end = (): void => void app.close().then(() => process.exit(0));
    if (stopping.aborted) end();
    else stopping.addEventListener("abort", end);
    primary.ready(app.url);
  } catch (error) {
    await primary.failed(describeFailure(error));
    process.exit(1);
  }
}

/** Aborted by the first signal that asks for an end. Later ones change nothing: a second Ctrl-C would end the process at once and leave PostgreSQL behind. */
function listenForSignals(tell: (line: string) => void): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) return;
      tell(`Stopping (${name})`);
      // A part that hangs must not keep the process: whoever sent the signal sends SIGKILL next, and PostgreSQL would be left behind.
      setTimeout(() => process.exit(1), STOP_WITHIN_MS).unref();
      controller.abort();
    });
  }
  return controller.signal;
}

/** @throws the interruption's reason when it comes before the port is open; nothing is left running then, as after every failure. */
async function start(interruption: AbortSignal): Promise<Running> {
  const environment = readEnvironment();
  const config = readConfig(environment);
  const database = await openDatabase(config, say);
  try {
    interruption.throwIfAborted();
    const applied = await deploy(database.ownerUrl, { gatewayRole: roleOf(database.gatewayUrl), onProgress: say });
    if (applied.length > 0) say(`Applied ${applied.length} migrations`);
    interruption.throwIfAborted();
    const secrets = readOrMakeSecrets(config);
    const { gatewayUrl } = database;
    const options = { config, gatewayUrl, ...secrets };
    const samples = config.sampleData ? await prepareSamples(options, config.dataDir) : [];
    interruption.throwIfAborted();
    const sampleKey = samples[0]?.key;
    const program = fileURLToPath(import.meta.url);
    const order = { gatewayUrl, sampleKey };
    const app =
      config.processes > 1
        ? await startWorkers({
            count: config.processes,
            program,
            environment,
            order,
            log: openLog(config),
            interruption,
          })
        : await openApp({ ...options, sampleKey });
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
