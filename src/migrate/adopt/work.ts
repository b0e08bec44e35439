import type pg from "pg";
import { fillTable, type FillOptions } from "./fill.ts";
import * as ledgers from "./ledger.ts";
import { exclusively, inTransaction, type LockWatch } from "./locks.ts";
import * as oldClients from "./old-clients.ts";
import { makeReport } from "./outcome.ts";
import { prepareContract } from "./prepare.ts";
import type { Progress } from "./progress.ts";
import type { AdoptOptions, AdoptProgress, AdoptReport } from "./report.ts";
import { rulesFor, type TableRules } from "./rules.ts";
import { appliedSteps, applyStep, markApplied, markBegun, STEPS } from "./steps.ts";
import * as writes from "./writes.ts";

const BATCH_ROWS = 5_000;
const LOCK_PATIENCE_MS = 600_000;

/** Adds what the new schema needs beside the old one, begins to keep books, and gives the old clients' roles the default tenant. */
export async function expand(
  client: pg.Client,
  subject: ledgers.Subject,
  options: AdoptOptions,
  progress: Progress,
): Promise<void> {
  const watch = watchLocks("expand", options, progress);
  await exclusively(client, watch, subject.tables, async () => {
    progress.say("expand", "adding columns and tables");
    await markApplied(client, STEPS.legacy);
    await markBegun(client, STEPS.keys);
    await ledgers.openLedger(client, subject);
    await writes.countWrites(client, subject.tables);
    for (const step of STEPS.expand) await applyStep(client, step);
    await oldClients.setDefaultTenant(client, subject.clientRoles, await ledgers.defaultTenant(client));
  });
  await ledgers.noteTimes(client, watch.longestMs, 0);
}

/** Does what remains of an adoption, from wherever it stands. */
export async function carryOn(
  client: pg.Client,
  isResumed: boolean,
  options: AdoptOptions,
  progress: Progress,
): Promise<AdoptReport> {
  // Roles got their setting before this moment, by the server's clock: whoever connected earlier may lack it.
  await client.query("UPDATE atrium.adoption SET roles_set_at = clock_timestamp() WHERE roles_set_at IS NULL");
  const applied = await appliedSteps(client);
  if (!STEPS.switch.every((step) => applied.has(step))) {
    await client.query("SET atrium.adopting = 'on'");
    await countRowsBefore(client, progress);
    const ledger = await ledgers.mustReadLedger(client);
    const tenantId = await ledgers.defaultTenant(client);
    const hasTenants = ledger.tables.includes("tenants");
    const work: Work = {
      client,
      ledger,
      tenantId,
      rules: rulesFor({ startedAt: ledger.startedAt, hasTenants }).filter(({ table }) => ledger.tables.includes(table)),
      options,
      progress,
    };
    await fill(work);
    await prepare(work);
    await change(work);
    await client.query("RESET atrium.adopting");
  }
  return finish(client, isResumed, options, progress);
}

interface Work {
  readonly client: pg.Client;
  readonly ledger: ledgers.Ledger;
  readonly tenantId: string;
  readonly rules: readonly TableRules[];
  readonly options: AdoptOptions;
  readonly progress: Progress;
}

async function countRowsBefore(client: pg.Client, progress: Progress): Promise<void> {
  const ledger = await ledgers.mustReadLedger(client);
  if (ledger.rowsBefore !== null) return;
  progress.say("look", "counting rows");
  const rowsBefore = await writes.rowsWhenCountingBegan(client, ledger.tables);
  await client.query("UPDATE atrium.adoption SET rows_before = $1", [JSON.stringify(rowsBefore)]);
}

async function fill(work: Work): Promise<void> {
  const { client, ledger, rules, progress } = work;
  let rowsDone = 0;
  for (const { table } of rules) rowsDone += (await ledgers.readProgress(client, table)).rowsSeen;
  progress.expect(
    Object.values(ledger.rowsBefore ?? {}).reduce((sum, rows) => sum + rows, 0),
    rowsDone,
  );
  for (const table of rules) {
    progress.say("fill", `filling ${table.table}`);
    await fillTable(client, table, fillOptions(work));
  }
}

/** Builds beside the old keys all that the new ones need, while clients go on. */
async function prepare(work: Work): Promise<void> {
  const { client, ledger, rules, options, progress } = work;
  const watch = watchLocks("prepare", options, progress);
  await prepareContract(client, {
    tables: ledger.tables,
    watch,
    onStep: (message) => {
      progress.say("prepare", message);
    },
    refill: async (table) => {
      await ledgers.restartTable(client, table);
      const again = rules.find((one) => one.table === table);
      if (again !== undefined) await fillTable(client, again, fillOptions(work));
    },
  });
  const applied = await appliedSteps(client);
  if (!applied.has(STEPS.fill)) {
    progress.say("prepare", "looking for rows that were missed");
    await inTransaction(client, watch, () => applyStep(client, STEPS.fill));
  }
  await ledgers.noteTimes(client, watch.longestMs, 0);
}

/** Makes the new keys and the walls, in one transaction of a fraction of a second. */
async function change(work: Work): Promise<void> {
  const { client, ledger, tenantId, options, progress } = work;
  const watch = watchLocks("switch", options, progress);
  await endOldConnections(work);
  const owned = ledger.tables.filter((table) => table !== "tenants");
  const all = [...new Set(["tenants", "users", "api_keys", ...owned])];
  await exclusively(client, watch, all, async () => {
    progress.say("switch", "changing the keys");
    for (const step of STEPS.switch) await applyStep(client, step);
    await oldClients.giveOldConnectionsTheirTenant(client, owned, ledger.clientRoles, tenantId);
    progress.say("switch", "the keys are changed");
  });
  await ledgers.noteTimes(client, watch.longestMs, 0);
}

async function endOldConnections({ client, ledger, progress }: Work): Promise<void> {
  if (ledger.rolesSetAt === null) return;
  progress.say("switch", "waiting until old connections are idle");
  const roles = await oldClients.describeRoles(client, ledger.clientRoles);
  const withTenant = roles.filter((role) => role.hasDefaultTenant).map(({ name }) => name);
  const ended = await oldClients.endConnectionsWithoutTenant(client, withTenant, ledger.rolesSetAt);
  await client.query("UPDATE atrium.adoption SET connections_ended = connections_ended + $1", [ended]);
}

/** Proves that no row was lost, keeps the report, and stops counting. */
async function finish(
  client: pg.Client,
  isResumed: boolean,
  options: AdoptOptions,
  progress: Progress,
): Promise<AdoptReport> {
  const watch = watchLocks("verify", options, progress);
  const ledger = await ledgers.mustReadLedger(client);
  let report = ledger.report;
  if (report === null) {
    progress.say("verify", "counting rows again");
    report = await makeReport(client, ledger);
    // Kept before the counting stops: from then on it could not be made again.
    await ledgers.keepReport(client, report);
  }
  await writes.stopCountingWrites(client, watch, ledger.tables);
  progress.say("verify", "giving the gateway its rights");
  return { ...report, resumed: isResumed, longestLockMs: Math.max(report.longestLockMs, watch.longestMs) };
}

function fillOptions({ tenantId, options, progress }: Work): FillOptions {
  return {
    defaultTenantId: tenantId,
    batchRows: options.batchRows ?? BATCH_ROWS,
    watch: watchLocks("fill", options, progress),
    onBatch: (table, rows) => {
      progress.advance(`filling ${table}`, rows);
    },
  };
}

function watchLocks(phase: AdoptProgress["phase"], options: AdoptOptions, progress: Progress): LockWatch {
  return {
    longestMs: 0,
    patienceMs: options.lockPatienceMs ?? LOCK_PATIENCE_MS,
    onWait: (message) => {
      progress.say(phase, message);
    },
  };
}
