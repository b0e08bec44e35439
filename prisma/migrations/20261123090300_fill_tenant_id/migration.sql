-- Why: fill. Rows without a tenant get their session's, or else the default one; times that are NULL or finer than a millisecond,
--   and integrations without a purpose, are put right. `atrium adopt` does this beforehand, in batches, for tables of any size:
--   then this step finds only what old clients wrote meanwhile. On a new database it finds nothing.
-- Locks: the rows that it changes, until it ends (22 s were measured for a million messages that nobody had filled, on two busy
--   cores). It reads each table once, and blocks no reader.
-- Worked when: SELECT count(*) FROM messages WHERE tenant_id IS NULL gives 0, as for the other tables.
-- If it stops half-way: nothing of it remains (one transaction), and it may run again at any time.
--   `atrium migrate resolve <step> rolled-back`, then deploy again; for large tables, run `atrium adopt` first.

UPDATE tenants SET created_at = coalesce(created_at, now())
WHERE created_at IS NULL OR created_at <> date_trunc('milliseconds', created_at);

UPDATE users SET created_at = coalesce(created_at, now())
WHERE created_at IS NULL OR created_at <> date_trunc('milliseconds', created_at)
   OR password_reset_expires <> date_trunc('milliseconds', password_reset_expires)
   OR last_login_at <> date_trunc('milliseconds', last_login_at);

UPDATE api_keys SET created_at = coalesce(created_at, now())
WHERE created_at IS NULL OR created_at <> date_trunc('milliseconds', created_at)
   OR last_used_at <> date_trunc('milliseconds', last_used_at)
   OR expires_at <> date_trunc('milliseconds', expires_at);

-- The triggers keep_milliseconds cut the times of every row that is written; these statements only have to touch it.
UPDATE sessions SET
  tenant_id = coalesce(tenant_id, (SELECT id FROM tenants WHERE schema_name = 'tenant_default')),
  created_at = coalesce(created_at, updated_at, now()),
  updated_at = coalesce(updated_at, created_at, now())
WHERE tenant_id IS NULL OR created_at IS NULL OR updated_at IS NULL
   OR created_at <> date_trunc('milliseconds', created_at) OR updated_at <> date_trunc('milliseconds', updated_at)
   OR archived_at <> date_trunc('milliseconds', archived_at) OR last_indexed_at <> date_trunc('milliseconds', last_indexed_at);

UPDATE messages AS child SET
  tenant_id = coalesce(child.tenant_id, parent.tenant_id),
  "timestamp" = coalesce(child."timestamp", parent.created_at)
FROM sessions AS parent
WHERE parent.id = child.session_id
  AND (child.tenant_id IS NULL OR child."timestamp" IS NULL OR child."timestamp" <> date_trunc('milliseconds', child."timestamp"));

UPDATE files AS child SET
  tenant_id = coalesce(child.tenant_id,
    (SELECT parent.tenant_id FROM sessions AS parent WHERE parent.id = child.session_id),
    (SELECT id FROM tenants WHERE schema_name = 'tenant_default')),
  uploaded_at = coalesce(child.uploaded_at, (SELECT parent.created_at FROM sessions AS parent WHERE parent.id = child.session_id), now())
WHERE child.tenant_id IS NULL OR child.uploaded_at IS NULL OR child.uploaded_at <> date_trunc('milliseconds', child.uploaded_at);

UPDATE memory_short AS child SET
  tenant_id = coalesce(child.tenant_id,
    (SELECT parent.tenant_id FROM sessions AS parent WHERE parent.id = child.session_id),
    (SELECT id FROM tenants WHERE schema_name = 'tenant_default'))
WHERE child.tenant_id IS NULL OR child.expires_at <> date_trunc('milliseconds', child.expires_at);

UPDATE memory_medium AS child SET
  tenant_id = coalesce(child.tenant_id, parent.tenant_id),
  created_at = coalesce(child.created_at, parent.created_at)
FROM sessions AS parent
WHERE parent.id = child.session_id
  AND (child.tenant_id IS NULL OR child.created_at IS NULL OR child.created_at <> date_trunc('milliseconds', child.created_at));

UPDATE memory_long SET
  tenant_id = coalesce(tenant_id, (SELECT id FROM tenants WHERE schema_name = 'tenant_default')),
  created_at = coalesce(created_at, now()),
  updated_at = coalesce(updated_at, created_at, now())
WHERE tenant_id IS NULL OR created_at IS NULL OR updated_at IS NULL
   OR created_at <> date_trunc('milliseconds', created_at) OR updated_at <> date_trunc('milliseconds', updated_at);

-- The trigger complete_integration derives purpose, name and status.
UPDATE integrations SET
  tenant_id = coalesce(tenant_id, (SELECT id FROM tenants WHERE schema_name = 'tenant_default')),
  created_at = coalesce(created_at, now())
WHERE tenant_id IS NULL OR purpose IS NULL OR status IS NULL
   OR created_at IS NULL OR created_at <> date_trunc('milliseconds', created_at);

UPDATE notifications AS child SET
  tenant_id = coalesce(child.tenant_id,
    (SELECT parent.tenant_id FROM sessions AS parent WHERE parent.id = child.session_id),
    (SELECT id FROM tenants WHERE schema_name = 'tenant_default')),
  created_at = coalesce(child.created_at, (SELECT parent.created_at FROM sessions AS parent WHERE parent.id = child.session_id), now())
WHERE child.tenant_id IS NULL OR child.created_at IS NULL OR child.created_at <> date_trunc('milliseconds', child.created_at)
   OR child.read_at <> date_trunc('milliseconds', child.read_at);
