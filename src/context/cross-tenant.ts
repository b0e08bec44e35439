import type pg from "pg";
import { translateDatabaseError } from "./database-errors.ts";
import { openCaches } from "./lookup-cache.ts";
import { countTenants, createTenant, listTenants, translateTaken, updateTenant } from "./tenant-administration.ts";
import type { Author, NewTenant, TenantChanges, TenantFilter, TenantWindow } from "./tenant-administration.ts";
import { tenantPool } from "./tenant-pool.ts";
import { keyRow, personRow, providerRow, signInRow, tenantRow, tokenKeyRow } from "./tenant-records.ts";
import type {
  KeyRecord,
  PersonRecord,
  ProviderRecord,
  SignInRecord,
  TenantRecord,
  TokenKeyRecord,
} from "./tenant-records.ts";

export type { Author, NewTenant, TenantChanges } from "./tenant-administration.ts";
export type { KeyRecord, PersonRecord, TenantRecord, TokenKeyRecord } from "./tenant-records.ts";

// Everything in this file may see more than one tenant. Row-level security binds the gateway's role here as everywhere: what crosses a
// tenant's border are a few functions in the database (schema `atrium`), each of which answers one question.

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
  /** A sign-in with its person, whatever its state; null when there is none in that tenant. Cached. */
  readonly signIn: (tenantId: string, signInId: string) => Promise<SignInRecord | null>;
  /** Whom an outside provider's subject is in a tenant; null when it is linked to nobody. Cached. */
  readonly outsidePerson: (tenantId: string, issuer: string, subject: string) => Promise<PersonRecord | null>;
  /** The active identity providers of all tenants that have this issuer. Cached. */
  readonly providersOf: (issuer: string) => Promise<readonly ProviderRecord[]>;
  /** The installation's signing keys, oldest first. Cached. */
  readonly tokenKeys: () => Promise<readonly TokenKeyRecord[]>;
  /** Adds a signing key, unless there is one made after `unlessNewerThan`. @returns whether it was added. */
  readonly addTokenKey: (key: Omit<TokenKeyRecord, "createdAt">, unlessNewerThan: Date) => Promise<boolean>;
  /** Removes signing keys made before that time, but never the newest. @returns how many are gone. */
  readonly removeTokenKeys: (madeBefore: Date) => Promise<number>;
  /** Tenants in which mail waits to be sent. */
  readonly tenantsWithMail: () => Promise<readonly string[]>;
  /** Makes a tenant for the isolation probe, which no list shows; also removes those that a killed probe left. @returns its id. */
  readonly createCanary: () => Promise<string>;
  /** Removes such a tenant with all of its rows; never another one. @returns false when there is no such canary. */
  readonly deleteCanary: (id: string) => Promise<boolean>;
  /** Forgets what is cached of one tenant, or everything: something was revoked, here or in another process. */
  readonly forget: (tenantId: string | undefined) => void;
  /** While off, nothing is cached: notices of revocation do not arrive. */
  readonly setCaching: (isOn: boolean) => void;
}

export function openCrossTenant(pool: pg.Pool): CrossTenant {
  const caches = openCaches();
  const { cached } = caches;

  const tenantById = (id: string): Promise<TenantRecord | null> =>
    cached("tenant", id, async () => {
      const { rows } = await tenantPool(pool, id).query({
        text: "SELECT * FROM public.tenants WHERE id = $1",
        values: [id],
      });
      return { value: rows.length === 0 ? null : tenantRow.parse(rows[0]), tenantId: id };
    });

  const keyByHash = (hash: string): Promise<KeyRecord | null> =>
    cached("key", hash, async () => {
      const found = await pool.query<{ tenant_id: string; api_key_id: string }>(
        "SELECT * FROM atrium.find_api_key($1)",
        [hash],
      );
      const [entry] = found.rows;
      if (!entry) return { value: null, tenantId: undefined };
      const { rows } = await tenantPool(pool, entry.tenant_id).query({
        text: "SELECT * FROM public.api_keys WHERE tenant_id = $1 AND id = $2",
        values: [entry.tenant_id, entry.api_key_id],
      });
      return { value: rows.length === 0 ? null : keyRow.parse(rows[0]), tenantId: entry.tenant_id };
    });

  const signIn: CrossTenant["signIn"] = (tenantId, signInId) =>
    cached("sign-in", `${tenantId} ${signInId}`, async () => {
      const { rows } = await tenantPool(pool, tenantId).query({
        text: `SELECT s.user_id, u.role, u.active, s.ended_at, s.expires_at FROM public.sign_ins AS s
          JOIN public.users AS u ON u.tenant_id = s.tenant_id AND u.id = s.user_id WHERE s.tenant_id = $1 AND s.id = $2`,
        values: [tenantId, signInId],
      });
      return { value: rows.length === 0 ? null : signInRow.parse(rows[0]), tenantId };
    });

  const outsidePerson: CrossTenant["outsidePerson"] = (tenantId, issuer, subject) =>
    cached("outside", JSON.stringify([tenantId, issuer, subject]), async () => {
      const { rows } = await tenantPool(pool, tenantId).query({
        text: `SELECT u.id AS user_id, u.role, u.active FROM public.outside_identities AS i
          JOIN public.users AS u ON u.tenant_id = i.tenant_id AND u.id = i.user_id
          WHERE i.tenant_id = $1 AND i.issuer = $2 AND i.subject = $3`,
        values: [tenantId, issuer, subject],
      });
      return { value: rows.length === 0 ? null : personRow.parse(rows[0]), tenantId };
    });

  const providersOf = (issuer: string): Promise<readonly ProviderRecord[]> =>
    cached("providers", issuer, async () => {
      const found = await pool.query<{ tenant_id: string; provider_id: string }>(
        "SELECT * FROM atrium.find_identity_providers($1)",
        [issuer],
      );
      const read = found.rows.map(async (entry) => {
        const { rows } = await tenantPool(pool, entry.tenant_id).query({
          text: "SELECT * FROM public.identity_providers WHERE tenant_id = $1 AND id = $2 AND active",
          values: [entry.tenant_id, entry.provider_id],
        });
        return rows.map((row) => providerRow.parse(row));
      });
      // Of several tenants: whatever changes in any of them makes it forgotten.
      return { value: (await Promise.all(read)).flat(), tenantId: undefined };
    });

  return {
    tenantById,
    keyByHash,
    defaultTenantId: () =>
      cached("default", "", async () => {
        const { rows } = await pool.query<{ id: string | null }>("SELECT atrium.default_tenant_id() AS id");
        return { value: rows[0]?.id ?? null, tenantId: undefined };
      }),
    signIn,
    outsidePerson,
    providersOf,
    tokenKeys: () =>
      cached("token keys", "", async () => {
        const { rows } = await pool.query("SELECT * FROM atrium.token_keys()");
        return { value: rows.map((row) => tokenKeyRow.parse(row)), tenantId: undefined };
      }),
    async addTokenKey({ kid, publicKey, sealedPrivateKey }, unlessNewerThan) {
      const { rows } = await pool
        .query<{ added: boolean }>("SELECT atrium.add_token_key($1, $2, $3, $4) AS added", [
          kid,
          JSON.stringify(publicKey),
          sealedPrivateKey,
          unlessNewerThan,
        ])
        .catch(translateDatabaseError);
      caches.forget(undefined);
      return rows[0]?.added === true;
    },
    async removeTokenKeys(madeBefore) {
      const { rows } = await pool
        .query<{ gone: number }>("SELECT atrium.remove_token_keys($1) AS gone", [madeBefore])
        .catch(translateDatabaseError);
      caches.forget(undefined);
      return rows[0]?.gone ?? 0;
    },
    async tenantsWithMail() {
      const { rows } = await pool
        .query<{ id: string }>("SELECT id FROM atrium.tenants_with_mail() AS id")
        .catch(translateDatabaseError);
      return rows.map(({ id }) => id);
    },
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
      caches.forget(id);
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
    forget: caches.forget,
    setCaching: caches.setCaching,
  };
}
