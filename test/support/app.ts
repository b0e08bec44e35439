import { rmSync } from "node:fs";
import { Writable } from "node:stream";
import { z } from "zod";
import { openApp } from "../../src/app.ts";
import type { App, AppOptions } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import { openLog } from "../../src/context/log.ts";
import { newDatabase } from "./database.ts";
import type { TestDatabase } from "./database.ts";
import { isFastPathOn } from "./fast-path.ts";
import { mailboxIn } from "./mailbox.ts";
import type { Mailbox } from "./mailbox.ts";
import { temporaryFolder } from "./postgres.ts";
import { sendTo } from "./send.ts";
import type { Sender } from "./send.ts";
import { tenantMaker } from "./tenants.ts";
import type { TestTenant } from "./tenants.ts";

const logLine = z.record(z.string(), z.unknown());

export const PLATFORM_KEY = "test-platform-administrator-key-0123456789";
export const MASTER_KEY = "test-master-key-0123456789-0123456789";

export interface TestApp {
  readonly app: App;
  readonly url: string;
  readonly database: TestDatabase;
  /** Every log line so far, parsed. */
  readonly logs: readonly Record<string, unknown>[];
  /** The platform administrator, naming no tenant. */
  readonly platform: Sender;
  /** Nobody in particular: no credential at all. */
  readonly anonymous: Sender;
  /** A new tenant with an API key that may do everything, and a client that speaks as it. */
  readonly newTenant: (options?: { readonly scopes?: readonly string[] }) => Promise<TestTenant>;
  /** The mail that went out. */
  readonly mailbox: Mailbox;
  /** How many SQL statements tenants' clients sent while `work` ran. */
  readonly countStatements: (work: () => Promise<unknown>) => Promise<number>;
  readonly close: () => Promise<void>;
}

/** The real app on a free port over a database of its own, or over another app's, which outlives it. `settings` are environment variables. */
export async function startApp(
  settings: Readonly<Record<string, string>> = {},
  { database: shared, ...options }: Partial<AppOptions> & { readonly database?: TestDatabase } = {},
): Promise<TestApp> {
  const database = shared ?? (await newDatabase());
  const dataDir = temporaryFolder();
  const logs: Record<string, unknown>[] = [];
  const config = readConfig({
    PORT: "0",
    DATA_DIR: dataDir,
    DATABASE_URL: database.gatewayUrl,
    DATABASE_OWNER_URL: database.ownerUrl,
    FAST_PATH: isFastPathOn() ? "on" : "off",
    ...settings,
  });
  const log = openLog({ logLevel: "debug" }, collectInto(logs));
  const app = await openApp({
    config,
    gatewayUrl: database.gatewayUrl,
    platformAdminKey: PLATFORM_KEY,
    masterKey: MASTER_KEY,
    log,
    ...options,
  });
  const url = `${app.url}/graphql`;
  return {
    app,
    url,
    database,
    logs,
    platform: sendTo(url, { "X-API-Key": PLATFORM_KEY }),
    anonymous: sendTo(url, {}),
    newTenant: tenantMaker(app, url),
    mailbox: mailboxIn(config.dataDir),
    async countStatements(work) {
      const before = app.context.statements.count;
      await work();
      return app.context.statements.count - before;
    },
    async close() {
      await app.close();
      if (!shared) await database.drop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

function collectInto(logs: Record<string, unknown>[]): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString().split("\n").filter(Boolean)) logs.push(logLine.parse(JSON.parse(line)));
      done();
    },
  });
}
