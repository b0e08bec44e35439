import { TENANT_OWNED_MODELS } from "../../../src/context/generated/tenancy/models.ts";

const tables = Object.values(TENANT_OWNED_MODELS).map(({ table }) => table);

/** Wall two down: every table shows everything to everybody. */
export const WITHOUT_ROW_LEVEL_SECURITY: readonly string[] = [
  ...tables.map((table) => `ALTER TABLE ${table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY`),
  "ALTER TABLE tenants DISABLE ROW LEVEL SECURITY",
];

/** Wall three down: keys as they are in a schema for one tenant, with a column for the tenant beside them; rows may change their tenant. */
export const WITH_PLAIN_KEYS: readonly string[] = [
  ...tables.map((table) => `DROP TRIGGER tenant_id_immutable ON ${table}`),
  ...Object.values(TENANT_OWNED_MODELS).flatMap(({ table, hasId }) => [
    `ALTER TABLE ${table} DROP CONSTRAINT ${table}_pkey CASCADE`,
    `ALTER TABLE ${table} ADD PRIMARY KEY (${hasId ? "id" : "session_id"})`,
    `ALTER TABLE ${table} ADD UNIQUE (tenant_id, ${hasId ? "id" : "session_id"})`,
  ]),
  "ALTER TABLE users ADD UNIQUE (email)",
  "ALTER TABLE idempotency_keys ADD UNIQUE (operation, key_hash)",
  ...Object.values(TENANT_OWNED_MODELS).flatMap(({ table, relations, columns }) =>
    Object.entries(relations).flatMap(([name, { model }]) => {
      const column = columns[`${name}Id`];
      const parent = TENANT_OWNED_MODELS[model]?.table;
      return column === undefined || parent === undefined
        ? []
        : [
            `ALTER TABLE ${table} ADD FOREIGN KEY (${column}) REFERENCES ${parent} (id) ON DELETE CASCADE ON UPDATE CASCADE`,
          ];
    }),
  ),
];
