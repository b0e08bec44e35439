import type pg from "pg";

/**
 * Says in sorted lines what a database's schema is: columns, keys, indexes, policies, triggers, functions and the gateway's rights.
 * Left out is what adoption adds for old clients, and the order of columns. A unique constraint counts as its index.
 */
export async function describeSchema(client: pg.Client): Promise<string[]> {
  await client.query("SET search_path = public");
  const { rows } = await client.query<{ line: string }>(`
    WITH ours AS (
      SELECT c.oid, n.nspname || '.' || c.relname AS name, c.relname, c.relrowsecurity, c.relforcerowsecurity
      FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND n.nspname IN ('public', 'atrium') AND c.relname NOT IN ('alembic_version', 'adoption')
    )
    SELECT format('column %s.%s %s%s %s', o.name, a.attname, format_type(a.atttypid, a.atttypmod),
             CASE WHEN a.attnotnull THEN ' NOT NULL' END, pg_get_expr(d.adbin, d.adrelid)) AS line
      FROM ours AS o JOIN pg_attribute AS a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef AS d ON d.adrelid = o.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT format('walls %s %s %s', name, relrowsecurity, relforcerowsecurity) FROM ours
    UNION ALL
    SELECT format('constraint %s %s %s %s', o.name, c.conname, c.convalidated, pg_get_constraintdef(c.oid))
      FROM ours AS o JOIN pg_constraint AS c ON c.conrelid = o.oid WHERE c.contype NOT IN ('n', 'u')
    UNION ALL
    SELECT format('index %s %s', i.indisvalid, pg_get_indexdef(i.indexrelid)) FROM ours AS o JOIN pg_index AS i ON i.indrelid = o.oid
    UNION ALL
    SELECT format('policy %s %s %s %s', tablename, policyname, qual, with_check) FROM pg_policies
    UNION ALL
    SELECT format('trigger %s %s %s', o.name, t.tgname, t.tgfoid::regproc)
      FROM ours AS o JOIN pg_trigger AS t ON t.tgrelid = o.oid WHERE NOT t.tgisinternal AND t.tgname <> 'old_client_tenant'
    UNION ALL
    SELECT format('function %s %s %s %s', p.oid::regprocedure, p.prosecdef, p.proconfig,
             CASE WHEN p.proname LIKE 'keep_milliseconds_of_%' THEN '' ELSE p.prosrc END)
      FROM pg_proc AS p WHERE p.pronamespace = 'atrium'::regnamespace AND p.proname <> 'old_client_tenant'
    UNION ALL
    SELECT format('right %s %s', table_name, privilege_type) FROM information_schema.role_table_grants WHERE grantee = 'atrium_gateway'`);
  return rows.map(({ line }) => line).sort();
}

/** Everything in the old tables, in a form to compare: the rows with their physical version, and the settings of roles. */
export async function fingerprint(client: pg.Client): Promise<unknown> {
  const tables = await client.query<{ name: string }>(
    `SELECT c.oid::regclass::text AS name FROM pg_class AS c
     WHERE c.relkind = 'r' AND c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'atrium')) ORDER BY 1`,
  );
  const contents: Record<string, unknown> = {};
  for (const { name } of tables.rows) {
    const { rows } = await client.query<{ row: string }>(
      `SELECT t.xmin::text || md5(t::text) AS row FROM ${name} AS t ORDER BY 1`,
    );
    contents[name] = rows.map(({ row }) => row);
  }
  const settings = await client.query(
    "SELECT setrole, setconfig FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())",
  );
  const objects = await client.query(`
    SELECT 'class' AS kind, oid, relname::text AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'constraint', oid, conname FROM pg_constraint
    UNION ALL SELECT 'trigger', oid, tgname FROM pg_trigger
    UNION ALL SELECT 'function', oid, proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'schema', oid, nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg_%'
    ORDER BY kind, oid`);
  return { contents, settings: settings.rows, objects: objects.rows };
}
