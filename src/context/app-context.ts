import type pg from "pg";
import type { TrustedIssuer } from "../config.ts";
import type { Accounts, MailBell } from "./accounts.ts";
import type { OutsideTokens } from "./authenticate.ts";
import { openCrossTenant } from "./cross-tenant.ts";
import type { CrossTenant, KeyRecord } from "./cross-tenant.ts";
import { newRequestId, openSealing } from "./crypto.ts";
import { openFairPool } from "./fair-pool.ts";
import type { FairPool } from "./fair-pool.ts";
import { openFairShare } from "./fair-share.ts";
import type { FairShare } from "./fair-share.ts";
import { openIsolation } from "./isolation-probe.ts";
import type { Logger } from "./log.ts";
import { openIdentities } from "./oidc.ts";
import { openOutsideTokens } from "./outside-tokens.ts";
import type { MeetOutsider } from "./outside-tokens.ts";
import { openPool } from "./prisma.ts";
import { openPostgresStore, openRedisStore } from "./rate-limit-stores.ts";
import { openRateLimits } from "./rate-limits.ts";
import { openRefusals } from "./refusals.ts";
import type { ResolutionParts } from "./request.ts";
import { listenForRevocations } from "./revocations.ts";
import { openTenantClients } from "./tenant-client.ts";
import type { TenantClients, WallSwitches } from "./tenant-client.ts";
import { openMeters } from "./tenant-meters.ts";
import type { StatementCounter } from "./tenant-transaction.ts";
import { createPlatformContext } from "./tenant-context.ts";
import type { Clock, TenantContext } from "./tenant-context.ts";
import { openTokens } from "./tokens.ts";

export interface AppContextOptions {
  readonly gatewayUrl: string;
  /** Where notices of revocation are heard: no pooler in transaction mode may be in between. */
  readonly listenUrl: string;
  readonly poolMax: number;
  readonly preparedStatements: boolean;
  readonly fastPath: boolean;
  /** The last migration of this version, which the database must have. */
  readonly expectedMigration: string;
  readonly platformAdminKey: string;
  readonly masterKey: string;
  readonly tokenIssuer: string;
  readonly tokenAudience: string;
  /** Undefined means: where the server listens, which it tells by `setPublicUrl`. */
  readonly publicUrl: string | undefined;
  /** Undefined means: limits are counted in PostgreSQL. */
  readonly redisUrl: string | undefined;
  readonly rateLimitFailure: "open" | "closed";
  /** Providers of identities that the operator named, and where browsers may go after signing in at one. */
  readonly oidcIssuers: readonly TrustedIssuer[];
  readonly corsOrigins: readonly string[];
  /** Whether addresses that tenants name may lie in private networks. */
  readonly allowPrivateAddresses: boolean;
  /** Finds, links or adds whoever comes with an outside provider's token for the first time. */
  readonly meetOutsider: MeetOutsider;
  readonly defaultTenant: boolean;
  readonly trustTenantHeader: boolean;
  readonly log: Logger;
  readonly clock: Clock;
  readonly onResolved: ResolutionParts["onResolved"];
  /** Test-only; see WallSwitches. */
  readonly walls?: WallSwitches | undefined;
}

/** What lives as long as the process: everything that a tenant context is made from. */
export interface AppContext extends ResolutionParts {
  readonly pool: pg.Pool;
  /** The same pool, divided between tenants. */
  readonly fairPool: FairPool;
  readonly fairShare: FairShare;
  readonly clients: TenantClients;
  readonly crossTenant: CrossTenant;
  readonly log: Logger;
  readonly statements: StatementCounter;
  /** Whether notices of revocation arrive; while they do not, nothing is cached. */
  readonly isHearingRevocations: () => boolean;
  /** Where the server listens, for what names no public address. */
  readonly setPublicUrl: (url: string) => void;
  /** Who is told when mail was queued. */
  readonly setMailSender: (bell: MailBell) => void;
  /** Waits for what runs on behind answered requests, then closes every connection. */
  readonly close: () => Promise<void>;
}

/** Opens the pool and the line for revocations. Connects lazily: a database that is away is met by the first request, or by the boot guard. */
export function openAppContext(options: AppContextOptions): AppContext {
  const { log, clock } = options;
  const pool = openPool({
    url: options.gatewayUrl,
    max: options.poolMax,
    preparedStatements: options.preparedStatements,
    onConnectionError: (error) => log.warn({ err: error.message }, "database connection failed"),
  });
  const statements: StatementCounter = { count: 0 };
  const crossTenant = openCrossTenant(pool);
  const revocations = listenForRevocations(
    {
      url: options.listenUrl,
      notify: (channel) => pool.query("SELECT pg_notify($1, '')", [channel]),
      log,
    },
    { heard: crossTenant.forget, listening: crossTenant.setCaching },
  );
  const background = new Set<Promise<void>>();
  const touched = new Map<string, number>();

  function onKeyUse(key: KeyRecord, at: Date): void {
    // The cached record keeps its old time for seconds: without this, every request of these seconds would write.
    const last = touched.get(key.id) ?? 0;
    if (at.getTime() - last < KEY_USE_EVERY_MS) return;
    touched.set(key.id, at.getTime());
    if (touched.size > KEYS_TOUCHED_MAX) touched.clear();
    const work: Promise<void> = crossTenant
      .touchKey(key, at)
      .catch((error: unknown) =>
        log.warn({ err: error instanceof Error ? error.message : "unknown" }, "last use of an API key not noted"),
      )
      .finally(() => background.delete(work));
    background.add(work);
  }

  let listensAt = "http://localhost";
  let sender: MailBell | undefined;
  const sealing = openSealing(options.masterKey);
  const { oidcIssuers, corsOrigins, allowPrivateAddresses } = options;
  const identities = openIdentities({ oidcIssuers, corsOrigins, allowPrivateAddresses, now: clock.now, log });
  const accounts: Accounts & { readonly outside: OutsideTokens } = {
    sealing,
    limits: openRateLimits({
      store: options.redisUrl === undefined ? openPostgresStore(pool) : openRedisStore(options.redisUrl),
      failure: options.rateLimitFailure,
      log,
    }),
    refusals: openRefusals(pool, log),
    tokens: openTokens({
      crossTenant,
      sealing,
      issuer: options.tokenIssuer,
      audience: options.tokenAudience,
      now: clock.now,
    }),
    identities,
    outside: openOutsideTokens({ ...identities, crossTenant, meet: options.meetOutsider, enter }),
    publicUrl: () => options.publicUrl ?? listensAt,
    mail: { ring: (tenantId) => sender?.ring(tenantId) },
    forget: crossTenant.forget,
  };

  let closing: Promise<void> | undefined;
  async function close(): Promise<void> {
    await withinClosing(Promise.all([...background, accounts.refusals.close(), meters.close()]));
    await identities.issuers.close();
    fairShare.close();
    fairPool.close();
    await revocations.close();
    await withinClosing(accounts.limits.close());
    await withinClosing(pool.end());
  }

  const fairPool = openFairPool(pool, options.poolMax);
  const fairShare = openFairShare({ most: EXECUTIONS_PER_CONNECTION * options.poolMax });
  const meters = openMeters(pool, { connectionsOf: fairPool.of, log });
  const clients = openTenantClients(fairPool, {
    preparedStatements: options.preparedStatements,
    fastPath: options.fastPath,
    statements,
    walls: options.walls,
  });

  /** A way in for whoever an outside provider vouches for, before a request has a context. */
  async function enter(tenantId: string): Promise<TenantContext | null> {
    const facts = { requestId: newRequestId(), ip: undefined, log, clock };
    return createPlatformContext(app, { kind: "anonymous", scopes: new Set() }, facts).door.of(tenantId);
  }

  const app: AppContext = {
    pool,
    fairPool,
    fairShare,
    crossTenant,
    statements,
    isHearingRevocations: revocations.isListening,
    clients,
    meters,
    accounts,
    setPublicUrl: (url) => (listensAt = url),
    setMailSender: (bell) => (sender = bell),
    isolation: openIsolation({ pool, clients, crossTenant, expectedMigration: options.expectedMigration }),
    platformAdminKey: options.platformAdminKey,
    defaultTenant: options.defaultTenant,
    trustTenantHeader: options.trustTenantHeader,
    log,
    clock,
    onKeyUse,
    onResolved: options.onResolved,
    close: () => (closing ??= close()),
  };
  return app;
}

/** A statement that hangs must not keep the process beyond the ten seconds in which it has to stop; PostgreSQL rolls it back. */
async function withinClosing(work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, CLOSE_PATIENCE_MS)));
  await Promise.race([work, patience]);
  clearTimeout(timer);
}

const CLOSE_PATIENCE_MS = 500; // the drain before has taken up to eight of the ten seconds
const EXECUTIONS_PER_CONNECTION = 4; // while the database is slow, requests wait for its connections and not for each other's execution
const KEY_USE_EVERY_MS = 60_000;
const KEYS_TOUCHED_MAX = 100_000;
