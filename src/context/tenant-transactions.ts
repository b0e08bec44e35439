import { poolFrom } from "./tenant-pool.ts";
import type { TenantTransaction } from "./tenant-transaction.ts";

const TRANSACTION_MAX_MS = 15_000; // as Prisma's own, in prisma.ts

/** Runs one call of a model through Prisma. */
export type PrismaCall = (model: string, operation: string, args: unknown) => Promise<unknown>;

/** Prisma inside a transaction that it did not begin. */
interface Joined {
  readonly call: PrismaCall;
  readonly end: (how: "COMMIT" | "ROLLBACK") => Promise<void>;
}

/** A client of Prisma as far as transactions need it. */
export interface TransactingClient {
  readonly transact: (work: (call: PrismaCall) => Promise<void>) => Promise<void>;
}

/** One tenant's transactions in which statements run on the connection itself, and which Prisma joins only for what it alone can run. */
export interface TenantTransactions {
  /**
   * @param work gets the connection, and Prisma for the same transaction.
   * @returns what `work` returns, when everything happened; when it throws, nothing did.
   */
  readonly run: <Result>(
    work: (connection: TenantTransaction, prisma: PrismaCall) => Promise<Result>,
  ) => Promise<Result>;
}

/** @param clientOver makes a client of Prisma over a pool; called once, when Prisma is first needed. */
export function openTenantTransactions(
  connect: () => Promise<TenantTransaction>,
  clientOver: (pool: ReturnType<typeof poolFrom>) => TransactingClient,
): TenantTransactions {
  // Handed to Prisma when it asks for a connection: one transaction joins at a time, so that none gets another's.
  let joining: TenantTransaction | undefined;
  let turn: Promise<unknown> = Promise.resolve();
  let client: TransactingClient | undefined;

  const pool = poolFrom({
    async query() {
      throw new Error("outside of transactions, another client runs statements");
    },
    async connect() {
      const connection = joining;
      joining = undefined;
      if (!connection) throw new Error("no transaction waits to be joined");
      return {
        query: connection.query.bind(connection),
        on: connection.on.bind(connection),
        removeListener: connection.removeListener.bind(connection),
        // Whoever began it gives it back.
        release: () => undefined,
      };
    },
  });

  function join(connection: TenantTransaction): Promise<Joined> {
    const joined = turn.then(() => joinNow(connection));
    turn = joined.catch(() => undefined);
    return joined;
  }

  function joinNow(connection: TenantTransaction): Promise<Joined> {
    const prisma = (client ??= clientOver(pool));
    joining = connection;
    return new Promise<Joined>((resolve, reject) => {
      const ended = prisma.transact(
        (call) =>
          new Promise<void>((commit, rollBack) => {
            async function end(how: "COMMIT" | "ROLLBACK"): Promise<void> {
              if (how === "COMMIT") commit();
              else rollBack(new Error("rolled back"));
              await (how === "COMMIT" ? ended : ended.catch(() => undefined));
            }
            resolve({ call, end });
          }),
      );
      ended.catch(reject);
    });
  }

  return {
    async run(work) {
      const connection = await connect();
      let joined: Promise<Joined> | undefined;
      async function prisma(...call: Parameters<PrismaCall>): Promise<unknown> {
        joined ??= join(connection);
        return (await joined).call(...call);
      }
      async function end(how: "COMMIT" | "ROLLBACK"): Promise<void> {
        const other = await joined?.catch(() => undefined);
        await (other ?? connection).end(how);
      }
      const limit = setTimeout(() => connection.giveUp(), TRANSACTION_MAX_MS);
      try {
        const result = await work(connection, prisma);
        await end("COMMIT");
        return result;
      } catch (error) {
        // What went wrong first is what is told; a connection that cannot roll back is thrown away.
        await end("ROLLBACK").catch(() => undefined);
        throw error;
      } finally {
        clearTimeout(limit);
        connection.release();
      }
    },
  };
}
