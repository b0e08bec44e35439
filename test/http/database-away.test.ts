import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { readFileSync, rmSync } from "node:fs";
import path from "node:path";
import pg from "pg";
import { z } from "zod";
import { openApp } from "../../src/app.ts";
import type { App } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import { openLog } from "../../src/context/log.ts";
import { startEmbeddedPostgres } from "../../src/embedded/postgres.ts";
import type { EmbeddedPostgres } from "../../src/embedded/postgres.ts";
import { deploy } from "../../src/migrate/migrate.ts";
import { openLine } from "../support/line.ts";
import type { Line } from "../support/line.ts";
import { temporaryFolder } from "../support/postgres.ts";
import { codesOf } from "../support/send.ts";
import { tenantMaker } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";
import { until } from "../support/until.ts";

const WRITERS = 6; // for each of two tenants
const MADE_BEFORE = 3;
const MADE_AFTER = 3;
const WRITE = "mutation ($name: String!) { createSession(input: { name: $name }) { session { name } } }";
const READ = "{ sessions(first: 50) { nodes { name } } }";

const names = z.object({ sessions: z.object({ nodes: z.array(z.object({ name: z.string() })) }) });

let folder: string;
let postgres: EmbeddedPostgres;
let line: Line;
let app: App;
beforeAll(async () => {
  folder = temporaryFolder();
  // As in production: what was acknowledged is on its way to the disk, and survives the server's death.
  postgres = await startEmbeddedPostgres({ dataDir: folder });
  await deploy(postgres.ownerUrl, { gatewayRole: new URL(postgres.gatewayUrl).username });
  line = await openLine(Number(new URL(postgres.gatewayUrl).port));
  const gatewayUrl = line.through(postgres.gatewayUrl);
  const config = readConfig({ PORT: "0", DATABASE_URL: gatewayUrl, DATABASE_OWNER_URL: postgres.ownerUrl });
  app = await openApp({
    config,
    gatewayUrl,
    platformAdminKey: "test-platform-administrator-key-0123456789",
    masterKey: "test-master-key-0123456789-0123456789",
    log: openLog({ logLevel: "silent" }),
  });
}, 60_000);
afterAll(async () => {
  await app.close();
  await line.cut();
  await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function asSuperuser<Row extends pg.QueryResultRow>(statement: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: postgres.superuserUrl });
  client.on("error", () => undefined);
  await client.connect();
  try {
    return (await client.query<Row>(statement)).rows;
  } finally {
    await client.end();
  }
}

/** Ends PostgreSQL as a crash would. */
async function killPostgres(): Promise<void> {
  const [row] = await asSuperuser<{ data_directory: string }>("SHOW data_directory");
  const pid = Number(readFileSync(path.join(row?.data_directory ?? "", "postmaster.pid"), "utf8").split("\n")[0]);
  process.kill(pid, "SIGKILL");
}

async function isReady(): Promise<boolean> {
  return (await fetch(`${app.url}/readyz`)).status === 200;
}

interface Load {
  readonly acknowledged: readonly string[];
  readonly codes: ReadonlySet<unknown>;
  /** Names that an answer showed to a tenant that is not theirs. */
  readonly foreign: readonly string[];
  readonly end: () => Promise<void>;
}

/** Writes and reads without pause for a tenant; each name begins with the tenant's id. */
function underLoad({ id, send }: TestTenant): Load {
  const acknowledged: string[] = [];
  const foreign: string[] = [];
  const codes = new Set<unknown>();
  let isOver = false;
  async function work(worker: number): Promise<void> {
    for (let turn = 0; !isOver; turn += 1) {
      const name = `${id} ${worker} ${turn}`;
      const written = await send(WRITE, { name });
      const read = await send(READ);
      for (const code of [...codesOf(written), ...codesOf(read)]) codes.add(code);
      if (written.data != null && !written.errors) acknowledged.push(name);
      const seen = names.safeParse(read.data);
      if (seen.success)
        foreign.push(...seen.data.sessions.nodes.flatMap((node) => (node.name.startsWith(id) ? [] : [node.name])));
    }
  }
  const workers = Promise.all(Array.from({ length: WRITERS }, (_, worker) => work(worker)));
  async function end(): Promise<void> {
    isOver = true;
    await workers;
  }
  return { acknowledged, codes, foreign, end };
}

test("a database that dies under load: clear errors, unready, recovery by itself, no wrong row, no lost write", async () => {
  const newTenant = tenantMaker(app, `${app.url}/graphql`);
  const tenants = await Promise.all([newTenant(), newTenant()]);
  const loads = tenants.map(underLoad);
  const counts = () => loads.map(({ acknowledged }) => acknowledged.length);
  await until(() => counts().every((count) => count >= MADE_BEFORE * WRITERS));

  await killPostgres();
  await line.cut();
  await until(() => loads.every(({ codes }) => codes.has("UNAVAILABLE")));
  const unready = await fetch(`${app.url}/readyz`);
  expect(unready.status).toBe(503);
  expect(await unready.json()).toMatchObject({ ok: false, checks: { database: "away" } });
  expect((await fetch(`${app.url}/livez`)).status).toBe(200);
  const refused = await tenants[0].send(READ);
  expect([refused.status, codesOf(refused)]).toEqual([503, ["UNAVAILABLE"]]);
  expect(refused.comparable).not.toMatch(/ECONN|127\.0\.0\.1|postgres|prisma/i);

  // Its supervisor starts it again; the gateway is told nothing.
  await until(() =>
    asSuperuser("SELECT 1").then(
      () => true,
      () => false,
    ),
  );
  await line.mend();
  await until(isReady);
  const before = counts();
  await until(() => counts().every((count, index) => count >= (before[index] ?? 0) + MADE_AFTER * WRITERS));
  await Promise.all(loads.map(({ end }) => end()));

  for (const { codes, foreign } of loads) {
    expect([...codes]).toEqual(["UNAVAILABLE"]);
    expect(foreign).toEqual([]);
  }
  const rows = await asSuperuser<{ tenant_id: string; name: string }>("SELECT tenant_id, name FROM sessions");
  const kept = new Set(rows.map(({ name }) => name));
  expect(rows.filter((row) => !row.name.startsWith(row.tenant_id))).toEqual([]);
  expect(kept.size).toBe(rows.length);
  expect(loads.flatMap(({ acknowledged }) => acknowledged).filter((name) => !kept.has(name))).toEqual([]);
  const [trail] = await asSuperuser<{ count: number }>(
    "SELECT count(*)::int AS count FROM audit_events WHERE action = 'session.create'",
  );
  expect(trail?.count).toBe(rows.length);
}, 60_000);
