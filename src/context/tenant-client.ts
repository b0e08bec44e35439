import { LRUCache } from "lru-cache";
import type pg from "pg";
import { isDeadlock, translateDatabaseError } from "./database-errors.ts";
import type { FairPool } from "./fair-pool.ts";
import type { PrismaClient } from "./generated/client/client.ts";
import type { TenantDb } from "./generated/tenancy/client-types.ts";
import { TENANT_OWNED_MODELS } from "./generated/tenancy/models.ts";
import { openPlans } from "./plans/plans.ts";
import type { Plans } from "./plans/plans.ts";
import { openPrisma, statementNames } from "./prisma.ts";
import { poolFrom, tenantConnections } from "./tenant-pool.ts";
import type { TenantConnections, TenantSetting } from "./tenant-pool.ts";
import { scopeToTenant } from "./tenant-scope.ts";
import type { StatementCounter } from "./tenant-transaction.ts";
import { openTenantTransactions } from "./tenant-transactions.ts";
import type { PrismaCall } from "./tenant-transactions.ts";

export type { TenantDb } from "./generated/tenancy/client-types.ts";

const ATTEMPTS_MAX = 3; // of a transaction that another one stands in the way of
const TENANT_CLIENTS_MAX = 500; // 0.3 MB each
const OPERATIONS = Object.freeze([
  "findUnique", "findFirst", "findMany", "create", "createMany", "update", "updateMany", "upsert", "delete", "deleteMany", "count", "groupBy",
] as const); // prettier-ignore

/** One tenant's rows, and a way to change several of them in one transaction. */
export interface TenantClient {
  readonly db: TenantDb;
  /** Runs `work` in one transaction: all of its writes happen, or none. */
  readonly transact: <Result>(work: (db: TenantDb) => Promise<Result>) => Promise<Result>;
}

/** The clients of the tenants that were active last. */
export interface TenantClients {
  readonly of: (tenantId: string) => TenantClient;
  /** How the calls of all clients were run. */
  readonly plans: Pick<Plans, "counts" | "settled">;
}

/** Test-only: takes a wall down, or swaps the statement that tells PostgreSQL the tenant. Production start refuses it. */
export interface WallSwitches {
  readonly scope: "on" | "off";
  readonly setting?: TenantSetting;
}

/**
 * One PrismaClient for each tenant over one shared pool. Never one client for several: Prisma batches the look-ups of one tick into one
 * statement, which would run in the context of whoever asked first.
 */
export function openTenantClients(
  pool: FairPool,
  options: {
    readonly preparedStatements: boolean;
    /** Whether statements that Prisma has written once are run without it. */
    readonly fastPath: boolean;
    readonly statements: StatementCounter;
    readonly walls?: WallSwitches | undefined;
  },
): TenantClients {
  const { walls, statements } = options;
  const nameOf = options.preparedStatements ? statementNames() : () => "";
  const plans = options.fastPath
    ? openPlans(
        (over, tenantId) =>
          callsOf(
            extend(
              tenantId,
              openPrisma(over, () => ""),
              walls?.scope,
            ),
          ),
        nameOf,
      )
    : NO_PLANS;
  const clients = new LRUCache<string, TenantClient>({ max: TENANT_CLIENTS_MAX });

  function make(tenantId: string): TenantClient {
    const connections = tenantConnections(pool.of(tenantId), tenantId, { setting: walls?.setting, statements });
    const clientOver = (over: pg.Pool) => extend(tenantId, openPrisma(over, nameOf), walls?.scope);
    return options.fastPath
      ? plannedClient(tenantId, connections, plans, clientOver)
      : prismaClient(clientOver(poolFrom(connections)));
  }

  return {
    plans,
    of(tenantId) {
      const known = clients.get(tenantId);
      if (known) return known;
      const made = make(tenantId);
      clients.set(tenantId, made);
      return made;
    },
  };
}

type ScopedPrisma = ReturnType<typeof extend>;

const NO_PLANS: Plans = {
  find: () => undefined,
  counts: () => ({ taken: 0, passed: 0, compiled: 0, refused: 0 }),
  settled: async () => undefined,
};

/** Every call goes through Prisma. */
function prismaClient(scoped: ScopedPrisma): TenantClient {
  const transact = scoped.$transaction.bind(scoped);
  return {
    db: seal(callsOf(scoped)),
    transact: (work) => again(() => transact((inner) => work(seal(callsOf(inner))))).catch(translateDatabaseError),
  };
}

/** Calls that have a plan run on the connection itself, all others go through Prisma, in transactions as well. */
function plannedClient(
  tenantId: string,
  connections: TenantConnections,
  plans: Plans,
  clientOver: (pool: pg.Pool) => ScopedPrisma,
): TenantClient {
  const prisma = callsOf(clientOver(poolFrom(connections)));
  const transactions = openTenantTransactions(connections.connect, (pool) => {
    const joining = clientOver(pool);
    return { transact: (work) => joining.$transaction((inner) => work(callsOf(inner))) };
  });

  function planned({ query }: Pick<TenantConnections, "query">, otherwise: PrismaCall): PrismaCall {
    return (model, operation, args) => {
      const call = plans.find({ model, operation, args });
      return call ? call(query, tenantId) : otherwise(model, operation, args);
    };
  }

  return {
    db: seal(planned(connections, prisma)),
    transact: (work) =>
      again(() =>
        transactions.run((connection, inner) =>
          work(seal(planned({ query: (statement) => connection.query(statement) }, inner))),
        ),
      ).catch(translateDatabaseError),
  };
}

/** PostgreSQL ends one of two transactions that wait for each other; nothing of it happened, and the other one is through by now. */
async function again<Result>(attempt: () => Promise<Result>): Promise<Result> {
  for (let number = 1; number < ATTEMPTS_MAX; number += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!isDeadlock(error)) throw error;
    }
  }
  return attempt();
}

/** The extension that injects the tenant: wall one. What it gives can be got around by `$parent` and raw SQL, so only `seal` hands it out; the isolation suite attacks it bare. */
export function extend(tenantId: string, prisma: PrismaClient, scope: "on" | "off" = "on") {
  return prisma.$extends({
    name: "tenant",
    query: {
      async $allOperations({ model, operation, args, query }): Promise<unknown> {
        return query(scope === "on" ? scopeToTenant(tenantId, model, operation, args) : args);
      },
    },
  });
}

/** A scoped client's operations by name. Calls start at once: Prisma's own promises are lazy, and one that nobody awaits never runs. */
function callsOf(client: object): PrismaCall {
  return async (model, operation, args) => {
    const delegate: unknown = Reflect.get(client, TENANT_OWNED_MODELS[model]?.client ?? "");
    const call: unknown =
      typeof delegate === "object" && delegate !== null ? Reflect.get(delegate, operation) : undefined;
    if (typeof call !== "function") throw new Error(`Prisma has no ${model}.${operation}`);
    const answer: unknown = await Reflect.apply(call, delegate, [args]);
    return answer;
  };
}

/**
 * What services get: the models and their operations. Nothing that begins with `$` or `_`, because `$extends`, `$parent`, `_originalClient`
 * and raw SQL all escape the extension.
 */
function seal(call: PrismaCall): TenantDb {
  const sealed: Record<string, unknown> = {};
  for (const [model, { client: name }] of Object.entries(TENANT_OWNED_MODELS)) {
    const operations: Record<string, unknown> = {};
    for (const operation of OPERATIONS) {
      operations[operation] = async (args?: unknown): Promise<unknown> =>
        call(model, operation, args).catch(translateDatabaseError);
    }
    sealed[name] = Object.freeze(operations);
  }
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- built by reflection; a test holds it against the generated interface
  return Object.freeze(sealed) as unknown as TenantDb;
}
