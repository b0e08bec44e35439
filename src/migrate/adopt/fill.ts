import type pg from "pg";
import { noteTimes, readProgress, writeProgress, type TableProgress } from "./ledger.ts";
import { inTransaction, type LockWatch } from "./locks.ts";
import type { TableRules } from "./rules.ts";
import { faultsOf, fillStatement, quarantineStatement } from "./statements.ts";

export interface FillOptions {
  readonly defaultTenantId: string;
  readonly batchRows: number;
  readonly watch: LockWatch;
  /** Told after each batch how many rows it looked at. */
  readonly onBatch: (table: string, rows: number) => void;
}

/**
 * Gives the rows of a table their tenant, repairs them and sets misfits aside, batch by batch along the key.
 * Each batch is one short transaction that also records how far it came, so that a later run goes on behind the last one.
 */
export async function fillTable(client: pg.Client, rules: TableRules, options: FillOptions): Promise<void> {
  const isKeyed = await isKeyedToSessions(client, rules.table);
  const misfits = rules.misfits.filter(({ bySessionKey }) => !(bySessionKey && isKeyed));
  let progress = await readProgress(client, rules.table);
  while (!progress.done) {
    const before = progress;
    const start = performance.now();
    progress = await inTransaction(client, options.watch, async () => {
      const after = await fillBatch(client, { ...rules, misfits }, before, options);
      await writeProgress(client, rules.table, after);
      await noteTimes(client, 0, (performance.now() - start) / 1000);
      return after;
    });
    options.onBatch(rules.table, progress.rowsSeen - before.rowsSeen);
  }
}

async function fillBatch(
  client: pg.Client,
  rules: TableRules,
  from: TableProgress,
  options: FillOptions,
): Promise<TableProgress> {
  const { table, key } = rules;
  const above = from.lastKey === null ? "true" : `t.${key} > '${from.lastKey}'`;
  const end = await client.query<{ key: string }>(
    `SELECT t.${key} AS key FROM ${table} AS t WHERE ${above} ORDER BY t.${key} OFFSET $1 LIMIT 1`,
    [options.batchRows - 1],
  );
  const lastKey = end.rows[0]?.key ?? null;
  const range = lastKey === null ? above : `${above} AND t.${key} <= '${lastKey}'`;

  let setAside = 0;
  for (const misfit of rules.misfits) {
    const moved = await client.query(quarantineStatement(table, range, misfit));
    setAside += moved.rowCount ?? 0;
  }
  const { rows } = await client.query<Record<string, number>>(fillStatement(rules, range, options.defaultTenantId));
  const counts = rows[0] ?? {};
  const repairs: Record<string, number> = { ...from.repairs };
  for (const [index, { reason }] of faultsOf(rules).entries()) {
    const found = counts[`fault_${String(index)}`] ?? 0;
    if (found > 0) repairs[reason] = (repairs[reason] ?? 0) + found;
  }
  return {
    lastKey: lastKey ?? from.lastKey,
    done: lastKey === null,
    rowsSeen: from.rowsSeen + (counts["rows"] ?? 0) + setAside,
    rowsRepaired: from.rowsRepaired + (counts["repaired"] ?? 0),
    repairs,
  };
}

/** Whether a proven foreign key makes it impossible that a row's session does not exist, which saves looking. */
async function isKeyedToSessions(client: pg.Client, table: string): Promise<boolean> {
  const keys = await client.query(
    "SELECT FROM pg_constraint WHERE contype = 'f' AND convalidated AND conrelid = $1::regclass AND confrelid = 'sessions'::regclass",
    [table],
  );
  return keys.rowCount !== 0;
}
