import type pg from "pg";
import { readProgress, type Ledger, type Subject } from "./ledger.ts";
import { describeRoles, roleWarnings } from "./old-clients.ts";
import { mustAddUp, type AdoptReport, type TableReport } from "./report.ts";
import { rulesFor } from "./rules.ts";
import { surveyTables } from "./survey.ts";
import { rowsNow } from "./writes.ts";

const NO_WORK = {
  resumed: false,
  changed: false,
  tables: [],
  clientRoles: [],
  connectionsEnded: 0,
  longestLockMs: 0,
  rowsPerSecond: null,
};

/** The report on a database that needs no adoption; steps of later releases may still be due. */
export function nothingToAdopt(
  found: "current" | "empty",
  dryRun: boolean,
  pendingSteps: readonly string[],
): AdoptReport {
  const report = { ...NO_WORK, found, dryRun, warnings: [] };
  if (found === "empty") {
    const plan =
      "It has none of the predecessor's tables: there is nothing to adopt. `atrium migrate deploy` makes the tables.";
    return { ...report, plan: [plan] };
  }
  if (pendingSteps.length === 0) return { ...report, plan: ["The database is current: nothing is changed."] };
  return {
    ...report,
    changed: !dryRun,
    plan: [`The database is adopted already. Later steps are applied: ${pendingSteps.join(", ")}.`],
  };
}

/** What an adoption would do, without doing it. Reads every row once. */
export async function rehearse(client: pg.Client, subject: Subject | Ledger): Promise<AdoptReport> {
  const isOpen = "startedAt" in subject;
  const settings = {
    startedAt: isOpen ? subject.startedAt : new Date(),
    hasTenants: subject.tables.includes("tenants"),
  };
  const rules = rulesFor(settings).filter(({ table }) => subject.tables.includes(table));
  const roles = await describeRoles(client, subject.clientRoles);
  return {
    ...NO_WORK,
    found: subject.found,
    dryRun: true,
    resumed: isOpen,
    plan: [...planOf(subject), ...(isOpen ? ["An adoption of it was interrupted; it goes on where it stopped."] : [])],
    tables: await surveyTables(client, rules),
    clientRoles: roles,
    warnings: [],
  };
}

/**
 * The report of an adoption whose keys are changed.
 *
 * @throws AdoptError when rows are missing, or are too many.
 */
export async function makeReport(client: pg.Client, ledger: Ledger): Promise<AdoptReport> {
  const now = await rowsNow(client, ledger.tables);
  const setAside = await quarantined(client);
  const tables: TableReport[] = [];
  let rowsSeen = 0;
  for (const table of ledger.tables) {
    const progress = await readProgress(client, table);
    const reasons = setAside.filter((row) => row.table === table);
    rowsSeen += progress.rowsSeen;
    tables.push({
      table,
      rowsBefore: ledger.rowsBefore?.[table] ?? 0,
      rowsWrittenMeanwhile: now.written[table] ?? 0,
      rowsAfter: now.rows[table] ?? 0,
      rowsRepaired: progress.rowsRepaired,
      rowsQuarantined: reasons.reduce((sum, { rows }) => sum + rows, 0),
      repairs: progress.repairs,
      quarantined: Object.fromEntries(reasons.map(({ reason, rows }) => [reason, rows])),
    });
  }
  mustAddUp(tables);
  const clientRoles = await describeRoles(client, ledger.clientRoles);
  return {
    found: ledger.found,
    dryRun: false,
    resumed: false,
    changed: true,
    plan: planOf(ledger),
    tables,
    clientRoles,
    connectionsEnded: ledger.connectionsEnded,
    longestLockMs: ledger.longestLockMs,
    rowsPerSecond: ledger.fillSeconds > 0 ? Math.round(rowsSeen / ledger.fillSeconds) : null,
    warnings: await roleWarnings(client, clientRoles),
  };
}

async function quarantined(client: pg.Client): Promise<{ table: string; reason: string; rows: number }[]> {
  const { rows } = await client.query<{ table: string; reason: string; rows: number }>(
    'SELECT table_name AS "table", reason, count(*)::float8 AS rows FROM atrium.quarantine GROUP BY table_name, reason ORDER BY table_name, reason',
  );
  return rows;
}

function planOf(subject: Subject): string[] {
  const hasTenants = subject.tables.includes("tenants");
  return [
    `The database is ${hasTenants ? "the multi-tenant release" : "legacy variant"} ${subject.found}.`,
    hasTenants
      ? "Tenants, users and API keys stay as they are; keys go on working."
      : "The default tenant (Default Tenant, tenant_default) is made, and every row is given to it.",
    subject.clientRoles.length === 0
      ? "No role of old clients was found."
      : `In this database, new connections of ${subject.clientRoles.join(", ")} get the default tenant as a setting.`,
    "Rows are repaired in batches, while clients read and write; those that no key can hold are kept in atrium.quarantine.",
    "Keys and indexes are built beside the old ones, then exchanged, and row-level security is switched on, under one short lock.",
  ];
}
