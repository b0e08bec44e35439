import { setTimeout as wait } from "node:timers/promises";
import pg from "pg";
import { AdoptError, type ClientRole } from "./report.ts";

const IDLE_PATIENCE_MS = 60_000;
const LOOK_AGAIN_MS = 100;

/**
 * Finds the roles through which clients of the predecessor come in: those that own its tables or have rights on them, their
 * members, and whoever is connected and may write. Never the gateway's role.
 *
 * @throws AdoptError when the gateway's role is among the owners, or was named.
 */
export async function findClientRoles(
  client: pg.Client,
  tables: readonly string[],
  gatewayRole: string,
  named: readonly string[] | undefined,
): Promise<string[]> {
  if (named?.includes(gatewayRole) === true) {
    throw new AdoptError(
      `${gatewayRole} is the gateway's role: it must never have a tenant by default. Name other roles for the old clients.`,
    );
  }
  if (named !== undefined) return [...named];
  const { rows } = await client.query<{ rolname: string }>(
    `WITH RECURSIVE old_table AS (
       SELECT oid, relowner, relacl FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY ($1)
     ), role AS (
       SELECT relowner AS oid FROM old_table
       UNION SELECT a.grantee FROM old_table, aclexplode(relacl) AS a
       UNION SELECT s.usesysid FROM pg_stat_activity AS s
         WHERE s.datname = current_database() AND s.pid <> pg_backend_pid() AND s.backend_type = 'client backend'
           AND has_table_privilege(s.usesysid, 'public.sessions', 'INSERT')
       UNION SELECT m.member FROM pg_auth_members AS m JOIN role ON m.roleid = role.oid
     )
     SELECT rolname FROM pg_roles WHERE oid IN (SELECT oid FROM role) AND rolcanlogin AND rolname <> $2 ORDER BY rolname`,
    [tables, gatewayRole],
  );
  return rows.map((row) => row.rolname);
}

/** What the catalogue says of the roles; those that do not exist are left out. */
export async function describeRoles(client: pg.Client, names: readonly string[]): Promise<ClientRole[]> {
  const { rows } = await client.query<ClientRole>(
    `SELECT r.rolname AS name, r.rolsuper OR r.rolbypassrls AS "bypassesRowSecurity",
            EXISTS (SELECT FROM pg_db_role_setting AS s, unnest(s.setconfig) AS setting
                    WHERE s.setrole = r.oid AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
                      AND setting LIKE 'app.tenant_id=%') AS "hasDefaultTenant"
     FROM pg_roles AS r WHERE r.rolname = ANY ($1) ORDER BY r.rolname`,
    [names],
  );
  return rows;
}

/**
 * Gives the roles' new connections to this database the default tenant. Call inside a transaction.
 *
 * @throws AdoptError when row-level security would bind a role that may not be given it.
 */
export async function setDefaultTenant(client: pg.Client, roles: readonly string[], tenantId: string): Promise<void> {
  for (const { name, bypassesRowSecurity } of await describeRoles(client, roles)) {
    const { rows } = await client.query<{ statement: string }>(
      "SELECT format('ALTER ROLE %I IN DATABASE %I SET app.tenant_id = %L', $1::text, current_database(), $2::text) AS statement",
      [name, tenantId],
    );
    await client.query("SAVEPOINT before_role");
    try {
      await client.query(rows[0]?.statement ?? "");
      await client.query("RELEASE SAVEPOINT before_role");
    } catch (error) {
      // A role that row-level security does not bind can do without: it gets the tenant at its first write.
      if (!isRefused(error) || !bypassesRowSecurity) throw error;
      await client.query("ROLLBACK TO SAVEPOINT before_role");
    }
  }
}

/**
 * Connections that are older than the roles' setting lack the default tenant, and what they insert would fail. This trigger gives
 * it to them at their first write: statement triggers run before a column's default is computed. It concerns the clients' roles alone.
 * Roles that bypass row-level security keep their connections thanks to it. Call inside the transaction that raises the walls.
 */
export async function giveOldConnectionsTheirTenant(
  client: pg.Client,
  tables: readonly string[],
  roles: readonly string[],
  tenantId: string,
): Promise<void> {
  if (roles.length === 0) return;
  await client.query(`
    CREATE OR REPLACE FUNCTION atrium.old_client_tenant() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
      PERFORM set_config('app.tenant_id', ${pg.escapeLiteral(tenantId)}, false);
      RETURN NULL;
    END
    $$;
    REVOKE EXECUTE ON FUNCTION atrium.old_client_tenant() FROM PUBLIC`);
  const names = roles.map((role) => pg.escapeLiteral(role)).join(", ");
  for (const table of tables) {
    await client.query(`
      CREATE OR REPLACE TRIGGER old_client_tenant BEFORE INSERT OR UPDATE OR DELETE ON ${table} FOR EACH STATEMENT
      WHEN (session_user IN (${names}) AND nullif(current_setting('app.tenant_id', true), '') IS NULL)
      EXECUTE FUNCTION atrium.old_client_tenant()`);
  }
}

/**
 * Ends connections that began before their role had the default tenant, where row-level security will bind them: they would read
 * empty tables without any error. A pool opens new ones, which have the tenant. Waits until a connection is idle, a minute at most;
 * what a connection ended in the middle of had not been acknowledged.
 *
 * @returns how many were ended.
 */
export async function endConnectionsWithoutTenant(
  client: pg.Client,
  roles: readonly string[],
  before: Date,
): Promise<number> {
  const deadline = performance.now() + IDLE_PATIENCE_MS;
  let ended = 0;
  for (;;) {
    const isLast = performance.now() > deadline;
    const { rows } = await client.query<{ ended: boolean | null }>(
      `SELECT CASE WHEN a.state = 'idle' OR $3 THEN pg_terminate_backend(a.pid) END AS ended
       FROM pg_stat_activity AS a JOIN pg_roles AS r ON r.oid = a.usesysid
       WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND r.rolname = ANY ($1)
         AND NOT r.rolsuper AND NOT r.rolbypassrls AND a.backend_start < $2 AND a.backend_type = 'client backend'`,
      [roles, before, isLast],
    );
    ended += rows.filter((row) => row.ended === true).length;
    if (isLast || rows.every((row) => row.ended !== null)) return ended;
    await wait(LOOK_AGAIN_MS);
  }
}

/** What the operator has to know about the clients' roles. */
export async function roleWarnings(client: pg.Client, roles: readonly ClientRole[]): Promise<string[]> {
  const { rows } = await client.query<{ tenants: number }>("SELECT count(*)::int AS tenants FROM tenants");
  if ((rows[0]?.tenants ?? 0) <= 1) return [];
  return roles
    .filter((role) => !role.bypassesRowSecurity)
    .map(({ name }) => `Row-level security binds the role ${name}: its old clients reach the default tenant only.`);
}

function isRefused(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "42501";
}
