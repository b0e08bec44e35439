import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { z } from "zod";

const resultTable = z.object({ title: z.string(), columns: z.array(z.string()), rows: z.array(z.array(z.string())) });

/** A table of what the isolation suite found; goes into docs/security.md, so it holds no times and nothing random. */
type ResultTable = z.infer<typeof resultTable>;

// In the order in which they are shown. Test files run side by side, so each writes a file of its own.
const PARTS = ["walls-alone", "suite-itself", "graphql", "catalogue"] as const;
type ResultPart = (typeof PARTS)[number];

const FOLDER = "ATRIUM_TEST_ISOLATION_RESULTS";

const fileOf = (part: ResultPart): string => path.join(process.env[FOLDER] ?? os.tmpdir(), `${part}.json`);

/** Before a run: a folder for what this run finds; several runs may go on side by side. */
export function prepareResults(): void {
  process.env[FOLDER] = mkdtempSync(path.join(os.tmpdir(), "atrium-isolation-"));
}

/** @param expected how many rows a whole run has: what only some of the tests found is not kept. */
export function writeResult(part: ResultPart, table: ResultTable, expected: number): void {
  if (table.rows.length !== expected) return;
  writeFileSync(fileOf(part), JSON.stringify(table));
}

/** After a run: shows what was found, and keeps it for docs/security.md when it is whole. */
export function showResults(): void {
  const tables = PARTS.flatMap((part): ResultTable[] => {
    if (!existsSync(fileOf(part))) return [];
    return [resultTable.parse(JSON.parse(readFileSync(fileOf(part), "utf8")))];
  });
  const folder = process.env[FOLDER];
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  for (const table of tables) process.stdout.write(`\n${textOf(table)}\n`);
  if (tables.length === PARTS.length) {
    mkdirSync(path.resolve("test/generated"), { recursive: true });
    writeFileSync(path.resolve("test/generated/isolation.json"), `${JSON.stringify({ tables }, null, 2)}\n`);
  }
}

function textOf({ title, columns, rows }: ResultTable): string {
  const all = [columns, ...rows];
  const widths = columns.map((_, index) => Math.max(...all.map((row) => (row[index] ?? "").length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join("  ")
      .trimEnd();
  return [title, line(columns), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}
