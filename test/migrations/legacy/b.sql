-- Legacy variant B: the tables as 000_initial_schema makes them, with keys named by hand and two more indexes.
CREATE TABLE sessions (
  id uuid NOT NULL,
  name varchar(255) NOT NULL,
  created_at timestamptz DEFAULT now(),
  updated_at timestamptz DEFAULT now(),
  metadata jsonb,
  CONSTRAINT sessions_pkey PRIMARY KEY (id)
);
CREATE TABLE messages (
  id uuid NOT NULL,
  session_id uuid NOT NULL,
  role varchar(20) NOT NULL,
  content text NOT NULL,
  timestamp timestamptz DEFAULT now(),
  metadata jsonb,
  CONSTRAINT messages_pkey PRIMARY KEY (id),
  CONSTRAINT fk_messages_session_id FOREIGN KEY (session_id) REFERENCES sessions (id)
);
CREATE INDEX ix_messages_session_id ON messages (session_id);
CREATE TABLE files (
  id uuid NOT NULL,
  session_id uuid NOT NULL,
  filename varchar(255) NOT NULL,
  filepath varchar(500) NOT NULL,
  mime_type varchar(100),
  uploaded_at timestamptz DEFAULT now(),
  metadata jsonb,
  CONSTRAINT files_pkey PRIMARY KEY (id),
  CONSTRAINT fk_files_session_id FOREIGN KEY (session_id) REFERENCES sessions (id)
);
CREATE INDEX ix_files_session_id ON files (session_id);
CREATE TABLE memory_short (
  session_id uuid NOT NULL,
  context_data jsonb NOT NULL,
  expires_at timestamptz NOT NULL,
  CONSTRAINT memory_short_pkey PRIMARY KEY (session_id),
  CONSTRAINT fk_memory_short_session_id FOREIGN KEY (session_id) REFERENCES sessions (id)
);
CREATE TABLE memory_medium (
  id uuid NOT NULL,
  session_id uuid NOT NULL,
  content text NOT NULL,
  embedding_id varchar(255),
  created_at timestamptz DEFAULT now(),
  CONSTRAINT memory_medium_pkey PRIMARY KEY (id),
  CONSTRAINT fk_memory_medium_session_id FOREIGN KEY (session_id) REFERENCES sessions (id)
);
CREATE TABLE memory_long (
  id uuid NOT NULL,
  content text NOT NULL,
  embedding_id varchar(255),
  learned_from_sessions jsonb,
  importance_score double precision,
  created_at timestamptz DEFAULT now(),
  CONSTRAINT memory_long_pkey PRIMARY KEY (id)
);
CREATE TABLE integrations (
  id uuid NOT NULL,
  provider varchar(50) NOT NULL,
  service_type varchar(50) NOT NULL,
  credentials_encrypted text,
  enabled boolean,
  metadata jsonb,
  CONSTRAINT integrations_pkey PRIMARY KEY (id)
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
