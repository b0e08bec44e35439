import { rmSync } from "node:fs";
import pg from "pg";
import { verifyChain } from "../src/context/audit-chain.ts";
import { openPool } from "../src/context/prisma.ts";
import { startEmbeddedPostgres } from "../src/embedded/postgres.ts";
import { deploy } from "../src/migrate/migrate.ts";
import { temporaryFolder } from "../test/support/postgres.ts";

// What the chain costs a write that is audited, on a PostgreSQL of its own with its usual durability: one writer, eight in one tenant, and
// eight in eight tenants, with the chain and without, in turns. Then how long verifying takes.
// npx tsx bench/audit-chain.ts [rounds] [seconds of a round] [events to verify]

const [ROUNDS = 5, SECONDS = 3, EVENTS = 1_000_000] = process.argv.slice(2).map(Number);
const CASES = [
  { name: "1 writer", writers: 1, tenants: 1 },
  { name: "8 writers, 1 tenant", writers: 8, tenants: 1 },
  { name: "8 writers, 8 tenants", writers: 8, tenants: 8 },
];
const STATES = ["DISABLE", "ENABLE"] as const;
const BATCH = 500; // a transaction: each of its events finds the versions of the chain's end that those before it left
const MEGABYTE = 1_048_576;

async function main(): Promise<void> {
  const dataDir = temporaryFolder();
  const postgres = await startEmbeddedPostgres({ dataDir });
  const gateway = openPool({ url: postgres.gatewayUrl, max: 8, onConnectionError: () => undefined });
  const superuser = new pg.Pool({ connectionString: postgres.superuserUrl, max: 1 });
  try {
    await deploy(postgres.ownerUrl, { gatewayRole: new URL(postgres.gatewayUrl).username });
    const tenants = await makeTenants(superuser, 9);
    await measureWrites(gateway, superuser, tenants.slice(0, 8));
    await measureVerifying(gateway, superuser, tenants[8] ?? "");
  } finally {
    await Promise.all([gateway.end(), superuser.end()]);
    await postgres.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function makeTenants(superuser: pg.Pool, count: number): Promise<string[]> {
  const { rows } = await superuser.query<{ id: string }>(
    "INSERT INTO tenants (name, schema_name) SELECT 'Bench ' || n, 'bench_' || n FROM generate_series(1, $1::int) AS n RETURNING id",
    [count],
  );
  return rows.map(({ id }) => id);
}

async function measureWrites(gateway: pg.Pool, superuser: pg.Pool, tenants: readonly string[]): Promise<void> {
  const rates = new Map<string, number[]>();
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { name, writers, tenants: among } of CASES) {
      for (const state of round % 2 === 0 ? STATES : STATES.toReversed()) {
        await superuser.query(`ALTER TABLE audit_events ${state} TRIGGER link_audit_event`);
        const rate = await write(gateway, writers, tenants.slice(0, among));
        const key = `${name}, ${state}`;
        rates.set(key, [...(rates.get(key) ?? []), rate]);
      }
    }
  }
  await superuser.query("ALTER TABLE audit_events ENABLE TRIGGER link_audit_event");
  console.table(
    CASES.map(({ name }) => {
      const [without, withChain] = STATES.map((state) => rates.get(`${name}, ${state}`) ?? []);
      return { case: name, "without, writes a second": spread(without), "with the chain": spread(withChain) };
    }),
  );
}

/** @returns audited writes a second: a row and its event, in a transaction as the gateway makes it. */
async function write(gateway: pg.Pool, writers: number, tenants: readonly string[]): Promise<number> {
  let written = 0;
  const end = performance.now() + SECONDS * 1000;
  const one = async (tenantId: string): Promise<void> => {
    const client = await gateway.connect();
    while (performance.now() < end) {
      await client.query(`BEGIN; SET LOCAL app.tenant_id = '${tenantId}'`);
      await client.query({ name: "row", text: "INSERT INTO sessions (name) VALUES ('bench')" });
      await client.query({
        name: "event",
        text: "INSERT INTO audit_events (action, actor, target, ip) VALUES ('session.create', 'user:ada', uuidv7(), '::1')",
      });
      await client.query("COMMIT");
      written += 1;
    }
    client.release();
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: writers }, async (_, index) => one(tenants[index % tenants.length] ?? "")));
  return (written * 1000) / (performance.now() - start);
}

async function measureVerifying(gateway: pg.Pool, superuser: pg.Pool, tenantId: string): Promise<void> {
  const filled = performance.now();
  for (let written = 0; written < EVENTS; written += BATCH)
    await superuser.query(
      `INSERT INTO audit_events (tenant_id, action, actor, target, ip)
       SELECT $1, 'session.create', 'user:' || n, uuidv7(), '::1' FROM generate_series(1, $2::int) AS n`,
      [tenantId, BATCH],
    );
  const start = performance.now();
  const before = process.memoryUsage.rss();
  let most = before;
  const watch = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 100);
  const { position } = await verifyChain(gateway, tenantId, undefined, (problem) => console.log(problem));
  clearInterval(watch);
  console.table({
    events: position,
    "written and chained, s": ((start - filled) / 1000).toFixed(1),
    "verified, s": ((performance.now() - start) / 1000).toFixed(1),
    "memory before, MB": Math.round(before / MEGABYTE),
    "memory at most, MB": Math.round(most / MEGABYTE),
  });
}

function spread(rates: readonly number[] = []): string {
  const sorted = rates.toSorted((left, right) => left - right).map(Math.round);
  return `${sorted[Math.floor(sorted.length / 2)]} (${sorted[0]} to ${sorted.at(-1)})`;
}

await main();
