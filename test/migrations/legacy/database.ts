import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import pg from "pg";
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
  const url = as === "owner" ? database.ownerUrl : database.superuserUrl;
  const old = await connect(url);
  await old.query(ddl(BASE[variant]));
  await writeRows(old);
  for (const later of LATER[variant]) await old.query(ddl(later));
  return {
    url,
    superuserUrl: database.superuserUrl,
    old,
    drop: async () => {
      await old.end().catch(() => undefined);
      await database.drop();
    },
  };
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
