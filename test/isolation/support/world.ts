import pg from "pg";
import { TENANT_OWNED_MODELS } from "../../../src/context/generated/tenancy/models.ts";
import { materialOf } from "./material.ts";
import type { Owner } from "./material.ts";

const SEEDED_AT = new Date("2026-01-01T00:00:00Z");

export const MODELS = Object.keys(TENANT_OWNED_MODELS);

/** Two tenants with a row of each model. The attacker knows every id of the victim: ids are no secrets. */
export const ATTACKER = ownerOf("a");
export const VICTIM = ownerOf("b");

export interface World {
  /** Puts every row back as it was, with the victim's or without. */
  readonly reset: (victim: "present" | "absent") => Promise<void>;
  /** All rows of both tenants, as text that is equal when nothing has changed. */
  readonly rows: () => Promise<{ readonly attacker: string; readonly victim: string }>;
}

export function worldIn(superuser: pg.Client): World {
  const tables = Object.values(TENANT_OWNED_MODELS).map(({ table }) => table);
  const everything = tables.map(
    (table) => `SELECT tenant_id, '${table}' AS name, to_jsonb(t)::text AS row FROM ${table} AS t`,
  );
  const statements = (victim: "present" | "absent"): string =>
    [
      "SET session_replication_role = replica",
      ...tables.map((table) => `DELETE FROM ${table}`),
      "DELETE FROM atrium.api_key_directory",
      "DELETE FROM atrium.mail_directory",
      "DELETE FROM atrium.identity_provider_directory",
      "DELETE FROM atrium.audit_chain",
      "DELETE FROM atrium.audit_heads",
      "DELETE FROM tenants WHERE schema_name <> 'tenant_default'",
      insertTenant(ATTACKER),
      insertTenant(VICTIM),
      ...MODELS.map((model) => insert(model, ATTACKER)),
      ...(victim === "present" ? MODELS.map((model) => insert(model, VICTIM)) : []),
      "SET session_replication_role = origin",
    ].join(";\n");
  const prepared = { present: statements("present"), absent: statements("absent") };
  return {
    async reset(victim) {
      await superuser.query(prepared[victim]);
    },
    async rows() {
      const { rows } = await superuser.query<{ tenant_id: string; name: string; row: string }>(
        `${everything.join(" UNION ALL ")} ORDER BY 1, 2, 3`,
      );
      const [attacker, victim] = [ATTACKER, VICTIM].map(({ tenantId }) =>
        JSON.stringify(rows.filter((row) => row.tenant_id === tenantId).map(({ name, row }) => [name, row])),
      );
      return { attacker: attacker ?? "", victim: victim ?? "" };
    },
  };
}

function ownerOf(letter: string): Owner {
  const id = (number: number): string => `${letter.repeat(8)}-0000-7000-8000-${String(number).padStart(12, "0")}`;
  return {
    tenantId: id(0),
    canary: `canary-${letter}`,
    ids: Object.fromEntries(MODELS.map((model, index) => [model, id(index + 1)])),
  };
}

function insertTenant({ tenantId, canary }: Owner): string {
  return `INSERT INTO tenants (id, name, schema_name, created_at) VALUES ('${tenantId}', '${canary}', '${canary}', '2026-01-01')`;
}

function insert(model: string, owner: Owner): string {
  const { table, columns, hasId, scalars } = describe(model);
  // Times that the database would make differ after each reset.
  const times = scalars.filter((field) => ["createdAt", "updatedAt", "uploadedAt", "lastUsedAt"].includes(field));
  const row: Readonly<Record<string, unknown>> = {
    ...materialOf(model).row(owner, "seed"),
    ...Object.fromEntries(times.map((field) => [field, SEEDED_AT])),
    ...(hasId && { id: owner.ids[model] }),
    tenantId: owner.tenantId,
  };
  const names = Object.keys(row).map((field) => `"${columns[field] ?? field}"`);
  return `INSERT INTO ${table} (${names.join()}) VALUES (${Object.values(row).map(literal).join()})`;
}

function literal(value: unknown): string {
  if (value instanceof Date) return pg.escapeLiteral(value.toISOString());
  return pg.escapeLiteral(typeof value === "string" ? value : JSON.stringify(value));
}

export function describe(model: string): (typeof TENANT_OWNED_MODELS)[string] {
  const description = TENANT_OWNED_MODELS[model];
  if (!description) throw new Error(`${model} is no model of a tenant`);
  return description;
}
