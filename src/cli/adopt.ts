import { joinDatabase } from "../embedded/database.ts";
import { adopt } from "../migrate/adopt/adopt.ts";
import type { AdoptProgress, AdoptReport, TableReport } from "../migrate/adopt/adopt.ts";
import { roleOf, UsageError } from "./command.ts";
import type { CommandContext } from "./command.ts";

const USAGE = "atrium adopt [--dry-run] [--client-role <role>]… [--no-old-clients] [--batch-rows <number>]";
const FLAGS = new Set(["--dry-run", "--no-old-clients"]);
const BAR_WIDTH = 30;
const PROGRESS_EVERY_MS = 1_000; // a line a second where there is no terminal to draw a bar on

/** `atrium adopt`: a database of the predecessor becomes a current one, all of its data in the tenant it belongs to. */
export async function runAdopt(args: readonly string[], { config, print }: CommandContext): Promise<number> {
  const options = readOptions(args);
  const database = await joinDatabase(config, print);
  try {
    const report = await adopt(database.ownerUrl, {
      ...options,
      gatewayRole: roleOf(database.gatewayUrl),
      onProgress: progressPrinter(print),
    });
    for (const line of describeReport(report)) print(line);
    return 0;
  } finally {
    await database.close();
  }
}

interface Options {
  readonly dryRun: boolean;
  readonly clientRoles: readonly string[] | undefined;
  readonly batchRows: number | undefined;
}

function readOptions(args: readonly string[]): Options {
  let dryRun = false;
  let hasOldClients = true;
  let batchRows: number | undefined;
  const clientRoles: string[] = [];
  const rest = [...args];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const value = FLAGS.has(word) ? undefined : rest.shift();
    if (word === "--dry-run") dryRun = true;
    else if (word === "--no-old-clients") hasOldClients = false;
    else if (word === "--client-role" && value !== undefined) clientRoles.push(value);
    else if (word === "--batch-rows" && value !== undefined && /^[1-9]\d{0,6}$/.test(value)) batchRows = Number(value);
    else throw new UsageError(USAGE);
  }
  if (!hasOldClients && clientRoles.length > 0) throw new UsageError(USAGE);
  return { dryRun, clientRoles: hasOldClients && clientRoles.length === 0 ? undefined : clientRoles, batchRows };
}

function progressPrinter(print: (line: string) => void): (progress: AdoptProgress) => void {
  let lastMessage = "";
  let lastAt = 0;
  return (progress) => {
    const line = progressLine(progress);
    if (process.stdout.isTTY && progress.rowsTotal > 0) {
      process.stdout.write(`\r\x1b[K${line}${progress.rowsDone >= progress.rowsTotal ? "\n" : ""}`);
      return;
    }
    const now = Date.now();
    if (progress.message === lastMessage && now - lastAt < PROGRESS_EVERY_MS) return;
    lastMessage = progress.message;
    lastAt = now;
    print(line);
  };
}

function progressLine({ phase, message, rowsDone, rowsTotal, secondsLeft }: AdoptProgress): string {
  if (rowsTotal === 0) return `${phase}: ${message}`;
  const share = Math.min(1, rowsDone / rowsTotal);
  const filled = Math.round(share * BAR_WIDTH);
  const bar = `${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)}`;
  const left = secondsLeft === null ? "" : `, about ${Math.ceil(secondsLeft)} s left`;
  return `${phase}: ${bar} ${Math.floor(share * 100)} % of ${rowsTotal} rows${left}: ${message}`;
}

function describeReport(report: AdoptReport): string[] {
  const head = report.dryRun
    ? "Nothing was changed. What adoption would do:"
    : report.changed
      ? "Adopted."
      : "Nothing to do.";
  return [
    "",
    `Found: ${report.found}${report.resumed ? " (an interrupted adoption was taken up again)" : ""}`,
    head,
    ...report.plan.map((step) => `  - ${step}`),
    "",
    ...tableLines(report.tables),
    "",
    ...report.clientRoles.map(
      (role) => `Old clients come in as ${role.name}${role.hasDefaultTenant ? ", in the default tenant" : ""}.`,
    ),
    ...(report.changed && !report.dryRun
      ? [
          `Longest lock: ${Math.round(report.longestLockMs)} ms.`,
          ...(report.rowsPerSecond === null ? [] : [`Rows a second: ${Math.round(report.rowsPerSecond)}.`]),
          ...(report.connectionsEnded > 0
            ? [`Connections ended so that they come back with their tenant: ${report.connectionsEnded}.`]
            : []),
        ]
      : []),
    ...report.warnings.map((warning) => `Note: ${warning}`),
  ];
}

function tableLines(tables: readonly TableReport[]): string[] {
  const head = ["table", "before", "meanwhile", "after", "repaired", "quarantined"];
  const rows = tables.map((table) => [
    table.table,
    ...[table.rowsBefore, table.rowsWrittenMeanwhile, table.rowsAfter, table.rowsRepaired, table.rowsQuarantined].map(
      String,
    ),
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ");
  const reasons = tables.flatMap((table) =>
    [
      ...Object.entries(table.repairs).map(([why, count]) => `repaired ${count}: ${why}`),
      ...Object.entries(table.quarantined).map(([why, count]) => `quarantined ${count}: ${why}`),
    ].map((text) => `  ${table.table}: ${text}`),
  );
  return rows.length === 0
    ? []
    : [line(head), ...rows.map(line), ...(reasons.length > 0 ? ["", "Why:", ...reasons] : [])];
}
