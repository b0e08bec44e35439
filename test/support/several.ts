import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Client } from "undici";
import { z } from "zod";
import { PLATFORM_KEY } from "./app.ts";
import type { TestDatabase } from "./database.ts";

const READY = /^Atrium is ready at (http:\/\/\S+)\/graphql$/m;

const body = z.object({
  data: z.record(z.string(), z.unknown()).nullish(),
  errors: z.array(z.object({ extensions: z.object({ code: z.string() }) })).optional(),
});
const logLine = z.object({
  msg: z.string(),
  pid: z.number().optional(),
  route: z.string().optional(),
  pauseMs: z.number().optional(),
  ended: z.string().optional(),
});

/** A gateway of several processes. */
export interface SeveralProcesses {
  readonly origin: string;
  readonly pid: number;
  readonly said: () => string;
  readonly logged: () => z.infer<typeof logLine>[];
  /** Its exit code, or the signal that ended it. */
  readonly exited: Promise<unknown>;
  /** A connection, which stays with one of the processes. */
  readonly connect: () => Client;
}

/** What a gateway is started for, and who is told of it at once. */
interface Place {
  readonly database: TestDatabase;
  readonly dataDir: string;
  readonly onStart: (started: Pick<SeveralProcesses, "pid" | "exited">) => void;
}

interface Answer {
  readonly status: number;
  readonly codes: readonly string[];
  readonly data: Record<string, unknown>;
}

/** Starts the gateway as `npm start` does, with several processes. @throws Error with all that it said, when it ends before it is ready. */
export async function startSeveral(
  processes: number,
  { database, dataDir, onStart }: Place,
): Promise<SeveralProcesses> {
  const child = spawn(process.execPath, ["scripts/start.js"], {
    env: {
      ...process.env,
      NODE_ENV: "development",
      DATA_DIR: dataDir,
      PORT: "0",
      PROCESSES: String(processes),
      SAMPLE_DATA: "off",
      DATABASE_URL: database.gatewayUrl,
      DATABASE_OWNER_URL: database.ownerUrl,
      DATABASE_POOL_MAX: "4",
      PLATFORM_ADMIN_KEY: PLATFORM_KEY,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const pid = child.pid ?? 0;
  let said = "";
  let complained = "";
  const ready = new Promise<string>((resolve) => {
    child.stdout.on("data", (part: Buffer) => {
      said += part.toString();
      const [, address] = READY.exec(said) ?? [];
      if (address !== undefined) resolve(address);
    });
  });
  child.stderr.on("data", (part: Buffer) => (complained += part.toString()));
  const exited = once(child, "close").then(([code, signal]: unknown[]) => code ?? signal);
  onStart({ pid, exited });
  const origin = await Promise.race([ready, exited.then(() => undefined)]);
  if (origin === undefined) throw new Error(`It ended before it was ready:\n${said}${complained}`);
  return {
    origin,
    pid,
    said: () => said,
    // The last line may not be whole yet.
    logged: () =>
      complained
        .split("\n")
        .slice(0, -1)
        .map((line) => logLine.parse(JSON.parse(line))),
    exited,
    connect: () => new Client(origin),
  };
}

/** Whether a process runs; one that has ended and that nobody has asked for does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${String(pid)}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** Sends an operation on a connection. */
export async function ask(client: Client, key: string, query: string): Promise<Answer> {
  const answer = await client.request({
    path: "/graphql",
    method: "POST",
    headers: { "Content-Type": "application/json", "X-API-Key": key },
    body: JSON.stringify({ query }),
  });
  const { data, errors = [] } = body.parse(await answer.body.json());
  return { status: answer.statusCode, codes: errors.map(({ extensions }) => extensions.code), data: data ?? {} };
}

/** What a path shows on a connection. */
export async function textOf(client: Client, path: string): Promise<string> {
  return (await client.request({ path, method: "GET" })).body.text();
}

/** A tenant with limits that no test reaches by chance, and its key. */
export async function newTenant(client: Client, requestsPerMinute = 100_000): Promise<{ id: string; key: string }> {
  const made = await ask(
    client,
    PLATFORM_KEY,
    `mutation { createTenant(input: { name: "${crypto.randomUUID()}" }) { tenant { id } apiKey } }`,
  );
  const { createTenant } = z
    .object({ createTenant: z.object({ tenant: z.object({ id: z.string() }), apiKey: z.string() }) })
    .parse(made.data);
  const { id } = createTenant.tenant;
  const limits = `{ requestsPerMinute: ${String(requestsPerMinute)}, requestsPerMinutePerCredential: ${String(requestsPerMinute)} }`;
  const limited = await ask(
    client,
    PLATFORM_KEY,
    `mutation { updateTenant(input: { id: "${id}", limits: ${limits} }) { tenant { id } } }`,
  );
  if (limited.codes.length > 0) throw new Error(`the tenant has no limits: ${limited.codes.join()}`);
  return { id, key: createTenant.apiKey };
}
