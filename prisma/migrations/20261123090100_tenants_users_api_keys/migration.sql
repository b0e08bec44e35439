-- Why: expand, first half. The tables that say who owns what, the default tenant that everything of a single-tenant
--   installation will belong to, and the schema `atrium` for objects that Prisma's models cannot describe.
--   Both multi-tenant releases of the predecessor have these three tables already: theirs are kept and completed.
-- Locks: tenants, users and api_keys for a moment, where they exist; no row is rewritten.
-- Worked when: SELECT * FROM tenants WHERE schema_name = 'tenant_default' gives one row.
-- If it stops half-way: nothing of it remains (one transaction). `atrium migrate resolve <step> rolled-back`, then deploy again.

CREATE SCHEMA IF NOT EXISTS atrium;

-- PostgreSQL 18 has uuidv7(); on 15 to 17 this one stands in: 48 bits of milliseconds, then random bits, with the version and
-- variant that RFC 9562 asks for. A later server finds its own first, because pg_catalog precedes public.
DO $$
BEGIN
  IF to_regprocedure('pg_catalog.uuidv7()') IS NULL AND to_regprocedure('public.uuidv7()') IS NULL THEN
    CREATE FUNCTION public.uuidv7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $body$
      SELECT encode(
        set_bit(set_bit(
          overlay(uuid_send(gen_random_uuid())
            PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
          52, 1), 53, 1),
        'hex')::uuid
    $body$;
  END IF;
END
$$;

CREATE TABLE IF NOT EXISTS tenants (
  id uuid NOT NULL DEFAULT uuidv7(),
  name varchar(255) NOT NULL,
  schema_name varchar(63) NOT NULL,
  active boolean NOT NULL DEFAULT true,
  created_at timestamptz DEFAULT now(),
  metadata jsonb,
  CONSTRAINT tenants_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX IF NOT EXISTS uq_tenants_name ON tenants (name);
CREATE UNIQUE INDEX IF NOT EXISTS uq_tenants_schema ON tenants (schema_name);
ALTER TABLE tenants
  ADD COLUMN IF NOT EXISTS isolation varchar(10) NOT NULL DEFAULT 'shared',
  ADD COLUMN IF NOT EXISTS plan varchar(20) NOT NULL DEFAULT 'free',
  ADD COLUMN IF NOT EXISTS limits jsonb NOT NULL DEFAULT '{}',
  ALTER COLUMN id SET DEFAULT uuidv7(),
  ALTER COLUMN active SET DEFAULT true;

CREATE TABLE IF NOT EXISTS users (
  id uuid NOT NULL DEFAULT uuidv7(),
  tenant_id uuid NOT NULL,
  email varchar(255) NOT NULL,
  name varchar(255),
  active boolean NOT NULL DEFAULT true,
  created_at timestamptz DEFAULT now(),
  metadata jsonb,
  CONSTRAINT users_pkey PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_users_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE UNIQUE INDEX IF NOT EXISTS uq_user_tenant_email ON users (tenant_id, email);
ALTER TABLE users
  ADD COLUMN IF NOT EXISTS role varchar(50) NOT NULL DEFAULT 'user',
  ADD COLUMN IF NOT EXISTS permissions jsonb DEFAULT '{}',
  ADD COLUMN IF NOT EXISTS password_hash varchar(255),
  ADD COLUMN IF NOT EXISTS email_verified boolean NOT NULL DEFAULT false,
  ADD COLUMN IF NOT EXISTS email_verification_token varchar(255),
  ADD COLUMN IF NOT EXISTS password_reset_token varchar(255),
  ADD COLUMN IF NOT EXISTS password_reset_expires timestamptz,
  ADD COLUMN IF NOT EXISTS timezone varchar(50) DEFAULT 'UTC',
  ADD COLUMN IF NOT EXISTS inactivity_timeout_minutes integer DEFAULT 30,
  ADD COLUMN IF NOT EXISTS last_login_at timestamptz,
  ADD COLUMN IF NOT EXISTS last_login_ip varchar(45),
  ALTER COLUMN id SET DEFAULT uuidv7(),
  ALTER COLUMN active SET DEFAULT true;

CREATE TABLE IF NOT EXISTS api_keys (
  id uuid NOT NULL DEFAULT uuidv7(),
  tenant_id uuid NOT NULL,
  key_hash varchar(255) NOT NULL,
  name varchar(255),
  active boolean NOT NULL DEFAULT true,
  last_used_at timestamptz,
  expires_at timestamptz,
  created_at timestamptz DEFAULT now(),
  CONSTRAINT api_keys_pkey PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_api_keys_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE UNIQUE INDEX IF NOT EXISTS uq_api_keys_key_hash ON api_keys (key_hash);
ALTER TABLE api_keys
  ADD COLUMN IF NOT EXISTS prefix varchar(20),
  ADD COLUMN IF NOT EXISTS scopes jsonb,
  ALTER COLUMN id SET DEFAULT uuidv7(),
  ALTER COLUMN active SET DEFAULT true;

-- JavaScript dates carry milliseconds and cursors compare for equality, so finer times would make rows vanish from pages.
-- One function for each table, made from its columns; the trigger's condition costs nothing on values that are fine already.
CREATE FUNCTION atrium.keep_milliseconds(target regclass) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  function_name text := format('atrium.%I', 'keep_milliseconds_of_' || (SELECT relname FROM pg_class WHERE oid = target));
  assignments text;
  condition text;
BEGIN
  SELECT string_agg(format('NEW.%1$I := date_trunc(''milliseconds'', NEW.%1$I);', attname), ' '),
         string_agg(format('NEW.%1$I <> date_trunc(''milliseconds'', NEW.%1$I)', attname), ' OR ')
    INTO assignments, condition
    FROM pg_attribute WHERE attrelid = target AND atttypid = 'timestamptz'::regtype AND attnum > 0 AND NOT attisdropped;
  IF assignments IS NULL THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE OR REPLACE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS %L',
    function_name, 'BEGIN ' || assignments || ' RETURN NEW; END');
  EXECUTE format('CREATE OR REPLACE TRIGGER keep_milliseconds BEFORE INSERT OR UPDATE ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION %s()',
    target, condition, function_name);
  EXECUTE format('REVOKE EXECUTE ON FUNCTION %s() FROM PUBLIC', function_name);
END
$$;
REVOKE EXECUTE ON FUNCTION atrium.keep_milliseconds(regclass) FROM PUBLIC;

SELECT atrium.keep_milliseconds('tenants'), atrium.keep_milliseconds('users'), atrium.keep_milliseconds('api_keys');

INSERT INTO tenants (name, schema_name, active, metadata)
SELECT 'Default Tenant', 'tenant_default', true, '{}'
WHERE NOT EXISTS (SELECT FROM tenants WHERE schema_name = 'tenant_default');

-- Rows that no key can hold are kept here, with the reason, and never dropped.
CREATE TABLE atrium.quarantine (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  table_name text NOT NULL,
  "row" jsonb NOT NULL,
  reason text NOT NULL,
  quarantined_at timestamptz NOT NULL DEFAULT now()
);
