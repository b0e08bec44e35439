-- Why: what each tenant uses, by hour; which clients still come without a credential; and counters that every process shares, by which
--   requests are limited.
-- Locks: none that anybody waits for (new tables).
-- Worked when: `atrium isolate` passes.
-- If it stops half-way: nothing of it remains (one transaction). `atrium migrate resolve <step> rolled-back`, then deploy again.

CREATE TABLE usage_counts (
  id uuid NOT NULL DEFAULT uuidv7(),
  tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid,
  metric varchar(20) NOT NULL,
  hour timestamptz NOT NULL,
  value bigint NOT NULL,
  CONSTRAINT usage_counts_pkey PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_usage_counts_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE UNIQUE INDEX uq_usage_counts_hour ON usage_counts (tenant_id, metric, hour);

CREATE TABLE open_access (
  id uuid NOT NULL DEFAULT uuidv7(),
  tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid,
  client varchar(100) NOT NULL,
  via varchar(20) NOT NULL,
  requests bigint NOT NULL,
  first_seen_at timestamptz NOT NULL,
  last_seen_at timestamptz NOT NULL,
  CONSTRAINT open_access_pkey PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_open_access_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE UNIQUE INDEX uq_open_access_client ON open_access (tenant_id, client, via);

-- Some limits come before a tenant is known, so this table has none. Its keys are hashes, its values counts that pass within the hour;
-- losing them in a crash costs a minute's counting, and saves a log record for each count.
CREATE UNLOGGED TABLE atrium.rate_limits (
  key varchar(255) NOT NULL,
  points integer NOT NULL DEFAULT 0,
  expire bigint,
  CONSTRAINT rate_limits_pkey PRIMARY KEY (key)
);
CREATE INDEX ix_rate_limits_expire ON atrium.rate_limits (expire);

SELECT atrium.raise_walls('usage_counts'), atrium.raise_walls('open_access');
