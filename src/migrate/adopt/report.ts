/** What a database turned out to be before adoption. */
export type Found = "A" | "B" | "B, made by create_all" | "v1" | "v2" | "current" | "empty";

/** One table's part of the report. Numbers are rows. */
export interface TableReport {
  readonly table: string;
  readonly rowsBefore: number;
  /** Rows that clients inserted minus rows that they deleted while the adoption ran. */
  readonly rowsWrittenMeanwhile: number;
  readonly rowsAfter: number;
  /** Rows in which at least one thing was put right; giving a row its tenant is not counted. */
  readonly rowsRepaired: number;
  readonly rowsQuarantined: number;
  /** How many rows were repaired, by reason. A row with two faults is counted under both. */
  readonly repairs: Readonly<Record<string, number>>;
  /** How many rows were set aside in atrium.quarantine, by reason. */
  readonly quarantined: Readonly<Record<string, number>>;
}

/** A database role through which clients of the predecessor come in. */
export interface ClientRole {
  readonly name: string;
  /** Superuser or BYPASSRLS: row-level security does not restrict it. */
  readonly bypassesRowSecurity: boolean;
  /** Whether its new connections get the default tenant by a setting of the role. */
  readonly hasDefaultTenant: boolean;
}

export interface AdoptReport {
  readonly found: Found;
  readonly dryRun: boolean;
  /** True when an earlier run was interrupted and this one took up its work. */
  readonly resumed: boolean;
  /** False when there was nothing to do. */
  readonly changed: boolean;
  /** What the adoption does, or would do, as sentences. */
  readonly plan: readonly string[];
  readonly tables: readonly TableReport[];
  readonly clientRoles: readonly ClientRole[];
  /** Connections from before the default tenant was set that were ended, because row-level security would have shown them nothing. */
  readonly connectionsEnded: number;
  /** The longest time for which any table was locked against readers, waiting for the lock included. */
  readonly longestLockMs: number;
  /** Rows that the fill looked at, for each second of it; null when it had none. */
  readonly rowsPerSecond: number | null;
  /** What an operator has to know or to do, as sentences. */
  readonly warnings: readonly string[];
}

export interface AdoptProgress {
  readonly phase: "look" | "expand" | "fill" | "prepare" | "switch" | "verify";
  /** What is being done, without a full stop. */
  readonly message: string;
  readonly rowsDone: number;
  readonly rowsTotal: number;
  /** Until the fill ends, estimated from the pace of this run; null in other phases, and when there is no pace yet. */
  readonly secondsLeft: number | null;
}

export interface AdoptOptions {
  /** The role of DATABASE_URL; it gets its rights at the end, and must not be one of the old clients' roles. */
  readonly gatewayRole: string;
  /** Roles of the old clients; found by their rights on the tables when left out. An empty list: there are none to be served. */
  readonly clientRoles?: readonly string[] | undefined;
  /** Only look: nothing at all is changed. */
  readonly dryRun?: boolean | undefined;
  /** Rows that one transaction of the fill looks at; 5,000 by default. */
  readonly batchRows?: number | undefined;
  /** How long to go on trying for an exclusive lock, in milliseconds; ten minutes by default. */
  readonly lockPatienceMs?: number | undefined;
  readonly onProgress?: ((progress: AdoptProgress) => void) | undefined;
}

/** The adoption refuses, or cannot go on; the message is for the operator, and names what to do. Running it again takes up where it stopped. */
export class AdoptError extends Error {
  override readonly name = "AdoptError";
}

export interface TableCount {
  readonly table: string;
  readonly rowsBefore: number;
  readonly rowsWrittenMeanwhile: number;
  readonly rowsAfter: number;
  readonly rowsQuarantined: number;
}

/**
 * Proves that no row was lost: what there was, and what clients wrote meanwhile, is there now or in quarantine.
 *
 * @throws AdoptError with one line for each table whose numbers disagree.
 */
export function mustAddUp(tables: readonly TableCount[]): void {
  const wrong = tables.filter((t) => t.rowsBefore + t.rowsWrittenMeanwhile !== t.rowsAfter + t.rowsQuarantined);
  if (wrong.length === 0) return;
  const lines = wrong.map(
    (t) =>
      `${t.table}: ${String(t.rowsBefore)} before, ${String(t.rowsWrittenMeanwhile)} written meanwhile, ` +
      `but ${String(t.rowsAfter)} after and ${String(t.rowsQuarantined)} in quarantine`,
  );
  throw new AdoptError(["The rows do not add up. Restore the backup and report this:", ...lines].join("\n"));
}
