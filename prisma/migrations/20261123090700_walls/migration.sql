-- Why: the second wall, and the triggers of the third. Row-level security shows each statement one tenant's rows; a row cannot
--   change its tenant; what must see more than one tenant goes through the few functions made here, and nowhere else.
--   The gateway's role gets its rights from `atrium migrate deploy` after the last step: its name differs between installations.
-- Locks: every tenant-owned table exclusively, for a moment; no row is read but those of api_keys.
-- Worked when: `atrium isolate` passes.
-- If it stops half-way: nothing of it remains (one transaction). `atrium migrate resolve <step> rolled-back`, then deploy again.
-- For later steps: the owner is bound by the policies as well. A step that reads or writes rows of all tenants
--   sets app.tenant_id for one tenant after another. A step that adds a table ends with SELECT atrium.raise_walls('<table>').

LOCK TABLE tenants, users, api_keys, sessions, messages, files, memory_short, memory_medium, memory_long, integrations, notifications
  IN ACCESS EXCLUSIVE MODE;

-- Authentication must find a key before a tenant is known, and not even the owner may read api_keys across tenants.
-- This copy of the hashes is kept by the trigger below; the gateway's role can only ask find_api_key for one hash.
CREATE TABLE atrium.api_key_directory (
  key_hash text NOT NULL,
  tenant_id uuid NOT NULL,
  api_key_id uuid NOT NULL,
  CONSTRAINT api_key_directory_pkey PRIMARY KEY (key_hash),
  CONSTRAINT api_key_directory_key UNIQUE (tenant_id, api_key_id)
);
INSERT INTO atrium.api_key_directory (key_hash, tenant_id, api_key_id) SELECT key_hash, tenant_id, id FROM public.api_keys;

CREATE FUNCTION atrium.keep_api_key_directory() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    DELETE FROM atrium.api_key_directory;
    RETURN NULL;
  END IF;
  IF TG_OP IN ('UPDATE', 'DELETE') THEN
    DELETE FROM atrium.api_key_directory WHERE tenant_id = OLD.tenant_id AND api_key_id = OLD.id;
  END IF;
  IF TG_OP IN ('INSERT', 'UPDATE') THEN
    INSERT INTO atrium.api_key_directory (key_hash, tenant_id, api_key_id) VALUES (NEW.key_hash, NEW.tenant_id, NEW.id);
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER keep_api_key_directory AFTER INSERT OR DELETE OR UPDATE OF key_hash, tenant_id, id ON public.api_keys
  FOR EACH ROW EXECUTE FUNCTION atrium.keep_api_key_directory();
CREATE TRIGGER keep_api_key_directory_empty AFTER TRUNCATE ON public.api_keys
  FOR EACH STATEMENT EXECUTE FUNCTION atrium.keep_api_key_directory();

CREATE FUNCTION atrium.find_api_key(key_hash text) RETURNS TABLE (tenant_id uuid, api_key_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT d.tenant_id, d.api_key_id FROM atrium.api_key_directory AS d WHERE d.key_hash = $1
$$;

CREATE FUNCTION atrium.default_tenant_id() RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT t.id FROM public.tenants AS t WHERE t.schema_name = 'tenant_default'
$$;

CREATE FUNCTION atrium.all_tenants() RETURNS SETOF public.tenants
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT * FROM public.tenants
$$;

CREATE FUNCTION atrium.create_tenant(name text, schema_name text, plan text, isolation text, metadata jsonb) RETURNS public.tenants
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO public.tenants AS t (name, schema_name, plan, isolation, metadata) VALUES ($1, $2, $3, $4, $5) RETURNING t.*
$$;

CREATE FUNCTION atrium.update_tenant(id uuid, changes jsonb) RETURNS SETOF public.tenants
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  unknown text := (SELECT string_agg(k, ', ') FROM jsonb_object_keys($2) AS k WHERE k NOT IN ('name', 'active', 'plan', 'limits', 'metadata'));
BEGIN
  IF unknown IS NOT NULL THEN
    RAISE EXCEPTION 'a tenant has nothing to change by the name of %', unknown USING ERRCODE = 'invalid_parameter_value';
  END IF;
  RETURN QUERY
    UPDATE public.tenants AS t SET
      name = CASE WHEN $2 ? 'name' THEN $2 ->> 'name' ELSE t.name END,
      active = CASE WHEN $2 ? 'active' THEN ($2 ->> 'active')::boolean ELSE t.active END,
      plan = CASE WHEN $2 ? 'plan' THEN $2 ->> 'plan' ELSE t.plan END,
      limits = CASE WHEN $2 ? 'limits' THEN coalesce(nullif($2 -> 'limits', 'null'), '{}') ELSE t.limits END,
      metadata = CASE WHEN $2 ? 'metadata' THEN nullif($2 -> 'metadata', 'null') ELSE t.metadata END
    WHERE t.id = $1
    RETURNING t.*;
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA atrium FROM PUBLIC;

-- A row that changed its tenant would drag its children along or leave them behind.
CREATE FUNCTION atrium.refuse_tenant_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'a row of % cannot change its tenant', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE FUNCTION atrium.raise_walls(target regclass) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  of_this_tenant constant text := 'tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid)';
BEGIN
  PERFORM atrium.keep_milliseconds(target);
  EXECUTE format('CREATE TRIGGER tenant_id_immutable BEFORE UPDATE ON %s FOR EACH ROW
    WHEN (OLD.tenant_id IS NOT NULL AND NEW.tenant_id IS DISTINCT FROM OLD.tenant_id) EXECUTE FUNCTION atrium.refuse_tenant_change()', target);
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', target);
  EXECUTE format('CREATE POLICY tenant_isolation ON %s USING (%s) WITH CHECK (%s)', target, of_this_tenant, of_this_tenant);
END
$$;
REVOKE EXECUTE ON FUNCTION atrium.refuse_tenant_change(), atrium.raise_walls(regclass) FROM PUBLIC;

SELECT atrium.raise_walls('users'), atrium.raise_walls('api_keys'),
  atrium.raise_walls('sessions'), atrium.raise_walls('messages'), atrium.raise_walls('files'),
  atrium.raise_walls('memory_short'), atrium.raise_walls('memory_medium'), atrium.raise_walls('memory_long'),
  atrium.raise_walls('integrations'), atrium.raise_walls('notifications'),
  atrium.raise_walls('tasks'), atrium.raise_walls('audit_events'), atrium.raise_walls('idempotency_keys');

-- The functions above run as the owner and must see every tenant, so this table does not bind its owner.
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenants
  USING (id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
  WITH CHECK (id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
