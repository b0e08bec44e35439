-- Why: `atrium isolate` and the query isolationReport try the walls on a database in service, with two tenants made for it. Those are
--   nobody's: no list shows them, and what removes them can remove nothing else. A probe that was killed is cleaned up by the next one.
-- Locks: none that anybody waits for (new table, new functions; all_tenants is replaced).
-- Worked when: `atrium isolate` passes and leaves no row in atrium.canaries.
-- If it stops half-way: nothing of it remains (one transaction). `atrium migrate resolve <step> rolled-back`, then deploy again.

-- What makes a tenant a canary is a row here, not a name: names can be chosen.
CREATE TABLE atrium.canaries (
  tenant_id uuid NOT NULL,
  made_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT canaries_pkey PRIMARY KEY (tenant_id),
  CONSTRAINT fk_canaries_tenant_id FOREIGN KEY (tenant_id) REFERENCES public.tenants (id)
);

-- Row-level security binds the owner too, so the rows of a canary are removed under its own setting; the caller's is put back.
-- (A SET clause of the function would do that by itself, but only a superuser may give it for a setting with a dot in its name.)
CREATE FUNCTION atrium.delete_canary(id uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  before constant text := coalesce(current_setting('app.tenant_id', true), '');
  owned regclass;
BEGIN
  DELETE FROM atrium.canaries AS c WHERE c.tenant_id = $1;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM set_config('app.tenant_id', $1::text, true);
  FOR owned IN
    SELECT c.oid FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'tenant_id' AND NOT a.attisdropped
  LOOP
    EXECUTE format('DELETE FROM %s WHERE tenant_id = $1', owned) USING $1;
  END LOOP;
  PERFORM set_config('app.tenant_id', before, true);
  DELETE FROM public.tenants AS t WHERE t.id = $1;
  RETURN true;
END
$$;

-- Older ones belong to a probe that was killed: a probe takes seconds.
CREATE FUNCTION atrium.create_canary() RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  mark constant text := replace(gen_random_uuid()::text, '-', '');
  made uuid;
BEGIN
  PERFORM atrium.delete_canary(c.tenant_id) FROM atrium.canaries AS c WHERE c.made_at < now() - interval '10 minutes';
  INSERT INTO public.tenants AS t (name, schema_name) VALUES ('Canary ' || mark, 'canary_' || mark) RETURNING t.id INTO made;
  INSERT INTO atrium.canaries (tenant_id) VALUES (made);
  RETURN made;
END
$$;
REVOKE EXECUTE ON FUNCTION atrium.delete_canary(uuid), atrium.create_canary() FROM PUBLIC;

CREATE OR REPLACE FUNCTION atrium.all_tenants() RETURNS SETOF public.tenants
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT t.* FROM public.tenants AS t WHERE NOT EXISTS (SELECT FROM atrium.canaries AS c WHERE c.tenant_id = t.id)
$$;
