import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { checkWalls } from "../../../src/context/isolation-checks.ts";
import { expectedMigration } from "../../../src/migrate/migrate.ts";
import { newEmptyDatabase } from "../../support/database.ts";

export type Variant = "A" | "B" | "B, made by create_all" | "v1" | "v2";

const BASE: Readonly<Record<Variant, string>> = {
  A: "a",
  B: "b",
  "B, made by create_all": "b-create-all",
  v1: "a", // organic: short-term memories without a session are possible
  v2: "b", // its chain begins with 000_initial_schema
};
const LATER: Readonly<Record<Variant, readonly string[]>> = {
  A: [],
  B: [],
  "B, made by create_all": [],
  v1: ["to-v1"],
  v2: ["to-v1", "to-v2"],
};

export const GATEWAY_ROLE = "atrium_gateway";

/** A database of the predecessor. Its tables belong to the role of `url`, as which its backend came in, too. */
export interface LegacyDatabase {
  readonly url: string;
  readonly gatewayUrl: string;
  readonly superuserUrl: string;
  /** A connection of the old backend, from before the adoption. */
  readonly old: pg.Client;
  drop(): Promise<void>;
}

/**
 * Makes a database from the predecessor's DDL.
 *
 * @param writeRows writes rows before the later releases' migrations run over them.
 * @param as whether row-level security binds the role that owns the tables.
 */
export async function newLegacyDatabase(
  variant: Variant,
  writeRows: (client: pg.Client) => Promise<void> = () => Promise.resolve(),
  as: "owner" | "superuser" = "owner",
): Promise<LegacyDatabase> {
  const database = await newEmptyDatabase();
  const role = as === "superuser" ? undefined : await newOwner(database.superuserUrl);
  const url = role === undefined ? database.superuserUrl : withUser(database.superuserUrl, role);
  const old = await connect(url);
  await old.query(ddl(BASE[variant]));
  await writeRows(old);
  for (const later of LATER[variant]) await old.query(ddl(later));
  return {
    url,
    gatewayUrl: database.gatewayUrl,
    superuserUrl: database.superuserUrl,
    old,
    drop: async () => {
      await old.end().catch(() => undefined);
      await database.drop();
      if (role !== undefined) await dropOwner(database.superuserUrl, role);
    },
  };
}

/** Makes a role of its own for the database, and gives it the database and the right to have a tenant by default. */
async function newOwner(superuserUrl: string): Promise<string> {
  const role = `backend_${randomUUID().replaceAll("-", "")}`;
  const database = new URL(superuserUrl).pathname.slice(1);
  await inServer(superuserUrl, [
    `CREATE ROLE ${role} LOGIN PASSWORD '${role}'`,
    `ALTER DATABASE ${database} OWNER TO ${role}`,
    `GRANT SET ON PARAMETER app.tenant_id TO ${role}`,
  ]);
  return role;
}

async function dropOwner(superuserUrl: string, role: string): Promise<void> {
  await inServer(superuserUrl, [`REVOKE SET ON PARAMETER app.tenant_id FROM ${role}`, `DROP ROLE ${role}`]);
}

/** Runs statements about roles one test file at a time: a parameter's rights are one row for the whole server. */
export async function inServer(superuserUrl: string, statements: readonly string[]): Promise<void> {
  const server = new URL(superuserUrl);
  server.pathname = "/postgres";
  const client = await connect(server.toString());
  try {
    await client.query("SELECT pg_advisory_lock(1)");
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

function withUser(connectionString: string, role: string): string {
  const url = new URL(connectionString);
  url.username = role;
  url.password = role;
  return url.toString();
}

/** Opens a connection that survives being ended by the server: its next statement fails, the process does not. */
export async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

function ddl(name: string): string {
  return readFileSync(fileURLToPath(new URL(`./${name}.sql`, import.meta.url)), "utf8");
}

/** The boot guard's complaints about a database; the gateway would refuse to serve it for each. */
export async function complaintsOfBootGuard(gatewayUrl: string): Promise<unknown[]> {
  const pool = new pg.Pool({ connectionString: gatewayUrl });
  try {
    const checks = await checkWalls(pool, { expectedMigration: expectedMigration() });
    return checks.filter(({ ok }) => !ok);
  } finally {
    await pool.end();
  }
}
