import pg from "pg";

// The gateway reads its own tenant's row and adds to the audit trail; changing either is for functions and owners.
const RIGHTS_OF_EXCEPTIONS: Readonly<Record<string, string>> = {
  tenants: "SELECT",
  audit_events: "SELECT, INSERT",
  _prisma_migrations: "SELECT", // /readyz compares the last step with the one that this version expects
};
const RIGHTS = "SELECT, INSERT, UPDATE, DELETE";
const FUNCTIONS = [
  "atrium.find_api_key(text)",
  "atrium.default_tenant_id()",
  "atrium.all_tenants()",
  "atrium.create_tenant(text, text, text, text, jsonb)",
  "atrium.update_tenant(uuid, jsonb)",
  "atrium.create_canary()",
  "atrium.delete_canary(uuid)",
  "atrium.tenants_with_mail()",
  "atrium.find_identity_providers(text)",
  "atrium.token_keys()",
  "atrium.add_token_key(text, jsonb, text, timestamptz)",
  "atrium.remove_token_keys(timestamptz)",
  "atrium.audit_head()",
  "atrium.audit_links(bigint, integer)",
  "atrium.linked_audit_events(uuid[])",
];

/**
 * @throws Error when the role does not exist, or is the role of `owner`: the owner of a table can switch its walls off.
 */
export async function requireGatewayRole(owner: pg.Client, gatewayRole: string): Promise<void> {
  const { rows } = await owner.query<{ is_owner: boolean }>(
    "SELECT rolname = current_user AS is_owner FROM pg_roles WHERE rolname = $1",
    [gatewayRole],
  );
  const [found] = rows;
  if (found === undefined)
    throw new Error(`The gateway's role ${gatewayRole} does not exist. Create it, then deploy again.`);
  if (found.is_owner) throw new Error(`The role ${gatewayRole} owns the tables, so the gateway must use another one.`);
}

/**
 * Gives the gateway's role exactly the rights that it needs, and takes back whatever else it was given on our tables.
 * In one transaction, so that a running gateway never finds them missing. Running it again changes nothing.
 */
export async function grantGateway(owner: pg.Client, gatewayRole: string): Promise<void> {
  const role = pg.escapeIdentifier(gatewayRole);
  const { rows: tables } = await owner.query<{ name: string }>(`
    SELECT c.relname AS name FROM pg_class AS c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
      AND (c.relname IN ('tenants', '_prisma_migrations')
        OR EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))
    ORDER BY c.relname`);
  const statements = tables.flatMap(({ name }) => {
    const table = `public.${pg.escapeIdentifier(name)}`;
    return [
      `REVOKE ALL ON ${table} FROM PUBLIC, ${role}`,
      `GRANT ${RIGHTS_OF_EXCEPTIONS[name] ?? RIGHTS} ON ${table} TO ${role}`,
    ];
  });
  // One query of many statements is one transaction.
  await owner.query(
    [
      ...statements,
      `GRANT USAGE ON SCHEMA public, atrium TO ${role}`,
      // Counters by hashed keys; some limits come before a tenant is known.
      `GRANT SELECT, INSERT, UPDATE, DELETE ON atrium.rate_limits TO ${role}`,
      `GRANT EXECUTE ON FUNCTION ${FUNCTIONS.join(", ")} TO ${role}`,
    ].join(";\n"),
  );
}
