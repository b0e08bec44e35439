import { Writable } from "node:stream";
import pg from "pg";
import { openAppContext } from "../../../src/context/app-context.ts";
import type { AppContext } from "../../../src/context/app-context.ts";
import { openLog } from "../../../src/context/log.ts";
import type { WallSwitches } from "../../../src/context/tenant-client.ts";
import { expectedMigration } from "../../../src/migrate/migrate.ts";
import { newDatabase } from "../../support/database.ts";
import type { TestDatabase } from "../../support/database.ts";
import { isFastPathOn } from "../../support/fast-path.ts";

/** The gateway below its edges, over a database of its own: what every edge and job is built on. */
export interface Gateway {
  readonly context: AppContext;
  readonly database: TestDatabase;
  /** A superuser, who sees and may do everything: to look at what happened, and to take walls down. */
  readonly superuser: pg.Client;
  readonly close: () => Promise<void>;
}

export interface GatewayOptions {
  readonly walls?: WallSwitches;
  readonly poolMax?: number;
  /** Statements of a superuser that take walls down before the gateway opens. */
  readonly broken?: readonly string[];
}

export async function openGateway({ walls, poolMax = 5, broken = [] }: GatewayOptions = {}): Promise<Gateway> {
  const database = await newDatabase();
  const superuser = new pg.Client({ connectionString: database.superuserUrl });
  await superuser.connect();
  for (const statement of broken) await superuser.query(statement);
  const context = openContext(database, { walls, poolMax });
  return {
    context,
    database,
    superuser,
    async close() {
      await context.close();
      await superuser.end();
      await database.drop();
    },
  };
}

/** One process's context over a database that others may use as well. */
export function openContext(
  database: TestDatabase,
  { walls, poolMax = 5 }: { readonly walls?: WallSwitches | undefined; readonly poolMax?: number } = {},
): AppContext {
  return openAppContext({
    gatewayUrl: database.gatewayUrl,
    listenUrl: database.gatewayUrl,
    poolMax,
    preparedStatements: true,
    fastPath: isFastPathOn(),
    expectedMigration: expectedMigration(),
    platformAdminKey: "no-key-that-anybody-has-0123456789abcdef",
    masterKey: "test-master-key-0123456789-0123456789",
    tokenIssuer: "atrium",
    tokenAudience: "atrium",
    publicUrl: undefined,
    redisUrl: undefined,
    rateLimitFailure: "open",
    oidcIssuers: [],
    corsOrigins: [],
    allowPrivateAddresses: false,
    meetOutsider: async () => null,
    defaultTenant: false,
    trustTenantHeader: false,
    log: openLog({ logLevel: "silent" }, new Writable({ write: (_chunk, _encoding, done) => done() })),
    clock: { now: () => new Date() },
    onResolved: () => undefined,
    walls,
  });
}

/** A tenant, made as the platform makes it. */
export async function newTenant({ crossTenant }: AppContext): Promise<string> {
  const mark = crypto.randomUUID().replaceAll("-", "");
  const tenant = await crossTenant.createTenant({
    name: `Tenant ${mark}`,
    schemaName: `tenant_${mark}`,
    plan: "free",
    isolation: "shared",
    metadata: {},
    key: { hash: mark.repeat(2), prefix: "atr_00000000", name: "First key", scopes: [] },
  });
  return tenant.id;
}
