import { figureOf, GOALS, MEMORY_MAX_MB, ratioOf, STATEMENTS_MAX, totalCpu } from "./figures.ts";
import type { Figure } from "./figures.ts";
import type { Memory, Round, StatementCount } from "./measure.ts";
import type { CompareOptions, QueryName } from "./options.ts";

// What was measured, as Markdown: it is read in a terminal, and goes into docs/performance.md as it is.

const MEGABYTE = 1_048_576;
const COMPARED_WITH = ["postgraphile", "mercurius", "yoga", "naive", "limit"];
const MEASURED = "atrium";

/** All that a comparison has found. */
export interface Findings {
  readonly rounds: readonly Round[];
  readonly statements: readonly StatementCount[];
  readonly memory: readonly Memory[];
  readonly draws: readonly string[];
  readonly queries: readonly QueryName[];
  readonly servers: readonly string[];
}

/** The tables of a comparison: one of each query, and one of goals. */
export function describe(findings: Findings, options: CompareOptions): string {
  const [usual = ""] = findings.draws;
  return [
    `CPU in milliseconds a request, ${options.seconds} s runs; medians of ${options.starts} process starts, in brackets the least and the most of them.`,
    ...findings.queries.map((query) => `${query}\n\n${queryTable(findings, usual, query)}`),
    `Memory of the servers after all runs, MB\n\n${memoryTable(findings)}`,
    ...(findings.servers.includes(MEASURED) ? [`Goals\n\n${goalTable(findings, usual)}`] : []),
    ...(findings.draws.length > 1 ? [`Growth: total CPU, × that of ${usual}\n\n${growthTable(findings)}`] : []),
  ].join("\n\n");
}

function queryTable({ rounds, statements, servers }: Findings, draw: string, query: QueryName): string {
  const others = COMPARED_WITH.filter((name) => servers.includes(name));
  const head = [
    query,
    "total CPU",
    "server",
    "PostgreSQL",
    ...others.map((name) => `× ${name}`),
    "statements (+ frame)",
    "p50, ms",
    "p99, ms",
  ];
  const rows = servers.flatMap((server) => {
    const choice = { draw, query, server };
    const total = figureOf(rounds, choice, totalCpu);
    if (!total) return [];
    const count = statements.find((one) => one.query === query && one.server === server);
    return [
      [
        server,
        withSpread(total, 3),
        shown(figureOf(rounds, choice, ({ serverCpu }) => serverCpu)?.median, 3),
        shown(figureOf(rounds, choice, ({ postgresCpu }) => postgresCpu)?.median, 3),
        ...others.map((name) => shown(ratioOf(rounds, choice, { draw, server: name })?.median, 2)),
        count ? `${shown(count.statements, 1)} (+ ${shown(count.frame, 1)})` : "",
        shown(figureOf(rounds, choice, ({ p50 }) => p50)?.median, 1),
        shown(figureOf(rounds, choice, ({ p99 }) => p99)?.median, 1),
      ],
    ];
  });
  return table(head, rows);
}

function memoryTable({ memory, servers }: Findings): string {
  const rows = servers.map((server) => {
    const ofServer = memory.filter((one) => one.server === server);
    const most = (value: (one: Memory) => number): string => shown(Math.max(...ofServer.map(value)) / MEGABYTE, 0);
    return [server, most(({ now }) => now), most((one) => one.most)];
  });
  return table(["server", "resident", "at most"], rows);
}

function goalTable(findings: Findings, draw: string): string {
  const { rounds, servers, queries } = findings;
  const rows = queries.flatMap((query) =>
    Object.entries(GOALS[query]).flatMap(([other, goal]) => {
      const ratio = servers.includes(other)
        ? ratioOf(rounds, { draw, query, server: MEASURED }, { draw, server: other })
        : undefined;
      if (!ratio) return [];
      return [[query, other, withSpread(ratio, 2), `≤ ${goal}`, ratio.median <= goal ? "met" : "**missed**"]];
    }),
  );
  return table(["query", "atrium ÷", "ratio", "goal", ""], [...rows, ...otherGoals(findings)]);
}

/** What is not a ratio: statements of 20 sessions with messages, and memory. */
function otherGoals({ statements, memory }: Findings): string[][] {
  const ofQ2 = statements.find(({ server, query }) => server === MEASURED && query === "Q2")?.statements;
  const resident = Math.max(...memory.filter(({ server }) => server === MEASURED).map(({ now }) => now)) / MEGABYTE;
  const verdict = (isMet: boolean): string => (isMet ? "met" : "**missed**");
  return [
    ...(ofQ2 === undefined
      ? []
      : [["Q2", "statements", shown(ofQ2, 1), `≤ ${STATEMENTS_MAX}`, verdict(Math.floor(ofQ2) <= STATEMENTS_MAX)]]),
    ["all", "memory, MB", shown(resident, 0), `≤ ${MEMORY_MAX_MB}`, verdict(resident <= MEMORY_MAX_MB)],
  ];
}

function growthTable({ rounds, draws, queries, servers }: Findings): string {
  const [usual = "", ...larger] = draws;
  const rows = queries.flatMap((query) =>
    servers.map((server) => [
      query,
      server,
      ...larger.map((draw) => {
        const ratio = ratioOf(rounds, { draw, query, server }, { draw: usual, server });
        return ratio ? withSpread(ratio, 2) : "";
      }),
    ]),
  );
  return table(["query", "server", ...larger], rows);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? "").length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [line(head), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line)].join("\n");
}

function withSpread({ median, least, most }: Figure, digits: number): string {
  return `${shown(median, digits)} (${shown(least, digits)}–${shown(most, digits)})`;
}

function shown(value: number | undefined, digits: number): string {
  return value === undefined ? "" : value.toFixed(digits);
}
