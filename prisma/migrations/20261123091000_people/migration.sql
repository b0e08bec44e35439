-- Why: people sign in. One address is one person of a tenant, in whatever case it is written; sign-ins and what renews them, tokens that go
--   out by mail, mail that waits to be sent, identities that an outside provider vouches for, and the keys that sign access tokens.
-- Locks: users exclusively while its addresses are put into lower case (one pass over the table), tenants and api_keys for a moment.
-- Worked when: `atrium isolate` passes, and no two users of a tenant differ only in the case of their address.
-- If it stops half-way: nothing of it remains (one transaction). `atrium migrate resolve <step> rolled-back`, then deploy again.

LOCK TABLE users, api_keys IN ACCESS EXCLUSIVE MODE;

-- The predecessor told addresses apart by case, and then failed at sign-in. Of those that are one address, whoever signed in last keeps it
-- (then whoever was there first); the others are kept, inactive, under an address that reaches nobody, with the old one in their metadata.
DO $$
DECLARE
  tenant uuid;
BEGIN
  FOR tenant IN SELECT id FROM tenants LOOP
    PERFORM set_config('app.tenant_id', tenant::text, true);
    UPDATE users AS u SET
      active = false,
      email = 'duplicate-' || u.id || '@invalid',
      metadata = CASE WHEN jsonb_typeof(u.metadata::jsonb) = 'object' THEN u.metadata::jsonb ELSE '{}' END || jsonb_build_object('duplicate_of', lower(u.email))
    FROM (
      SELECT id, row_number() OVER (PARTITION BY lower(email) ORDER BY active DESC, last_login_at DESC NULLS LAST, created_at, id) AS place
      FROM users WHERE tenant_id = tenant
    ) AS ranked
    WHERE u.tenant_id = tenant AND ranked.id = u.id AND ranked.place > 1;
    UPDATE users SET email = lower(email) WHERE tenant_id = tenant AND email <> lower(email);
  END LOOP;
  PERFORM set_config('app.tenant_id', '', true);
END
$$;

CREATE FUNCTION atrium.keep_lower_email() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.email := lower(NEW.email);
  RETURN NEW;
END
$$;
CREATE TRIGGER keep_lower_email BEFORE INSERT OR UPDATE OF email ON users
  FOR EACH ROW EXECUTE FUNCTION atrium.keep_lower_email();

CREATE TABLE sign_ins (
  id uuid NOT NULL DEFAULT uuidv7(),
  tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid,
  user_id uuid NOT NULL,
  method varchar(20) NOT NULL,
  ip varchar(45),
  created_at timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  ended_at timestamptz,
  end_reason varchar(30),
  CONSTRAINT sign_ins_pkey PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_sign_ins_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id),
  CONSTRAINT fk_sign_ins_user_id FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_sign_ins_user ON sign_ins (tenant_id, user_id, created_at);

CREATE TABLE refresh_tokens (
  id uuid NOT NULL DEFAULT uuidv7(),
  tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid,
  sign_in_id uuid NOT NULL,
  token_hash char(64) NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  used_at timestamptz,
  CONSTRAINT refresh_tokens_pkey PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_refresh_tokens_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id),
  CONSTRAINT fk_refresh_tokens_sign_in_id FOREIGN KEY (tenant_id, sign_in_id) REFERENCES sign_ins (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX uq_refresh_tokens_hash ON refresh_tokens (tenant_id, token_hash);
CREATE INDEX ix_refresh_tokens_sign_in ON refresh_tokens (tenant_id, sign_in_id);

CREATE TABLE one_time_tokens (
  id uuid NOT NULL DEFAULT uuidv7(),
  tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid,
  user_id uuid,
  purpose varchar(20) NOT NULL,
  token_hash char(64) NOT NULL,
  data jsonb NOT NULL DEFAULT '{}',
  expires_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT one_time_tokens_pkey PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_one_time_tokens_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id),
  CONSTRAINT fk_one_time_tokens_user_id FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX uq_one_time_tokens_hash ON one_time_tokens (tenant_id, token_hash);
CREATE INDEX ix_one_time_tokens_user ON one_time_tokens (tenant_id, user_id, purpose);
CREATE INDEX ix_one_time_tokens_expires ON one_time_tokens (tenant_id, expires_at);

-- Mail that waits to be sent holds no token: one is made at the moment of sending, and only its hash is kept.
CREATE TABLE mails (
  id uuid NOT NULL DEFAULT uuidv7(),
  tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid,
  user_id uuid,
  kind varchar(30) NOT NULL,
  email varchar(255) NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT mails_pkey PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_mails_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id),
  CONSTRAINT fk_mails_user_id FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_mails_next_attempt ON mails (tenant_id, next_attempt_at);

-- Which tenants have mail that waits: row-level security keeps everybody, the owner too, from asking all of them at once.
CREATE TABLE atrium.mail_directory (
  tenant_id uuid NOT NULL,
  mail_id uuid NOT NULL,
  CONSTRAINT mail_directory_pkey PRIMARY KEY (tenant_id, mail_id)
);
CREATE FUNCTION atrium.keep_mail_directory() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    DELETE FROM atrium.mail_directory WHERE tenant_id = OLD.tenant_id AND mail_id = OLD.id;
  ELSE
    INSERT INTO atrium.mail_directory (tenant_id, mail_id) VALUES (NEW.tenant_id, NEW.id);
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER keep_mail_directory AFTER INSERT OR DELETE ON mails
  FOR EACH ROW EXECUTE FUNCTION atrium.keep_mail_directory();
CREATE FUNCTION atrium.tenants_with_mail() RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT m.tenant_id FROM atrium.mail_directory AS m
$$;

CREATE TABLE outside_identities (
  id uuid NOT NULL DEFAULT uuidv7(),
  tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid,
  user_id uuid NOT NULL,
  issuer varchar(500) NOT NULL,
  subject varchar(255) NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT outside_identities_pkey PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_outside_identities_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id),
  CONSTRAINT fk_outside_identities_user_id FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX uq_outside_identities_subject ON outside_identities (tenant_id, issuer, subject);
CREATE INDEX ix_outside_identities_user ON outside_identities (tenant_id, user_id);

CREATE TABLE identity_providers (
  id uuid NOT NULL DEFAULT uuidv7(),
  tenant_id uuid NOT NULL DEFAULT current_setting('app.tenant_id')::uuid,
  name varchar(255) NOT NULL,
  issuer varchar(500) NOT NULL,
  client_id varchar(255) NOT NULL,
  client_secret_sealed text,
  audience varchar(500) NOT NULL,
  claims jsonb NOT NULL DEFAULT '{}',
  roles jsonb NOT NULL DEFAULT '{}',
  unknown_people varchar(10) NOT NULL DEFAULT 'refuse',
  default_role varchar(50) NOT NULL DEFAULT 'user',
  email_domains jsonb NOT NULL DEFAULT '[]',
  active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT identity_providers_pkey PRIMARY KEY (tenant_id, id),
  CONSTRAINT fk_identity_providers_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE UNIQUE INDEX uq_identity_providers_client ON identity_providers (tenant_id, issuer, client_id);
CREATE INDEX ix_identity_providers_created ON identity_providers (tenant_id, created_at, id);

-- A token names its issuer before a tenant is known; the gateway can only ask who trusts one issuer.
CREATE TABLE atrium.identity_provider_directory (
  tenant_id uuid NOT NULL,
  provider_id uuid NOT NULL,
  issuer varchar(500) NOT NULL,
  CONSTRAINT identity_provider_directory_pkey PRIMARY KEY (tenant_id, provider_id)
);
CREATE INDEX ix_identity_provider_directory_issuer ON atrium.identity_provider_directory (issuer);
CREATE FUNCTION atrium.keep_identity_provider_directory() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP IN ('UPDATE', 'DELETE') THEN
    DELETE FROM atrium.identity_provider_directory WHERE tenant_id = OLD.tenant_id AND provider_id = OLD.id;
  END IF;
  IF TG_OP IN ('INSERT', 'UPDATE') THEN
    INSERT INTO atrium.identity_provider_directory (tenant_id, provider_id, issuer) VALUES (NEW.tenant_id, NEW.id, NEW.issuer);
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER keep_identity_provider_directory AFTER INSERT OR DELETE OR UPDATE OF issuer, tenant_id, id ON identity_providers
  FOR EACH ROW EXECUTE FUNCTION atrium.keep_identity_provider_directory();
CREATE FUNCTION atrium.find_identity_providers(issuer text) RETURNS TABLE (tenant_id uuid, provider_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT d.tenant_id, d.provider_id FROM atrium.identity_provider_directory AS d WHERE d.issuer = $1
$$;

-- The installation's own signing keys. The private half is sealed by the master key, which the database does not have.
CREATE TABLE atrium.token_keys (
  kid varchar(64) NOT NULL,
  public_key jsonb NOT NULL,
  sealed_private_key text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT token_keys_pkey PRIMARY KEY (kid)
);
CREATE FUNCTION atrium.token_keys() RETURNS SETOF atrium.token_keys
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT * FROM atrium.token_keys ORDER BY created_at, kid
$$;
-- Of several processes that find no fresh key at once, one makes it.
CREATE FUNCTION atrium.add_token_key(kid text, public_key jsonb, sealed_private_key text, unless_newer_than timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  LOCK TABLE atrium.token_keys IN SHARE ROW EXCLUSIVE MODE;
  IF EXISTS (SELECT FROM atrium.token_keys AS k WHERE k.created_at > $4) THEN
    RETURN false;
  END IF;
  INSERT INTO atrium.token_keys (kid, public_key, sealed_private_key, created_at) VALUES ($1, $2, $3, clock_timestamp());
  PERFORM pg_notify('atrium_revoked', 'token_keys');
  RETURN true;
END
$$;
CREATE FUNCTION atrium.remove_token_keys(older_than timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  gone integer;
BEGIN
  -- Never the newest: it signs.
  DELETE FROM atrium.token_keys AS k WHERE k.created_at < $1 AND k.created_at < (SELECT max(n.created_at) FROM atrium.token_keys AS n);
  GET DIAGNOSTICS gone = ROW_COUNT;
  IF gone > 0 THEN
    PERFORM pg_notify('atrium_revoked', 'token_keys');
  END IF;
  RETURN gone;
END
$$;

-- What ends somebody's access is told with the tenant's id and nothing else, so that a process forgets that tenant and no other.
CREATE FUNCTION atrium.tell_of_tenant() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM pg_notify('atrium_revoked', coalesce(NEW.tenant_id, OLD.tenant_id)::text);
  RETURN NULL;
END
$$;
CREATE TRIGGER tell_of_tenant AFTER DELETE OR UPDATE OF active, role, email, password_hash ON users
  FOR EACH ROW EXECUTE FUNCTION atrium.tell_of_tenant();
CREATE TRIGGER tell_of_tenant AFTER DELETE OR UPDATE OF ended_at, expires_at ON sign_ins
  FOR EACH ROW EXECUTE FUNCTION atrium.tell_of_tenant();
CREATE TRIGGER tell_of_tenant AFTER INSERT OR DELETE OR UPDATE ON identity_providers
  FOR EACH ROW EXECUTE FUNCTION atrium.tell_of_tenant();
CREATE TRIGGER tell_of_tenant AFTER DELETE ON outside_identities
  FOR EACH ROW EXECUTE FUNCTION atrium.tell_of_tenant();
DROP TRIGGER tell_of_revocation ON public.api_keys;
CREATE TRIGGER tell_of_tenant AFTER INSERT OR DELETE OR UPDATE OF active, expires_at, scopes, key_hash ON public.api_keys
  FOR EACH ROW EXECUTE FUNCTION atrium.tell_of_tenant();

REVOKE EXECUTE ON FUNCTION atrium.keep_lower_email(), atrium.keep_mail_directory(), atrium.tenants_with_mail(),
  atrium.keep_identity_provider_directory(), atrium.find_identity_providers(text), atrium.token_keys(),
  atrium.add_token_key(text, jsonb, text, timestamptz), atrium.remove_token_keys(timestamptz), atrium.tell_of_tenant() FROM PUBLIC;

SELECT atrium.raise_walls('sign_ins'), atrium.raise_walls('refresh_tokens'), atrium.raise_walls('one_time_tokens'),
  atrium.raise_walls('mails'), atrium.raise_walls('outside_identities'), atrium.raise_walls('identity_providers');
