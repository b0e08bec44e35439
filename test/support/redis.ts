import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { freePort } from "./ports.ts";

const PROGRAM = "/usr/bin/redis-server"; // as Debian's package installs it; .ci/run does

/** A Redis of one's own, which forgets everything when it stops. */
export interface TestRedis {
  readonly url: string;
  /** Ends it as a crash would. */
  readonly kill: () => Promise<void>;
  /** Starts it again, empty, at the same address. */
  readonly start: () => Promise<void>;
}

/** Whether there is a Redis to test with. */
export function hasRedis(): boolean {
  return existsSync(PROGRAM);
}

/** Starts Redis on a free port, without any file. Kill it at the end. */
export async function startRedis(): Promise<TestRedis> {
  const port = await freePort();
  let kill: () => Promise<void>;

  async function start(): Promise<void> {
    const settings = { port: String(port), bind: "127.0.0.1", save: "", appendonly: "no", dir: "/" };
    const child = spawn(
      PROGRAM,
      Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
    );
    const ended = new Promise<void>((resolve) => void child.once("exit", () => resolve()));
    kill = async () => {
      child.kill("SIGKILL");
      await ended;
    };
    await new Promise<void>((resolve, reject) => {
      let said = "";
      child.stdout.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes("Ready to accept connections")) resolve();
      });
      child.once("error", reject);
      child.once("exit", () => reject(new Error(`Redis ended: ${said}`)));
    });
  }

  await start();
  return { url: `redis://127.0.0.1:${port}`, start, kill: () => kill() };
}
