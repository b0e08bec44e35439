-- Why: whoever may write to the database must not be able to change what the audit trail says without being found out. Each event of a
--   tenant is linked to the one before it by a hash, and names the request that it belongs to.
-- Locks: audit_events exclusively while the events that exist are linked, 7 seconds for 100,000 on a busy machine; a write that is audited waits.
-- Worked when: `atrium audit verify` finds nothing.
-- If it stops half-way: nothing of it remains (one transaction). `atrium migrate resolve <step> rolled-back`, then deploy again.
-- For later steps: a column that is added to audit_events is not covered by the hashes. Give the links a version before it holds anything.

ALTER TABLE audit_events ADD COLUMN request_id varchar(64);
CREATE INDEX ix_audit_events_actor ON audit_events (tenant_id, actor, created_at, id);
CREATE INDEX ix_audit_events_target ON audit_events (tenant_id, target, created_at, id);

-- No key to audit_events: an event that was removed must leave its link behind.
CREATE TABLE atrium.audit_chain (
  tenant_id uuid NOT NULL,
  position bigint NOT NULL,
  event_id uuid NOT NULL,
  hash bytea NOT NULL,
  CONSTRAINT audit_chain_pkey PRIMARY KEY (tenant_id, position),
  CONSTRAINT audit_chain_event_key UNIQUE (tenant_id, event_id)
);
-- The last link of each tenant's chain. One row that changes with every event: room in its page keeps the change off the index.
CREATE TABLE atrium.audit_heads (
  tenant_id uuid NOT NULL,
  position bigint NOT NULL,
  hash bytea NOT NULL,
  CONSTRAINT audit_heads_pkey PRIMARY KEY (tenant_id)
) WITH (fillfactor = 50);

-- Written so that whoever has the rows can compute it without this function: SHA-256 over the hash before (nothing, for the first) and the
-- event as a JSON array in UTF-8. The time is in seconds since 1970, whose text depends on no setting.
CREATE FUNCTION atrium.audit_hash(before bytea, event public.audit_events) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT sha256($1 || convert_to(jsonb_build_array($2.id, $2.tenant_id, $2.action, $2.actor, $2.target, $2.ip, $2.request_id, $2.details,
    extract(epoch FROM $2.created_at)::text)::text, 'UTF8'))
$$;

-- Runs inside COMMIT: the head's row is the last lock that a transaction takes, so writers of one tenant cannot wait for each other in a circle.
CREATE FUNCTION atrium.link_audit_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  head atrium.audit_heads;
BEGIN
  LOOP
    UPDATE atrium.audit_heads AS h SET position = h.position + 1, hash = atrium.audit_hash(h.hash, NEW)
      WHERE h.tenant_id = NEW.tenant_id RETURNING h.* INTO head;
    EXIT WHEN FOUND;
    INSERT INTO atrium.audit_heads (tenant_id, position, hash) VALUES (NEW.tenant_id, 0, '') ON CONFLICT (tenant_id) DO NOTHING;
  END LOOP;
  INSERT INTO atrium.audit_chain (tenant_id, position, event_id, hash) VALUES (head.tenant_id, head.position, NEW.id, head.hash);
  RETURN NULL;
END
$$;

-- For who verifies: the links of the tenant that is set, and of no other. The events themselves are read under row-level security.
CREATE FUNCTION atrium.audit_head(OUT "position" bigint, OUT hash bytea, OUT last_position bigint, OUT last_hash bytea) RETURNS record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT h.position, h.hash, l.position, l.hash FROM (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid AS id) AS t
  LEFT JOIN atrium.audit_heads AS h ON h.tenant_id = t.id
  LEFT JOIN LATERAL (SELECT c.position, c.hash FROM atrium.audit_chain AS c WHERE c.tenant_id = t.id ORDER BY c.position DESC LIMIT 1) AS l ON true
$$;
CREATE FUNCTION atrium.audit_links(after bigint, at_most integer) RETURNS TABLE ("position" bigint, event_id uuid, hash bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.position, c.event_id, c.hash FROM atrium.audit_chain AS c
  WHERE c.tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid AND c.position > $1 ORDER BY c.position LIMIT $2
$$;
CREATE FUNCTION atrium.linked_audit_events(events uuid[]) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.event_id FROM atrium.audit_chain AS c
  WHERE c.tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid AND c.event_id = ANY ($1)
$$;
REVOKE EXECUTE ON FUNCTION atrium.audit_hash(bytea, public.audit_events), atrium.link_audit_event(), atrium.audit_head(),
  atrium.audit_links(bigint, integer), atrium.linked_audit_events(uuid[]) FROM PUBLIC;

DO $$
DECLARE
  tenant uuid;
  event public.audit_events;
  last_position bigint;
  last_hash bytea;
BEGIN
  FOR tenant IN SELECT id FROM tenants LOOP
    PERFORM set_config('app.tenant_id', tenant::text, true);
    last_position := 0;
    last_hash := '';
    FOR event IN SELECT * FROM audit_events WHERE tenant_id = tenant ORDER BY created_at, id LOOP
      last_position := last_position + 1;
      last_hash := atrium.audit_hash(last_hash, event);
      INSERT INTO atrium.audit_chain (tenant_id, position, event_id, hash) VALUES (tenant, last_position, event.id, last_hash);
    END LOOP;
    IF last_position > 0 THEN
      INSERT INTO atrium.audit_heads (tenant_id, position, hash) VALUES (tenant, last_position, last_hash);
    END IF;
  END LOOP;
  PERFORM set_config('app.tenant_id', '', true);
END
$$;

-- Verifying reads both in order, a piece at a time; without their size, PostgreSQL would sort the whole for each piece.
ANALYZE audit_events, atrium.audit_chain;

CREATE CONSTRAINT TRIGGER link_audit_event AFTER INSERT ON audit_events DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION atrium.link_audit_event();

-- As before, and the links of what it removes go as well.
CREATE OR REPLACE FUNCTION atrium.delete_canary(id uuid) RETURNS boolean
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
  DELETE FROM atrium.audit_chain AS l WHERE l.tenant_id = $1;
  DELETE FROM atrium.audit_heads AS h WHERE h.tenant_id = $1;
  DELETE FROM public.tenants AS t WHERE t.id = $1;
  RETURN true;
END
$$;
