// Does what a newcomer does: starts the gateway, asks it the query of the documents, looks around, and stops it.
import { spawn, type ChildProcess } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { root } from "./freshness.js";

const START_MS_MAX = 120_000; // what the newcomer is promised
const STOP_MS_MAX = 10_000; // what the operator is promised
const COMMAND = path.join(root, "bin/atrium.js");
const KEY = /\batr_[A-Za-z0-9_-]{20,}/;

const dataDir = mkdtempSync(path.join(tmpdir(), "atrium-smoke-"));
chmodSync(dataDir, 0o755); // as root, PostgreSQL runs as another user and must be able to enter
const environment = { ...process.env, DATA_DIR: dataDir, PORT: "0", NODE_ENV: "development" };

interface Started {
  readonly child: ChildProcess;
  readonly origin: string;
  readonly key: string;
}

/** `npm start` until it has printed its address and a key. */
async function start(): Promise<Started> {
  const child = spawn("npm", ["start"], {
    cwd: root,
    env: environment,
    stdio: ["ignore", "pipe", "inherit"],
    detached: true, // a group of its own, which can be ended whole
  });
  const timer = setTimeout(() => endGroup(child), START_MS_MAX);
  try {
    let origin: string | undefined;
    for await (const line of createInterface({ input: child.stdout })) {
      console.log(`  | ${line}`);
      origin ??= /^Atrium is ready at (http:\S+)\/graphql$/.exec(line)?.[1];
      const [key] = KEY.exec(line) ?? [];
      if (origin !== undefined && key !== undefined) return { child, origin, key };
    }
    throw new Error(`npm start ended, or took longer than ${START_MS_MAX} ms, before it was ready`);
  } finally {
    clearTimeout(timer);
    child.stdout.resume(); // what it says later is not ours, but must not fill the pipe
  }
}

/** Ends npm, the server and its database at once: killing npm alone would leave the others, and their ends of our pipe. */
function endGroup(child: ChildProcess): void {
  if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
    process.kill(-child.pid, "SIGKILL");
  }
}

/** The exit code, or the signal that ended it. */
function exitOf(child: ChildProcess): Promise<number | string | null> {
  return new Promise((resolve) => child.once("close", (code, signal) => resolve(code ?? signal)));
}

async function expectAnswer(
  what: string,
  url: string,
  init: RequestInit,
  status: number,
  contents: RegExp,
): Promise<void> {
  const response = await fetch(url, init);
  const body = await response.text();
  if (response.status !== status || !contents.test(body)) {
    throw new Error(
      `${what}: expected ${status} and ${String(contents)}, got ${response.status} ${body.slice(0, 500)}`,
    );
  }
  console.log(`ok ${what}`);
}

async function lookAround({ origin, key }: Started): Promise<void> {
  const query = readFileSync(path.join(root, "test/operations/examples/first-look.graphql"), "utf8");
  const headers = { "Content-Type": "application/json", "X-API-Key": key };
  const body = JSON.stringify({ query });
  await expectAnswer(
    "the first query",
    `${origin}/graphql`,
    { method: "POST", headers, body },
    200,
    /"totalCount":[1-9]/,
  );
  await expectAnswer(
    "a bad key",
    `${origin}/graphql`,
    { method: "POST", headers: { ...headers, "X-API-Key": "x" }, body },
    401,
    /"UNAUTHENTICATED"/,
  );
  await expectAnswer("liveness", `${origin}/livez`, {}, 200, /^/);
  await expectAnswer("readiness", `${origin}/readyz`, {}, 200, /^/);
  await expectAnswer("the schema", `${origin}/schema.graphql`, {}, 200, /type Query/);
  // Nothing on the page comes from elsewhere: it works without internet.
  await expectAnswer(
    "the explorer",
    `${origin}/playground`,
    {},
    200,
    /^(?![^]*(?:src|href)="(?:https?:)?\/\/)[^]*<script/,
  );
}

/** A second start on the same folder says so and fails, and the first goes on. */
async function startTwice(): Promise<void> {
  const second = spawn("npm", ["start"], { cwd: root, env: environment, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  second.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const code = await exitOf(second);
  if (code === 0 || !said.includes(dataDir))
    throw new Error(`a second start: expected a refusal that names ${dataDir}, got ${String(code)} ${said}`);
  console.log("ok a second start refuses");
}

async function stop({ child }: Started): Promise<void> {
  const began = Date.now();
  const timer = setTimeout(() => endGroup(child), STOP_MS_MAX);
  child.kill("SIGTERM");
  const code = await exitOf(child);
  clearTimeout(timer);
  if (code !== 0) throw new Error(`SIGTERM: expected exit code 0 within ${STOP_MS_MAX} ms, got ${String(code)}`);
  console.log(`ok stopped in ${Date.now() - began} ms`);
}

async function command(...args: string[]): Promise<void> {
  // npx makes the command executable, even when it is; only the owner of a file may.
  const isOwner = statSync(COMMAND).uid === process.getuid?.();
  const [program, ...first] = isOwner ? ["npx", "atrium"] : [process.execPath, COMMAND];
  const child = spawn(program, [...first, ...args], { cwd: root, env: environment, stdio: "inherit" });
  const code = await exitOf(child);
  if (code !== 0) throw new Error(`atrium ${args.join(" ")}: exit code ${String(code)}`);
  console.log(`ok atrium ${args.join(" ")}`);
}

let running: Started | undefined;
try {
  running = await start();
  await lookAround(running);
  await startTwice();
  await stop(running);
  running = await start();
  await lookAround(running);
  console.log("ok a second start reuses the data");
  await stop(running);
  running = undefined;
  await command("migrate", "status");
  await command("isolate");
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  if (running) endGroup(running.child);
  rmSync(dataDir, { recursive: true, force: true });
}
