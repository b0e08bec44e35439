import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import type { RunAs } from "./postgres-user.ts";
import { isAlive, processesIn, waitUntil } from "./processes.ts";

const STOP_TIMEOUT_MS = 30_000; // a fast shutdown writes what is in memory to disk, which a slow disk may take long for
const LAST_LINES_MAX = 30;

/** Runs a program of PostgreSQL to its end. @throws Error with what it printed when it fails. */
export async function runToEnd(runAs: RunAs, program: string, args: readonly string[]): Promise<void> {
  const { file, args: all } = runAs.command(program, args);
  const child = spawn(file, all, { ...runAs.ids, cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
  const printed = lastLines(child);
  const code = await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
  if (code !== 0) throw new Error(`${path.basename(program)} failed:\n${printed()}`);
}

/** Starts the server and waits until it accepts connections. @throws Error with its last lines when it ends before. */
export async function startServer(runAs: RunAs, program: string, args: readonly string[]): Promise<ChildProcess> {
  const { file, args: all } = runAs.command(program, args);
  // In a process group of its own: Ctrl-C in a terminal reaches the gateway alone, which first answers the requests it has.
  const child = spawn(file, all, { ...runAs.ids, cwd: "/", detached: true, stdio: ["ignore", "ignore", "pipe"] });
  const printed = lastLines(child);
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => reject(new Error(`PostgreSQL ended while starting:\n${printed()}`)));
    child.stderr.on("data", (chunk: Buffer) => {
      if (chunk.toString().includes("database system is ready to accept connections")) resolve();
    });
  });
  return child;
}

/** Stops the server in order: sessions are ended, memory is written to disk. */
export async function stopServer(pid: number, hasEnded: () => boolean = () => !isAlive(pid)): Promise<void> {
  signal(pid, "SIGINT");
  if (await waitUntil(hasEnded, STOP_TIMEOUT_MS)) return;
  // Immediate: the next start recovers from the log, as after a power cut.
  signal(pid, "SIGQUIT");
  await waitUntil(hasEnded, STOP_TIMEOUT_MS);
}

/**
 * Stops a server that a gateway left behind when it was killed, and removes the note of one that is gone.
 * Nothing else may hold the folder's lock meanwhile.
 */
export async function stopLeftOver(folder: string, onProgress: (line: string) => void): Promise<void> {
  const note = path.join(folder, "postmaster.pid");
  if (!existsSync(note)) return;
  const pid = Number(readFileSync(note, "utf8").split("\n")[0]);
  const workers = (): number[] => processesIn(folder, [pid]);
  if (workers().includes(pid)) {
    onProgress(`Stopping the PostgreSQL that an earlier start left behind (process id ${pid})`);
    await stopServer(pid, () => !workers().includes(pid));
  }
  // A killed server's sessions end by themselves. Until they have, a second server would damage the data.
  if (!(await waitUntil(() => workers().length === 0, STOP_TIMEOUT_MS))) {
    throw new Error(
      `Processes of an earlier PostgreSQL still work in ${folder}: ${workers().join(", ")}. End them, then start again.`,
    );
  }
  // PostgreSQL would take any process of this user that has the old id by now for its predecessor.
  rmSync(note, { force: true });
}

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("The system gave no port.");
  return address.port;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended already.
  }
}

function lastLines(child: ChildProcess): () => string {
  const lines: string[] = [];
  function keep(chunk: Buffer): void {
    lines.push(...chunk.toString().split("\n").filter(Boolean));
    lines.splice(0, lines.length - LAST_LINES_MAX);
  }
  child.stdout?.on("data", keep);
  child.stderr?.on("data", keep);
  return () => lines.join("\n");
}
