import { ADDED_TIMESTAMPS, type TableRules } from "./rules.ts";

/** One thing that can be wrong with a row: the reason for the report, and the condition on `t`. */
export interface Fault {
  readonly reason: string;
  readonly when: string;
}

/** All faults of a table's rows that the fill repairs, in the order of the report. */
export function faultsOf(rules: TableRules): readonly Fault[] {
  const columns = Object.entries(rules.timestamps);
  const added = ADDED_TIMESTAMPS[rules.table] ?? [];
  const missing = columns.filter(([column, whenNull]) => whenNull !== null && !added.includes(column));
  return [
    ...(missing.length === 0
      ? []
      : [{ reason: "a time was NULL", when: missing.map(([column]) => `t."${column}" IS NULL`).join(" OR ") }]),
    {
      reason: "times finer than a millisecond are cut",
      when: columns.map(([column]) => `coalesce(t."${column}" <> ${cut(`t."${column}"`)}, false)`).join(" OR "),
    },
    ...rules.repairs.map(({ reason, when }) => ({ reason, when })),
  ];
}

/**
 * The statement that repairs the rows of one range and gives them their tenant. It answers one row: `rows` looked at, `repaired`,
 * and `fault_0` … as in `faultsOf`. Rows that are in order are not written, so running it again changes nothing.
 */
export function fillStatement(rules: TableRules, range: string, defaultTenantId: string): string {
  const faults = faultsOf(rules);
  const untimed = Object.entries(rules.timestamps).filter(([, whenNull]) => whenNull !== null);
  const isTenant = rules.table === "tenants";
  const toWrite = [
    ...(isTenant ? [] : ["t.tenant_id IS NULL"]),
    ...untimed.map(([column]) => `t."${column}" IS NULL`),
    ...faults.map(({ when }) => when),
  ];
  const assignments = Object.entries(newValues(rules, isTenant ? undefined : defaultTenantId)).map(
    ([column, value]) => `"${column}" = ${value}`,
  );
  return `
WITH seen AS MATERIALIZED (
  SELECT ${faults.map(({ when }, i) => `coalesce(${when}, false) AS fault_${String(i)}`).join(", ")}
  FROM ${rules.table} AS t WHERE ${range}
), written AS (
  UPDATE ${rules.table} AS t SET ${assignments.join(", ")}
  WHERE ${range} AND (${toWrite.map((when) => `(${when})`).join(" OR ")})
)
SELECT ${countsOf(faults)} FROM seen`;
}

/** The statement that counts, and only counts, what the fill would repair in a whole table, misfits left out; `source` stands for the table, `standIn` for others that are not there yet. */
export function surveyStatement(rules: TableRules, source: string, standIn: string): string {
  const faults = faultsOf(rules);
  return `
WITH ${standIn === "" ? "" : `${standIn}, `}seen AS (
  SELECT ${faults.map(({ when }, i) => `coalesce(${when}, false) AS fault_${String(i)}`).join(", ")} FROM ${source} AS t
  ${rules.misfits.length === 0 ? "" : `WHERE NOT coalesce(${rules.misfits.map(({ when }) => `(${when})`).join(" OR ")}, false)`}
)
SELECT ${countsOf(faults)} FROM seen`;
}

/** The statement that sets the misfits of one range aside, with their reason. */
export function quarantineStatement(table: string, range: string, { reason, when }: Fault): string {
  return `
WITH gone AS (
  DELETE FROM ${table} AS t WHERE ${range} AND (${when}) RETURNING to_jsonb(t) AS "row"
)
INSERT INTO atrium.quarantine (table_name, "row", reason) SELECT '${table}', "row", '${reason}' FROM gone`;
}

function countsOf(faults: readonly Fault[]): string {
  const names = faults.map((_, i) => `fault_${String(i)}`);
  return [
    "count(*)::float8 AS rows",
    `count(*) FILTER (WHERE ${names.join(" OR ")})::float8 AS repaired`,
    ...names.map((name) => `count(*) FILTER (WHERE ${name})::float8 AS ${name}`),
  ].join(", ");
}

/** Column → expression. Every expression reads the row as it is when it is written, not as it was when it was counted. */
function newValues(rules: TableRules, defaultTenantId: string | undefined): Record<string, string> {
  const values: Record<string, string> = {};
  if (defaultTenantId !== undefined) values["tenant_id"] = `coalesce(t.tenant_id, '${defaultTenantId}'::uuid)`;
  for (const [column, whenNull] of Object.entries(rules.timestamps)) {
    values[column] = cut(whenNull === null ? `t."${column}"` : `coalesce(t."${column}", ${whenNull})`);
  }
  for (const repair of rules.repairs) {
    for (const [column, value] of Object.entries(repair.set)) {
      values[column] = `CASE WHEN ${repair.when} THEN ${value} ELSE ${values[column] ?? `t."${column}"`} END`;
    }
  }
  const kept = rules.repairs.flatMap(({ when, keep }) => (keep === undefined ? [] : [{ when, ...keep }]));
  if (kept.length > 0) {
    // What is there and is not an object stays readable beside the notes.
    const object = `CASE WHEN jsonb_typeof(t.metadata) = 'object' THEN t.metadata
      WHEN t.metadata IS NULL OR t.metadata = 'null' THEN '{}' ELSE jsonb_build_object('legacy_metadata', t.metadata) END`;
    const notes = kept.map(
      ({ when, key, value }) => `CASE WHEN ${when} THEN jsonb_build_object('${key}', ${value}) ELSE '{}' END`,
    );
    values["metadata"] =
      `CASE WHEN ${kept.map(({ when }) => `(${when})`).join(" OR ")} THEN ${[`(${object})`, ...notes].join(" || ")} ELSE t.metadata END`;
  }
  return values;
}

function cut(time: string): string {
  return `date_trunc('milliseconds', ${time})`;
}
