import type { AdoptProgress } from "./report.ts";

export interface Progress {
  /** Names what is being done now. */
  say(phase: AdoptProgress["phase"], message: string): void;
  /** Counts rows that the fill has looked at in this run. */
  advance(message: string, rows: number): void;
  /** Sets how many rows there are, and how many an earlier run looked at. */
  expect(rowsTotal: number, rowsDone: number): void;
}

/** Turns what happens into lines with numbers and an estimate. The estimate goes by the pace of this run alone. */
export function trackProgress(onProgress: ((progress: AdoptProgress) => void) | undefined): Progress {
  let rowsTotal = 0;
  let rowsDone = 0;
  let rowsOfThisRun = 0;
  let startedAt = performance.now();
  let last: { phase: AdoptProgress["phase"]; message: string } = { phase: "look", message: "" };

  function report(): void {
    const seconds = (performance.now() - startedAt) / 1000;
    const left = Math.max(rowsTotal - rowsDone, 0);
    const secondsLeft =
      last.phase !== "fill" || rowsOfThisRun === 0 ? null : Math.ceil((left / rowsOfThisRun) * seconds);
    // Clients write meanwhile, so more may be done than was expected.
    onProgress?.({ ...last, rowsDone: Math.min(rowsDone, rowsTotal), rowsTotal, secondsLeft });
  }

  return {
    say(phase, message) {
      last = { phase, message };
      report();
    },
    advance(message, rows) {
      last = { phase: "fill", message };
      rowsDone += rows;
      rowsOfThisRun += rows;
      report();
    },
    expect(total, done) {
      rowsTotal = total;
      rowsDone = done;
      startedAt = performance.now();
    },
  };
}
