const FLAT = 1.2; // the goal: at most so many times the usual case

/** CPU in milliseconds a request; p99 in milliseconds. */
export interface Round {
  readonly comparison: string;
  readonly name: string;
  readonly start: number;
  readonly gateway: number;
  readonly postgres: number;
  readonly between: number;
  readonly perSecond: number;
  readonly p99: number;
}

/** The findings as Markdown. Ratios are those of each process start by itself. */
export function describe(
  rounds: readonly Round[],
  { starts, seconds }: { readonly starts: number; readonly seconds: number },
): string {
  const lines = [
    `CPU of the gateway, PostgreSQL and what is between, in milliseconds a request; ${seconds} s runs, medians of ${starts} process starts, in brackets the least and the most. Flat is at most ${FLAT} times the first line.`,
    "",
    "| what | case | CPU, ms | gateway | PostgreSQL | between | × the first | flat | a second | p99, ms |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
  ];
  for (const comparison of new Set(rounds.map((round) => round.comparison))) {
    const ofIt = rounds.filter((round) => round.comparison === comparison);
    const names = [...new Set(ofIt.map(({ name }) => name))];
    for (const [index, name] of names.entries()) {
      const own = ofIt.filter((round) => round.name === name);
      const ratios = [...new Set(own.map(({ start }) => start))].map((start) => {
        const cpuOf = (wanted: string | undefined): number =>
          median(ofIt.filter((round) => round.start === start && round.name === wanted).map(total));
        return cpuOf(name) / cpuOf(names[0]);
      });
      const ratio = `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`;
      const value = (of: (round: Round) => number, digits: number): string => median(own.map(of)).toFixed(digits);
      const cells = [
        index === 0 ? comparison : "",
        name,
        value(total, 3),
        value(({ gateway }) => gateway, 3),
        value(({ postgres }) => postgres, 3),
        value(({ between }) => between, 3),
        index === 0 ? "" : ratio,
        index === 0 ? "" : median(ratios) <= FLAT ? "yes" : "no",
        value(({ perSecond }) => perSecond, 0),
        value(({ p99 }) => p99, 1),
      ];
      lines.push(`| ${cells.join(" | ")} |`);
    }
  }
  return lines.join("\n");
}

function total({ gateway, postgres, between }: Round): number {
  return gateway + postgres + between;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2;
}
