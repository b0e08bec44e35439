import type pg from "pg";

const PROBE = "atrium_probe";

/**
 * What the way to the database does not hold, and what to set: a pooler in between changes what a connection can do. The gateway serves
 * all the same, so each is a line for the log.
 *
 * @throws when the database does not answer.
 */
export async function connectionWarnings(
  pool: pg.Pool,
  { preparedStatements }: { readonly preparedStatements: boolean },
): Promise<string[]> {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    const { rows } = await client.query<{ role: string; pid: number; time_out: string }>(
      "SELECT current_user AS role, pg_backend_pid() AS pid, current_setting('statement_timeout') AS time_out",
    );
    const [found] = rows;
    const warnings: string[] = [];
    if (found?.time_out === "0") {
      warnings.push(
        `PostgreSQL does not end slow statements of the gateway: on the way to it the setting is lost. Once, as a superuser or as the role itself: ALTER ROLE ${found.role} SET statement_timeout = '15s'`,
      );
    }
    // A pooler tells its clients process ids of its own.
    if (preparedStatements && Reflect.get(client, "processID") !== found?.pid && (await keepsNames(client))) {
      warnings.push(
        "The pooler between the gateway and PostgreSQL does not know named statements (PgBouncer before 1.21, or max_prepared_statements = 0). In transaction mode requests fail with it: set PREPARED_STATEMENTS=off",
      );
    }
    await client.query("ROLLBACK");
    return warnings;
  } finally {
    // Its client goes on believing that the probe has a name there.
    client.release(true);
  }
}

/** Whether a statement has its name at PostgreSQL, too. Poolers that hand a client's transactions to different connections must give another one. */
async function keepsNames(client: pg.PoolClient): Promise<boolean> {
  await client.query({ name: PROBE, text: "SELECT" });
  const { rowCount } = await client.query({
    text: "SELECT FROM pg_prepared_statements WHERE name = $1",
    values: [PROBE],
  });
  if (rowCount === 0) return false;
  await client.query(`DEALLOCATE ${PROBE}`);
  return true;
}
