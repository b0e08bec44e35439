-- The second multi-tenant release: users who sign in, owners of sessions, integrations and files, purposes, more indexes.
ALTER TABLE users ADD COLUMN password_hash varchar(255);
ALTER TABLE users ADD COLUMN role varchar(50) NOT NULL DEFAULT 'user';
ALTER TABLE users ADD COLUMN permissions jsonb DEFAULT '{}';
ALTER TABLE users ADD COLUMN email_verified boolean NOT NULL DEFAULT false;
ALTER TABLE users ADD COLUMN email_verification_token varchar(255);
ALTER TABLE users ADD COLUMN password_reset_token varchar(255);
ALTER TABLE users ADD COLUMN password_reset_expires timestamptz;
ALTER TABLE users ADD COLUMN last_login_at timestamptz;
ALTER TABLE users ADD COLUMN last_login_ip varchar(45);

ALTER TABLE sessions ADD COLUMN user_id uuid;
ALTER TABLE sessions ADD CONSTRAINT fk_sessions_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL;
CREATE INDEX ix_sessions_user_id ON sessions (user_id);

ALTER TABLE integrations ADD COLUMN user_id uuid;
ALTER TABLE integrations ADD CONSTRAINT fk_integrations_user_id_users FOREIGN KEY (user_id) REFERENCES users (id);
CREATE INDEX ix_integrations_user_id ON integrations (user_id);

ALTER TABLE users ADD COLUMN timezone varchar(50) DEFAULT 'UTC';
ALTER TABLE users ADD COLUMN inactivity_timeout_minutes integer DEFAULT 30;

CREATE INDEX ix_notifications_tenant_read_created ON notifications (tenant_id, read, created_at DESC);
CREATE INDEX ix_notifications_tenant_type ON notifications (tenant_id, type);
CREATE INDEX ix_notifications_tenant_urgency ON notifications (tenant_id, urgency);
CREATE INDEX ix_notifications_tenant_read ON notifications (tenant_id, read);
CREATE INDEX ix_notifications_content_gin ON notifications USING gin (content);

ALTER TABLE integrations ADD COLUMN purpose varchar(50);
UPDATE integrations
   SET purpose = CASE WHEN service_type = 'mcp_server' THEN 'mcp_server'
                      WHEN user_id IS NULL THEN 'service_' || service_type ELSE 'user_' || service_type END;
ALTER TABLE integrations ALTER COLUMN purpose SET NOT NULL;
ALTER TABLE integrations ADD CONSTRAINT ck_integrations_purpose_valid CHECK (purpose IN
  ('user_email', 'service_email', 'user_calendar', 'service_calendar', 'user_whatsapp', 'service_whatsapp', 'mcp_server'));
CREATE INDEX ix_integrations_purpose ON integrations (purpose);
CREATE INDEX ix_integrations_tenant_purpose_enabled ON integrations (tenant_id, purpose, enabled);

ALTER TABLE files ADD COLUMN user_id uuid;
UPDATE files SET user_id = (SELECT s.user_id FROM sessions s WHERE s.id = files.session_id);
ALTER TABLE files ALTER COLUMN user_id SET NOT NULL;
ALTER TABLE files ADD CONSTRAINT fk_files_user_id_users FOREIGN KEY (user_id) REFERENCES users (id);
ALTER TABLE files ALTER COLUMN session_id DROP NOT NULL;
CREATE INDEX ix_files_user_id ON files (user_id);
CREATE INDEX ix_files_user_tenant ON files (user_id, tenant_id);

ALTER TABLE sessions ADD COLUMN last_indexed_at timestamptz;
CREATE INDEX ix_sessions_last_indexed_at ON sessions (last_indexed_at);
CREATE INDEX ix_sessions_user_last_indexed ON sessions (user_id, last_indexed_at);
