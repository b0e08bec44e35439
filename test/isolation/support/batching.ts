import { AsyncLocalStorage } from "node:async_hooks";
import pg from "pg";
import { openPrisma } from "../../../src/context/prisma.ts";
import { tenantPool } from "../../../src/context/tenant-pool.ts";
import type { Gateway } from "./gateway.ts";
import { newTenant } from "./gateway.ts";

type LookUp = (tenantId: string, session: { readonly owner: string; readonly id: string }) => Promise<unknown>;

/**
 * Ten times, two tenants ask in one tick for a row of the first one.
 *
 * @returns how often the second one got it.
 */
export async function lookUpInOneTick({ context }: Gateway, lookUp: LookUp): Promise<number> {
  const [owner, stranger] = [await newTenant(context), await newTenant(context)];
  const { id } = await context.clients.of(owner).db.session.create({ data: { name: "of the first" } });
  let seen = 0;
  for (let round = 0; round < 10; round += 1) {
    const [mine, theirs] = await Promise.all([lookUp(owner, { owner, id }), lookUp(stranger, { owner, id })]);
    if (mine === null) throw new Error("the owner does not see its own row");
    if (theirs !== null) seen += 1;
  }
  return seen;
}

/** As the gateway does it: a client for each tenant. */
export function perTenantClients({ context }: Gateway): LookUp {
  return (tenantId, { id }) => context.clients.of(tenantId).db.session.findUnique({ where: { id } });
}

/** As most examples do it: one client, and a pool that takes the tenant from the asynchronous context. Row-level security is correct. */
export function sharedClient({ context }: Gateway): LookUp {
  const current = new AsyncLocalStorage<string>();
  const pool: unknown = Object.create(pg.Pool.prototype, {
    options: { value: {} },
    query: {
      value: (statement: pg.QueryConfig) => tenantPool(context.pool, current.getStore() ?? "").query(statement),
    },
  });
  if (!(pool instanceof pg.Pool)) throw new Error("PrismaPg takes a pool alone");
  const prisma = openPrisma(pool, () => "");
  return (tenantId, { owner, id }) =>
    current.run(tenantId, () => prisma.session.findUnique({ where: { tenantId_id: { tenantId: owner, id } } }).then());
}
