import type pg from "pg";
import type { TableReport } from "./report.ts";
import type { TableRules } from "./rules.ts";
import { faultsOf, surveyStatement } from "./statements.ts";

// Columns that the expand step will add and the rules speak of: before it, every row has these values.
const COLUMNS_TO_COME: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  sessions: { tenant_id: "NULL::uuid", user_id: "NULL::uuid", last_indexed_at: "NULL::timestamptz" },
  messages: { tenant_id: "NULL::uuid" },
  files: { tenant_id: "NULL::uuid", user_id: "NULL::uuid" },
  memory_short: { tenant_id: "NULL::uuid" },
  memory_medium: { tenant_id: "NULL::uuid" },
  memory_long: { tenant_id: "NULL::uuid", kind: "'general'::text", updated_at: "NULL::timestamptz" },
  integrations: {
    tenant_id: "NULL::uuid",
    user_id: "NULL::uuid",
    purpose: "NULL::text",
    status: "NULL::text",
    name: "NULL::text",
    account: "NULL::text",
    created_at: "NULL::timestamptz",
  },
  notifications: { tenant_id: "NULL::uuid" },
  users: {
    email_verification_token: "NULL::text",
    password_reset_token: "NULL::text",
    password_reset_expires: "NULL::timestamptz",
    last_login_at: "NULL::timestamptz",
  },
};
const NO_USERS = "users AS (SELECT NULL::uuid AS id, NULL::uuid AS tenant_id WHERE false)";

/** Counts what an adoption would find in the tables, and changes nothing. Reads every row once. */
export async function surveyTables(client: pg.Client, rules: readonly TableRules[]): Promise<TableReport[]> {
  const hasUsers = rules.some(({ table }) => table === "users");
  const reports: TableReport[] = [];
  for (const table of rules) reports.push(await surveyTable(client, table, hasUsers ? "" : NO_USERS));
  return reports;
}

async function surveyTable(client: pg.Client, rules: TableRules, standIn: string): Promise<TableReport> {
  const source = await sourceOf(client, rules.table);
  const prefix = standIn === "" ? "" : `WITH ${standIn} `;
  const quarantined: Record<string, number> = {};
  for (const { reason, when } of rules.misfits) {
    const { rows } = await client.query<{ rows: number }>(
      `${prefix}SELECT count(*)::float8 AS rows FROM ${source} AS t WHERE ${when}`,
    );
    const found = rows[0]?.rows ?? 0;
    if (found > 0) quarantined[reason] = found;
  }
  const { rows } = await client.query<Record<string, number>>(surveyStatement(rules, source, standIn));
  const counts = rows[0] ?? {};
  const repairs: Record<string, number> = {};
  for (const [index, { reason }] of faultsOf(rules).entries()) {
    const found = counts[`fault_${String(index)}`] ?? 0;
    if (found > 0) repairs[reason] = found;
  }
  const rowsAfter = counts["rows"] ?? 0;
  const rowsQuarantined = Object.values(quarantined).reduce((sum, rowsOfOne) => sum + rowsOfOne, 0);
  return {
    table: rules.table,
    rowsBefore: rowsAfter + rowsQuarantined,
    rowsWrittenMeanwhile: 0,
    rowsAfter,
    rowsRepaired: counts["repaired"] ?? 0,
    rowsQuarantined,
    repairs,
    quarantined,
  };
}

async function sourceOf(client: pg.Client, table: string): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    "SELECT attname AS name FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
    [table],
  );
  const there = new Set(rows.map(({ name }) => name));
  const toCome = Object.entries(COLUMNS_TO_COME[table] ?? {}).filter(([column]) => !there.has(column));
  if (toCome.length === 0) return table;
  return `(SELECT o.*, ${toCome.map(([column, value]) => `${value} AS "${column}"`).join(", ")} FROM ${table} AS o)`;
}
