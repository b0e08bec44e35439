import { writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { checkAnswers } from "./compare/answers.ts";
import { openData } from "./compare/data.ts";
import type { BenchData } from "./compare/data.ts";
import { clear, countStatements, measure, memoryAfter, warmUp } from "./compare/measure.ts";
import type { Bench, Memory, Round, StatementCount } from "./compare/measure.ts";
import { readOptions } from "./compare/options.ts";
import type { CompareOptions, QueryName } from "./compare/options.ts";
import { postmasterOf } from "./compare/processes.ts";
import { startSender } from "./compare/sending.ts";
import { prepareServers, SERVERS, startServer } from "./compare/servers.ts";
import type { RunningServer, ServerKind } from "./compare/servers.ts";
import { describe } from "./compare/table.ts";

// What a request costs, in CPU time of the server and of PostgreSQL, and what it costs others: each server a process of its own on the same
// PostgreSQL, row-level security and sign-in by API key on in all of them. docs/performance.md explains what is measured, and how.
// npm run bench -- [compare] [--starts 3] [--rounds 1] [--seconds 2] [--only Q1,Q2] [--servers atrium,mercurius,limit] [--big]

const FOLDER = fileURLToPath(new URL(".data/", import.meta.url));
const QUIET_MS = 6_000; // Atrium writes its counters every five seconds: those of one server are not counted for the next

interface Collected {
  readonly rounds: Round[];
  readonly statements: StatementCount[];
  readonly memory: Memory[];
}

async function main(): Promise<void> {
  if (process.platform !== "linux") throw new Error("CPU time is read from /proc: this comparison runs on Linux only");
  const options = readOptions(
    process.argv.slice(2),
    SERVERS.map(({ name }) => name),
  );
  const kinds = SERVERS.filter(({ name }) => options.servers.includes(name));
  prepareServers(say);
  const data = await openData(FOLDER, options.big, say);
  const sender = startSender();
  const file = path.join(FOLDER, `rounds-${new Date().toISOString().replaceAll(/[:.]/g, "-")}.json`);
  const collected: Collected = { rounds: [], statements: [], memory: [] };
  try {
    await clear(data.postgres);
    const bench = { postgres: data.postgres, postmaster: postmasterOf(data.dataDir), sender };
    for (let start = 1; start <= options.starts; start += 1) {
      say(`Process start ${start} of ${options.starts}`);
      await measureOneStart(bench, data, kinds, options, start, collected);
      keep(file, options, collected);
    }
  } finally {
    sender.stop();
    await data.postgres.stop();
  }
  report(collected, data, kinds, options);
  console.log(`\nEach round: ${path.relative(process.cwd(), file)}`);
}

async function measureOneStart(
  bench: Bench,
  data: BenchData,
  kinds: readonly ServerKind[],
  options: CompareOptions,
  start: number,
  collected: Collected,
): Promise<void> {
  const servers: RunningServer[] = [];
  try {
    for (const kind of kinds) servers.push(await startServer(kind, data.postgres, FOLDER));
    if (start === 1) await checkAll(bench, data, servers);
    for (const query of options.queries) {
      const asked = servers.filter((server) => answers(server, query));
      say(`  ${query} …`);
      await measureQuery(bench, data, asked, query, options, start, collected);
    }
    if (start === 1) collected.statements.push(...(await countAll(bench, data, servers, options.queries)));
    collected.memory.push(...servers.map((server) => memoryAfter(server, start)));
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

async function checkAll(bench: Bench, data: BenchData, servers: readonly RunningServer[]): Promise<void> {
  for (const draw of data.draws) await checkAnswers(servers, draw, bench.postgres);
  await clear(bench.postgres);
  say(`The same data from all: ${servers.map(({ kind }) => kind.name).join(", ")}`);
}

/** Everybody in turn, there and back: what changes on the machine meanwhile comes to all of them alike. */
async function measureQuery(
  bench: Bench,
  { draws }: BenchData,
  servers: readonly RunningServer[],
  query: QueryName,
  options: CompareOptions,
  start: number,
  { rounds }: Collected,
): Promise<void> {
  const turns = draws.flatMap((draw) => servers.map((server) => ({ draw, server })));
  for (const { draw, server } of turns) await warmUp(bench, server, query, draw, options.seconds);
  for (let round = 0; round < options.rounds; round += 1) {
    for (const { draw, server } of [...turns, ...turns.toReversed()])
      rounds.push(await measure(bench, server, query, draw, { start, seconds: options.seconds }));
  }
}

/** Of the usual draw alone: how many statements a request takes does not depend on how many rows there are. */
async function countAll(
  bench: Bench,
  { draws: [usual] }: BenchData,
  servers: readonly RunningServer[],
  queries: readonly QueryName[],
): Promise<StatementCount[]> {
  const counts: StatementCount[] = [];
  for (const server of servers) {
    await sleep(QUIET_MS);
    for (const query of queries)
      if (usual && answers(server, query)) counts.push(await countStatements(bench, server, query, usual));
  }
  return counts;
}

function answers({ kind: { only } }: RunningServer, query: QueryName): boolean {
  return !only || only.includes(query);
}

function report(
  collected: Collected,
  { draws }: BenchData,
  kinds: readonly ServerKind[],
  options: CompareOptions,
): void {
  const { queries } = options;
  const findings = {
    ...collected,
    draws: draws.map(({ name }) => name),
    queries,
    servers: kinds.map(({ name }) => name),
  };
  console.log(`\n${describe(findings, options)}`);
}

/** After each process start: an interrupted run has measured something too. */
function keep(file: string, options: CompareOptions, collected: Collected): void {
  writeFileSync(file, JSON.stringify({ node: process.version, options, ...collected }, undefined, 1));
}

function say(line: string): void {
  console.error(line);
}

await main();
