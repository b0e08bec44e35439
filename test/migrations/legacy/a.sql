-- Legacy variant A, as a live installation has it: SQLAlchemy's create_all, then four columns on sessions, then notifications.
-- No secondary index but the three on notifications; memory_short has no foreign key; ids have no default.
CREATE TABLE sessions (
  id uuid NOT NULL,
  name varchar(255) NOT NULL,
  created_at timestamptz DEFAULT now(),
  updated_at timestamptz DEFAULT now(),
  metadata jsonb,
  PRIMARY KEY (id)
);
CREATE TABLE memory_long (
  id uuid NOT NULL,
  content text NOT NULL,
  embedding_id varchar(255),
  learned_from_sessions jsonb,
  importance_score double precision,
  created_at timestamptz DEFAULT now(),
  PRIMARY KEY (id)
);
CREATE TABLE integrations (
  id uuid NOT NULL,
  provider varchar(50) NOT NULL,
  service_type varchar(50) NOT NULL,
  credentials_encrypted text,
  enabled boolean,
  metadata jsonb,
  PRIMARY KEY (id)
);
CREATE TABLE messages (
  id uuid NOT NULL,
  session_id uuid NOT NULL,
  role varchar(20) NOT NULL,
  content text NOT NULL,
  timestamp timestamptz DEFAULT now(),
  metadata jsonb,
  PRIMARY KEY (id),
  FOREIGN KEY (session_id) REFERENCES sessions (id)
);
CREATE TABLE files (
  id uuid NOT NULL,
  session_id uuid NOT NULL,
  filename varchar(255) NOT NULL,
  filepath varchar(500) NOT NULL,
  mime_type varchar(100),
  uploaded_at timestamptz DEFAULT now(),
  metadata jsonb,
  PRIMARY KEY (id),
  FOREIGN KEY (session_id) REFERENCES sessions (id)
);
CREATE TABLE memory_short (
  session_id uuid NOT NULL,
  context_data jsonb NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (session_id)
);
CREATE TABLE memory_medium (
  id uuid NOT NULL,
  session_id uuid NOT NULL,
  content text NOT NULL,
  embedding_id varchar(255),
  created_at timestamptz DEFAULT now(),
  PRIMARY KEY (id),
  FOREIGN KEY (session_id) REFERENCES sessions (id)
);
ALTER TABLE sessions ADD COLUMN title varchar(255);
ALTER TABLE sessions ADD COLUMN description text;
ALTER TABLE sessions ADD COLUMN status varchar(20) NOT NULL DEFAULT 'active';
ALTER TABLE sessions ADD COLUMN archived_at timestamptz;
CREATE TABLE notifications (
  id uuid NOT NULL,
  type varchar(50) NOT NULL,
  urgency varchar(20) NOT NULL,
  content jsonb NOT NULL,
  session_id uuid,
  read boolean NOT NULL DEFAULT false,
  created_at timestamptz DEFAULT now(),
  read_at timestamptz,
  PRIMARY KEY (id),
  FOREIGN KEY (session_id) REFERENCES sessions (id)
);
CREATE INDEX ix_notifications_session_id ON notifications (session_id);
CREATE INDEX ix_notifications_read ON notifications (read);
CREATE INDEX ix_notifications_urgency ON notifications (urgency);
CREATE TABLE alembic_version (version_num varchar(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
INSERT INTO alembic_version VALUES ('add_notifications');
