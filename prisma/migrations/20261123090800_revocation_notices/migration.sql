-- Why: a revoked key and a suspended tenant must stop working in every process within a second, whoever changed the row.
--   Each process caches look-ups for seconds and forgets them when it hears on channel atrium_revoked.
-- Locks: tenants and api_keys, for a moment (CREATE TRIGGER); no row is read.
-- Worked when: LISTEN atrium_revoked hears of an UPDATE of tenants.active.
-- If it stops half-way: nothing of it remains (one transaction). `atrium migrate resolve <step> rolled-back`, then deploy again.

CREATE FUNCTION atrium.tell_of_revocation() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Nothing of the row is told: every process that may listen to this database would hear it.
  PERFORM pg_notify('atrium_revoked', TG_TABLE_NAME);
  RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION atrium.tell_of_revocation() FROM PUBLIC;

CREATE TRIGGER tell_of_revocation AFTER INSERT OR UPDATE OR DELETE ON public.tenants
  FOR EACH STATEMENT EXECUTE FUNCTION atrium.tell_of_revocation();
-- Not for last_used_at, which changes all the time. New keys are told of as well: unknown ones are cached, too.
CREATE TRIGGER tell_of_revocation AFTER INSERT OR DELETE OR UPDATE OF active, expires_at, scopes, key_hash ON public.api_keys
  FOR EACH STATEMENT EXECUTE FUNCTION atrium.tell_of_revocation();
