import { spawn } from "node:child_process";
import { chmodSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import path from "node:path";
import pg from "pg";
import { freePort } from "./ports.ts";
import { temporaryFolder } from "./postgres.ts";
import { until } from "./until.ts";

const PROGRAM = "/usr/sbin/pgbouncer"; // as Debian's package installs it; .ci/run does
const NOBODY = 65_534; // PgBouncer refuses to run as root
const CONSOLE_USER = "console";

/** A PgBouncer of one's own, in transaction mode. */
export interface TestPgBouncer {
  readonly pid: number;
  /** An address of PostgreSQL, changed to lead through here. */
  readonly through: (url: string) => string;
  /** How many connections to PostgreSQL it has opened by now, for the databases whose name is given. */
  readonly serverConnections: (database: string) => Promise<number>;
  readonly stop: () => Promise<void>;
}

export interface PgBouncerOptions {
  /** Connections to PostgreSQL, shared by all who come under one role. */
  readonly poolSize: number;
  /** What it lets pass of the settings that a client sends when it connects. */
  readonly ignoredParameters?: string;
}

/** Whether there is a PgBouncer to test with. */
export function hasPgBouncer(): boolean {
  return existsSync(PROGRAM);
}

/**
 * Starts PgBouncer on a free port, in front of the server that an address names. Stop it at the end.
 *
 * @param target an address with a password; that role alone may come.
 */
export async function startPgBouncer(
  target: string,
  { poolSize, ignoredParameters = "extra_float_digits,statement_timeout" }: PgBouncerOptions,
): Promise<TestPgBouncer> {
  const { hostname, port: serverPort, username, password } = new URL(target);
  const [port, folder] = [await freePort(), temporaryFolder()];
  const users = path.join(folder, "users.txt");
  const settings = path.join(folder, "pgbouncer.ini");
  const isRoot = process.getuid?.() === 0;
  writeFileSync(users, `"${username}" "${password}"\n"${CONSOLE_USER}" "${password}"\n`);
  writeFileSync(
    settings,
    `[databases]
* = host=${hostname} port=${serverPort}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${String(port)}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
admin_users = ${CONSOLE_USER}
pool_mode = transaction
default_pool_size = ${String(poolSize)}
max_client_conn = 2000
ignore_startup_parameters = ${ignoredParameters}
`,
  );
  for (const file of [users, settings]) chmodSync(file, 0o644);
  const child = spawn(PROGRAM, [settings], {
    stdio: ["ignore", "ignore", "pipe"],
    ...(isRoot && { uid: NOBODY, gid: NOBODY }),
  });
  let said = "";
  let hasEnded = false;
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const ended = new Promise<void>((resolve) => {
    const end = (): void => {
      hasEnded = true;
      resolve();
    };
    child.once("exit", end);
    child.once("error", end);
  });
  await until(async () => {
    if (hasEnded) throw new Error(`PgBouncer ended: ${said}`);
    return answers(port);
  });

  function through(url: string): string {
    const changed = new URL(url);
    changed.hostname = "127.0.0.1";
    changed.port = String(port);
    return changed.toString();
  }

  return {
    pid: child.pid ?? 0,
    through,
    async serverConnections(database) {
      const address = new URL(through(target));
      address.username = CONSOLE_USER;
      address.pathname = "/pgbouncer";
      const client = new pg.Client({ connectionString: address.toString() });
      await client.connect();
      try {
        // Its console speaks the simple protocol alone, and knows no conditions.
        const { rows } = await client.query<{ database: string }>("SHOW SERVERS");
        return rows.filter((row) => row.database === database).length;
      } finally {
        await client.end();
      }
    },
    async stop() {
      child.kill("SIGTERM"); // at once, without waiting for clients
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
