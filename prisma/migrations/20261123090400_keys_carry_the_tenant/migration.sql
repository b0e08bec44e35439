-- Why: contract. From here on the database itself refuses a row without a tenant and a reference to another tenant's row:
--   primary keys (tenant_id, id), foreign keys that contain tenant_id, indexes that begin with it.
-- What `atrium adopt` prepares while clients go on (each is used where it is found, and made here where it is not):
--   * a unique index `<table>_tenant_pkey_new` on the new key, built CONCURRENTLY: it becomes the primary key without a build;
--   * a validated CHECK `<table>_<column>_filled` (column IS NOT NULL): SET NOT NULL then need not read the table. Dropped here;
--   * the foreign keys and indexes listed below, under their final names.
-- Locks: all tables of the predecessor exclusively. Milliseconds after `atrium adopt`; without it, as long as building the keys
--   and indexes takes (11 s were measured for a million messages, on two busy cores). Foreign keys that are missing are added without reading the rows;
--   the next step validates them.
-- Worked when: \d messages shows the primary key (tenant_id, id).
-- If it stops half-way: nothing of it remains (one transaction). A column that still holds NULL is named in the message:
--   run the fill step's statements or `atrium adopt`, then `atrium migrate resolve <step> rolled-back`, then deploy again.

-- Parents first, as old clients write.
LOCK TABLE tenants, users, api_keys, sessions, messages, files, memory_short, memory_medium, memory_long, integrations, notifications
  IN ACCESS EXCLUSIVE MODE;

-- Indexes of the predecessor that the new ones replace, and those that an interrupted CONCURRENTLY left behind, which no query uses.
DROP INDEX IF EXISTS
  ix_notifications_session_id, ix_notifications_read, ix_notifications_urgency, ix_messages_session_id, ix_files_session_id,
  ix_users_tenant_id, ix_users_email, ix_api_keys_key_hash, ix_api_keys_tenant_id,
  ix_sessions_tenant_id, ix_messages_tenant_id, ix_files_tenant_id, ix_memory_short_tenant_id, ix_memory_medium_tenant_id,
  ix_memory_long_tenant_id, ix_integrations_tenant_id, ix_notifications_tenant_id,
  ix_sessions_user_id, ix_sessions_last_indexed_at, ix_sessions_user_last_indexed, ix_files_user_id, ix_files_user_tenant,
  ix_integrations_user_id, ix_integrations_purpose, ix_integrations_tenant_purpose_enabled,
  ix_notifications_tenant_read_created, ix_notifications_tenant_type, ix_notifications_tenant_urgency, ix_notifications_tenant_read,
  ix_notifications_content_gin;
ALTER TABLE integrations DROP CONSTRAINT IF EXISTS ck_integrations_purpose_valid;

DO $$
DECLARE
  tenant_tables constant text[] := ARRAY['users', 'api_keys', 'sessions', 'messages', 'files', 'memory_short', 'memory_medium', 'memory_long', 'integrations', 'notifications'];
  wanted constant text[][] := ARRAY[
    ['users', 'fk_users_tenant_id', 'FOREIGN KEY (tenant_id) REFERENCES tenants(id)'],
    ['api_keys', 'fk_api_keys_tenant_id', 'FOREIGN KEY (tenant_id) REFERENCES tenants(id)'],
    ['sessions', 'fk_sessions_tenant_id', 'FOREIGN KEY (tenant_id) REFERENCES tenants(id)'],
    ['sessions', 'fk_sessions_user_id', 'FOREIGN KEY (tenant_id, user_id) REFERENCES users(tenant_id, id) ON DELETE SET NULL (user_id)'],
    ['messages', 'fk_messages_tenant_id', 'FOREIGN KEY (tenant_id) REFERENCES tenants(id)'],
    ['messages', 'fk_messages_session_id', 'FOREIGN KEY (tenant_id, session_id) REFERENCES sessions(tenant_id, id) ON DELETE CASCADE'],
    ['files', 'fk_files_tenant_id', 'FOREIGN KEY (tenant_id) REFERENCES tenants(id)'],
    ['files', 'fk_files_session_id', 'FOREIGN KEY (tenant_id, session_id) REFERENCES sessions(tenant_id, id) ON DELETE CASCADE'],
    ['files', 'fk_files_user_id', 'FOREIGN KEY (tenant_id, user_id) REFERENCES users(tenant_id, id) ON DELETE SET NULL (user_id)'],
    ['memory_short', 'fk_memory_short_tenant_id', 'FOREIGN KEY (tenant_id) REFERENCES tenants(id)'],
    ['memory_short', 'fk_memory_short_session_id', 'FOREIGN KEY (tenant_id, session_id) REFERENCES sessions(tenant_id, id) ON DELETE CASCADE'],
    ['memory_medium', 'fk_memory_medium_tenant_id', 'FOREIGN KEY (tenant_id) REFERENCES tenants(id)'],
    ['memory_medium', 'fk_memory_medium_session_id', 'FOREIGN KEY (tenant_id, session_id) REFERENCES sessions(tenant_id, id) ON DELETE CASCADE'],
    ['memory_long', 'fk_memory_long_tenant_id', 'FOREIGN KEY (tenant_id) REFERENCES tenants(id)'],
    ['memory_long', 'fk_memory_long_user_id', 'FOREIGN KEY (tenant_id, user_id) REFERENCES users(tenant_id, id) ON DELETE SET NULL (user_id)'],
    ['integrations', 'fk_integrations_tenant_id', 'FOREIGN KEY (tenant_id) REFERENCES tenants(id)'],
    ['integrations', 'fk_integrations_user_id_users', 'FOREIGN KEY (tenant_id, user_id) REFERENCES users(tenant_id, id) ON DELETE SET NULL (user_id)'],
    ['notifications', 'fk_notifications_tenant_id', 'FOREIGN KEY (tenant_id) REFERENCES tenants(id)'],
    ['notifications', 'fk_notifications_session_id', 'FOREIGN KEY (tenant_id, session_id) REFERENCES sessions(tenant_id, id) ON DELETE CASCADE']
  ];
  target text;
  key_columns text[];
  found record;
  rule text[];
BEGIN
  -- Interrupted builds.
  FOR found IN
    SELECT indexrelid::regclass AS name FROM pg_index
    WHERE indrelid = ANY (tenant_tables::regclass[]) AND NOT indisvalid
  LOOP
    EXECUTE format('DROP INDEX %s', found.name);
  END LOOP;

  -- Foreign keys that are not of the wanted shape, before the primary keys that they rest on.
  FOR found IN
    SELECT c.conrelid::regclass AS on_table, c.conname FROM pg_constraint AS c
    WHERE c.contype = 'f' AND c.conrelid = ANY (tenant_tables::regclass[])
      AND NOT EXISTS (
        SELECT FROM generate_subscripts(wanted, 1) AS i
        WHERE wanted[i][1]::regclass = c.conrelid AND wanted[i][2] = c.conname
          AND wanted[i][3] = replace(pg_get_constraintdef(c.oid), ' NOT VALID', ''))
  LOOP
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.on_table, found.conname);
  END LOOP;

  FOREACH target IN ARRAY tenant_tables LOOP
    EXECUTE format('ALTER TABLE %I ALTER COLUMN tenant_id SET NOT NULL, ALTER COLUMN tenant_id SET DEFAULT current_setting(''app.tenant_id'')::uuid', target);

    key_columns := CASE target WHEN 'memory_short' THEN ARRAY['tenant_id', 'session_id'] ELSE ARRAY['tenant_id', 'id'] END;
    SELECT c.conname, array_agg(a.attname::text ORDER BY k.position) AS columns INTO found
      FROM pg_constraint AS c
      CROSS JOIN unnest(c.conkey) WITH ORDINALITY AS k (attnum, position)
      JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
      WHERE c.conrelid = target::regclass AND c.contype = 'p'
      GROUP BY c.conname;
    IF found.columns IS DISTINCT FROM key_columns THEN
      IF found.conname IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', target, found.conname);
      END IF;
      IF EXISTS (
        SELECT FROM pg_index AS i
        WHERE i.indexrelid = to_regclass(target || '_tenant_pkey_new') AND i.indrelid = target::regclass AND i.indisunique AND i.indpred IS NULL
          AND (SELECT array_agg(a.attname::text ORDER BY k.position)
                 FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, position)
                 JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum) = key_columns
      ) THEN
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I PRIMARY KEY USING INDEX %I', target, target || '_pkey', target || '_tenant_pkey_new');
      ELSE
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I PRIMARY KEY (%I, %I)', target, target || '_pkey', key_columns[1], key_columns[2]);
      END IF;
    END IF;
    EXECUTE format('DROP INDEX IF EXISTS %I', target || '_tenant_pkey_new');
  END LOOP;

  FOREACH rule SLICE 1 IN ARRAY wanted LOOP
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = rule[1]::regclass AND conname = rule[2]) THEN
      EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I %s NOT VALID', rule[1], rule[2], rule[3]);
    END IF;
  END LOOP;
END
$$;

ALTER TABLE tenants
  ALTER COLUMN created_at SET NOT NULL;
ALTER TABLE users
  ALTER COLUMN created_at SET NOT NULL;
ALTER TABLE api_keys
  ALTER COLUMN created_at SET NOT NULL;
ALTER TABLE sessions
  ALTER COLUMN created_at SET NOT NULL, ALTER COLUMN updated_at SET NOT NULL;
ALTER TABLE messages
  ALTER COLUMN "timestamp" SET NOT NULL;
ALTER TABLE files
  ALTER COLUMN uploaded_at SET NOT NULL;
ALTER TABLE memory_medium
  ALTER COLUMN created_at SET NOT NULL;
ALTER TABLE memory_long
  ALTER COLUMN created_at SET NOT NULL, ALTER COLUMN updated_at SET NOT NULL;
ALTER TABLE integrations
  ALTER COLUMN created_at SET NOT NULL, ALTER COLUMN purpose SET NOT NULL,
  ALTER COLUMN status SET NOT NULL, ALTER COLUMN status SET DEFAULT 'authorization_required';
ALTER TABLE notifications
  ALTER COLUMN created_at SET NOT NULL;

-- NOT NULL says it now.
DO $$
DECLARE
  found record;
BEGIN
  FOR found IN
    SELECT c.conrelid::regclass AS on_table, c.conname FROM pg_constraint AS c
    JOIN pg_class AS t ON t.oid = c.conrelid
    JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
    WHERE c.contype = 'c' AND t.relnamespace = 'public'::regnamespace AND c.conname = t.relname || '_' || a.attname || '_filled'
  LOOP
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.on_table, found.conname);
  END LOOP;
END
$$;

-- A short-term memory of a session that does not exist cannot be held by the key. The lock above keeps new ones out.
WITH orphan AS (
  DELETE FROM memory_short AS child
  WHERE NOT EXISTS (SELECT FROM sessions AS parent WHERE parent.tenant_id = child.tenant_id AND parent.id = child.session_id)
  RETURNING to_jsonb(child) AS "row"
)
INSERT INTO atrium.quarantine (table_name, "row", reason)
SELECT 'memory_short', "row", 'its session does not exist' FROM orphan;

CREATE INDEX IF NOT EXISTS ix_api_keys_created ON api_keys (tenant_id, created_at, id);
CREATE INDEX IF NOT EXISTS ix_sessions_created ON sessions (tenant_id, created_at, id);
CREATE INDEX IF NOT EXISTS ix_sessions_updated ON sessions (tenant_id, updated_at, id);
CREATE INDEX IF NOT EXISTS ix_sessions_name ON sessions (tenant_id, name, id);
CREATE INDEX IF NOT EXISTS ix_sessions_user ON sessions (tenant_id, user_id);
CREATE INDEX IF NOT EXISTS ix_messages_session ON messages (tenant_id, session_id, "timestamp", id);
CREATE INDEX IF NOT EXISTS ix_files_uploaded ON files (tenant_id, uploaded_at, id);
CREATE INDEX IF NOT EXISTS ix_files_session ON files (tenant_id, session_id, uploaded_at, id);
CREATE INDEX IF NOT EXISTS ix_files_user ON files (tenant_id, user_id);
CREATE INDEX IF NOT EXISTS ix_memory_medium_session ON memory_medium (tenant_id, session_id, created_at, id);
CREATE INDEX IF NOT EXISTS ix_memory_long_created ON memory_long (tenant_id, created_at, id);
CREATE INDEX IF NOT EXISTS ix_memory_long_user ON memory_long (tenant_id, user_id);
CREATE INDEX IF NOT EXISTS ix_integrations_created ON integrations (tenant_id, created_at, id);
CREATE INDEX IF NOT EXISTS ix_integrations_user ON integrations (tenant_id, user_id);
CREATE INDEX IF NOT EXISTS ix_notifications_created ON notifications (tenant_id, created_at, id);
CREATE INDEX IF NOT EXISTS ix_notifications_session ON notifications (tenant_id, session_id, created_at, id);
CREATE INDEX IF NOT EXISTS ix_notifications_unread ON notifications (tenant_id, read, urgency, type);
