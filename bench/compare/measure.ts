import { setTimeout as sleep } from "node:timers/promises";
import type { EmbeddedPostgres } from "../../src/embedded/postgres.ts";
import { asSuperuser } from "./data.ts";
import type { Draw } from "./data.ts";
import { requestsOf } from "./operations.ts";
import type { QueryName } from "./options.ts";
import { cpuBetween, cpuTimesOf, memoryOf } from "./processes.ts";
import type { SendFindings, Sender } from "./sending.ts";
import type { RunningServer } from "./servers.ts";
import { CLEAR_SQL } from "./sql.ts";

const CONNECTIONS = 16;
const LEAD_SECONDS = 0.4; // before a counted run: connections that were closed meanwhile are opened again
const SETTLE_MS = 50; // until the scheduler's counters of the last request stand
const COUNTED_SECONDS = 0.5;
const WARM_REQUESTS = 2_000; // what is executed often is compiled by then, on a busy machine as well
const WRITING: readonly QueryName[] = ["Q4", "Q5"];

/** A counted run. CPU in milliseconds a request, times in milliseconds. */
export interface Round {
  readonly start: number;
  readonly draw: string;
  readonly query: QueryName;
  readonly server: string;
  readonly answered: number;
  readonly serverCpu: number;
  readonly postgresCpu: number;
  readonly p50: number;
  readonly p99: number;
}

/** How many statements a request takes, on average. */
export interface StatementCount {
  readonly query: QueryName;
  readonly server: string;
  readonly statements: number;
  /** BEGIN, COMMIT and what tells PostgreSQL the tenant. */
  readonly frame: number;
}

/** Memory of a server after its runs, in bytes. */
export interface Memory {
  readonly server: string;
  readonly start: number;
  readonly now: number;
  readonly most: number;
}

/** What is measured on. */
export interface Bench {
  readonly postgres: EmbeddedPostgres;
  readonly postmaster: number;
  readonly sender: Sender;
}

/** Sends a query for a while without counting: compilers, caches and connections are warm after it. */
export async function warmUp(
  bench: Bench,
  server: RunningServer,
  query: QueryName,
  draw: Draw,
  seconds: number,
): Promise<void> {
  await send(bench, server, query, draw, seconds, WARM_REQUESTS);
  if (WRITING.includes(query)) await clear(bench.postgres);
}

/** Sends a query at 16 connections, and reads before and after what it has cost the server and PostgreSQL. */
export async function measure(
  bench: Bench,
  server: RunningServer,
  query: QueryName,
  draw: Draw,
  { start, seconds }: { readonly start: number; readonly seconds: number },
): Promise<Round> {
  await send(bench, server, query, draw, LEAD_SECONDS);
  await sleep(SETTLE_MS);
  const before = { server: cpuTimesOf(server.pid), postgres: cpuTimesOf(bench.postmaster) };
  const { answered, p50, p99 } = await send(bench, server, query, draw, seconds);
  await sleep(SETTLE_MS);
  const after = { server: cpuTimesOf(server.pid), postgres: cpuTimesOf(bench.postmaster) };
  if (WRITING.includes(query)) await clear(bench.postgres);
  return {
    start,
    draw: draw.name,
    query,
    server: server.kind.name,
    answered,
    serverCpu: cpuBetween(before.server, after.server) / answered,
    postgresCpu: cpuBetween(before.postgres, after.postgres) / answered,
    p50,
    p99,
  };
}

/** Counts the statements of a query in PostgreSQL itself, those of functions and triggers not included. */
export async function countStatements(
  bench: Bench,
  server: RunningServer,
  query: QueryName,
  draw: Draw,
): Promise<StatementCount> {
  return asSuperuser(bench.postgres, async (client) => {
    await client.query("ALTER SYSTEM SET pg_stat_statements.track = 'top'");
    await client.query("SELECT pg_reload_conf()");
    await sleep(SETTLE_MS);
    await send(bench, server, query, draw, LEAD_SECONDS); // connections learn of the setting with their next statement
    await client.query("SELECT pg_stat_statements_reset()");
    const { answered } = await send(bench, server, query, draw, COUNTED_SECONDS);
    const { rows } = await client.query<{ frame: number; statements: number }>(
      `SELECT coalesce(sum(calls) FILTER (WHERE query ~* $1), 0)::int AS frame,
         coalesce(sum(calls) FILTER (WHERE query !~* $1), 0)::int AS statements
       FROM pg_stat_statements WHERE userid = 'atrium_gateway'::regrole`,
      [String.raw`^\s*(begin|commit|rollback|set local|select\s+set_config|select\s+.*set_config\()`],
    );
    await client.query("ALTER SYSTEM SET pg_stat_statements.track = 'none'");
    await client.query("SELECT pg_reload_conf()");
    if (WRITING.includes(query)) await clear(bench.postgres);
    const { frame = 0, statements = 0 } = rows[0] ?? {};
    return { query, server: server.kind.name, statements: statements / answered, frame: frame / answered };
  });
}

export function memoryAfter(server: RunningServer, start: number): Memory {
  return { server: server.kind.name, start, ...memoryOf(server.pid) };
}

/** Takes back what was written, so that the next server finds what this one found. */
export async function clear(postgres: EmbeddedPostgres): Promise<void> {
  await asSuperuser(postgres, async (client) => {
    for (const statement of CLEAR_SQL) await client.query(statement);
  });
}

async function send(
  { sender }: Bench,
  server: RunningServer,
  query: QueryName,
  draw: Draw,
  seconds: number,
  atLeast = 0,
): Promise<SendFindings> {
  const requests = requestsOf(query, server.kind.dialect, draw);
  return sender.send({ url: server.url, requests, connections: CONNECTIONS, seconds, atLeast });
}
