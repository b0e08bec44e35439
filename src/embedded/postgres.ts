import { randomBytes } from "node:crypto";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import pg from "pg";
import { z } from "zod";
import { lockFolder } from "./folder-lock.ts";
import { packagedBinaries, type PostgresBinaries } from "./postgres-binaries.ts";
import { runToEnd } from "./postgres-process.ts";
import { superviseServer } from "./postgres-supervisor.ts";
import { chooseUser } from "./postgres-user.ts";

const SUPERUSER = "postgres";
const OWNER = "atrium_owner";
const GATEWAY = "atrium_gateway";
const DATABASE = "atrium";
const PORT_LINE = 3; // of postmaster.pid, counted from 0
const SILENCE_MS = 2_000; // whatever takes longer says so
// Commits still reach the system, so they survive a killed server, if not a crash of the machine.
const NOT_DURABLE = ["-c", "fsync=off", "-c", "full_page_writes=off"];

interface EmbeddedPostgresOptions {
  /** The data folder; the cluster is in its folder `postgres`. */
  readonly dataDir: string;
  readonly onProgress?: (line: string) => void;
  /** False for tests alone: a crash of the machine may then lose everything. */
  readonly durable?: boolean;
  /** Another PostgreSQL than the packaged one, for tests. */
  readonly binaries?: PostgresBinaries;
}

export interface EmbeddedPostgres {
  /** Addresses of the database `atrium`, by role. The last one is for tests and repairs; the gateway never uses it. */
  readonly gatewayUrl: string;
  readonly ownerUrl: string;
  readonly superuserUrl: string;
  /** Stops the server in order and gives the data folder back. */
  readonly stop: () => Promise<void>;
}

const Passwords = z.object({ superuser: z.string(), owner: z.string(), gateway: z.string() });
type Passwords = z.infer<typeof Passwords>;

/**
 * Starts a real PostgreSQL in the data folder, on a free port of 127.0.0.1; the first start makes the cluster, later ones reuse it.
 * The addresses stay valid until `stop`: a server that ends unexpectedly is started again on the same port.
 *
 * @throws FolderInUseError when another process works on the data folder.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { onProgress = () => undefined, durable = true } = options;
  // Passable, not readable, for the user who runs PostgreSQL when the gateway runs as root.
  mkdirSync(options.dataDir, { recursive: true, mode: 0o711 });
  const dataDir = realpathSync(options.dataDir);
  const unlock = lockFolder(dataDir);
  try {
    const binaries = options.binaries ?? packagedBinaries();
    const program = path.join(binaries.folder, "postgres");
    const folder = path.join(dataDir, "postgres");
    const clusterExists = existsSync(folder);
    const passwords = readOrMakePasswords(path.join(dataDir, "postgres.json"), clusterExists);
    if (!clusterExists) {
      await saying(onProgress, "Making a new PostgreSQL cluster", () =>
        makeCluster(folder, binaries, passwords.superuser, durable),
      );
    }
    const runAs = chooseUser(folder, program);
    const flags = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "lc_messages=C"];
    if (!durable) flags.push(...NOT_DURABLE);
    const server = await saying(onProgress, "Starting PostgreSQL; after a crash it first recovers its data", () =>
      superviseServer({ folder, runAs, program, flags, onProgress }),
    );
    async function stop(): Promise<void> {
      await saying(onProgress, "Stopping PostgreSQL", () => server.stop());
      unlock();
    }
    try {
      await prepareDatabase(addressOf(server.port, SUPERUSER, passwords.superuser, "postgres"), passwords);
    } catch (error) {
      await stop();
      throw error;
    }
    return { ...addressesAt(server.port, passwords), stop };
  } catch (error) {
    unlock();
    throw error;
  }
}

/**
 * The addresses of the embedded PostgreSQL that a running gateway has started on this data folder, for commands beside it.
 *
 * @throws when none has been made there, or it is not running.
 */
export function findRunningPostgres(dataDir: string): Omit<EmbeddedPostgres, "stop"> {
  const port = readFileSync(path.join(dataDir, "postgres", "postmaster.pid"), "utf8").split("\n")[PORT_LINE];
  const passwords = Passwords.parse(JSON.parse(readFileSync(path.join(dataDir, "postgres.json"), "utf8")));
  return addressesAt(Number(port), passwords);
}

function addressesAt(port: number, passwords: Passwords): Omit<EmbeddedPostgres, "stop"> {
  return {
    gatewayUrl: addressOf(port, GATEWAY, passwords.gateway, DATABASE),
    ownerUrl: addressOf(port, OWNER, passwords.owner, DATABASE),
    superuserUrl: addressOf(port, SUPERUSER, passwords.superuser, DATABASE),
  };
}

function addressOf(port: number, user: string, password: string, database: string): string {
  return `postgresql://${user}:${password}@127.0.0.1:${port}/${database}?sslmode=disable`;
}

/** Made aside and moved into place when it is whole, so that a start which was killed half-way leaves nothing that looks finished. */
async function makeCluster(
  folder: string,
  binaries: PostgresBinaries,
  password: string,
  durable: boolean,
): Promise<void> {
  const unfinished = `${folder}.new`;
  const passwordFile = `${folder}.password`;
  const program = path.join(binaries.folder, "initdb");
  rmSync(unfinished, { recursive: true, force: true });
  const runAs = chooseUser(unfinished, program);
  try {
    writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
    if (runAs.owner !== undefined) chownSync(passwordFile, runAs.owner.uid, runAs.owner.gid);
    const flags = [
      `--pgdata=${unfinished}`,
      `--username=${SUPERUSER}`,
      `--pwfile=${passwordFile}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
    ];
    await runToEnd(runAs, program, [...flags, ...binaries.initdbFlags, ...(durable ? [] : ["--no-sync"])]);
  } finally {
    rmSync(passwordFile, { force: true });
  }
  renameSync(unfinished, folder);
}

function readOrMakePasswords(file: string, clusterExists: boolean): Passwords {
  if (existsSync(file)) return Passwords.parse(JSON.parse(readFileSync(file, "utf8")));
  if (clusterExists)
    throw new Error(
      `${file} is missing: it holds the passwords of the PostgreSQL beside it. Put it back, or remove both to begin anew.`,
    );
  const random = (): string => randomBytes(24).toString("hex");
  const passwords = { superuser: random(), owner: random(), gateway: random() };
  writeFileSync(`${file}.new`, JSON.stringify(passwords), { mode: 0o600 });
  renameSync(`${file}.new`, file);
  return passwords;
}

/** Makes what is missing of roles and database, so a first start that was killed is completed by the next one. */
async function prepareDatabase(superuserUrl: string, passwords: Passwords): Promise<void> {
  const client = new pg.Client({ connectionString: superuserUrl });
  await client.connect();
  try {
    // CREATEDB lets `atrium migrate check` and `draft` replay the steps in a database of their own.
    await ensureRole(client, OWNER, passwords.owner, "CREATEDB");
    await ensureRole(client, GATEWAY, passwords.gateway, "NOCREATEDB");
    const { rowCount } = await client.query("SELECT FROM pg_database WHERE datname = $1", [DATABASE]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE} OWNER ${OWNER} TEMPLATE template0`);
    await client.query(
      `REVOKE ALL ON DATABASE ${DATABASE} FROM PUBLIC; GRANT CONNECT ON DATABASE ${DATABASE} TO ${GATEWAY}`,
    );
  } finally {
    await client.end();
  }
}

async function ensureRole(
  client: pg.Client,
  role: string,
  password: string,
  mayCreate: "CREATEDB" | "NOCREATEDB",
): Promise<void> {
  const { rowCount } = await client.query("SELECT FROM pg_roles WHERE rolname = $1", [role]);
  if (rowCount === 0) await client.query(`CREATE ROLE ${role}`);
  await client.query(
    `ALTER ROLE ${role} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOREPLICATION ${mayCreate} PASSWORD ${pg.escapeLiteral(password)}`,
  );
}

async function saying<T>(onProgress: (line: string) => void, line: string, work: () => Promise<T>): Promise<T> {
  const timer = setTimeout(() => onProgress(line), SILENCE_MS);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
}
