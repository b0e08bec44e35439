import type pg from "pg";
import { exclusively, type LockWatch } from "./locks.ts";

/**
 * Starts counting what clients insert and delete, so that the report can prove that no row was lost although they go on writing.
 * Rows and counts are committed together. Our own statements are not counted while `atrium.adopting` is on.
 * Call inside a transaction that holds the tables.
 */
export async function countWrites(client: pg.Client, tables: readonly string[]): Promise<void> {
  // Clients have no right on the table of counts, so the function runs as the owner.
  await client.query(`
    CREATE FUNCTION atrium.count_writes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
      INSERT INTO atrium.adoption_writes (table_name, change)
      SELECT TG_TABLE_NAME, TG_ARGV[0]::bigint * count(*) FROM changed_rows HAVING count(*) > 0;
      RETURN NULL;
    END
    $$;
    REVOKE EXECUTE ON FUNCTION atrium.count_writes() FROM PUBLIC`);
  const when =
    "WHEN (current_setting('atrium.adopting', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION atrium.count_writes";
  for (const table of tables) {
    await client.query(`
      CREATE TRIGGER adoption_counts_inserts AFTER INSERT ON ${table} REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT ${when}('1');
      CREATE TRIGGER adoption_counts_deletes AFTER DELETE ON ${table} REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT ${when}('-1')`);
  }
}

/** Stops counting. One short lock for each table. */
export async function stopCountingWrites(
  client: pg.Client,
  watch: LockWatch,
  tables: readonly string[],
): Promise<void> {
  for (const table of tables) {
    await exclusively(client, watch, [table], async () => {
      await client.query(
        `DROP TRIGGER IF EXISTS adoption_counts_inserts ON ${table}; DROP TRIGGER IF EXISTS adoption_counts_deletes ON ${table}`,
      );
    });
  }
  await client.query("DROP FUNCTION IF EXISTS atrium.count_writes()");
}

/** Rows of each table as they were when the counting began. */
export async function rowsWhenCountingBegan(
  client: pg.Client,
  tables: readonly string[],
): Promise<Record<string, number>> {
  return inSnapshot(client, async () => {
    const written = await netWrites(client);
    const before: Record<string, number> = {};
    for (const table of tables) {
      const { rows } = await client.query<{ rows: number }>(`SELECT count(*)::float8 AS rows FROM ${table}`);
      before[table] = (rows[0]?.rows ?? 0) - (written[table] ?? 0);
    }
    return before;
  });
}

export interface RowsNow {
  readonly rows: Readonly<Record<string, number>>;
  /** Inserted minus deleted by clients since the counting began. */
  readonly written: Readonly<Record<string, number>>;
}

/** Rows of each table now, and what clients wrote, from one moment. Looks as each tenant in turn: the walls bind the owner, too. */
export async function rowsNow(client: pg.Client, tables: readonly string[]): Promise<RowsNow> {
  return inSnapshot(client, async () => {
    const written = await netWrites(client);
    const tenants = await client.query<{ id: string }>("SELECT id FROM tenants");
    const counts: Record<string, number> = Object.fromEntries(tables.map((table) => [table, 0]));
    if (tables.includes("tenants")) counts["tenants"] = tenants.rows.length;
    const owned = tables.filter((table) => table !== "tenants");
    for (const { id } of tenants.rows) {
      await client.query(`SET LOCAL app.tenant_id = '${id}'`);
      const sums = owned.map(
        (table) => `(SELECT count(*) FROM ${table} WHERE tenant_id = '${id}')::float8 AS ${table}`,
      );
      const { rows } = await client.query<Record<string, number>>(`SELECT ${sums.join(", ")}`);
      for (const table of owned) counts[table] = (counts[table] ?? 0) + (rows[0]?.[table] ?? 0);
    }
    return { rows: counts, written };
  });
}

async function netWrites(client: pg.Client): Promise<Record<string, number>> {
  const { rows } = await client.query<{ table_name: string; net: number }>(
    "SELECT table_name, sum(change)::float8 AS net FROM atrium.adoption_writes GROUP BY table_name",
  );
  return Object.fromEntries(rows.map((row) => [row.table_name, row.net]));
}

async function inSnapshot<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY");
  try {
    return await work();
  } finally {
    await client.query("ROLLBACK");
  }
}
