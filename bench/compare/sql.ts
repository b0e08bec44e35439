// What the benchmark adds to the database it measures on.

/** Of the cluster, from its next start on. Nothing that would favour one server over another. */
export const SETTINGS_SQL = [
  "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'",
  "ALTER SYSTEM SET pg_stat_statements.track = 'none'", // switched on while statements are counted, because counting takes CPU
  "ALTER SYSTEM SET shared_buffers = '1GB'",
  "ALTER SYSTEM SET max_connections = 300",
  // Neither a checkpoint nor autovacuum falls into one server's run and not into another's.
  "ALTER SYSTEM SET max_wal_size = '8GB'",
  "ALTER SYSTEM SET checkpoint_timeout = '1h'",
  "ALTER SYSTEM SET autovacuum = off",
] as const;

/** Made anew with each run: PostGraphile offers a function as a mutation, and the others have no need of it. */
export const BENCH_SQL = `
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
CREATE SCHEMA IF NOT EXISTS bench;
GRANT USAGE ON SCHEMA bench TO atrium_gateway;
CREATE OR REPLACE FUNCTION bench.store_message(session_id uuid, role text, content text) RETURNS public.messages
LANGUAGE sql VOLATILE AS $$
  WITH touched AS (
    UPDATE public.sessions SET updated_at = date_trunc('milliseconds', now())
    WHERE id = $1 AND status NOT IN ('archived', 'deleted') RETURNING tenant_id, id
  )
  INSERT INTO public.messages (tenant_id, session_id, role, content, metadata, timestamp)
  SELECT tenant_id, id, $2, $3, '{}', date_trunc('milliseconds', now()) FROM touched RETURNING *
$$;
`;

/** Takes back what runs of Q4 and Q5 have written, so that the next server finds what this one found. The audit trail stays: it is a chain. */
export const CLEAR_SQL = [
  "DELETE FROM messages WHERE timestamp > '2026-11-01'",
  `UPDATE sessions AS s SET updated_at = m.last FROM (
     SELECT tenant_id, session_id, max(timestamp) AS last FROM messages WHERE (tenant_id, session_id) IN (SELECT tenant_id, id FROM sessions WHERE updated_at > '2026-11-01')
     GROUP BY 1, 2
   ) AS m WHERE s.tenant_id = m.tenant_id AND s.id = m.session_id`,
  "VACUUM (ANALYZE) sessions",
  "VACUUM messages",
  "CHECKPOINT",
] as const;
