import type { AppContext } from "../context/app-context.ts";
import type { Check } from "../context/isolation-checks.ts";

/**
 * `atrium isolate`: what the query isolationReport tells, as a table: a line for each check with the number of tables it was passed on,
 * and a line for each failure.
 *
 * @returns the exit code: 0 when everything holds, 1 otherwise.
 */
export async function runIsolate(
  { isolation }: Pick<AppContext, "isolation">,
  print: (line: string) => void,
): Promise<number> {
  const checks = await isolation.prove();
  const failures = checks.filter((check) => !check.ok);
  for (const line of tableOf(checks)) print(line);
  print("");
  print(
    failures.length === 0
      ? `The walls stand: ${checks.length} checks passed.`
      : `The walls do not stand: ${failures.length} of ${checks.length} checks failed.`,
  );
  return failures.length === 0 && checks.length > 0 ? 0 : 1;
}

function tableOf(checks: readonly Check[]): string[] {
  const names = [...new Set(checks.map((check) => check.name))];
  return names.flatMap((name) => {
    const found = checks.filter((check) => check.name === name);
    const failures = found.filter((check) => !check.ok);
    const tables = found.filter((check) => check.table !== null).length;
    const scope = tables === 0 ? "" : ` (${tables} ${tables === 1 ? "table" : "tables"})`;
    return [
      `${failures.length === 0 ? "ok    " : "FAILED"}  ${name}${scope}`,
      ...failures.map(({ table, detail }) => `          ${table === null ? "" : `${table}: `}${detail}`),
    ];
  });
}
