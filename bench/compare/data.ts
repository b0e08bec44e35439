import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import pg from "pg";
import { z } from "zod";
import { newApiKey } from "../../src/context/crypto.ts";
import { ALL_SCOPES } from "../../src/context/permissions.ts";
import { startEmbeddedPostgres } from "../../src/embedded/postgres.ts";
import type { EmbeddedPostgres } from "../../src/embedded/postgres.ts";
import { deploy } from "../../src/migrate/migrate.ts";
import { BENCH_SQL, SETTINGS_SQL } from "./sql.ts";

const FORM = 1; // of the data: one that was made in another form is made anew
const LIMITS = { requestsPerMinute: 1_000_000_000, complexityPerMinute: 1_000_000_000 }; // nothing of a run is refused
const PAIRS = 600;
const SEED = 20_261_123;
const FIRST_SESSION = "2026-06-01T00:00:00Z";

/** Tenants that are alike, and how much each of them has. */
interface Group {
  readonly tenants: number;
  readonly sessions: number;
  readonly messages: number;
}

const USUAL: readonly Group[] = [{ tenants: 50, sessions: 200, messages: 40 }];
const BIG: readonly Group[] = [
  ...USUAL,
  { tenants: 5, sessions: 20_000, messages: 40 },
  { tenants: 4_945, sessions: 20, messages: 20 },
];

const tenant = z.object({ id: z.string(), key: z.string(), group: z.number() });
const manifest = z.object({ form: z.number(), groups: z.unknown(), tenants: z.array(tenant) });
type Tenant = z.infer<typeof tenant>;

/** A session, and the credential of its tenant. */
export interface Pair {
  readonly key: string;
  readonly tenantId: string;
  readonly sessionId: string;
}

/** Pairs to send requests about, all drawn from tenants of the same kind. */
export interface Draw {
  readonly name: string;
  readonly pairs: readonly Pair[];
}

export interface BenchData {
  /** The folder of the cluster. */
  readonly dataDir: string;
  readonly postgres: EmbeddedPostgres;
  readonly draws: readonly Draw[];
}

/**
 * Starts the PostgreSQL that holds the data, and makes them first where they are missing or of another form. Kept in `folder`: the usual
 * set (400,000 messages) takes some seconds to make, the big one (6.4 million) some minutes.
 */
export async function openData(folder: string, big: boolean, say: (line: string) => void): Promise<BenchData> {
  const dataDir = path.join(folder, big ? "big" : "usual");
  const groups = big ? BIG : USUAL;
  const manifestFile = path.join(dataDir, "data.json");
  let tenants = readManifest(manifestFile, groups);
  if (!tenants) {
    rmSync(dataDir, { recursive: true, force: true });
    mkdirSync(dataDir, { recursive: true, mode: 0o711 });
    say(`Making ${big ? "the big" : "the"} data in ${path.relative(process.cwd(), dataDir)} …`);
    tenants = await makeData(dataDir, groups);
    writeFileSync(manifestFile, JSON.stringify({ form: FORM, groups, tenants }));
  }
  const postgres = await startEmbeddedPostgres({ dataDir });
  try {
    // Steps that are newer than the data are applied to them, as an installation would.
    await deploy(postgres.ownerUrl, { gatewayRole: new URL(postgres.gatewayUrl).username });
    await asSuperuser(postgres, async (client) => client.query(BENCH_SQL));
    return { dataDir, postgres, draws: await drawPairs(postgres, tenants, big) };
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

/** Work under the role that row-level security does not bind: making, counting and clearing the data, never measuring. */
export async function asSuperuser<T>(
  postgres: Pick<EmbeddedPostgres, "superuserUrl">,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ connectionString: postgres.superuserUrl });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

function readManifest(file: string, groups: readonly Group[]): Tenant[] | undefined {
  if (!existsSync(file)) return undefined;
  const read = manifest.safeParse(JSON.parse(readFileSync(file, "utf8")));
  if (!read.success || read.data.form !== FORM) return undefined;
  return JSON.stringify(read.data.groups) === JSON.stringify(groups) ? read.data.tenants : undefined;
}

async function makeData(dataDir: string, groups: readonly Group[]): Promise<Tenant[]> {
  const tenants: Tenant[] = [];
  const fresh = await startEmbeddedPostgres({ dataDir });
  await asSuperuser(fresh, async (client) => {
    for (const statement of SETTINGS_SQL) await client.query(statement);
  }).finally(() => fresh.stop());
  // The settings take effect with a start.
  const postgres = await startEmbeddedPostgres({ dataDir });
  try {
    await deploy(postgres.ownerUrl, { gatewayRole: new URL(postgres.gatewayUrl).username });
    await asSuperuser(postgres, async (client) => {
      for (const [index, group] of groups.entries()) {
        const made = await makeTenants(client, index, group.tenants);
        await fill(client, made, group);
        tenants.push(...made);
      }
      await client.query("ANALYZE");
      await client.query("VACUUM");
    });
  } finally {
    await postgres.stop();
  }
  return tenants;
}

async function makeTenants(client: pg.Client, group: number, count: number): Promise<Tenant[]> {
  const { rows } = await client.query<{ id: string }>(
    `INSERT INTO tenants (name, schema_name, plan, limits)
     SELECT format('Tenant %s.%s', $1::int, n), format('tenant_%s_%s', $1::int, n), 'enterprise', $3::jsonb
     FROM generate_series(1, $2::int) AS n RETURNING id`,
    [group, count, JSON.stringify(LIMITS)],
  );
  const made = rows.map(({ id }) => ({ id, key: newApiKey(), group }));
  await client.query(
    `INSERT INTO api_keys (tenant_id, name, key_hash, prefix, scopes)
     SELECT t, 'Bench', h, p, $4::jsonb FROM unnest($1::uuid[], $2::text[], $3::text[]) AS k (t, h, p)`,
    [
      made.map(({ id }) => id),
      made.map(({ key }) => key.hash),
      made.map(({ key }) => key.prefix),
      JSON.stringify(ALL_SCOPES),
    ],
  );
  return made.map(({ id, key }) => ({ id, key: key.text, group }));
}

/**
 * Sessions of all tenants in turn over a hundred days, and a message each minute from a session's begin, stored in the order of their time:
 * a session's messages lie near to each other, among those of a few others. Ids are of version 7 and carry the time they belong to.
 */
async function fill(client: pg.Client, tenants: readonly Tenant[], { sessions, messages }: Group): Promise<void> {
  const ids = tenants.map(({ id }) => id);
  // What foreign keys and triggers would check row by row is so by construction: minutes become seconds.
  await client.query("SET session_replication_role = replica");
  await client.query(
    `INSERT INTO sessions (id, tenant_id, name, status, metadata, created_at, updated_at)
     SELECT uuidv7(at - clock_timestamp()), tenant_id, 'Session ' || s, 'active', '{}', at, at + ($3::int - 1) * interval '1 minute'
     FROM (
       SELECT ($1::uuid[])[t] AS tenant_id, s, $4::timestamptz
         + (s * $5::int + t) * date_trunc('milliseconds', interval '100 days' / ($2::int * $5::int)) AS at
       FROM generate_series(0, $2::int - 1) AS s, generate_series(1, $5::int) AS t ORDER BY s, t
     ) AS made`,
    [ids, sessions, messages, FIRST_SESSION, ids.length],
  );
  await client.query(
    `INSERT INTO messages (id, tenant_id, session_id, role, content, metadata, timestamp)
     SELECT uuidv7(at - clock_timestamp()), tenant_id, id, CASE m % 2 WHEN 0 THEN 'user' ELSE 'assistant' END,
       repeat('Some words of a message. ', 1 + m % 8), '{}', at
     FROM (
       SELECT tenant_id, id, m, created_at + m * interval '1 minute' AS at
       FROM sessions, generate_series(0, $2::int - 1) AS m WHERE tenant_id = ANY ($1::uuid[]) ORDER BY at, id, m
     ) AS made`,
    [ids, messages],
  );
  await client.query("RESET session_replication_role");
}

async function drawPairs(
  postgres: EmbeddedPostgres,
  tenants: readonly Tenant[],
  big: boolean,
): Promise<readonly Draw[]> {
  const random = randomNumbers(SEED);
  const ofGroups = (...groups: number[]): Tenant[] => tenants.filter(({ group }) => groups.includes(group));
  async function draw(name: string, among: readonly Tenant[]): Promise<Draw> {
    const drawn = Array.from({ length: PAIRS }, () => among[Math.floor(random() * among.length)]).filter(
      (one) => one !== undefined,
    );
    const places = drawn.map(() => random());
    const { rows } = await asSuperuser(postgres, (client) =>
      client.query<{ id: string }>(
        `WITH listed AS (
           SELECT id, tenant_id, row_number() OVER (PARTITION BY tenant_id ORDER BY id) - 1 AS place,
             count(*) OVER (PARTITION BY tenant_id) AS total
           FROM sessions WHERE tenant_id = ANY ($1::uuid[])
         )
         SELECT l.id FROM unnest($1::uuid[], $2::float8[]) WITH ORDINALITY AS d (tenant_id, part, nth)
         JOIN listed AS l ON l.tenant_id = d.tenant_id AND l.place = floor(d.part * l.total) ORDER BY nth`,
        [drawn.map(({ id }) => id), places],
      ),
    );
    const pairs = drawn.map(({ id, key }, index) => ({ tenantId: id, key, sessionId: rows[index]?.id ?? "" }));
    return { name, pairs };
  }
  const usual = await draw("50 tenants of 200 sessions", ofGroups(0));
  if (!big) return [usual];
  return [usual, await draw("all 5,000 tenants", tenants), await draw("5 tenants of 20,000 sessions", ofGroups(1))];
}

/** Numbers from 0 to 1 that are the same in every run: mulberry32. */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
