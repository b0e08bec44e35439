import type pg from "pg";
import { AppError } from "../errors.ts";
import { translateDatabaseError } from "./database-errors.ts";
import { tenantRow } from "./tenant-records.ts";
import type { TenantRecord } from "./tenant-records.ts";

// The platform's work on tenants themselves: a part of cross-tenant.ts, which is its only caller.

export interface NewTenant {
  readonly name: string;
  readonly schemaName: string;
  readonly plan: string;
  readonly isolation: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** The tenant's first API key, made in the same transaction. */
  readonly key: {
    readonly hash: string;
    readonly prefix: string;
    readonly name: string;
    readonly scopes: readonly string[];
  };
  /** The tenant's OWNER, who is invited by mail and has no password before. In lower case. */
  readonly ownerEmail?: string | undefined;
}

/** Who acts on a tenant from outside, for that tenant's audit trail. What the installation does by itself has no author and is not audited. */
export interface Author {
  readonly actor: string;
  readonly ip: string | undefined;
  readonly requestId: string;
}

export interface TenantChanges {
  readonly name?: string;
  readonly active?: boolean;
  readonly plan?: string;
  readonly limits?: Readonly<Record<string, unknown>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export interface TenantFilter {
  readonly active?: boolean | undefined;
  /** A part of the name, in any case. */
  readonly search?: string | undefined;
}

/** Where a page of tenants begins, in their one order: creation, then id. */
export interface TenantWindow {
  readonly direction: "asc" | "desc";
  readonly beyond: { readonly createdAt: Date; readonly id: string } | undefined;
  readonly take: number;
}

const MATCHING = `($1::boolean IS NULL OR active = $1) AND ($2::text IS NULL OR position(lower($2) IN lower(name)) > 0)`;

export async function listTenants(pool: pg.Pool, filter: TenantFilter, window: TenantWindow): Promise<TenantRecord[]> {
  const [order, compare] = window.direction === "asc" ? ["ASC", ">"] : ["DESC", "<"];
  const { rows } = await pool.query(
    `SELECT * FROM atrium.all_tenants() WHERE ${MATCHING}
       AND ($3::timestamptz IS NULL OR (created_at, id) ${compare} ($3, $4::uuid))
     ORDER BY created_at ${order}, id ${order} LIMIT $5`,
    [
      filter.active ?? null,
      filter.search ?? null,
      window.beyond?.createdAt ?? null,
      window.beyond?.id ?? null,
      window.take,
    ],
  );
  return rows.map((row) => tenantRow.parse(row));
}

export async function countTenants(pool: pg.Pool, filter: TenantFilter): Promise<number> {
  const { rows } = await pool.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM atrium.all_tenants() WHERE ${MATCHING}`,
    [filter.active ?? null, filter.search ?? null],
  );
  return rows[0]?.count ?? 0;
}

/** The tenant, its first key, its owner and the note of it appear together or not at all. */
export async function createTenant(pool: pg.Pool, tenant: NewTenant, by: Author | undefined): Promise<TenantRecord> {
  const { name, schemaName, plan, isolation, metadata, key, ownerEmail } = tenant;
  return inOneTransaction(pool, async (client) => {
    const made = await client.query("SELECT * FROM atrium.create_tenant($1, $2, $3, $4, $5)", [
      name,
      schemaName,
      plan,
      isolation,
      JSON.stringify(metadata),
    ]);
    const record = tenantRow.parse(made.rows[0]);
    await client.query("SELECT set_config('app.tenant_id', $1, true)", [record.id]);
    await client.query(
      "INSERT INTO public.api_keys (tenant_id, name, key_hash, prefix, scopes) VALUES ($1, $2, $3, $4, $5)",
      [record.id, key.name, key.hash, key.prefix, JSON.stringify(key.scopes)],
    );
    if (ownerEmail !== undefined) {
      // The invitation waits in the same transaction, due from the beginning of time: the database's clock may be ahead of ours.
      await client.query(
        `WITH owner AS (INSERT INTO public.users (tenant_id, email, role) VALUES ($1, $2, 'owner') RETURNING id, email)
         INSERT INTO public.mails (tenant_id, user_id, kind, email, next_attempt_at) SELECT $1, id, 'invitation', email, 'epoch' FROM owner`,
        [record.id, ownerEmail],
      );
    }
    if (by) await audit(client, record.id, by, "tenant.create", { name, plan });
    return record;
  });
}

export async function updateTenant(
  pool: pg.Pool,
  id: string,
  changes: TenantChanges,
  by: Author | undefined,
): Promise<TenantRecord | null> {
  return inOneTransaction(pool, async (client) => {
    const { rows } = await client.query("SELECT * FROM atrium.update_tenant($1, $2)", [id, JSON.stringify(changes)]);
    if (rows.length === 0) return null;
    await client.query("SELECT set_config('app.tenant_id', $1, true)", [id]);
    if (by) await audit(client, id, by, "tenant.update", { changed: Object.keys(changes) });
    return tenantRow.parse(rows[0]);
  });
}

async function audit(
  client: pg.PoolClient,
  tenantId: string,
  by: Author,
  action: string,
  details: object,
): Promise<void> {
  await client.query(
    "INSERT INTO public.audit_events (tenant_id, action, actor, target, ip, request_id, details) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    [tenantId, action, by.actor, tenantId, by.ip ?? null, by.requestId, JSON.stringify(details)],
  );
}

async function inOneTransaction<Result>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect();
  let hasFailed = true;
  try {
    await client.query("BEGIN");
    const result = await work(client);
    await client.query("COMMIT");
    hasFailed = false;
    return result;
  } finally {
    // A connection whose transaction may still be open carries a tenant's setting.
    client.release(hasFailed);
  }
}

/** @throws CONFLICT for a name that is taken. */
export function translateTaken(error: unknown): never {
  if (error instanceof Error && Reflect.get(error, "code") === "23505") {
    throw new AppError("CONFLICT", "A tenant with this name or schema name exists already", { cause: error });
  }
  return translateDatabaseError(error);
}
