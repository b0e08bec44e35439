import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Config } from "./config.ts";
import { openAppContext } from "./context/app-context.ts";
import type { AppContext } from "./context/app-context.ts";
import { connectionWarnings } from "./context/connection-checks.ts";
import { assertWalls } from "./context/isolation-checks.ts";
import { openLog } from "./context/log.ts";
import type { Logger } from "./context/log.ts";
import type { WallSwitches } from "./context/tenant-client.ts";
import type { Clock } from "./context/tenant-context.ts";
import { openMetrics } from "./http/metrics.ts";
import type { Siblings } from "./http/metrics.ts";
import { openHttpServer } from "./http/server.ts";
import { expectedMigration } from "./migrate/migrate.ts";
import { readTrustedDocuments } from "./resolvers/document-files.ts";
import { buildAtriumSchema } from "./resolvers/index.ts";
import type { Mailer } from "./services/mail/mailer.ts";
import { openOutbox } from "./services/mail/outbox.adapter.ts";
import { openMailSender } from "./services/mail/sender.ts";
import { openSmtpMailer } from "./services/mail/smtp.adapter.ts";
import * as outsiders from "./services/outsiders.ts";

export interface AppOptions {
  readonly config: Config;
  readonly gatewayUrl: string;
  readonly platformAdminKey: string;
  readonly masterKey: string;
  readonly log?: Logger;
  readonly clock?: Clock;
  /** A key of a sample tenant, filled in at /playground for somebody at this machine. */
  readonly sampleKey?: string | undefined;
  /** Where several processes serve: how each tells the others what it counted. */
  readonly siblings?: Siblings | undefined;
  /** Test-only; a production start refuses it. */
  readonly walls?: WallSwitches;
}

export interface App {
  /** Where it answers: `http://host:port`. */
  readonly url: string;
  readonly context: AppContext;
  /** Stops accepting, drains what is under way, closes every connection. */
  readonly close: () => Promise<void>;
}

const systemClock: Clock = { now: () => new Date() };
/** What the gateway's own pages ask for; the same way from src and from dist. */
const OWN_DOCUMENTS = fileURLToPath(new URL("../public/account/documents.json", import.meta.url));

/** The composition root: builds every long-lived thing once, wires it, proves the walls, and serves. */
export async function openApp(options: AppOptions): Promise<App> {
  const schema = buildAtriumSchema();
  const trustedDocuments = readTrustedDocuments([OWN_DOCUMENTS, ...options.config.trustedDocumentsFiles], schema);
  const metrics = openMetrics({ namesTenants: options.config.metricsTenants, siblings: options.siblings });
  const context = openContext(options, metrics.resolved);
  try {
    await assertWalls(context.pool, { expectedMigration: expectedMigration() });
    for (const warning of await connectionWarnings(context.pool, options.config)) context.log.warn(warning);
    const server = await openHttpServer({
      app: context,
      schema,
      trustedDocuments,
      config: options.config,
      metrics,
      expectedMigration: expectedMigration(),
      sampleKey: options.sampleKey,
    });
    context.setPublicUrl(server.url);
    const mail = openMailSender(context, openMailer(options));
    context.setMailSender(mail);
    mail.start();
    return {
      url: server.url,
      context,
      async close() {
        await server.close();
        await mail.close();
        await context.close();
      },
    };
  } catch (error) {
    await context.close();
    throw error;
  }
}

function openMailer({ config, clock = systemClock }: AppOptions): Mailer {
  const { smtpUrl, mailFrom: from, dataDir } = config;
  if (smtpUrl !== undefined) return openSmtpMailer({ url: smtpUrl, from });
  return openOutbox({ folder: path.join(dataDir, "outbox"), from, now: clock.now });
}

/** Everything but the server: what commands work with. */
export function openContext(options: AppOptions, onResolved: AppContext["onResolved"] = () => undefined): AppContext {
  const { config } = options;
  if (config.production && options.walls) throw new Error("The walls stay up in production");
  return openAppContext({
    gatewayUrl: options.gatewayUrl,
    listenUrl: config.databaseListenUrl ?? options.gatewayUrl,
    poolMax: config.databasePoolMax,
    preparedStatements: config.preparedStatements,
    fastPath: config.fastPath,
    expectedMigration: expectedMigration(),
    platformAdminKey: options.platformAdminKey,
    masterKey: options.masterKey,
    tokenIssuer: config.tokenIssuer ?? config.publicUrl ?? "atrium",
    tokenAudience: config.tokenAudience,
    publicUrl: config.publicUrl,
    redisUrl: config.redisUrl,
    rateLimitFailure: config.rateLimitFailure,
    oidcIssuers: config.oidcIssuers,
    corsOrigins: config.corsOrigins,
    allowPrivateAddresses: config.allowPrivateAddresses,
    meetOutsider: outsiders.recognise,
    defaultTenant: config.defaultTenant,
    trustTenantHeader: config.trustTenantHeader,
    log: options.log ?? openLog(config),
    clock: options.clock ?? systemClock,
    onResolved,
    walls: options.walls,
  });
}
