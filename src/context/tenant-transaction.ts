import type pg from "pg";
import { unavailable } from "../errors.ts";

/** How many statements were sent, the frame of each (BEGIN, SET LOCAL, COMMIT) not counted. */
export interface StatementCounter {
  count: number;
}

const EMPTY_RESULT: pg.QueryResult = { command: "BEGIN", rowCount: 0, oid: 0, fields: [], rows: [] };

/**
 * A checked-out connection inside one tenant's transaction. It begins with its first statement, and both travel together.
 *
 * What Prisma's adapter wants of a connection is here, so that Prisma may run statements in it as well.
 */
export class TenantTransaction {
  readonly #client: pg.PoolClient;
  readonly #begin: string;
  readonly #statements: StatementCounter | undefined;
  #begun: Promise<unknown> | undefined;
  #isOpen = false;
  #isReleased = false;
  #isLate = false;

  /** @param begin opens the transaction and names the tenant. */
  constructor(client: pg.PoolClient, begin: string, statements: StatementCounter | undefined) {
    this.#client = client;
    this.#begin = begin;
    this.#statements = statements;
  }

  async query(statement: pg.QueryConfig): Promise<pg.QueryResult> {
    // A straggler would run inside the transaction of whoever has the connection by now, as that tenant.
    if (this.#isLate) throw unavailable(new Error("the transaction took too long"));
    if (this.#isReleased) throw new Error("the transaction has ended, and its connection was given back");
    const begun = this.#beginOnce();
    if (statement.text === "BEGIN") {
      await begun;
      return EMPTY_RESULT;
    }
    if (this.#statements) this.#statements.count += 1;
    const [beginning, answer] = await Promise.allSettled([begun, this.#client.query(statement)]);
    if (beginning.status === "rejected") throw beginning.reason;
    if (answer.status === "rejected") throw answer.reason;
    const result = answer.value;
    if (statement.text === "COMMIT" || statement.text === "ROLLBACK") this.#isOpen = false;
    // Where a statement failed and somebody passed over it, PostgreSQL answers COMMIT by rolling back, without an error.
    if (statement.text === "COMMIT" && result.command !== "COMMIT")
      throw new Error("nothing was committed: a statement of the transaction had failed");
    return result;
  }

  #beginOnce(): Promise<unknown> {
    if (!this.#begun) {
      this.#isOpen = true;
      this.#begun = this.#client.query(this.#begin);
    }
    return this.#begun;
  }

  /** Ends it: everything happened, or nothing. One that never began has nothing to end. */
  async end(how: "COMMIT" | "ROLLBACK"): Promise<void> {
    if (this.#isOpen) await this.query({ text: how });
  }

  /** Ends it for whoever still works in it: nothing happened, and the connection is somebody else's. */
  giveUp(): void {
    if (this.#isReleased) return;
    this.#isLate = true;
    this.release(true);
  }

  /** Also called when COMMIT or ROLLBACK failed; such a connection still carries the tenant, so it is thrown away. A second call changes nothing. */
  release(error?: Error | boolean): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#client.release(error ?? (this.#isOpen ? true : undefined));
  }

  on(event: "error", listener: (error: Error) => void): this {
    this.#client.on(event, listener);
    return this;
  }

  removeListener(event: "error", listener: (error: Error) => void): this {
    this.#client.removeListener(event, listener);
    return this;
  }
}
