import type pg from "pg";
import type { CrossTenant } from "./cross-tenant.ts";
import { checkWalls, failed, orFailed, passed } from "./isolation-checks.ts";
import type { Check } from "./isolation-checks.ts";
import type { TenantClients, TenantDb } from "./tenant-client.ts";
import { tenantPool } from "./tenant-pool.ts";
import { tenantTables } from "./tenant-scope.ts";

const REMEDY = "take the gateway out of service and find out why";

/** What the proof is led with: the very parts that serve. */
export interface IsolationParts {
  readonly pool: pg.Pool;
  readonly clients: TenantClients;
  readonly crossTenant: CrossTenant;
  readonly expectedMigration: string;
}

/** Shows on the live database that the walls stand. */
export interface Isolation {
  /**
   * Holds the walls against the catalogue, then tries to get through them with two tenants that are made for it and removed.
   * One at a time: whoever asks while it runs gets the answer of the run under way.
   */
  readonly prove: () => Promise<readonly Check[]>;
}

export function openIsolation(parts: IsolationParts): Isolation {
  let running: Promise<readonly Check[]> | undefined;
  async function run(): Promise<readonly Check[]> {
    return [...(await checkWalls(parts.pool, parts)), ...(await probe(parts))];
  }
  return {
    prove() {
      running ??= run().finally(() => {
        running = undefined;
      });
      return running;
    },
  };
}

/** The two canary tenants, and a session of each. */
interface Canaries {
  readonly mine: Canary;
  readonly theirs: Canary;
}
interface Canary {
  readonly tenantId: string;
  readonly db: TenantDb;
  readonly sessionId: string;
}

async function probe(parts: IsolationParts): Promise<Check[]> {
  const made: string[] = [];
  const checks = await orFailed("the probe runs", async () => {
    const canary = async (): Promise<Canary> => {
      const tenantId = await parts.crossTenant.createCanary();
      made.push(tenantId);
      const { db } = parts.clients.of(tenantId);
      const { id } = await db.session.create({ data: { name: "canary" } });
      await db.message.create({ data: { sessionId: id, role: "user", content: `canary of ${tenantId}` } });
      return { tenantId, db, sessionId: id };
    };
    const canaries = { mine: await canary(), theirs: await canary() };
    return [
      ...(await tryScopedClient(canaries)),
      ...(await tryRows(parts.pool, canaries)),
      ...(await tryWrites(parts.pool, canaries)),
    ];
  });
  return [...checks, ...(await removeAll(parts.crossTenant, made))];
}

/** Whatever happened before, nothing stays behind. */
async function removeAll(crossTenant: CrossTenant, ids: readonly string[]): Promise<Check[]> {
  const name = "the probe leaves nothing behind";
  return orFailed(name, async () => {
    const removed = await Promise.all(ids.map((id) => crossTenant.deleteCanary(id)));
    return [removed.every(Boolean) ? passed(name, null) : failed(name, null, "a canary was gone already", REMEDY)];
  });
}

async function tryScopedClient({ mine, theirs }: Canaries): Promise<Check[]> {
  const where = { id: theirs.sessionId };
  const { session } = mine.db;
  const reads = {
    findUnique: () => session.findUnique({ where }),
    findFirst: () => session.findFirst({ where }),
    findMany: async () => (await session.findMany()).find((row) => row.id === theirs.sessionId) ?? null,
    count: async () => ((await session.count({ where })) === 0 ? null : true),
    "findMany by a foreign key": async () =>
      (await mine.db.message.findMany({ where: { sessionId: theirs.sessionId } })).at(0) ?? null,
  };
  const writes = {
    updateMany: async () => (await session.updateMany({ where, data: { name: "taken" } })).count === 0,
    deleteMany: async () => (await session.deleteMany({ where })).count === 0,
    update: () => isRefused(session.update({ where, data: { name: "taken" } })),
    delete: () => isRefused(session.delete({ where })),
  };
  const own = "the scoped client shows a tenant its own rows";
  const read = "the scoped client shows no row of another tenant";
  const write = "the scoped client changes no row of another tenant";
  return [
    ...(await verdict(own, async () =>
      (await session.findUnique({ where: { id: mine.sessionId } })) === null ? "it shows nothing at all" : null,
    )),
    ...(await verdict(read, async () => {
      for (const [operation, attempt] of Object.entries(reads)) {
        if ((await attempt()) !== null) return `${operation} shows it`;
      }
      return null;
    })),
    ...(await verdict(write, async () => {
      for (const [operation, attempt] of Object.entries(writes)) {
        if (!(await attempt())) return `${operation} was not refused`;
      }
      const after = await theirs.db.session.findUnique({ where });
      return after?.name === "canary" ? null : "the row has changed";
    })),
  ];
}

/** Straight at the tables, without the scoped client: what row-level security shows by itself. */
async function tryRows(pool: pg.Pool, { mine, theirs }: Canaries): Promise<Check[]> {
  const asMe = tenantPool(pool, mine.tenantId);
  const visible = "row-level security shows one tenant's rows";
  const nothing = "row-level security shows nothing without a tenant";
  const checks: Check[] = [];
  for (const table of tenantTables()) {
    const foreign = `SELECT count(*)::int AS count FROM public."${table}" WHERE tenant_id = $1 OR tenant_id <> $2`;
    checks.push(
      ...(await verdict(
        visible,
        async () => ((await count(asMe, foreign, [theirs.tenantId, mine.tenantId])) === 0 ? null : "foreign rows show"),
        table,
      )),
      ...(await verdict(
        nothing,
        async () =>
          (await count(pool, `SELECT count(*)::int AS count FROM public."${table}"`)) === 0 ? null : "rows show",
        table,
      )),
    );
  }
  return checks;
}

async function tryWrites(pool: pg.Pool, { mine, theirs }: Canaries): Promise<Check[]> {
  const asMe = tenantPool(pool, mine.tenantId);
  const attempts = [
    {
      name: "row-level security takes no row for another tenant",
      text: "INSERT INTO public.sessions (tenant_id, name) VALUES ($1, 'canary')",
      values: [theirs.tenantId],
      refusal: "42501",
    },
    {
      name: "a row cannot move to another tenant",
      text: "UPDATE public.sessions SET tenant_id = $1 WHERE id = $2",
      values: [theirs.tenantId, mine.sessionId],
      refusal: "42501",
    },
    {
      name: "a key reaches no row of another tenant",
      text: "INSERT INTO public.messages (tenant_id, session_id, role, content) VALUES ($1, $2, 'user', 'canary')",
      values: [mine.tenantId, theirs.sessionId],
      refusal: "23503",
    },
    {
      name: "tenants are written by functions alone",
      text: "UPDATE public.tenants SET name = name WHERE id = $1",
      values: [mine.tenantId],
      refusal: "42501",
    },
  ];
  const checks: Check[] = [];
  for (const { name, text, values, refusal } of attempts) {
    checks.push(
      ...(await verdict(name, async () => {
        try {
          await asMe.query({ text, values });
        } catch (error) {
          if (error instanceof Error && Reflect.get(error, "code") === refusal) return null;
          throw error;
        }
        return "the database took it";
      })),
    );
  }
  return checks;
}

async function count(pool: pg.Pool, text: string, values: readonly string[] = []): Promise<number> {
  const { rows } = await pool.query<{ count: number }>({ text, values: [...values] });
  return rows[0]?.count ?? Number.NaN;
}

async function isRefused(attempt: Promise<unknown>): Promise<boolean> {
  try {
    await attempt;
    return false;
  } catch (error) {
    if (error instanceof Error && Reflect.get(error, "code") === "NOT_FOUND") return true;
    throw error;
  }
}

async function verdict(
  name: string,
  problem: () => Promise<string | null>,
  table: string | null = null,
): Promise<Check[]> {
  return orFailed(name, async () => {
    const found = await problem();
    return [found === null ? passed(name, table) : failed(name, table, found, REMEDY)];
  });
}
