import { LRUCache } from "lru-cache";
import { translateDatabaseError } from "./database-errors.ts";
import type { FairPool } from "./fair-pool.ts";
import type { PrismaClient } from "./generated/client/client.ts";
import type { TenantDb } from "./generated/tenancy/client-types.ts";
import { TENANT_OWNED_MODELS } from "./generated/tenancy/models.ts";
import { openPrisma, statementNames } from "./prisma.ts";
import { tenantPool } from "./tenant-pool.ts";
import type { StatementCounter, TenantSetting } from "./tenant-pool.ts";
import { scopeToTenant } from "./tenant-scope.ts";

export type { TenantDb } from "./generated/tenancy/client-types.ts";

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
    readonly fastPath: boolean;
    readonly statements: StatementCounter;
    readonly walls?: WallSwitches | undefined;
  },
): TenantClients {
  const nameOf = options.preparedStatements ? statementNames() : () => "";
  const clients = new LRUCache<string, TenantClient>({ max: TENANT_CLIENTS_MAX });
  return {
    of(tenantId) {
      const known = clients.get(tenantId);
      if (known) return known;
      const made = scopedClient(
        tenantId,
        openPrisma(
          tenantPool(pool.of(tenantId), tenantId, { setting: options.walls?.setting, statements: options.statements }),
          nameOf,
        ),
        options.walls?.scope,
      );
      clients.set(tenantId, made);
      return made;
    },
  };
}

function scopedClient(tenantId: string, prisma: PrismaClient, scope: "on" | "off" = "on"): TenantClient {
  const scoped = extend(tenantId, prisma, scope);
  const transact = scoped.$transaction.bind(scoped);
  return {
    db: seal(scoped),
    transact: (work) => transact((inner) => work(seal(inner))).catch(translateDatabaseError),
  };
}

/** The extension that injects the tenant: wall one. What it gives can be got around by `$parent` and raw SQL, so only `seal` hands it out; the isolation suite attacks it bare. */
export function extend(tenantId: string, prisma: PrismaClient, scope: "on" | "off") {
  return prisma.$extends({
    name: "tenant",
    query: {
      async $allOperations({ model, operation, args, query }): Promise<unknown> {
        return query(scope === "on" ? scopeToTenant(tenantId, model, operation, args) : args);
      },
    },
  });
}

/**
 * What services get: the models and their operations. Nothing that begins with `$` or `_`, because `$extends`, `$parent`, `_originalClient`
 * and raw SQL all escape the extension. Calls start at once: Prisma's own promises are lazy, and one that nobody awaits never runs.
 */
function seal(client: object): TenantDb {
  const sealed: Record<string, unknown> = {};
  for (const { client: name } of Object.values(TENANT_OWNED_MODELS)) {
    const delegate: unknown = Reflect.get(client, name);
    const operations: Record<string, unknown> = {};
    for (const operation of OPERATIONS) {
      const call: unknown =
        typeof delegate === "object" && delegate !== null ? Reflect.get(delegate, operation) : undefined;
      if (typeof call !== "function") throw new Error(`Prisma has no ${name}.${operation}`);
      operations[operation] = async (args?: unknown): Promise<unknown> => {
        try {
          const answer: unknown = await Reflect.apply(call, delegate, [args]);
          return answer;
        } catch (error) {
          return translateDatabaseError(error);
        }
      };
    }
    sealed[name] = Object.freeze(operations);
  }
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- built by reflection; a test holds it against the generated interface
  return Object.freeze(sealed) as unknown as TenantDb;
}
