import type { CatalogueCheck } from "./isolation-tables.ts";

// What stands in no table of a tenant: the gateway's role, what it may reach, and the functions that run with their owner's rights.
// Every statement answers with one row for each thing looked at, and says what is wrong with it; no row at all counts as failed.

// What may see more than one tenant. Adding to this list is a reviewed decision; docs/security.md tells of each.
const SECURITY_DEFINER = [
  "atrium.add_token_key(text, jsonb, text, timestamptz)",
  "atrium.all_tenants()",
  "atrium.audit_head()",
  "atrium.audit_links(bigint, integer)",
  "atrium.create_canary()",
  "atrium.create_tenant(text, text, text, text, jsonb)",
  "atrium.default_tenant_id()",
  "atrium.delete_canary(uuid)",
  "atrium.find_api_key(text)",
  "atrium.find_identity_providers(text)",
  "atrium.keep_api_key_directory()",
  "atrium.keep_identity_provider_directory()",
  "atrium.keep_mail_directory()",
  "atrium.link_audit_event()",
  "atrium.linked_audit_events(uuid[])",
  "atrium.remove_token_keys(timestamptz)",
  "atrium.tenants_with_mail()",
  "atrium.token_keys()",
  "atrium.update_tenant(uuid, jsonb)",
];
// Tables without a tenant, with the rights that the gateway may have on them. Adding to this list is a reviewed decision.
const WITHOUT_TENANT = ["tenants", "_prisma_migrations"];
// Tables that are no tenant's and outside of schema public: counts by hashed keys.
const OUTSIDE_PUBLIC = ["atrium.rate_limits"];
const DANGEROUS_ROLES = ["pg_execute_server_program", "pg_read_server_files", "pg_write_server_files"];

const quoted = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(", ");
const flags = (role: string): string => `concat_ws(', ',
  CASE WHEN ${role}.rolsuper THEN 'SUPERUSER' END, CASE WHEN ${role}.rolbypassrls THEN 'BYPASSRLS' END,
  CASE WHEN ${role}.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN ${role}.rolreplication THEN 'REPLICATION' END)`;
const ANY_RIGHT = "'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'";
const MAY_REACH = `(has_table_privilege(session_user, c.oid, ${ANY_RIGHT})
  OR has_any_column_privilege(session_user, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'))`;
const NOT_OF_AN_EXTENSION = (catalogue: string, alias: string): string =>
  `NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = '${catalogue}'::regclass AND e.objid = ${alias}.oid AND e.deptype = 'e')`;

/** Checks of what is true once for a database and the role under which the gateway came in. */
export const GLOBAL_CHECKS: readonly CatalogueCheck[] = [
  {
    name: "the gateway's role can bypass nothing",
    remedy: "ALTER ROLE … NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOREPLICATION, or name another role in DATABASE_URL",
    sql: `SELECT NULL AS "table", CASE WHEN session_user <> current_user THEN format('signed in as %s, acts as %s', session_user, current_user)
        WHEN ${flags("r")} <> '' THEN format('%s is %s', r.rolname, ${flags("r")}) END AS problem
      FROM pg_roles AS r WHERE r.rolname = session_user`,
  },
  {
    name: "the gateway's role is no member of a role that can",
    remedy: "REVOKE <that role> FROM <the gateway's role>",
    sql: `SELECT NULL AS "table", (
        SELECT string_agg(format('it is a member of %s', m.rolname), '; ')
        FROM pg_roles AS m
        WHERE m.oid <> me.oid AND NOT me.rolsuper AND pg_has_role(me.oid, m.oid, 'MEMBER')
          AND (${flags("m")} <> '' OR m.rolname IN (${quoted(DANGEROUS_ROLES)})
            OR EXISTS (SELECT FROM pg_class AS c WHERE c.relowner = m.oid AND c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'atrium'))))
      ) AS problem
      FROM pg_roles AS me WHERE me.rolname = session_user`,
  },
  {
    name: "the gateway's role owns nothing",
    remedy: "REASSIGN OWNED BY <the gateway's role> TO <the owner's role>",
    sql: `SELECT NULL AS "table", (
        SELECT string_agg(format('it owns %s', pg_describe_object(d.classid, d.objid, d.objsubid)), '; ')
        FROM pg_shdepend AS d
        WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = me.oid AND d.deptype = 'o'
          AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      ) AS problem
      FROM pg_roles AS me WHERE me.rolname = session_user`,
  },
  {
    name: "no tenant is set before a transaction sets one",
    remedy: "ALTER ROLE … RESET app.tenant_id (also IN DATABASE …, ALTER DATABASE …, and postgresql.conf)",
    sql: `SELECT NULL AS "table", nullif(concat_ws('; ',
        (SELECT string_agg(format('a default is stored: %s', setting), '; ')
         FROM pg_db_role_setting AS s CROSS JOIN unnest(s.setconfig) AS setting
         WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
           AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user)) AND lower(setting) LIKE 'app.tenant\\_id=%'),
        CASE WHEN nullif(current_setting('app.tenant_id', true), '') IS NOT NULL THEN 'a connection carries app.tenant_id outside a transaction' END
      ), '') AS problem`,
  },
  {
    name: "triggers and keys are obeyed",
    remedy: "ALTER ROLE … RESET session_replication_role",
    sql: `SELECT NULL AS "table", CASE WHEN current_setting('session_replication_role') <> 'origin'
        THEN 'session_replication_role is ' || current_setting('session_replication_role') END AS problem`,
  },
  {
    name: "functions that run with their owner's rights are the reviewed ones",
    remedy: "DROP the function, or REVOKE EXECUTE on it; the reviewed ones are restored by their migration",
    sql: `WITH found AS (
        SELECT p.oid::regprocedure::text AS name, p.proconfig, p.proowner
        FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')
          AND (has_function_privilege(session_user, p.oid, 'EXECUTE') OR n.nspname IN ('public', 'atrium') AND ${NOT_OF_AN_EXTENSION("pg_proc", "p")}
            OR EXISTS (SELECT FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid WHERE t.tgfoid = p.oid AND c.relnamespace = 'public'::regnamespace))
      ), reviewed AS (SELECT to_regprocedure(name)::text AS name, name AS wanted FROM unnest(ARRAY[${quoted(SECURITY_DEFINER)}]) AS name)
      SELECT NULL AS "table", CASE
        WHEN found.name IS NULL THEN format('%s is missing, or no longer runs with its owner''s rights', reviewed.wanted)
        WHEN reviewed.name IS NULL THEN format('%s is not known', found.name)
        WHEN NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (found.proconfig), false) THEN format('%s has no pinned search_path', found.name)
        WHEN found.proowner <> (SELECT relowner FROM pg_class WHERE oid = 'public.tenants'::regclass) THEN format('%s has another owner than the tables', found.name)
      END AS problem
      FROM found FULL JOIN reviewed ON reviewed.name = found.name`,
  },
  {
    name: "nothing reads tables with another's rights",
    remedy:
      "ALTER VIEW … SET (security_invoker = on); a materialised view or foreign table must not be granted to the gateway",
    sql: `SELECT NULL AS "table", (
        SELECT string_agg(format('%s is a %s', c.oid::regclass, CASE c.relkind WHEN 'v' THEN 'view without security_invoker'
          WHEN 'm' THEN 'materialised view' ELSE 'foreign table' END), '; ')
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relkind IN ('v', 'm', 'f') AND ${MAY_REACH} AND ${NOT_OF_AN_EXTENSION("pg_class", "c")}
          AND NOT (c.relkind = 'v' AND EXISTS (SELECT FROM unnest(c.reloptions) AS o WHERE lower(o) IN ('security_invoker=true', 'security_invoker=on', 'security_invoker=1', 'security_invoker=yes')))
      ) AS problem`,
  },
  {
    name: "the gateway reaches tables in schema public alone",
    remedy: "REVOKE ALL ON <table> FROM PUBLIC, <the gateway's role>",
    sql: `SELECT NULL AS "table", (
        SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid::regclass::text) || ' can be reached'
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('public', 'pg_catalog', 'information_schema') AND n.nspname !~ '^pg_t(emp|oast)'
          AND has_schema_privilege(session_user, n.oid, 'USAGE') AND ${MAY_REACH} AND ${NOT_OF_AN_EXTENSION("pg_class", "c")}
          AND c.oid NOT IN (SELECT to_regclass(name) FROM unnest(ARRAY[${quoted(OUTSIDE_PUBLIC)}]) AS name WHERE to_regclass(name) IS NOT NULL)
      ) AS problem`,
  },
  {
    name: "every table that the gateway reaches has a tenant, or is on the reviewed list",
    remedy:
      "give it tenant_id and SELECT atrium.raise_walls('<table>'), or REVOKE ALL ON <table> FROM PUBLIC, <the gateway's role>",
    sql: `SELECT c.relname AS "table", CASE WHEN NOT c.relname IN (${quoted(WITHOUT_TENANT)}) THEN 'it has no tenant_id' END AS problem
      FROM pg_class AS c
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND ${MAY_REACH} AND ${NOT_OF_AN_EXTENSION("pg_class", "c")}
        AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)`,
  },
];
