-- Why: every chain begins with the single-tenant schema of the predecessor, so that a new database and an adopted one
--   go through the same steps from here on. `atrium adopt` marks this step as applied on a database that has it already.
-- Locks: none that matters; it only makes tables.
-- Worked when: `\d sessions` shows the table and `atrium migrate status` lists the step.
-- If it stops half-way: nothing of it remains (one transaction). `atrium migrate resolve <step> rolled-back`, then deploy again.

CREATE TABLE sessions (
  id uuid NOT NULL,
  name varchar(255) NOT NULL,
  created_at timestamptz DEFAULT now(),
  updated_at timestamptz DEFAULT now(),
  metadata jsonb,
  title varchar(255),
  description text,
  status varchar(20) NOT NULL DEFAULT 'active',
  archived_at timestamptz,
  CONSTRAINT sessions_pkey PRIMARY KEY (id)
);

CREATE TABLE messages (
  id uuid NOT NULL,
  session_id uuid NOT NULL,
  role varchar(20) NOT NULL,
  content text NOT NULL,
  "timestamp" timestamptz DEFAULT now(),
  metadata jsonb,
  CONSTRAINT messages_pkey PRIMARY KEY (id),
  CONSTRAINT messages_session_id_fkey FOREIGN KEY (session_id) REFERENCES sessions (id)
);

CREATE TABLE files (
  id uuid NOT NULL,
  session_id uuid NOT NULL,
  filename varchar(255) NOT NULL,
  filepath varchar(500) NOT NULL,
  mime_type varchar(100),
  uploaded_at timestamptz DEFAULT now(),
  metadata jsonb,
  CONSTRAINT files_pkey PRIMARY KEY (id),
  CONSTRAINT files_session_id_fkey FOREIGN KEY (session_id) REFERENCES sessions (id)
);

CREATE TABLE memory_short (
  session_id uuid NOT NULL,
  context_data jsonb NOT NULL,
  expires_at timestamptz NOT NULL,
  CONSTRAINT memory_short_pkey PRIMARY KEY (session_id)
);

CREATE TABLE memory_medium (
  id uuid NOT NULL,
  session_id uuid NOT NULL,
  content text NOT NULL,
  embedding_id varchar(255),
  created_at timestamptz DEFAULT now(),
  CONSTRAINT memory_medium_pkey PRIMARY KEY (id),
  CONSTRAINT memory_medium_session_id_fkey FOREIGN KEY (session_id) REFERENCES sessions (id)
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

CREATE TABLE notifications (
  id uuid NOT NULL,
  type varchar(50) NOT NULL,
  urgency varchar(20) NOT NULL,
  content jsonb NOT NULL,
  session_id uuid,
  read boolean NOT NULL DEFAULT false,
  created_at timestamptz DEFAULT now(),
  read_at timestamptz,
  CONSTRAINT notifications_pkey PRIMARY KEY (id),
  CONSTRAINT notifications_session_id_fkey FOREIGN KEY (session_id) REFERENCES sessions (id)
);

CREATE INDEX ix_notifications_session_id ON notifications (session_id);
CREATE INDEX ix_notifications_read ON notifications (read);
CREATE INDEX ix_notifications_urgency ON notifications (urgency);
