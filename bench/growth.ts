import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "../scripts/build.js";
import { hasPgBouncer, startPgBouncer } from "../test/support/pgbouncer.ts";
import type { TestPgBouncer } from "../test/support/pgbouncer.ts";
import { checkAnswers } from "./compare/answers.ts";
import { openData } from "./compare/data.ts";
import type { BenchData, Draw } from "./compare/data.ts";
import { clear } from "./compare/measure.ts";
import { requestsOf } from "./compare/operations.ts";
import type { BenchRequest } from "./compare/operations.ts";
import { cpuBetween, cpuTimesOf, memoryOf, postmasterOf } from "./compare/processes.ts";
import type { CpuTimes } from "./compare/processes.ts";
import { startSender } from "./compare/sending.ts";
import type { Sender } from "./compare/sending.ts";
import { SERVERS, startServer } from "./compare/servers.ts";
import type { RunningServer, ServerKind } from "./compare/servers.ts";
import { makePages, PAGE_SIZE } from "./growth/pages.ts";
import { describe } from "./growth/table.ts";
import type { Round } from "./growth/table.ts";

// What a request costs when there are more tenants, more rows, deeper pages, more connections, and several processes behind PgBouncer: CPU of
// the gateway and of PostgreSQL, as a ratio to the usual case that is measured in turn with it.
// npm run bench -- growth [--starts 3] [--rounds 2] [--seconds 2] [--usual]
// With --usual, on the small data: no more tenants or rows, and page 10 for page 1,000. It shows that the command works, within a minute.

const FOLDER = fileURLToPath(new URL(".data/", import.meta.url));
const QUERIES = ["Q1", "Q2", "Q3"] as const;
const USUAL_CONNECTIONS = 16;
const MANY_CONNECTIONS = 1_000;
const PROCESSES = 4;
const SERVER_CONNECTIONS = 20; // of PgBouncer, for four processes that keep twenty each
const LEAD_SECONDS = 0.4;
const SETTLE_MS = 50;
const WARM_REQUESTS = 2_000;
const MEGABYTE = 1_048_576;

/** One way of asking, on one gateway. */
interface Case {
  readonly name: string;
  readonly server: RunningServer;
  readonly requests: readonly BenchRequest[];
  readonly connections: number;
  /** Processes that serve: each has to be warm. */
  readonly processes: number;
  /** Processes between the gateway and PostgreSQL, which cost something as well. */
  readonly between: readonly number[];
}

/** Cases that are measured in turn; the first one is the usual one. */
interface Comparison {
  readonly name: string;
  readonly cases: readonly Case[];
}

interface Bench {
  readonly data: BenchData;
  readonly postmaster: number;
  readonly sender: Sender;
  readonly bouncer: TestPgBouncer | undefined;
}

interface Options {
  readonly starts: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly usual: boolean;
}

async function main(): Promise<void> {
  if (process.platform !== "linux") throw new Error("CPU time is read from /proc: this comparison runs on Linux only");
  const options = readOptions(process.argv.slice(2));
  build(say);
  const data = await openData(FOLDER, !options.usual, say);
  const sender = startSender();
  const bouncer = hasPgBouncer()
    ? await startPgBouncer(data.postgres.gatewayUrl, { poolSize: SERVER_CONNECTIONS })
    : undefined;
  const rounds: Round[] = [];
  const memory: string[] = [];
  try {
    await clear(data.postgres);
    const bench = { data, postmaster: postmasterOf(data.dataDir), sender, bouncer };
    for (let start = 1; start <= options.starts; start += 1) {
      say(`Process start ${start} of ${options.starts}`);
      await measureOneStart(bench, options, start, rounds, memory);
    }
  } finally {
    sender.stop();
    await bouncer?.stop();
    await data.postgres.stop();
  }
  console.log(`\n${describe(rounds, options)}\n\nMemory at the end: ${memory.join("; ")}`);
}

function readOptions(args: readonly string[]): Options {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: [...args],
    options: { starts: text, rounds: text, seconds: text, usual: { type: "boolean", default: false } },
  });
  const positive = (value: string | undefined, usual: number): number => {
    const number = Number(value ?? usual);
    if (!(number > 0)) throw new Error(`${value ?? ""} is not a number above 0`);
    return number;
  };
  const { usual } = values;
  return {
    starts: positive(values.starts, 3),
    rounds: positive(values.rounds, 2),
    seconds: positive(values.seconds, 2),
    usual,
  };
}

async function measureOneStart(
  bench: Bench,
  options: Options,
  start: number,
  rounds: Round[],
  memory: string[],
): Promise<void> {
  const { postgres, draws } = bench.data;
  const servers: RunningServer[] = [];
  try {
    const one = await startServer(atrium("atrium", {}), postgres, FOLDER);
    servers.push(one);
    const several = await startSeveral(bench);
    if (several) servers.push(several);
    for (const draw of draws) await checkAnswers(servers, draw, postgres);
    await clear(postgres);
    for (const comparison of await comparisonsOf(bench, one, several, options))
      rounds.push(...(await compare(bench, comparison, options, start)));
    memory.push(
      ...servers.map((server) => `${server.kind.name} ${Math.round(memoryOf(server.pid).now / MEGABYTE)} MB`),
    );
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

function atrium(name: string, environment: Readonly<Record<string, string>>): ServerKind {
  const kind = SERVERS.find((one) => one.name === "atrium");
  if (!kind) throw new Error("the comparison knows no Atrium");
  return { ...kind, name, environment: { ...kind.environment, ...environment } };
}

/** Four processes behind PgBouncer, row-level security and everything else up. */
async function startSeveral({ bouncer, data: { postgres } }: Bench): Promise<RunningServer | undefined> {
  if (!bouncer) {
    say("There is no PgBouncer here: several processes are left out");
    return undefined;
  }
  const environment = {
    PROCESSES: String(PROCESSES),
    PREPARED_STATEMENTS: "off",
    DATABASE_LISTEN_URL: postgres.gatewayUrl,
  };
  const through = { ...postgres, gatewayUrl: bouncer.through(postgres.gatewayUrl) };
  return startServer(atrium(`atrium-${PROCESSES}-pgbouncer`, environment), through, FOLDER);
}

async function comparisonsOf(
  { data: { draws, postgres }, bouncer }: Bench,
  server: RunningServer,
  several: RunningServer | undefined,
  { usual: isSmall }: Options,
): Promise<Comparison[]> {
  const [usual] = draws;
  const deepest = draws.at(-1);
  if (!usual || !deepest) throw new Error("there is no data to ask for");
  const at = { server, connections: USUAL_CONNECTIONS, processes: 1, between: [] };
  const asked = (query: (typeof QUERIES)[number], draw: Draw): readonly BenchRequest[] =>
    requestsOf(query, server.kind.dialect, draw);
  const data = QUERIES.map((query) => ({
    name: `${query}, more tenants and rows`,
    cases: draws.map((draw) => ({ ...at, name: draw.name, requests: asked(query, draw) })),
  }));
  const depth = isSmall ? { from: 10, to: 10 } : { from: 951, to: 1_000 };
  const pages = await makePages(server, deepest, postgres, depth);
  const ofPages = {
    name: `Pages of ${PAGE_SIZE} sessions`,
    cases: [
      { ...at, name: "page 1", requests: pages.near },
      { ...at, name: `pages ${depth.from} to ${depth.to}`, requests: pages.far },
    ],
  };
  const requests = asked("Q1", usual);
  const ofConnections = {
    name: "Q1, more connections",
    cases: [USUAL_CONNECTIONS, MANY_CONNECTIONS].map((connections) => ({
      ...at,
      name: `${connections} connections`,
      requests,
      connections,
    })),
  };
  const ofProcesses = QUERIES.map((query) => ({
    name: `${query}, several processes`,
    cases: [
      { ...at, name: "one process", requests: asked(query, usual) },
      ...(several && bouncer
        ? [
            {
              ...at,
              server: several,
              processes: PROCESSES,
              between: [bouncer.pid],
              name: `${PROCESSES} behind PgBouncer`,
              requests: asked(query, usual),
            },
          ]
        : []),
    ],
  }));
  return [...data, ofPages, ofConnections, ...ofProcesses].filter(({ cases }) => cases.length > 1);
}

/** Everybody in turn, there and back: what changes on the machine meanwhile comes to all of them alike. */
async function compare(bench: Bench, { name, cases }: Comparison, options: Options, start: number): Promise<Round[]> {
  say(`  ${name} …`);
  const rounds: Round[] = [];
  for (const one of cases) {
    const seconds = options.seconds * one.processes;
    await send(bench, one, seconds, WARM_REQUESTS * one.processes);
  }
  for (let round = 0; round < options.rounds; round += 1) {
    for (const one of [...cases, ...cases.toReversed()])
      rounds.push({ comparison: name, start, ...(await measure(bench, one, options.seconds)) });
  }
  return rounds;
}

async function measure(bench: Bench, one: Case, seconds: number): Promise<Omit<Round, "comparison" | "start">> {
  await send(bench, one, LEAD_SECONDS, one.connections);
  await sleep(SETTLE_MS);
  const places = [[one.server.pid], [bench.postmaster], one.between];
  const before = places.map(cpuOf);
  const began = performance.now();
  const { answered, p99 } = await send(bench, one, seconds, 0);
  const took = performance.now() - began;
  await sleep(SETTLE_MS);
  const [gateway = 0, postgres = 0, between = 0] = places
    .map(cpuOf)
    .map((after, index) => cpuBetween(before[index] ?? new Map(), after) / answered);
  return { name: one.name, gateway, postgres, between, perSecond: (answered / took) * 1_000, p99 };
}

function cpuOf(roots: readonly number[]): CpuTimes {
  return new Map(roots.flatMap((root) => [...cpuTimesOf(root)]));
}

/** @throws Error at an answer that is none: the figures of failures are worth nothing. */
async function send({ sender }: Bench, { server, requests, connections }: Case, seconds: number, atLeast: number) {
  return sender.send({ url: server.url, requests: [...requests], connections, seconds, atLeast });
}

function say(line: string): void {
  console.error(line);
}

await main();
