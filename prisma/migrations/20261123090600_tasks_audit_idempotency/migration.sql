-- Why: tables that the predecessor did not have: a tenant's background work, who did what, and first answers to repeated mutations.
-- Locks: sessions and tenants for a moment (a foreign key to an empty table has nothing to read).
-- Worked when: \d tasks shows the table.
-- If it stops half-way: nothing of it remains (one transaction). `atrium migrate resolve <step> rolled-back`, then deploy again.

CREATE TABLE tasks (
  id uuid NOT NULL DEFAULT uuidv7(),
  tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid,
  session_id uuid,
  type varchar(50) NOT NULL,
  status varchar(20) NOT NULL DEFAULT 'queued',
  priority varchar(20) NOT NULL DEFAULT 'medium',
  payload jsonb NOT NULL DEFAULT '{}',
  result jsonb,
  error text,
  attempts integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT tasks_pkey PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_tasks_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id),
  CONSTRAINT fk_tasks_session_id FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_tasks_created ON tasks (tenant_id, created_at, id);
CREATE INDEX ix_tasks_session ON tasks (tenant_id, session_id, created_at, id);

CREATE TABLE audit_events (
  id uuid NOT NULL DEFAULT uuidv7(),
  tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid,
  action varchar(100) NOT NULL,
  actor varchar(255) NOT NULL,
  target varchar(255),
  ip varchar(45),
  details jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT audit_events_pkey PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_audit_events_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_audit_events_created ON audit_events (tenant_id, created_at, id);
CREATE INDEX ix_audit_events_action ON audit_events (tenant_id, action, created_at, id);

CREATE TABLE idempotency_keys (
  id uuid NOT NULL DEFAULT uuidv7(),
  tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid,
  operation varchar(50) NOT NULL,
  key_hash char(64) NOT NULL,
  input_hash char(64) NOT NULL,
  answer jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT idempotency_keys_pkey PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_idempotency_keys_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE UNIQUE INDEX uq_idempotency_keys ON idempotency_keys (tenant_id, operation, key_hash);
CREATE INDEX ix_idempotency_keys_created ON idempotency_keys (tenant_id, created_at);

