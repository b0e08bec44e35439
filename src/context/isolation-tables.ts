/** One question to the catalogue. Its statement answers with a row for each thing looked at: the table, and what is wrong or null. */
export interface CatalogueCheck {
  readonly name: string;
  /** What an operator does about it. */
  readonly remedy: string;
  readonly sql: string;
}

// What must be true of every table that has a tenant_id, whoever made it: a table added tomorrow is covered tomorrow.

// 256 random bits, hashed: that one is taken tells nobody anything.
const GLOBALLY_UNIQUE = ["uq_api_keys_key_hash"];
// Functions that triggers on these tables may run; anything else could read or write with a tenant of its own choosing.
const TRIGGER_FUNCTIONS = [
  "refuse_tenant_change",
  "keep_api_key_directory",
  "keep_identity_provider_directory",
  "keep_lower_email",
  "keep_mail_directory",
  "keep_owner",
  "link_audit_event",
  "tell_of_revocation",
  "tell_of_tenant",
  "complete_integration",
  "old_client_tenant", // gives clients of the predecessor the default tenant; never the gateway
];
const OF_THIS_TENANT = `( SELECT (NULLIF(current_setting(''app.tenant_id''::text, true), ''''::text))::uuid AS "nullif")`;

const OWNED = `owned AS (
  SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity, a.attnum, a.attnotnull, format_type(a.atttypid, a.atttypmod) AS type
  FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
  WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'f', 'm')
)`;
const names = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(", ");

/** A check of one expression over each tenant-owned table `o`: what is wrong with it, or null. */
const ofEach = (name: string, remedy: string, problem: string): CatalogueCheck => ({
  name,
  remedy,
  sql: `WITH ${OWNED} SELECT o.relname AS "table", ${problem} AS problem FROM owned AS o ORDER BY o.relname`,
});

const policyProblem = (table: string, column: string): string => `(
  SELECT CASE
    WHEN count(*) <> 1 THEN format('it has %s policies', count(*))
    WHEN NOT bool_and(p.polname = 'tenant_isolation' AND p.polpermissive AND p.polcmd = '*' AND p.polroles = '{0}') THEN 'its policy is not for everybody and everything'
    WHEN NOT coalesce(bool_and(pg_get_expr(p.polqual, p.polrelid) = '(${column} = ${OF_THIS_TENANT})'), false) THEN 'USING does not name the tenant'
    WHEN NOT coalesce(bool_and(pg_get_expr(p.polwithcheck, p.polrelid) = '(${column} = ${OF_THIS_TENANT})'), false) THEN 'WITH CHECK does not name the tenant'
  END FROM pg_policy AS p WHERE p.polrelid = ${table})`;

/** The other rights that a table has: what a wall does not stand against must not be granted. */
const rightsProblem = (table: string, forbidden: string): string => `(
  SELECT 'the gateway has ' || string_agg(r, ', ') FROM unnest(ARRAY[${forbidden}]) AS r
  WHERE has_table_privilege(session_user, ${table}, r)
    OR r IN ('INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege(session_user, ${table}, r))`;

export const TABLE_CHECKS: readonly CatalogueCheck[] = [
  ofEach(
    "tenant_id is a UUID and never null",
    "ALTER TABLE … ALTER tenant_id SET NOT NULL, after every row has one",
    `CASE WHEN o.type <> 'uuid' THEN 'tenant_id is ' || o.type WHEN NOT o.attnotnull THEN 'tenant_id may be null' END`,
  ),
  ofEach(
    "the primary key begins with the tenant",
    "ALTER TABLE … DROP CONSTRAINT <primary key>, ADD PRIMARY KEY (tenant_id, id)",
    `CASE WHEN NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = o.oid AND k.contype = 'p') THEN 'it has none'
      WHEN NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = o.oid AND k.contype = 'p' AND k.conkey[1] = o.attnum) THEN 'it does not begin with tenant_id' END`,
  ),
  ofEach(
    "every foreign key contains the tenant",
    "replace it by FOREIGN KEY (tenant_id, <column>) REFERENCES <table> (tenant_id, id), and VALIDATE it",
    `(SELECT string_agg(k.conname || ' of ' || k.conrelid::regclass, ', ') FROM pg_constraint AS k
      WHERE k.contype = 'f' AND (k.conrelid = o.oid OR k.confrelid = o.oid) AND NOT (
        k.convalidated AND k.conrelid IN (SELECT oid FROM owned) AND EXISTS (
          SELECT FROM unnest(k.conkey, k.confkey) AS pair (mine, theirs)
          JOIN pg_attribute AS m ON m.attrelid = k.conrelid AND m.attnum = pair.mine
          JOIN pg_attribute AS t ON t.attrelid = k.confrelid AND t.attnum = pair.theirs
          WHERE m.attname = 'tenant_id' AND (t.attname = 'tenant_id' OR t.attname = 'id' AND k.confrelid = 'public.tenants'::regclass))))`,
  ),
  ofEach(
    "its tenant exists",
    "ALTER TABLE … ADD FOREIGN KEY (tenant_id) REFERENCES tenants (id)",
    `CASE WHEN NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = o.oid AND k.contype = 'f' AND k.confrelid = 'public.tenants'::regclass)
      THEN 'no foreign key to tenants' END`,
  ),
  ofEach(
    "nothing is unique across tenants",
    "replace it by a unique index that contains tenant_id",
    `(SELECT string_agg(i.indexrelid::regclass::text, ', ') FROM pg_index AS i
      WHERE i.indrelid = o.oid AND (i.indisunique OR i.indisexclusion) AND i.indexrelid::regclass::text NOT IN (${names(GLOBALLY_UNIQUE)})
        AND NOT o.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))`,
  ),
  ofEach(
    "no key follows an update",
    "replace the foreign key by one with ON UPDATE NO ACTION",
    `(SELECT string_agg(k.conname, ', ') FROM pg_constraint AS k WHERE k.conrelid = o.oid AND k.contype = 'f' AND k.confupdtype NOT IN ('a', 'r'))`,
  ),
  ofEach(
    "row-level security is enabled and forced",
    "ALTER TABLE … ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    `CASE WHEN NOT o.relrowsecurity THEN 'it is not enabled' WHEN NOT o.relforcerowsecurity THEN 'it is not forced' END`,
  ),
  ofEach(
    "one policy names the tenant in both clauses",
    "drop every policy, then CREATE POLICY tenant_isolation as in the step …_walls",
    policyProblem("o.oid", "tenant_id"),
  ),
  ofEach(
    "a row cannot change its tenant",
    "CREATE TRIGGER tenant_id_immutable as in the step …_walls; ALTER TABLE … ENABLE TRIGGER tenant_id_immutable",
    `CASE WHEN NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = o.oid AND t.tgname = 'tenant_id_immutable') THEN 'the trigger is missing'
      WHEN NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = o.oid AND t.tgname = 'tenant_id_immutable' AND t.tgenabled IN ('O', 'A')) THEN 'the trigger is disabled'
      WHEN NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = o.oid AND t.tgname = 'tenant_id_immutable' AND pg_get_triggerdef(t.oid) = format(
        'CREATE TRIGGER tenant_id_immutable BEFORE UPDATE ON public.%I FOR EACH ROW WHEN (((old.tenant_id IS NOT NULL) AND (new.tenant_id IS DISTINCT FROM old.tenant_id))) EXECUTE FUNCTION atrium.refuse_tenant_change()', o.relname))
        THEN 'the trigger is another one' END`,
  ),
  ofEach(
    "only reviewed triggers and no rules run on it",
    "DROP TRIGGER or RULE; triggers of the predecessor's clients must not name the gateway's role",
    `(SELECT string_agg(found.name, ', ') FROM (
        SELECT t.tgname AS name FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE t.tgrelid = o.oid AND NOT t.tgisinternal AND NOT (
          n.nspname = 'atrium' AND (p.proname IN (${names(TRIGGER_FUNCTIONS)}) OR p.proname LIKE 'keep\\_milliseconds%')
          AND NOT (p.proname = 'old_client_tenant' AND position(quote_literal(session_user) IN pg_get_triggerdef(t.oid)) > 0))
        UNION ALL SELECT w.rulename FROM pg_rewrite AS w WHERE w.ev_class = o.oid) AS found)`,
  ),
  ofEach(
    "the gateway has no right that walls do not stand against",
    "REVOKE the right, or let `atrium migrate deploy` grant what is needed",
    `CASE WHEN o.relname = 'audit_events' THEN ${rightsProblem("o.oid", "'TRUNCATE', 'TRIGGER', 'REFERENCES', 'UPDATE', 'DELETE'")}
      ELSE ${rightsProblem("o.oid", "'TRUNCATE', 'TRIGGER', 'REFERENCES'")} END`,
  ),
  {
    name: "tenants are read one at a time and never written",
    remedy: "ALTER TABLE tenants ENABLE ROW LEVEL SECURITY, restore its policy, REVOKE every right but SELECT",
    sql: `SELECT c.relname AS "table", concat_ws('; ', CASE WHEN NOT c.relrowsecurity THEN 'row-level security is not enabled' END,
        ${policyProblem("c.oid", "id")}, ${rightsProblem("c.oid", "'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES'")}) AS problem
      FROM pg_class AS c WHERE c.oid = 'public.tenants'::regclass`,
  },
  {
    name: "the list of migrations is never written",
    remedy: "REVOKE every right but SELECT ON _prisma_migrations",
    sql: `SELECT c.relname AS "table", ${rightsProblem("c.oid", "'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES'")} AS problem
      FROM pg_class AS c WHERE c.oid = 'public._prisma_migrations'::regclass`,
  },
];
