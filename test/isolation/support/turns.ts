import pg from "pg";
import { openFairPool } from "../../../src/context/fair-pool.ts";
import { tenantPool } from "../../../src/context/tenant-pool.ts";
import type { TenantSetting } from "../../../src/context/tenant-pool.ts";
import { openTenantClients } from "../../../src/context/tenant-client.ts";
import type { TenantDb } from "../../../src/context/tenant-client.ts";
import { isFastPathOn } from "../../support/fast-path.ts";
import { until } from "../../support/until.ts";
import type { Gateway } from "./gateway.ts";
import { newTenant } from "./gateway.ts";

const UNKNOWN = "00000000-0000-7000-8000-000000000000";
const STATEMENT_TIMEOUT_MS = 200;

interface Turn {
  readonly db: TenantDb;
  readonly transact: <Result>(work: (db: TenantDb) => Promise<Result>) => Promise<Result>;
  /** A statement of the tenant's that takes half a minute. */
  readonly sleep: () => Promise<unknown>;
}

/** Every way in which what a tenant does on a connection can end. */
export const ENDINGS: Readonly<Record<string, (turn: Turn, gateway: Gateway) => Promise<unknown>>> = {
  success: ({ db }) => db.session.findMany(),
  error: ({ db }) => rejected(db.message.create({ data: { sessionId: UNKNOWN, role: "user", content: "of nothing" } })),
  "cancelled statement": async ({ sleep }, { superuser, database }) => {
    const sleeping = rejected(sleep());
    await until(async () => {
      const { rows } = await superuser.query<{ cancelled: boolean }>(
        "SELECT pg_cancel_backend(pid) AS cancelled FROM pg_stat_activity WHERE datname = $1 AND state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()",
        [new URL(database.gatewayUrl).pathname.slice(1)],
      );
      return rows.length > 0;
    });
    await sleeping;
  },
  "statement time-out": ({ sleep }) => rejected(sleep()),
  rollback: ({ transact }) =>
    rejected(
      transact(async (tx) => {
        await tx.session.create({ data: { name: "rolled back" } });
        throw new Error("changed my mind");
      }),
    ),
  "error in a transaction": ({ transact }) =>
    rejected(
      transact((tx) => tx.message.create({ data: { sessionId: UNKNOWN, role: "user", content: "of nothing" } })),
    ),
  "committed transaction": ({ transact }) => transact((tx) => tx.session.create({ data: { name: "committed" } })),
};

/**
 * Two tenants take turns on the one connection of a pool, the first one's turn ending in each possible way.
 *
 * @returns the endings after which the connection still told PostgreSQL of the first tenant.
 */
export async function settingsThatSurvive(gateway: Gateway, setting?: TenantSetting): Promise<string[]> {
  const { database, context } = gateway;
  const [first, second] = [await newTenant(context), await newTenant(context)];
  await context.clients.of(first).db.session.create({ data: { name: "of the first" } });
  await context.clients.of(second).db.session.create({ data: { name: "of the second" } });
  const survived: string[] = [];
  for (const [ending, act] of Object.entries(ENDINGS)) {
    const pool = new pg.Pool({
      connectionString: database.gatewayUrl,
      max: 1,
      pipeline: true,
      ...(ending === "statement time-out" && { statement_timeout: STATEMENT_TIMEOUT_MS }),
    });
    pool.on("connect", (client) => client.on("error", () => undefined));
    const clients = openTenantClients(openFairPool(pool, 1), {
      preparedStatements: true,
      fastPath: isFastPathOn(),
      statements: { count: 0 },
      walls: { scope: "on", setting },
    });
    const before = await connectionOf(pool);
    const { db, transact } = clients.of(first);
    const sleep = () => tenantPool(pool, first, { setting }).query({ text: "SELECT pg_sleep(30)" });
    await act({ db, transact, sleep }, gateway);
    const after = await connectionOf(pool);
    const { rows } = await pool.query<{ name: string }>("SELECT name FROM public.sessions");
    if (after.pid !== before.pid) throw new Error(`${ending}: the connection was thrown away, so nothing was shown`);
    if (after.tenant !== "" || rows.length > 0) survived.push(ending);
    const seen = await clients.of(second).db.session.findMany({ select: { name: true } });
    if (seen.map(({ name }) => name).join() !== "of the second") survived.push(`${ending}, seen by the second tenant`);
    await pool.end();
  }
  return survived;
}

async function connectionOf(pool: pg.Pool): Promise<{ pid: number; tenant: string }> {
  const { rows } = await pool.query<{ pid: number; tenant: string }>(
    "SELECT pg_backend_pid() AS pid, coalesce(current_setting('app.tenant_id', true), '') AS tenant",
  );
  const [found] = rows;
  if (!found) throw new Error("one row was expected");
  return found;
}

async function rejected(attempt: Promise<unknown>): Promise<unknown> {
  try {
    await attempt;
  } catch (error) {
    return error;
  }
  throw new Error("this was meant to fail");
}
