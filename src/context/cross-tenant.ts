import { LRUCache } from "lru-cache";
import type pg from "pg";
import { z } from "zod";
import { AppError } from "../errors.ts";
import { translateDatabaseError } from "./database-errors.ts";
import { tenantPool } from "./tenant-pool.ts";

// Everything in this file may see more than one tenant. Row-level security binds the gateway's role here as everywhere: what crosses a
// tenant's border are a few functions in the database (schema `atrium`), each of which answers one question.

const CACHE_TTL_MS = 10_000; // a bound for the day on which notices are lost unnoticed; revocation itself does not wait for it
const CACHE_MAX = 10_000;

// Whatever else SQL has put there reads as nothing: one such row would take its tenant, and the list of all, out of service.
const looseObject = z.record(z.string(), z.unknown()).nullable().catch(null);

const tenantRow = z
  .object({
    id: z.string(),
    name: z.string(),
    schema_name: z.string(),
    active: z.boolean(),
    isolation: z.string(),
    plan: z.string(),
    limits: looseObject,
    metadata: looseObject,
    created_at: z.date(),
  })
  .transform((row) => ({
    id: row.id,
    name: row.name,
    schemaName: row.schema_name,
    active: row.active,
    isolation: row.isolation,
    plan: row.plan,
    limits: row.limits ?? {},
    metadata: row.metadata ?? {},
    createdAt: row.created_at,
  }));

/** A tenant as the platform knows it. */
export type TenantRecord = z.infer<typeof tenantRow>;

const keyRow = z
  .object({
    tenant_id: z.string(),
    id: z.string(),
    key_hash: z.string(),
    scopes: z.unknown(),
    active: z.boolean(),
    expires_at: z.date().nullable(),
    last_used_at: z.date().nullable(),
  })
  .transform((row) => ({
    tenantId: row.tenant_id,
    id: row.id,
    hash: row.key_hash,
    scopes: row.scopes,
    active: row.active,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
  }));

/** An API key as authentication needs it. */
export type KeyRecord = z.infer<typeof keyRow>;

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
  /** The tenant's OWNER, without a password: one is set by invitation. In lower case. */
  readonly ownerEmail?: string | undefined;
}

/** Who acts on a tenant from outside, for that tenant's audit trail. What the installation does by itself has no author and is not audited. */
export interface Author {
  readonly actor: string;
  readonly ip: string | undefined;
}

export interface TenantChanges {
  readonly name?: string;
  readonly active?: boolean;
  readonly plan?: string;
  readonly limits?: Readonly<Record<string, unknown>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

interface TenantFilter {
  readonly active?: boolean | undefined;
  /** A part of the name, in any case. */
  readonly search?: string | undefined;
}

/** Where a page of tenants begins, in their one order: creation, then id. */
interface TenantWindow {
  readonly direction: "asc" | "desc";
  readonly beyond: { readonly createdAt: Date; readonly id: string } | undefined;
  readonly take: number;
}

export interface CrossTenant {
  /** The tenant, active or not; null when there is none. Cached. */
  readonly tenantById: (id: string) => Promise<TenantRecord | null>;
  /** Null only before migrations have run. Cached. */
  readonly defaultTenantId: () => Promise<string | null>;
  /** The API key with this SHA-256, whatever its state; null when unknown. Cached, unknown ones too. */
  readonly keyByHash: (hash: string) => Promise<KeyRecord | null>;
  /** Notes that a key was used. */
  readonly touchKey: (key: KeyRecord, at: Date) => Promise<void>;
  readonly listTenants: (filter: TenantFilter, window: TenantWindow) => Promise<TenantRecord[]>;
  readonly countTenants: (filter: TenantFilter) => Promise<number>;
  /** @throws CONFLICT when the name or the schema name is taken. */
  readonly createTenant: (tenant: NewTenant, by?: Author) => Promise<TenantRecord>;
  /** @returns null when there is no such tenant. @throws CONFLICT when the name is taken. */
  readonly updateTenant: (id: string, changes: TenantChanges, by?: Author) => Promise<TenantRecord | null>;
  /** Makes a tenant for the isolation probe, which no list shows; also removes those that a killed probe left. @returns its id. */
  readonly createCanary: () => Promise<string>;
  /** Removes such a tenant with all of its rows; never another one. @returns false when there is no such canary. */
  readonly deleteCanary: (id: string) => Promise<boolean>;
  /** Forgets what is cached: something was revoked, here or in another process. */
  readonly forget: () => void;
  /** While off, nothing is cached: notices of revocation do not arrive. */
  readonly setCaching: (isOn: boolean) => void;
}

export function openCrossTenant(pool: pg.Pool): CrossTenant {
  const tenants = new LRUCache<string, { value: TenantRecord | null }>({ max: CACHE_MAX, ttl: CACHE_TTL_MS });
  const keys = new LRUCache<string, { value: KeyRecord | null }>({ max: CACHE_MAX, ttl: CACHE_TTL_MS });
  const defaults = new LRUCache<string, { value: string | null }>({ max: 1, ttl: CACHE_TTL_MS });
  let isCaching = false;
  // A look-up that began before something was revoked must not store its answer after it.
  let generation = 0;

  function forget(): void {
    generation += 1;
    tenants.clear();
    keys.clear();
    defaults.clear();
  }

  async function cached<Value>(
    cache: LRUCache<string, { value: Value }>,
    key: string,
    read: () => Promise<Value>,
  ): Promise<Value> {
    const known = isCaching ? cache.get(key) : undefined;
    if (known) return known.value;
    const readIn = generation;
    const value = await read().catch(translateDatabaseError);
    if (isCaching && readIn === generation) cache.set(key, { value });
    return value;
  }

  const tenantById = (id: string): Promise<TenantRecord | null> =>
    cached(tenants, id, async () => {
      const { rows } = await tenantPool(pool, id).query({
        text: "SELECT * FROM public.tenants WHERE id = $1",
        values: [id],
      });
      return rows.length === 0 ? null : tenantRow.parse(rows[0]);
    });

  const keyByHash = (hash: string): Promise<KeyRecord | null> =>
    cached(keys, hash, async () => {
      const found = await pool.query<{ tenant_id: string; api_key_id: string }>(
        "SELECT * FROM atrium.find_api_key($1)",
        [hash],
      );
      const [entry] = found.rows;
      if (!entry) return null;
      const { rows } = await tenantPool(pool, entry.tenant_id).query({
        text: "SELECT * FROM public.api_keys WHERE tenant_id = $1 AND id = $2",
        values: [entry.tenant_id, entry.api_key_id],
      });
      return rows.length === 0 ? null : keyRow.parse(rows[0]);
    });

  return {
    tenantById,
    keyByHash,
    defaultTenantId: () =>
      cached(defaults, "", async () => {
        const { rows } = await pool.query<{ id: string | null }>("SELECT atrium.default_tenant_id() AS id");
        return rows[0]?.id ?? null;
      }),
    async touchKey(key, at) {
      await tenantPool(pool, key.tenantId).query({
        text: "UPDATE public.api_keys SET last_used_at = $3 WHERE tenant_id = $1 AND id = $2",
        values: [key.tenantId, key.id, at],
      });
    },
    listTenants: (filter, window) => listTenants(pool, filter, window).catch(translateDatabaseError),
    countTenants: (filter) => countTenants(pool, filter).catch(translateDatabaseError),
    createTenant: (tenant, by) => createTenant(pool, tenant, by).catch(translateTaken),
    async updateTenant(id, changes, by) {
      const changed = await updateTenant(pool, id, changes, by).catch(translateTaken);
      tenants.delete(id);
      return changed;
    },
    async createCanary() {
      const { rows } = await pool
        .query<{ id: string }>("SELECT atrium.create_canary() AS id")
        .catch(translateDatabaseError);
      const [made] = rows;
      if (!made) throw new Error("atrium.create_canary() answered nothing");
      return made.id;
    },
    async deleteCanary(id) {
      const query = pool.query<{ found: boolean }>("SELECT atrium.delete_canary($1) AS found", [id]);
      const { rows } = await query.catch(translateDatabaseError);
      return rows[0]?.found === true;
    },
    forget,
    setCaching(isOn) {
      isCaching = isOn;
      forget();
    },
  };
}

const MATCHING = `($1::boolean IS NULL OR active = $1) AND ($2::text IS NULL OR position(lower($2) IN lower(name)) > 0)`;

async function listTenants(pool: pg.Pool, filter: TenantFilter, window: TenantWindow): Promise<TenantRecord[]> {
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

async function countTenants(pool: pg.Pool, filter: TenantFilter): Promise<number> {
  const { rows } = await pool.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM atrium.all_tenants() WHERE ${MATCHING}`,
    [filter.active ?? null, filter.search ?? null],
  );
  return rows[0]?.count ?? 0;
}

/** The tenant, its first key, its owner and the note of it appear together or not at all. */
async function createTenant(pool: pg.Pool, tenant: NewTenant, by: Author | undefined): Promise<TenantRecord> {
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
      await client.query("INSERT INTO public.users (tenant_id, email, role) VALUES ($1, $2, 'owner')", [
        record.id,
        ownerEmail,
      ]);
    }
    if (by) await audit(client, record.id, by, "tenant.create", { name, plan });
    return record;
  });
}

async function updateTenant(
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
    "INSERT INTO public.audit_events (tenant_id, action, actor, target, ip, details) VALUES ($1, $2, $3, $4, $5, $6)",
    [tenantId, action, by.actor, tenantId, by.ip ?? null, JSON.stringify(details)],
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

function translateTaken(error: unknown): never {
  if (error instanceof Error && Reflect.get(error, "code") === "23505") {
    throw new AppError("CONFLICT", "A tenant with this name or schema name exists already", { cause: error });
  }
  return translateDatabaseError(error);
}
