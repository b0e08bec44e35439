/** One thing that a superuser breaks, and what the boot guard must say about it. */
export interface Breakage {
  readonly what: string;
  readonly statements: readonly string[];
  /** The failures, as `table: check` or `check`: these and no others. */
  readonly failures: readonly string[];
  /** A part of what the first failure says. */
  readonly says: string;
}

const OF_TENANT = "(SELECT nullif(current_setting('app.tenant_id', true), '')::uuid)";
const KEYS = "every foreign key contains the tenant";
const POLICY = "one policy names the tenant in both clauses";
const RLS = "row-level security is enabled and forced";
const IMMUTABLE = "a row cannot change its tenant";
const REVIEWED_TRIGGERS = "only reviewed triggers and no rules run on it";
const RIGHTS = "the gateway has no right that walls do not stand against";
const UNIQUE = "nothing is unique across tenants";
const DEFINER = "functions that run with their owner's rights are the reviewed ones";
const REACH = "every table that the gateway reaches has a tenant, or is on the reviewed list";
const FOREIGN_RIGHTS = "nothing reads tables with another's rights";
const NO_TENANT = "no tenant is set before a transaction sets one";
const MIGRATIONS = "migrations are at the step that this version expects";
const TENANTS = "tenants: tenants are read one at a time and never written";
const ITS_TENANT = "its tenant exists";

const SESSION_KEY = "fk_messages_session_id FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id)";
const policy = (clauses: string): string[] => [
  "DROP POLICY tenant_isolation ON files",
  `CREATE POLICY tenant_isolation ON files ${clauses}`,
];

/** What can be broken inside one database. `GATEWAY` stands for the gateway's role. */
export const BREAKAGES: readonly Breakage[] = [
  {
    what: "row-level security disabled on one table",
    statements: ["ALTER TABLE sessions DISABLE ROW LEVEL SECURITY"],
    failures: [`sessions: ${RLS}`],
    says: "not enabled",
  },
  {
    what: "row-level security no longer forced",
    statements: ["ALTER TABLE memory_long NO FORCE ROW LEVEL SECURITY"],
    failures: [`memory_long: ${RLS}`],
    says: "not forced",
  },
  {
    what: "a policy dropped",
    statements: ["DROP POLICY tenant_isolation ON files"],
    failures: [`files: ${POLICY}`],
    says: "0 policies",
  },
  {
    what: "a second, permissive policy",
    statements: ["CREATE POLICY support ON messages FOR SELECT USING (true)"],
    failures: [`messages: ${POLICY}`],
    says: "2 policies",
  },
  {
    what: "a policy that lets everything be read",
    statements: policy(`USING (true) WITH CHECK (tenant_id = ${OF_TENANT})`),
    failures: [`files: ${POLICY}`],
    says: "USING",
  },
  {
    what: "a policy that lets everything be written",
    statements: policy(`USING (tenant_id = ${OF_TENANT}) WITH CHECK (true)`),
    failures: [`files: ${POLICY}`],
    says: "WITH CHECK",
  },
  {
    what: "a policy without WITH CHECK",
    statements: policy(`USING (tenant_id = ${OF_TENANT})`),
    failures: [`files: ${POLICY}`],
    says: "WITH CHECK",
  },
  {
    what: "a policy that a setting switches off",
    statements: policy(
      `USING (tenant_id = ${OF_TENANT} OR current_setting('app.bypass', true) = 'on') WITH CHECK (tenant_id = ${OF_TENANT})`,
    ),
    failures: [`files: ${POLICY}`],
    says: "USING",
  },
  {
    what: "a policy for reading alone",
    statements: policy(`FOR SELECT USING (tenant_id = ${OF_TENANT})`),
    failures: [`files: ${POLICY}`],
    says: "everybody and everything",
  },
  {
    what: "a nullable tenant_id",
    statements: ["ALTER TABLE tasks DROP CONSTRAINT tasks_pkey", "ALTER TABLE tasks ALTER tenant_id DROP NOT NULL"],
    failures: ["tasks: tenant_id is a UUID and never null", "tasks: the primary key begins with the tenant"],
    says: "may be null",
  },
  {
    what: "a primary key without the tenant",
    statements: ["ALTER TABLE tasks DROP CONSTRAINT tasks_pkey", "ALTER TABLE tasks ADD PRIMARY KEY (id)"],
    failures: ["tasks: the primary key begins with the tenant", `tasks: ${UNIQUE}`],
    says: "does not begin with tenant_id",
  },
  {
    what: "a primary key that ends with the tenant",
    statements: ["ALTER TABLE tasks DROP CONSTRAINT tasks_pkey", "ALTER TABLE tasks ADD PRIMARY KEY (id, tenant_id)"],
    failures: ["tasks: the primary key begins with the tenant"],
    says: "does not begin with tenant_id",
  },
  {
    what: "one plain foreign key",
    statements: [
      "ALTER TABLE sessions ADD CONSTRAINT plain UNIQUE (id)",
      "ALTER TABLE messages ADD CONSTRAINT plain_key FOREIGN KEY (session_id) REFERENCES sessions (id)",
    ],
    failures: [`messages: ${KEYS}`, `sessions: ${KEYS}`, `sessions: ${UNIQUE}`],
    says: "plain_key",
  },
  {
    what: "a foreign key that is not proven",
    statements: [
      "ALTER TABLE messages DROP CONSTRAINT fk_messages_session_id",
      `ALTER TABLE messages ADD CONSTRAINT ${SESSION_KEY} NOT VALID`,
    ],
    failures: [`messages: ${KEYS}`, `sessions: ${KEYS}`],
    says: "fk_messages_session_id",
  },
  {
    what: "a foreign key that follows updates",
    statements: [
      "ALTER TABLE messages DROP CONSTRAINT fk_messages_session_id",
      `ALTER TABLE messages ADD CONSTRAINT ${SESSION_KEY} ON UPDATE CASCADE`,
    ],
    failures: ["messages: no key follows an update"],
    says: "fk_messages_session_id",
  },
  {
    what: "no foreign key to the tenant",
    statements: ["ALTER TABLE messages DROP CONSTRAINT fk_messages_tenant_id"],
    failures: [`messages: ${ITS_TENANT}`],
    says: "no foreign key",
  },
  {
    what: "something unique across tenants",
    statements: ["CREATE UNIQUE INDEX one_address ON users (email)"],
    failures: [`users: ${UNIQUE}`],
    says: "one_address",
  },
  {
    what: "an expression that is unique across tenants",
    statements: ["CREATE UNIQUE INDEX one_address ON users (lower(email)) INCLUDE (tenant_id)"],
    failures: [`users: ${UNIQUE}`],
    says: "one_address",
  },
  {
    what: "an immutability trigger dropped",
    statements: ["DROP TRIGGER tenant_id_immutable ON integrations"],
    failures: [`integrations: ${IMMUTABLE}`],
    says: "missing",
  },
  {
    what: "an immutability trigger disabled",
    statements: ["ALTER TABLE integrations DISABLE TRIGGER tenant_id_immutable"],
    failures: [`integrations: ${IMMUTABLE}`],
    says: "disabled",
  },
  {
    what: "an immutability trigger that never fires",
    statements: [
      "DROP TRIGGER tenant_id_immutable ON integrations",
      "CREATE TRIGGER tenant_id_immutable BEFORE UPDATE ON integrations FOR EACH ROW WHEN (false) EXECUTE FUNCTION atrium.refuse_tenant_change()",
    ],
    failures: [`integrations: ${IMMUTABLE}`],
    says: "another one",
  },
  {
    what: "an unknown trigger",
    statements: [
      "CREATE FUNCTION public.copy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
      "CREATE TRIGGER copy AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION public.copy()",
    ],
    failures: [`messages: ${REVIEWED_TRIGGERS}`],
    says: "copy",
  },
  {
    what: "a trigger that would give the gateway a tenant",
    statements: [
      "CREATE FUNCTION atrium.old_client_tenant() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
      "CREATE TRIGGER old_client_tenant BEFORE INSERT ON messages FOR EACH STATEMENT WHEN (session_user IN ('GATEWAY', 'old')) EXECUTE FUNCTION atrium.old_client_tenant()",
    ],
    failures: [`messages: ${REVIEWED_TRIGGERS}`],
    says: "old_client_tenant",
  },
  {
    what: "a rule, which runs with its owner's rights",
    statements: ["CREATE RULE spy AS ON INSERT TO messages DO ALSO NOTIFY spy"],
    failures: [`messages: ${REVIEWED_TRIGGERS}`],
    says: "spy",
  },
  ...["TRUNCATE", "TRIGGER", "REFERENCES"].map((right) => ({
    what: `a grant of ${right}`,
    statements: [`GRANT ${right} ON messages TO "GATEWAY"`],
    failures: [`messages: ${RIGHTS}`],
    says: right,
  })),
  {
    what: "a grant of REFERENCES on one column, to everybody",
    statements: ["GRANT REFERENCES (id) ON sessions TO PUBLIC"],
    failures: [`sessions: ${RIGHTS}`],
    says: "REFERENCES",
  },
  {
    what: "an audit trail that can be rewritten",
    statements: ['GRANT UPDATE ON audit_events TO "GATEWAY"'],
    failures: [`audit_events: ${RIGHTS}`],
    says: "UPDATE",
  },
  {
    what: "tenants that can be written",
    statements: ['GRANT UPDATE (name) ON tenants TO "GATEWAY"'],
    failures: [TENANTS],
    says: "UPDATE",
  },
  {
    what: "tenants that show to each other",
    statements: ["ALTER TABLE tenants DISABLE ROW LEVEL SECURITY"],
    failures: [TENANTS],
    says: "not enabled",
  },
  {
    what: "migrations that can be rewritten",
    statements: ['GRANT DELETE ON _prisma_migrations TO "GATEWAY"'],
    failures: ["_prisma_migrations: the list of migrations is never written"],
    says: "DELETE",
  },
  {
    what: "a table that somebody adds without a tenant, and the gateway reaches",
    statements: [
      "CREATE TABLE added_by_hand (id uuid PRIMARY KEY, body text)",
      'GRANT SELECT ON added_by_hand TO "GATEWAY"',
    ],
    failures: [`added_by_hand: ${REACH}`],
    says: "no tenant_id",
  },
  {
    what: "a table that somebody adds with a tenant, and without walls",
    statements: ["CREATE TABLE added_by_hand (id uuid PRIMARY KEY, tenant_id uuid, session_id uuid)"],
    failures: [
      "added_by_hand: tenant_id is a UUID and never null",
      "added_by_hand: the primary key begins with the tenant",
      `added_by_hand: ${ITS_TENANT}`,
      `added_by_hand: ${UNIQUE}`,
      `added_by_hand: ${RLS}`,
      `added_by_hand: ${POLICY}`,
      `added_by_hand: ${IMMUTABLE}`,
    ],
    says: "may be null",
  },
  {
    what: "a table of another schema that the gateway reaches",
    statements: ['GRANT SELECT ON atrium.api_key_directory TO "GATEWAY"'],
    failures: ["the gateway reaches tables in schema public alone"],
    says: "api_key_directory",
  },
  {
    what: "a view that reads with its owner's rights",
    statements: ["CREATE VIEW all_sessions AS SELECT * FROM sessions", "GRANT SELECT ON all_sessions TO PUBLIC"],
    failures: [FOREIGN_RIGHTS],
    says: "all_sessions is a view without security_invoker",
  },
  {
    what: "a materialised view, which keeps rows outside every policy",
    statements: [
      "CREATE MATERIALIZED VIEW old_sessions AS SELECT id, name FROM sessions",
      'GRANT SELECT ON old_sessions TO "GATEWAY"',
    ],
    failures: [FOREIGN_RIGHTS],
    says: "old_sessions is a materialised view",
  },
  {
    what: "an unexpected SECURITY DEFINER function",
    statements: [
      "CREATE FUNCTION public.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM sessions'",
    ],
    failures: [DEFINER],
    says: "peek() is not known",
  },
  {
    what: "a reviewed function without its pinned search path",
    statements: ["ALTER FUNCTION atrium.find_api_key(text) RESET search_path"],
    failures: [DEFINER],
    says: "no pinned search_path",
  },
  {
    what: "a reviewed function under another owner",
    statements: ["ALTER FUNCTION atrium.all_tenants() OWNER TO postgres"],
    failures: [DEFINER],
    says: "another owner",
  },
  {
    what: "a reviewed function that is gone",
    statements: ["DROP FUNCTION atrium.delete_canary(uuid)"],
    failures: [DEFINER],
    says: "missing",
  },
  {
    what: "a tenant as the database's default",
    statements: [
      "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET app.tenant_id = %L', current_database(), gen_random_uuid()); END $$",
    ],
    failures: [NO_TENANT],
    says: "a default is stored",
  },
  {
    what: "a migration that was not applied",
    statements: [
      "DELETE FROM _prisma_migrations WHERE migration_name = (SELECT max(migration_name) FROM _prisma_migrations)",
    ],
    failures: [MIGRATIONS],
    says: "is not applied",
  },
  {
    what: "a migration that did not end",
    statements: ["UPDATE _prisma_migrations SET finished_at = NULL WHERE migration_name LIKE '%fill%'"],
    failures: [MIGRATIONS],
    says: "did not end",
  },
  {
    what: "a model's table without its tenant",
    statements: ["ALTER TABLE tasks DROP COLUMN tenant_id CASCADE"],
    failures: [`tasks: ${REACH}`, "tasks: every model's table is there and has a tenant"],
    says: "no tenant_id",
  },
];

/** What can be wrong with the gateway's role: clauses of CREATE ROLE, and statements about it afterwards. */
export const ROLE_BREAKAGES: readonly (Breakage & { readonly flags: string })[] = [
  ...["BYPASSRLS", "CREATEROLE", "REPLICATION"].map((flag) => ({
    what: flag,
    flags: flag,
    statements: [],
    failures: ["the gateway's role can bypass nothing"],
    says: flag,
  })),
  {
    what: "membership in a role that bypasses row-level security",
    flags: "",
    statements: ['CREATE ROLE "GATEWAY_group" BYPASSRLS', 'GRANT "GATEWAY_group" TO "GATEWAY"'],
    failures: ["the gateway's role is no member of a role that can"],
    says: "GATEWAY_group",
  },
  {
    what: "membership in the role that owns the tables",
    flags: "NOINHERIT",
    statements: ['GRANT "OWNER" TO "GATEWAY"'],
    failures: ["the gateway's role is no member of a role that can"],
    says: "OWNER",
  },
  {
    what: "ownership of a function",
    flags: "",
    statements: [
      "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
      'ALTER FUNCTION public.mine() OWNER TO "GATEWAY"',
    ],
    failures: ["the gateway's role owns nothing"],
    says: "mine()",
  },
  {
    what: "a tenant as the role's default",
    flags: "",
    statements: [`ALTER ROLE "GATEWAY" SET app.tenant_id = '00000000-0000-4000-8000-000000000000'`],
    failures: [NO_TENANT],
    says: "a default is stored",
  },
  {
    what: "a setting under which no trigger fires",
    flags: "",
    statements: ['ALTER ROLE "GATEWAY" SET session_replication_role = replica'],
    failures: ["triggers and keys are obeyed"],
    says: "replica",
  },
];
