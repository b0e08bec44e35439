import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/embedded/postgres.ts";
import { temporaryFolder } from "../support/postgres.ts";

const HOLDER = fileURLToPath(new URL("hold-postgres.ts", import.meta.url));

let dataDir: string;
let running: EmbeddedPostgres[];
let holders: ChildProcess[];
let lines: string[];

beforeEach(() => {
  dataDir = temporaryFolder();
  running = [];
  holders = [];
  lines = [];
});

afterEach(async () => {
  for (const holder of holders) holder.kill("SIGKILL");
  for (const postgres of running) await postgres.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

async function start(folder = dataDir): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({
    dataDir: folder,
    durable: false,
    onProgress: (line) => lines.push(line),
  });
  running.push(postgres);
  return postgres;
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  // The server is killed in some tests; the query that is under way reports it.
  client.on("error", () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Another Atrium on the same folder, ready. */
async function startElsewhere(): Promise<{ holder: ChildProcess; superuserUrl: string }> {
  const holder = spawn(process.execPath, ["--import", "tsx", HOLDER, dataDir], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  holders.push(holder);
  const superuserUrl = await new Promise<string>((resolve, reject) => {
    holder.stdout.once("data", (line: Buffer) => resolve(line.toString().trim()));
    holder.once("exit", () => reject(new Error("The other Atrium ended while starting.")));
  });
  return { holder, superuserUrl };
}

async function kill(victim: ChildProcess): Promise<void> {
  const gone = once(victim, "exit");
  victim.kill("SIGKILL");
  await gone;
}

function serverPid(): number {
  return Number(readFileSync(path.join(dataDir, "postgres", "postmaster.pid"), "utf8").split("\n")[0]);
}

describe("the embedded PostgreSQL", () => {
  test("has a gateway role that can neither bypass the walls nor own anything, and an owner that is no superuser", async () => {
    const { superuserUrl, ownerUrl, gatewayUrl } = await start();

    const roles = await query(
      superuserUrl,
      `SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolcanlogin FROM pg_roles
       WHERE rolname LIKE 'atrium%' ORDER BY rolname`,
    );
    const harmless = {
      rolsuper: false,
      rolbypassrls: false,
      rolcreaterole: false,
      rolreplication: false,
      rolcanlogin: true,
    };
    expect(roles).toEqual([
      { rolname: "atrium_gateway", ...harmless, rolcreatedb: false },
      { rolname: "atrium_owner", ...harmless, rolcreatedb: true },
    ]);
    expect(await query(ownerUrl, "SELECT current_user AS me, current_database() AS there")).toEqual([
      { me: "atrium_owner", there: "atrium" },
    ]);
    await expect(query(gatewayUrl, "CREATE TABLE mine (id int)")).rejects.toThrow("permission denied");
  });

  test("listens on the loopback address alone, and asks for a password that only its user can read", async () => {
    const { superuserUrl, ownerUrl } = await start();

    const settings = await query(
      superuserUrl,
      "SELECT name, setting FROM pg_settings WHERE name IN ('listen_addresses', 'unix_socket_directories') ORDER BY name",
    );
    expect(settings).toEqual([
      { name: "listen_addresses", setting: "127.0.0.1" },
      { name: "unix_socket_directories", setting: "" },
    ]);
    expect(statSync(path.join(dataDir, "postgres.json")).mode & 0o777).toBe(0o600);
    const guess = new URL(ownerUrl);
    guess.password = "guess";
    await expect(query(guess.toString(), "SELECT 1")).rejects.toThrow("password authentication failed");
  });

  test("is durable unless a test says otherwise", async () => {
    const postgres = await startEmbeddedPostgres({ dataDir });
    running.push(postgres);

    const settings = await query(
      postgres.superuserUrl,
      "SELECT setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')",
    );
    expect(settings).toEqual([{ setting: "on" }, { setting: "on" }, { setting: "on" }]);
  });

  test("finds its data again after a stop", async () => {
    const first = await start();
    await query(first.ownerUrl, "CREATE TABLE kept AS SELECT 42 AS answer");
    await first.stop();

    const second = await start();

    expect(await query(second.ownerUrl, "SELECT answer FROM kept")).toEqual([{ answer: 42 }]);
  });

  test("starts anew where a first start was killed while it made the cluster", async () => {
    mkdirSync(path.join(dataDir, "postgres.new"));
    writeFileSync(path.join(dataDir, "postgres.new", "PG_VERSION"), "18\n");

    const { ownerUrl } = await start();

    expect(await query(ownerUrl, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  test("runs below a folder that is closed to all others", async () => {
    const closed = path.join(dataDir, "closed");
    mkdirSync(closed, { mode: 0o700 });

    const { ownerUrl } = await start(path.join(closed, "data"));

    expect(await query(ownerUrl, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
    expect(statSync(closed).mode & 0o777).toBe(0o700);
  });
});

describe("one data folder", () => {
  test("serves one Atrium: the second is told the folder and who has it", async () => {
    await start();

    await expect(start()).rejects.toThrow(
      `The data folder ${dataDir} is in use by the Atrium with process id ${process.pid}.`,
    );
  });

  test("is refused across processes, and free again as soon as its Atrium is killed; what was committed is there", async () => {
    const { holder, superuserUrl } = await startElsewhere();
    await query(superuserUrl, "CREATE TABLE kept AS SELECT 42 AS answer");
    await expect(start()).rejects.toThrow(`process id ${holder.pid ?? 0}.`);

    await kill(holder);
    const next = await start();

    expect(lines).toEqual([expect.stringContaining("Stopping the PostgreSQL that an earlier start left behind")]);
    expect(await query(next.superuserUrl, "SELECT answer FROM kept")).toEqual([{ answer: 42 }]);
  });

  test("is free when both Atrium and PostgreSQL were killed", async () => {
    const { holder, superuserUrl } = await startElsewhere();
    await query(superuserUrl, "CREATE TABLE kept AS SELECT 42 AS answer");
    const pid = serverPid();
    await kill(holder);
    process.kill(pid, "SIGKILL");

    const next = await start();

    expect(await query(next.superuserUrl, "SELECT answer FROM kept")).toEqual([{ answer: 42 }]);
  });

  test("is free when another process has the id of an Atrium, or of a PostgreSQL, that is gone", async () => {
    await (await start()).stop();
    writeFileSync(path.join(dataDir, "atrium.lock"), JSON.stringify({ pid: process.pid, started: "long ago" }));
    writeFileSync(
      path.join(dataDir, "postgres", "postmaster.pid"),
      `${process.pid}\n${path.join(dataDir, "postgres")}\n1\n1\n\n\n`,
    );

    const { ownerUrl } = await start();

    expect(await query(ownerUrl, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  test("goes to exactly one of five that start at once on a stale lock", async () => {
    await (await start()).stop();
    writeFileSync(path.join(dataDir, "atrium.lock"), "half of a li");

    const results = await Promise.allSettled([1, 2, 3, 4, 5].map(() => start()));

    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  test("keeps its address when PostgreSQL ends unexpectedly", async () => {
    const { ownerUrl } = await start();
    await query(ownerUrl, "CREATE TABLE kept AS SELECT 42 AS answer");
    const before = serverPid();

    process.kill(before, "SIGKILL");

    const rows = await eventually(() => query(ownerUrl, "SELECT answer FROM kept"));
    expect(rows).toEqual([{ answer: 42 }]);
    expect(serverPid()).not.toBe(before);
    expect(lines).toContain("PostgreSQL ended unexpectedly; starting it again");
  });
});

async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  const end = Date.now() + 10_000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}
