import pg from "pg";
import { TenantTransaction } from "./tenant-transaction.ts";
import type { StatementCounter } from "./tenant-transaction.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** How a tenant is named to PostgreSQL; the tests put a faulty one here to see the isolation suite go red. */
export type TenantSetting = (tenantId: string) => string;

/** Where connections come from; the pool itself is one such place. */
export interface Connections {
  connect(): Promise<pg.PoolClient>;
}

// The utility statement, not set_config(): a SELECT would take the snapshot, after which no isolation level can be chosen (25001).
const localSetting: TenantSetting = (tenantId) => `SET LOCAL app.tenant_id = '${tenantId}'`;

/** The shared pool as one tenant sees it. */
export interface TenantConnections {
  /** Runs one statement in a transaction of its own. */
  readonly query: (statement: pg.QueryConfig) => Promise<pg.QueryResult>;
  /** A connection for several statements in one transaction. */
  readonly connect: () => Promise<TenantTransaction>;
}

/**
 * The shared pool as one tenant sees it: every statement runs in a transaction whose `app.tenant_id` is this tenant, and the setting ends
 * with the transaction.
 *
 * A single statement travels as BEGIN; SET LOCAL, the statement, COMMIT, sent without waiting in between (1.13 times a plain query).
 *
 * @throws when `tenantId` is not a UUID in lower case: it becomes part of SQL text.
 */
export function tenantConnections(
  shared: Connections,
  tenantId: string,
  {
    setting = localSetting,
    statements,
  }: { readonly setting?: TenantSetting | undefined; readonly statements?: StatementCounter | undefined } = {},
): TenantConnections {
  if (!UUID.test(tenantId)) throw new Error("a tenant id is a UUID in lower case");
  const begin = `BEGIN; ${setting(tenantId)}`;

  async function query(statement: pg.QueryConfig): Promise<pg.QueryResult> {
    if (statements) statements.count += 1;
    const client = await shared.connect();
    const [begun, answered, committed] = await Promise.allSettled([
      client.query(begin),
      client.query(statement),
      client.query("COMMIT"),
    ]);
    // A connection on which BEGIN or COMMIT failed may still be inside a transaction, with this tenant's setting.
    client.release(begun.status === "rejected" || committed.status === "rejected" ? true : undefined);
    if (answered.status === "rejected") throw answered.reason;
    if (begun.status === "rejected") throw begun.reason;
    if (committed.status === "rejected") throw committed.reason;
    return answered.value;
  }

  async function connect(): Promise<TenantTransaction> {
    return new TenantTransaction(await shared.connect(), begin, statements);
  }

  return { query, connect };
}

/** The same as what PrismaPg takes for a pool. @throws as tenantConnections. */
export function tenantPool(...parameters: Parameters<typeof tenantConnections>): pg.Pool {
  return poolFrom(tenantConnections(...parameters));
}

/** PrismaPg accepts only what is an instance of pg.Pool; making a real one for each tenant would make a second pool. */
export function poolFrom({
  query,
  connect,
}: Pick<TenantConnections, "query"> & { readonly connect: () => Promise<object> }): pg.Pool {
  const facade: unknown = Object.create(pg.Pool.prototype, {
    options: { value: {} },
    query: { value: query },
    connect: { value: connect },
    end: { value: async () => undefined },
  });
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- has what PrismaPg uses of a pool, and no more
  return facade as pg.Pool;
}
