-- Why: expand, second half. Every table of the predecessor gets a nullable tenant_id and the columns that the models add.
--   What old clients write from now on gets the default tenant by itself, whole milliseconds, and an integration's purpose.
-- Locks: each of the eight tables exclusively, for the moment that a change of the catalogue takes; no row is rewritten or read.
-- Worked when: \d messages shows tenant_id with the default tenant's id as its default.
-- If it stops half-way: nothing of it remains (one transaction). `atrium migrate resolve <step> rolled-back`, then deploy again.

-- Parents first: old clients write sessions before what belongs to them, and the same order here cannot deadlock with them.
LOCK TABLE sessions, messages, files, memory_short, memory_medium, memory_long, integrations, notifications IN ACCESS EXCLUSIVE MODE;

-- A column without a default is not filled with one here: the fill step decides what each old row gets.
ALTER TABLE sessions
  ADD COLUMN IF NOT EXISTS tenant_id uuid,
  ADD COLUMN IF NOT EXISTS user_id uuid,
  ADD COLUMN IF NOT EXISTS last_indexed_at timestamptz,
  ALTER COLUMN id SET DEFAULT uuidv7(),
  ALTER COLUMN status SET DEFAULT 'active';

ALTER TABLE messages
  ADD COLUMN IF NOT EXISTS tenant_id uuid,
  ALTER COLUMN id SET DEFAULT uuidv7();

ALTER TABLE files
  ADD COLUMN IF NOT EXISTS tenant_id uuid,
  ADD COLUMN IF NOT EXISTS user_id uuid,
  ADD COLUMN IF NOT EXISTS size bigint,
  ADD COLUMN IF NOT EXISTS sha256 char(64),
  ADD COLUMN IF NOT EXISTS status varchar(20) NOT NULL DEFAULT 'ready',
  ADD COLUMN IF NOT EXISTS error text,
  ADD COLUMN IF NOT EXISTS text_content text,
  ALTER COLUMN id SET DEFAULT uuidv7();
ALTER TABLE files
  ALTER COLUMN session_id DROP NOT NULL,
  ALTER COLUMN user_id DROP NOT NULL;

ALTER TABLE memory_short
  ADD COLUMN IF NOT EXISTS tenant_id uuid;

ALTER TABLE memory_medium
  ADD COLUMN IF NOT EXISTS tenant_id uuid,
  ALTER COLUMN id SET DEFAULT uuidv7();

ALTER TABLE memory_long
  ADD COLUMN IF NOT EXISTS tenant_id uuid,
  ADD COLUMN IF NOT EXISTS user_id uuid,
  ADD COLUMN IF NOT EXISTS kind varchar(20) NOT NULL DEFAULT 'general',
  ADD COLUMN IF NOT EXISTS updated_at timestamptz,
  ALTER COLUMN id SET DEFAULT uuidv7();
ALTER TABLE memory_long
  ALTER COLUMN updated_at SET DEFAULT now();

ALTER TABLE integrations
  ADD COLUMN IF NOT EXISTS tenant_id uuid,
  ADD COLUMN IF NOT EXISTS user_id uuid,
  ADD COLUMN IF NOT EXISTS purpose varchar(50),
  ADD COLUMN IF NOT EXISTS name varchar(255),
  ADD COLUMN IF NOT EXISTS account varchar(320),
  ADD COLUMN IF NOT EXISTS status varchar(30),
  ADD COLUMN IF NOT EXISTS status_message text,
  ADD COLUMN IF NOT EXISTS created_at timestamptz,
  ALTER COLUMN id SET DEFAULT uuidv7(),
  ALTER COLUMN enabled SET DEFAULT true;
ALTER TABLE integrations
  ALTER COLUMN created_at SET DEFAULT now();

ALTER TABLE notifications
  ADD COLUMN IF NOT EXISTS tenant_id uuid,
  ALTER COLUMN id SET DEFAULT uuidv7(),
  ALTER COLUMN read SET DEFAULT false;

-- Until the keys are contracted, what old clients write without a tenant belongs to the default one.
-- (Added without a default first: with one, PostgreSQL would present it in every old row, and no fill could tell what is done.)
DO $$
DECLARE
  target text;
  default_tenant uuid := (SELECT id FROM tenants WHERE schema_name = 'tenant_default');
BEGIN
  FOREACH target IN ARRAY ARRAY['sessions', 'messages', 'files', 'memory_short', 'memory_medium', 'memory_long', 'integrations', 'notifications'] LOOP
    EXECUTE format('ALTER TABLE %I ALTER COLUMN tenant_id SET DEFAULT %L::uuid', target, default_tenant);
    PERFORM atrium.keep_milliseconds(target::regclass);
  END LOOP;
END
$$;

-- Old clients know neither purpose nor status. One rule fills their old rows and completes what they write later.
CREATE FUNCTION atrium.complete_integration() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.purpose IS NULL THEN
    NEW.purpose := CASE
      WHEN NEW.service_type = 'mcp_server' THEN 'mcp_server'
      ELSE left(CASE WHEN NEW.user_id IS NULL THEN 'service_' ELSE 'user_' END || NEW.service_type, 50)
    END;
    NEW.status := NULL; -- whoever gave no purpose gave no status either: what is there is the column's default
    IF NEW.service_type = 'mcp_server' THEN
      NEW.name := coalesce(NEW.name, left(NEW.metadata ->> 'name', 255));
    END IF;
  END IF;
  IF NEW.status IS NULL THEN
    NEW.status := CASE
      WHEN NEW.enabled IS FALSE THEN 'disabled'
      WHEN NEW.credentials_encrypted IS NOT NULL OR NEW.metadata ->> 'server_url' IS NOT NULL THEN 'connected'
      ELSE 'authorization_required'
    END;
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER complete_integration BEFORE INSERT OR UPDATE ON integrations
  FOR EACH ROW WHEN (NEW.purpose IS NULL OR NEW.status IS NULL) EXECUTE FUNCTION atrium.complete_integration();
