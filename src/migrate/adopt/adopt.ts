import type pg from "pg";
import { stepNames } from "../files.ts";
import { deploy } from "../migrate.ts";
import { closeLedger, readLedger } from "./ledger.ts";
import { findClientRoles } from "./old-clients.ts";
import { nothingToAdopt, rehearse } from "./outcome.ts";
import { preflight } from "./preflight.ts";
import { trackProgress, type Progress } from "./progress.ts";
import { recogniseLegacy } from "./recognise.ts";
import { AdoptError, type AdoptOptions, type AdoptReport, type Found } from "./report.ts";
import { openSession } from "./session.ts";
import { appliedSteps, STEPS } from "./steps.ts";
import { V2_SHAPES } from "./shapes.ts";
import { carryOn, expand } from "./work.ts";

export type { AdoptOptions, AdoptProgress, AdoptReport, TableReport } from "./report.ts";

/**
 * Brings a database of the predecessor to the current schema, all of its data in the tenant it belongs to.
 *
 * May be interrupted at any point, kill -9 included, and run again: it goes on where it was, from what the database says.
 * Clients go on reading and writing, but for locks of a fraction of a second that are measured and reported. A database that is
 * current, or empty, is left alone.
 *
 * @param ownerUrl the role that owns the tables, or a superuser; a direct connection, not one through a pooler of transactions.
 * @throws AdoptError when the database is not recognised (the message says how it differs), is not ready, or rows do not add up.
 */
export async function adopt(ownerUrl: string, options: AdoptOptions): Promise<AdoptReport> {
  const progress = trackProgress(options.onProgress);
  const client = await openSession(ownerUrl, options.dryRun === true);
  let report: AdoptReport;
  try {
    report = await adoptOn(client, options, progress);
  } finally {
    await client.end();
  }
  if (report.changed) {
    // Steps of later releases, and the gateway's rights. The connection above has let go of the lock that deploy takes.
    await deploy(ownerUrl, { gatewayRole: options.gatewayRole });
    await close(ownerUrl);
    progress.say("verify", "done");
  }
  return report;
}

/** From here on the adoption counts as done; until here, the next run takes it up again. */
async function close(ownerUrl: string): Promise<void> {
  const client = await openSession(ownerUrl, false);
  try {
    if ((await readLedger(client)) !== undefined) await closeLedger(client);
  } finally {
    await client.end();
  }
}

async function adoptOn(client: pg.Client, options: AdoptOptions, progress: Progress): Promise<AdoptReport> {
  progress.say("look", "looking at the database");
  const open = await readLedger(client);
  if (open !== undefined && !open.finished) {
    if (options.dryRun === true) return rehearse(client, open);
    return carryOn(client, true, options, progress);
  }
  const found = await recognise(client);
  if (found === "current" || found === "empty") {
    const applied = await appliedSteps(client);
    return nothingToAdopt(
      found,
      options.dryRun === true,
      stepNames().filter((step) => !applied.has(step)),
    );
  }
  const tables = await tablesThere(client);
  const clientRoles = await findClientRoles(client, tables, options.gatewayRole, options.clientRoles);
  const subject = { found, tables, clientRoles };
  await preflight(client, subject, options.gatewayRole);
  progress.say("look", `found ${found}`);
  if (options.dryRun === true) return rehearse(client, subject);
  await expand(client, subject, options, progress);
  return carryOn(client, false, options, progress);
}

async function recognise(client: pg.Client): Promise<Found> {
  const applied = await appliedSteps(client);
  if (STEPS.switch.every((step) => applied.has(step))) return "current";
  if (applied.size > 0) {
    throw new AdoptError(
      "This database is on its way through our own steps, without an adoption: `atrium migrate deploy` goes on with it.",
    );
  }
  const recognised = await recogniseLegacy(client);
  if (recognised.found !== "unknown") return recognised.found;
  throw new AdoptError(
    [
      `This database is none that adopt knows. It comes nearest to ${recognised.nearest}, and differs in this:`,
      ...recognised.differences.map((difference) => `- ${difference}`),
    ].join("\n"),
  );
}

/** Tables of the predecessor that the database has, parents first. */
async function tablesThere(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    "SELECT n AS name FROM unnest($1::text[]) WITH ORDINALITY AS t (n, position) WHERE to_regclass('public.' || n) IS NOT NULL ORDER BY position",
    [Object.keys(V2_SHAPES)],
  );
  return rows.map(({ name }) => name);
}
