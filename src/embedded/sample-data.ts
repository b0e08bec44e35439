import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import type { AppContext } from "../context/app-context.ts";
import { newApiKey, newPassword, sha256 } from "../context/crypto.ts";
import { ALL_SCOPES } from "../context/permissions.ts";
import { AppError } from "../errors.ts";
import * as passwords from "../services/passwords.ts";
import { fillSampleTenant, SAMPLE_OWNER } from "./sample-rows.ts";

const FILE = "sample-keys.json";
const NAMES = ["Acme", "Globex"];
const DEFAULT_SCHEMA_NAME = "tenant_default";

/** What the playground begins with: the query of docs/api.md. */
export const SAMPLE_QUERY =
  "{ tenantContext { source tenant { name } } sessions(first: 3) { totalCount nodes { name messages(last: 2) { nodes { role content } } } } }";

const keptKeys = z.object({
  /** False while the tenants are being made, so that a start that was killed is taken up again. */
  complete: z.boolean(),
  /** `password` is the owner's. */
  tenants: z.array(z.object({ name: z.string(), key: z.string(), password: z.string().optional() })),
});
type KeptKeys = z.infer<typeof keptKeys>;

type KeptTenant = KeptKeys["tenants"][number];
/** A tenant to play with, the text of a key that may do everything in it, and its owner's password. */
export type SampleTenant = KeptTenant & { readonly id: string };

type SampleParts = Pick<AppContext, "clients" | "crossTenant" | "clock">;

/**
 * Two tenants that look alike on purpose, on the first start of an installation that nobody uses yet: no tenant but the default one, and
 * nothing in that. Their keys are kept in the data folder, readable by its owner alone, so that later starts can show them again.
 *
 * @returns the tenants whose keys work; none where sample data was never made. Calling it again, after a crash as well, makes nothing twice.
 */
export async function makeSampleData(parts: SampleParts, dataDir: string): Promise<readonly SampleTenant[]> {
  const file = path.join(dataDir, FILE);
  const kept = readKept(file);
  if (kept?.complete === true) return workingOnes(parts, kept.tenants);
  if (!kept && !(await isUnused(parts))) return [];
  const { tenants } = kept ?? {
    tenants: NAMES.map((name) => ({ name, key: newApiKey().text, password: newPassword() })),
  };
  // Before the tenants: the database has but hashes, so a text that is lost cannot be shown again.
  writeKept(file, { complete: false, tenants });
  const made: SampleTenant[] = [];
  for (const tenant of tenants) {
    const id = await makeTenant(parts, tenant);
    if (id !== null) made.push({ ...tenant, id });
  }
  writeKept(file, { complete: true, tenants: made });
  return made;
}

/** What to tell somebody who has just started the gateway at `url`; empty without sample tenants. */
export function describeSampleData(tenants: readonly SampleTenant[], url: string): string[] {
  const [first] = tenants;
  if (!first) return [];
  const width = Math.max(...tenants.map(({ name }) => name.length));
  return [
    "Sample tenants, alike on purpose. A key shows its own tenant's data and no other's:",
    ...tenants.map(({ name, key }) => `  ${name.padEnd(width)}  ${key}`),
    `Try it at ${url}/playground, where the first key is filled in, with this query:`,
    `  ${SAMPLE_QUERY}`,
    "The same from a shell:",
    `  curl ${url}/graphql -H "Content-Type: application/json" -H "X-API-Key: ${first.key}" -d '${JSON.stringify({ query: SAMPLE_QUERY })}'`,
    ...describeOwners(tenants, url),
  ];
}

function describeOwners(tenants: readonly SampleTenant[], url: string): string[] {
  const lines = tenants.flatMap(({ name, id, password }) =>
    password === undefined ? [] : [`  ${url}/account/sign-in?tenant=${id}  ${name}, password ${password}`],
  );
  return lines.length === 0
    ? []
    : [`People sign in as well. ${SAMPLE_OWNER} is an owner of each, and two people:`, ...lines];
}

async function isUnused({ clients, crossTenant }: SampleParts): Promise<boolean> {
  const tenants = await crossTenant.listTenants({}, { direction: "asc", beyond: undefined, take: 2 });
  if (tenants.some(({ schemaName }) => schemaName !== DEFAULT_SCHEMA_NAME)) return false;
  // An adopted database has one tenant, and all of somebody's data in it.
  const found = await Promise.all(
    tenants.map(({ id }) => clients.of(id).db.session.findFirst({ select: { id: true } })),
  );
  return found.every((session) => session === null);
}

/** @returns the tenant's id; null where the name is somebody else's by now. */
async function makeTenant(
  { clients, crossTenant, clock }: SampleParts,
  { name, key, password }: KeptTenant,
): Promise<string | null> {
  const hash = sha256(key);
  const known = await crossTenant.keyByHash(hash);
  try {
    const id =
      known?.tenantId ??
      (
        await crossTenant.createTenant({
          name,
          schemaName: `tenant_${name.toLowerCase()}`,
          plan: "free",
          isolation: "shared",
          metadata: { sample: true },
          key: { hash, prefix: key.slice(0, key.lastIndexOf("_")), name: "Sample key", scopes: ALL_SCOPES },
        })
      ).id;
    const passwordHash = password === undefined ? null : await passwords.hash(password);
    await fillSampleTenant(clients.of(id), { name, passwordHash }, clock.now());
    return id;
  } catch (error) {
    // Somebody has made a tenant of this name since the start that did not end: it is theirs.
    if (error instanceof AppError && error.code === "CONFLICT") return null;
    throw error;
  }
}

async function workingOnes({ crossTenant }: SampleParts, tenants: readonly KeptTenant[]): Promise<SampleTenant[]> {
  const found = await Promise.all(
    tenants.map(async (tenant) => {
      const known = await crossTenant.keyByHash(sha256(tenant.key));
      const record = known?.active === true ? await crossTenant.tenantById(known.tenantId) : null;
      return record?.active === true ? [{ ...tenant, id: record.id }] : [];
    }),
  );
  return found.flat();
}

function readKept(file: string): KeptKeys | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return keptKeys.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    throw new Error(`${file} cannot be read. Remove it; the sample tenants' keys are then no longer shown.`);
  }
}

function writeKept(file: string, kept: KeptKeys): void {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o711 });
  // Written aside and renamed, so that a start that is killed here leaves a whole file.
  writeFileSync(`${file}.new`, `${JSON.stringify(kept, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
