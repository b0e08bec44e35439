import type pg from "pg";
import { poolFrom } from "../tenant-pool.ts";

/** A statement as Prisma's adapter hands it to `pg`. */
export interface WrittenStatement {
  readonly text: string;
  readonly values: readonly unknown[];
  /** How the adapter wants the columns read. */
  readonly types: pg.CustomTypesConfig | undefined;
}

/** A pool that answers every statement with nothing, and keeps what it was asked. */
export interface Recorder {
  readonly pool: pg.Pool;
  /** What was sent while `work` ran; undefined when it wanted a transaction. Whether `work` succeeded does not matter: it found no rows. One at a time. */
  readonly record: (work: () => Promise<unknown>) => Promise<readonly WrittenStatement[] | undefined>;
}

const NOTHING: pg.QueryResult = { command: "SELECT", rowCount: 0, oid: 0, fields: [], rows: [] };

export function openRecorder(): Recorder {
  let heard = { statements: new Array<WrittenStatement>(), wantedTransaction: false };

  async function query({ text, values = [], types }: pg.QueryConfig): Promise<pg.QueryResult> {
    heard.statements.push({ text, values, types });
    return NOTHING;
  }

  async function connect(): Promise<never> {
    heard.wantedTransaction = true;
    throw new Error("a recording has no transactions");
  }

  async function record(work: () => Promise<unknown>): Promise<readonly WrittenStatement[] | undefined> {
    const recording = { statements: new Array<WrittenStatement>(), wantedTransaction: false };
    heard = recording;
    await work().catch(() => undefined);
    return recording.wantedTransaction ? undefined : recording.statements;
  }

  return { pool: poolFrom({ query, connect }), record };
}
