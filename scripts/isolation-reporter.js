import { existsSync, statSync } from "node:fs";
import { readResults, RESULTS_FILE } from "./isolation-results.js";

/** Prints what the isolation suite found, as tables, at the end of a test run in which it ran. */
export default class IsolationReporter {
  #beganMs = Date.now();

  onRunStart() {
    this.#beganMs = Date.now();
  }

  onRunComplete() {
    if (!existsSync(RESULTS_FILE) || statSync(RESULTS_FILE).mtimeMs < this.#beganMs) return;
    for (const { title, columns, rows } of readResults())
      process.stderr.write(`\n${title}\n${textOf([columns, ...rows])}\n`);
  }
}

/** @param {string[][]} rows the first one is the head */
function textOf([head = [], ...rows]) {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? "").length)));
  /** @param {string[]} row */
  const line = (row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}
