import type pg from "pg";
import { tenantTables } from "../../context/tenant-scope.ts";
import type { Subject } from "./ledger.ts";
import { AdoptError } from "./report.ts";
import { V2_SHAPES } from "./shapes.ts";

// Made by the steps, and not there in any release of the predecessor.
const PREDECESSORS = ["tenants", "users", "api_keys", ...Object.keys(V2_SHAPES)];
const NEW_TABLES = tenantTables().filter((table) => !PREDECESSORS.includes(table));

/**
 * Looks for what would stop the adoption half-way, before anything is changed.
 *
 * @throws AdoptError with everything that is missing, and how to grant it.
 */
export async function preflight(
  client: pg.Client,
  { tables, clientRoles }: Subject,
  gatewayRole: string,
): Promise<void> {
  // First and alone: an older server does not know the functions that the other questions use.
  const version = await client.query<{ isOld: boolean; name: string }>(
    `SELECT current_setting('server_version_num')::int < 150000 AS "isOld", current_setting('server_version') AS name`,
  );
  const [server] = version.rows;
  if (server?.isOld === true)
    throw new AdoptError(`PostgreSQL ${server.name} is too old; 15 is the first that will do.`);
  const { rows } = await client.query<{ problem: string }>(
    `SELECT format('The gateway''s role %I does not exist: CREATE ROLE %I LOGIN PASSWORD ''…''', $2::text, $2::text) AS problem
       WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $2)
     UNION ALL
     SELECT format('The gateway''s role %I can bypass row-level security: ALTER ROLE %I NOSUPERUSER NOBYPASSRLS', rolname, rolname)
       FROM pg_roles WHERE rolname = $2 AND (rolsuper OR rolbypassrls)
     UNION ALL
     SELECT DISTINCT format('The gateway''s role %I owns tables, or is a member of %I, which does. Use another role', $2::text, o.rolname)
       FROM pg_class AS t JOIN pg_roles AS o ON o.oid = t.relowner JOIN pg_roles AS g ON g.rolname = $2
       WHERE t.relnamespace = 'public'::regnamespace AND t.relname = ANY ($1) AND NOT g.rolsuper AND pg_has_role(g.oid, o.oid, 'MEMBER')
     UNION ALL
     SELECT DISTINCT format('The tables belong to %I, and %I may not change them. Let DATABASE_OWNER_URL name %I', o.rolname, current_user, o.rolname)
       FROM pg_class AS t JOIN pg_roles AS o ON o.oid = t.relowner
       WHERE t.relnamespace = 'public'::regnamespace AND t.relname = ANY ($1) AND NOT pg_has_role(current_user, o.oid, 'USAGE')
     UNION ALL
     SELECT format('%I may not make tables: GRANT CREATE ON SCHEMA public TO %I', current_user, current_user)
       WHERE NOT has_schema_privilege(current_user, 'public', 'CREATE')
     UNION ALL
     SELECT format('%I may not make a schema: GRANT CREATE ON DATABASE %I TO %I', current_user, current_database(), current_user)
       WHERE NOT has_database_privilege(current_user, current_database(), 'CREATE') AND to_regnamespace('atrium') IS NULL
     UNION ALL
     SELECT format('Row-level security will bind the role %I, and %I may not give it the default tenant. As a superuser: '
                   'GRANT SET ON PARAMETER app.tenant_id TO %I (or let adopt know that no old clients use it)', r.rolname, current_user, current_user)
       FROM pg_roles AS r JOIN pg_roles AS me ON me.rolname = current_user
       WHERE r.rolname = ANY ($3) AND NOT r.rolsuper AND NOT r.rolbypassrls AND NOT me.rolsuper
         AND NOT (has_parameter_privilege('app.tenant_id', 'SET') AND (r.oid = me.oid OR me.rolcreaterole))
     UNION ALL
     SELECT format('The table %I is in the way: the current schema has one of that name. Rename it', n)
       FROM unnest($4::text[]) AS n WHERE to_regclass('public.' || n) IS NOT NULL
     UNION ALL
     SELECT format('The table %s refers to %s by its key, which changes: ALTER TABLE %s DROP CONSTRAINT %I',
                   conrelid::regclass, confrelid::regclass, conrelid::regclass, conname)
       FROM pg_constraint WHERE contype = 'f' AND confrelid IN (SELECT to_regclass('public.' || n) FROM unnest($1::text[]) AS n)
         AND conrelid NOT IN (SELECT to_regclass('public.' || n) FROM unnest($1::text[]) AS n)
     UNION ALL
     SELECT DISTINCT format('The view %s groups by the key of %s, which changes. Drop the view, and make it again afterwards',
                   r.ev_class::regclass, c.conrelid::regclass)
       FROM pg_depend AS d JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
       JOIN pg_constraint AS c ON d.refclassid = 'pg_constraint'::regclass AND d.refobjid = c.oid
       WHERE c.conrelid IN (SELECT to_regclass('public.' || n) FROM unnest($1::text[]) AS n)
     UNION ALL
     SELECT format('There is no role %I for old clients', n) FROM unnest($3::text[]) AS n WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = n)`,
    [tables, gatewayRole, clientRoles, NEW_TABLES],
  );
  if (rows.length === 0) return;
  throw new AdoptError(
    ["The database cannot be adopted yet:", ...rows.map(({ problem }) => `- ${problem}`)].join("\n"),
  );
}
