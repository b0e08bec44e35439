import { randomUUID } from "node:crypto";
import { EventEmitter } from "node:events";
import { PrismaPg } from "@prisma/adapter-pg";
import {
  ColumnTypeEnum,
  DriverAdapterError,
  type SqlDriverAdapter,
  type SqlMigrationAwareDriverAdapterFactory,
  type SqlQuery,
  type SqlQueryable,
  type SqlResultSet,
  type Transaction,
} from "@prisma/driver-adapter-utils";
import pg from "pg";
import { parseIntoClientConfig } from "pg-connection-string";

const CHAR_OID = 18; // PostgreSQL's one-byte "char", used in its catalogue only
const BPCHAR_OID = 1042;

export interface MigrationConnections extends SqlMigrationAwareDriverAdapterFactory {
  /** What the database said to the last script that failed; the engine's own words for it leave half of it out. */
  readonly scriptError: string | undefined;
  close(): Promise<void>;
}

/**
 * Connects Prisma's schema engine to PostgreSQL. The stock adapter has four traits that break migrations; each is put right here:
 * it splits scripts at every semicolon, it refuses the catalogue's "char" columns, its shadow database is the main one when it
 * is given an address, and its advisory lock may be taken on another connection of the pool than the work.
 */
export function migrationConnections(ownerUrl: string): MigrationConnections {
  const config = parseIntoClientConfig(ownerUrl);
  const opened: SqlDriverAdapter[] = [];
  let scriptError: string | undefined;
  function onScriptError(message: string): void {
    scriptError = message;
  }
  async function open(target: pg.ClientConfig, onDispose?: () => Promise<void>): Promise<SqlDriverAdapter> {
    const adapter = await connect(target, onScriptError, onDispose);
    opened.push(adapter);
    return adapter;
  }
  return {
    provider: "postgres",
    adapterName: "@prisma/adapter-pg",
    connect: () => open(config),
    connectToShadowDb: async () => {
      const database = `prisma_migrate_shadow_db_${randomUUID()}`;
      await asAdministrator(config, `CREATE DATABASE "${database}" TEMPLATE template0`);
      return open({ ...config, database }, () =>
        asAdministrator(config, `DROP DATABASE IF EXISTS "${database}" WITH (FORCE)`),
      );
    },
    get scriptError() {
      return scriptError;
    },
    close: async () => {
      for (const adapter of opened) await adapter.dispose();
    },
  };
}

async function connect(
  config: pg.ClientConfig,
  onScriptError: (message: string) => void,
  onDispose?: () => Promise<void>,
): Promise<SqlDriverAdapter> {
  // One connection, kept: the engine's advisory lock belongs to it.
  const catalogue = catalogueColumns();
  const pool = new pg.Pool({
    ...config,
    max: 1,
    idleTimeoutMillis: 0,
    allowExitOnIdle: true,
    // The steps name tables without a schema, and a role may have a schema of its own name.
    verify: (client, done) => {
      client.query("SET search_path = public").then(() => {
        done();
      }, done);
    },
  });
  // Without listeners, a connection that is lost between two statements would end the process; the next statement reports it.
  pool.on("error", () => undefined);
  pool.on("connect", (client) => {
    client.on("error", () => undefined);
    catalogue.watch(client);
  });
  const adapter = await new PrismaPg(pool).connect();
  let disposed: Promise<void> | undefined;
  return {
    provider: adapter.provider,
    adapterName: adapter.adapterName,
    queryRaw: (query) => catalogue.queryRaw(adapter, query),
    executeRaw: (query) => adapter.executeRaw(query),
    executeScript: (script) => runScript(pool, script, onScriptError),
    getConnectionInfo: () => adapter.getConnectionInfo(),
    startTransaction: async (isolationLevel) => catalogue.inTransaction(await adapter.startTransaction(isolationLevel)),
    dispose: () => {
      disposed ??= pool.end().then(onDispose);
      return disposed;
    },
  };
}

/** Runs a step's script whole: PostgreSQL then treats it as one transaction, and finds the ends of statements itself. */
async function runScript(pool: pg.Pool, script: string, onError: (message: string) => void): Promise<void> {
  try {
    await pool.query(script);
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    onError(describe(error, script));
    const { message, code = "XX000", severity = "ERROR", detail, column, hint } = error;
    throw new DriverAdapterError({ kind: "postgres", message, code, severity, detail, column, hint });
  }
}

function describe({ message, detail, hint, where, position }: pg.DatabaseError, script: string): string {
  const line = position === undefined ? undefined : script.slice(0, Number(position)).split("\n").length;
  const parts = [
    message,
    line && `Line: ${line}`,
    detail && `Detail: ${detail}`,
    hint && `Hint: ${hint}`,
    where && `Where: ${where}`,
  ];
  return parts.filter(Boolean).join("\n");
}

interface CatalogueColumns {
  watch(client: pg.ClientBase): void;
  queryRaw(queryable: SqlQueryable, query: SqlQuery): Promise<SqlResultSet>;
  inTransaction(transaction: Transaction): Transaction;
}

/** Lets the "char" columns of one connection pass as text, and reports them to the engine as the characters that it expects. */
function catalogueColumns(): CatalogueColumns {
  let charColumns: number[] = [];
  let last: Promise<unknown> = Promise.resolve();
  async function queryRaw(queryable: SqlQueryable, query: SqlQuery): Promise<SqlResultSet> {
    // One after another, so that the columns seen belong to this query; the connection would make them queue anyway.
    const result = last.then(async () => {
      charColumns = [];
      const rows = await queryable.queryRaw(query);
      const columnTypes = rows.columnTypes.map((type, index) =>
        charColumns.includes(index) ? ColumnTypeEnum.Character : type,
      );
      return { ...rows, columnTypes };
    });
    last = result.catch(() => undefined);
    return result;
  }
  return {
    watch: (client) => {
      const connection: unknown = Reflect.get(client, "connection");
      if (!(connection instanceof EventEmitter)) throw new Error("This version of pg has no connection to listen to.");
      connection.on("rowDescription", (message: { fields: { dataTypeID: number }[] }) => {
        for (const [index, field] of message.fields.entries()) {
          if (field.dataTypeID !== CHAR_OID) continue;
          field.dataTypeID = BPCHAR_OID;
          charColumns.push(index);
        }
      });
    },
    queryRaw,
    inTransaction: (transaction) => ({
      provider: transaction.provider,
      adapterName: transaction.adapterName,
      options: transaction.options,
      queryRaw: (query) => queryRaw(transaction, query),
      executeRaw: (query) => transaction.executeRaw(query),
      commit: () => transaction.commit(),
      rollback: () => transaction.rollback(),
    }),
  };
}

async function asAdministrator(config: pg.ClientConfig, statement: string): Promise<void> {
  const client = new pg.Client(config);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
