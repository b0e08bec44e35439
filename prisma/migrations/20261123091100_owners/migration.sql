-- Why: users of one tenant see their own. A notification, a task and a file belong to whoever has the session that they are about; the owner stands
--   in the row, so that a list is one index away and what has no session can have an owner as well.
-- Locks: notifications and tasks exclusively while their owner is filled in (one pass each), rows of files; sessions and users for a moment.
-- Worked when: no notification and no task of a session with an owner is without one.
-- If it stops half-way: nothing of it remains (one transaction). `atrium migrate resolve <step> rolled-back`, then deploy again.

ALTER TABLE notifications ADD COLUMN user_id uuid;
ALTER TABLE tasks ADD COLUMN user_id uuid;

DO $$
DECLARE
  tenant uuid;
BEGIN
  FOR tenant IN SELECT id FROM tenants LOOP
    PERFORM set_config('app.tenant_id', tenant::text, true);
    UPDATE notifications AS n SET user_id = s.user_id FROM sessions AS s
      WHERE n.tenant_id = tenant AND s.tenant_id = tenant AND s.id = n.session_id AND s.user_id IS NOT NULL;
    UPDATE tasks AS t SET user_id = s.user_id FROM sessions AS s
      WHERE t.tenant_id = tenant AND s.tenant_id = tenant AND s.id = t.session_id AND s.user_id IS NOT NULL;
    UPDATE files AS f SET user_id = s.user_id FROM sessions AS s
      WHERE f.tenant_id = tenant AND s.tenant_id = tenant AND s.id = f.session_id AND f.user_id IS NULL AND s.user_id IS NOT NULL;
  END LOOP;
  PERFORM set_config('app.tenant_id', '', true);
END
$$;

ALTER TABLE notifications ADD CONSTRAINT fk_notifications_user_id FOREIGN KEY (tenant_id, user_id)
  REFERENCES users (tenant_id, id) ON DELETE SET NULL (user_id);
ALTER TABLE tasks ADD CONSTRAINT fk_tasks_user_id FOREIGN KEY (tenant_id, user_id)
  REFERENCES users (tenant_id, id) ON DELETE SET NULL (user_id);
CREATE INDEX ix_notifications_user ON notifications (tenant_id, user_id);
CREATE INDEX ix_tasks_user ON tasks (tenant_id, user_id);

-- Old clients, and everybody who forgets: what is about somebody's session is theirs.
CREATE FUNCTION atrium.keep_owner() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.user_id IS NULL AND NEW.session_id IS NOT NULL THEN
    SELECT s.user_id INTO NEW.user_id FROM public.sessions AS s WHERE s.tenant_id = NEW.tenant_id AND s.id = NEW.session_id;
  END IF;
  RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION atrium.keep_owner() FROM PUBLIC;
CREATE TRIGGER keep_owner BEFORE INSERT ON notifications FOR EACH ROW EXECUTE FUNCTION atrium.keep_owner();
CREATE TRIGGER keep_owner BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION atrium.keep_owner();
CREATE TRIGGER keep_owner BEFORE INSERT ON files FOR EACH ROW EXECUTE FUNCTION atrium.keep_owner();
