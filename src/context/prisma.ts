import { createHash } from "node:crypto";
import { Socket } from "node:net";
import { PrismaPg } from "@prisma/adapter-pg";
import pg from "pg";
import { PrismaClient } from "./generated/client/client.ts";

const CONNECT_TIMEOUT_MS = 10_000; // includes the wait for a free connection when everybody comes at once; a server that is away says so sooner
const STATEMENT_TIMEOUT_MS = 15_000;
const QUERY_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 2_000; // for a server that no longer answers at all; PostgreSQL ends slow statements first
const IDLE_TIMEOUT_MS = 30_000;
const TRANSACTION_WAIT_MS = CONNECT_TIMEOUT_MS;
const TRANSACTION_MAX_MS = 15_000;
const PREPARED_STATEMENTS_MAX = 500; // each costs memory on every connection, for as long as that lives

export interface PoolOptions {
  readonly url: string;
  readonly max: number;
  /** Off: no statement keeps its name, whoever named it. */
  readonly preparedStatements?: boolean;
  readonly onConnectionError: (error: Error) => void;
}

/** The one pool of connections under the gateway's role; each tenant sees it through `tenantPool`. */
export function openPool(options: PoolOptions): pg.Pool {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.max,
    application_name: "atrium",
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    pipeline: true,
    stream: gatheringSocket,
  });
  // Without a listener, a backend that is terminated (failover) would end the process: pool listens to idle connections only.
  pool.on("connect", (client) => {
    client.on("error", options.onConnectionError);
    if (options.preparedStatements === false) dropNames(client);
  });
  pool.on("error", options.onConnectionError);
  return pool;
}

/** For poolers that hand each transaction another connection, on which a name is unknown or taken: packages name their statements, too. */
function dropNames(client: pg.PoolClient): void {
  const query: unknown = Reflect.get(client, "query");
  if (typeof query !== "function") throw new Error("This version of pg has no query to send.");
  Reflect.set(client, "query", (statement: unknown, ...rest: readonly unknown[]): unknown => {
    const answer: unknown = Reflect.apply(query, client, [nameless(statement), ...rest]);
    return answer;
  });
}

function nameless(statement: unknown): unknown {
  if (!isNamed(statement)) return statement;
  if (!("submit" in statement)) return { ...statement, name: undefined };
  // It is more than its fields, and sent once.
  Reflect.set(statement, "name", undefined);
  return statement;
}

function isNamed(statement: unknown): statement is { readonly name: unknown } {
  return typeof statement === "object" && statement !== null && "text" in statement && "name" in statement;
}

/** A socket that sends in one go what is written in one tick: a statement and the frame of its transaction, which would be six writes. */
function gatheringSocket(): Socket {
  const socket = new Socket();
  const write = socket.write.bind(socket);
  let isGathering = false;
  function gather(...parameters: unknown[]): unknown {
    if (!isGathering) {
      isGathering = true;
      socket.cork();
      process.nextTick(() => {
        isGathering = false;
        socket.uncork();
      });
    }
    return Reflect.apply(write, socket, parameters);
  }
  // Not before: connecting puts Node's own function back.
  return socket.once("connect", () => Object.defineProperty(socket, "write", { value: gather, writable: true }));
}

/** Names statements by their text, so that each connection prepares a text once; unnamed after the first 500 different ones. */
export function statementNames(): (statement: { readonly sql: string }) => string {
  const names = new Map<string, string>();
  return ({ sql }) => {
    const known = names.get(sql);
    if (known !== undefined) return known;
    if (names.size >= PREPARED_STATEMENTS_MAX) return "";
    const name = `atrium_${createHash("sha256").update(sql).digest("hex").slice(0, 32)}`;
    names.set(sql, name);
    return name;
  };
}

/** Prisma's client over a pool. It sees whatever the pool's connections may see: only `tenant-client.ts` and tests use it. */
export function openPrisma(
  pool: pg.Pool,
  statementNameGenerator: (statement: { readonly sql: string }) => string,
): PrismaClient {
  return new PrismaClient({
    adapter: new PrismaPg(pool, { statementNameGenerator }),
    errorFormat: "minimal",
    transactionOptions: { maxWait: TRANSACTION_WAIT_MS, timeout: TRANSACTION_MAX_MS },
  });
}
