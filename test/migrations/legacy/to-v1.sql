-- The first multi-tenant release: what add_tenants_users, add_tenant_id_to_tables and 0e1f99366975 do to a legacy database.
CREATE TABLE tenants (
  id uuid NOT NULL,
  name varchar(255) NOT NULL,
  schema_name varchar(63) NOT NULL,
  active boolean NOT NULL DEFAULT 'true',
  created_at timestamptz DEFAULT now(),
  metadata jsonb,
  PRIMARY KEY (id)
);
ALTER TABLE tenants ADD CONSTRAINT uq_tenants_name UNIQUE (name);
ALTER TABLE tenants ADD CONSTRAINT uq_tenants_schema UNIQUE (schema_name);
CREATE TABLE users (
  id uuid NOT NULL,
  tenant_id uuid NOT NULL,
  email varchar(255) NOT NULL,
  name varchar(255),
  active boolean NOT NULL DEFAULT 'true',
  created_at timestamptz DEFAULT now(),
  metadata jsonb,
  PRIMARY KEY (id),
  CONSTRAINT fk_users_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
ALTER TABLE users ADD CONSTRAINT uq_user_tenant_email UNIQUE (tenant_id, email);
CREATE INDEX ix_users_tenant_id ON users (tenant_id);
CREATE INDEX ix_users_email ON users (email);
INSERT INTO tenants (id, name, schema_name, active, metadata)
VALUES (gen_random_uuid(), 'Default Tenant', 'tenant_default', true, '{}');

ALTER TABLE sessions ADD COLUMN tenant_id uuid;
ALTER TABLE messages ADD COLUMN tenant_id uuid;
ALTER TABLE files ADD COLUMN tenant_id uuid;
ALTER TABLE memory_medium ADD COLUMN tenant_id uuid;
ALTER TABLE memory_long ADD COLUMN tenant_id uuid;
ALTER TABLE integrations ADD COLUMN tenant_id uuid;
ALTER TABLE notifications ADD COLUMN tenant_id uuid;
ALTER TABLE memory_short DROP CONSTRAINT memory_short_pkey;
ALTER TABLE memory_short ADD COLUMN tenant_id uuid;
DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['sessions', 'messages', 'files', 'memory_medium', 'memory_long', 'integrations', 'notifications', 'memory_short'] LOOP
    EXECUTE format('UPDATE %I SET tenant_id = (SELECT id FROM tenants WHERE schema_name = ''tenant_default'' LIMIT 1) WHERE tenant_id IS NULL', t);
    EXECUTE format('ALTER TABLE %I ALTER COLUMN tenant_id SET NOT NULL', t);
  END LOOP;
  ALTER TABLE memory_short ADD CONSTRAINT memory_short_pkey PRIMARY KEY (tenant_id, session_id);
  FOREACH t IN ARRAY ARRAY['sessions', 'messages', 'files', 'memory_medium', 'memory_long', 'integrations', 'notifications', 'memory_short'] LOOP
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT fk_%s_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)', t, t);
    EXECUTE format('CREATE INDEX ix_%s_tenant_id ON %I (tenant_id)', t, t);
  END LOOP;
END $$;

CREATE TABLE api_keys (
  id uuid NOT NULL,
  tenant_id uuid NOT NULL,
  key_hash varchar(255) NOT NULL,
  name varchar(255),
  active boolean NOT NULL DEFAULT 'true',
  last_used_at timestamptz,
  expires_at timestamptz,
  created_at timestamptz DEFAULT now(),
  PRIMARY KEY (id),
  CONSTRAINT fk_api_keys_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id),
  CONSTRAINT uq_api_keys_key_hash UNIQUE (key_hash)
);
CREATE INDEX ix_api_keys_key_hash ON api_keys (key_hash);
CREATE INDEX ix_api_keys_tenant_id ON api_keys (tenant_id);
