import type { FastifyInstance, FastifyRequest } from "fastify";
import { authenticate } from "../context/authenticate.ts";
import type { AppContext } from "../context/app-context.ts";
import { AppError } from "../errors.ts";
import { credentialHeaders } from "./exchange.ts";
import type { Metrics } from "./metrics.ts";

const CHECK_TIMEOUT_MS = 2_000; // a probe that hears nothing for longer counts the process as dead
const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|::ffff:127\.\d+\.\d+\.\d+)$/;
const UNDEFINED_TABLE = "42P01";

export interface HealthParts {
  readonly app: AppContext;
  readonly metrics: Metrics;
  /** The last migration that this version knows. */
  readonly expectedMigration: string;
  readonly isStopping: () => boolean;
}

interface Readiness {
  readonly database: "ok" | "away";
  readonly migrations: "ok" | "behind" | "unknown";
  readonly process: "ok" | "stopping";
}

/** Routes for those who run the gateway: /livez, /readyz, /metrics. */
export function mountHealth(server: FastifyInstance, parts: HealthParts): void {
  server.get("/livez", (_request, reply) => reply.header("Cache-Control", "no-store").send({ ok: true }));

  server.get("/readyz", async (_request, reply) => {
    const checks: Readiness = { ...(await checkDatabase(parts)), process: parts.isStopping() ? "stopping" : "ok" };
    const ok = Object.values(checks).every((state) => state === "ok");
    return reply
      .code(ok ? 200 : 503)
      .header("Cache-Control", "no-store")
      .send({ ok, checks });
  });

  server.get("/metrics", async (request, reply) => {
    if (!isFromHere(request)) {
      const { kind } = await authenticate(parts.app, credentialHeaders(request));
      if (kind === "none") throw new AppError("UNAUTHENTICATED", "A credential is required");
      if (kind !== "platform") throw new AppError("FORBIDDEN", "This needs the platform administrator's key");
    }
    const { body, contentType } = await parts.metrics.text();
    return reply.type(contentType).header("Cache-Control", "no-store").send(body);
  });
}

/** Whether somebody at this machine asks. Behind a proxy here everybody comes from loopback, but a proxy says for whom it asks. */
export function isFromHere({ ip, headers }: FastifyRequest): boolean {
  return LOOPBACK.test(ip) && headers["x-forwarded-for"] === undefined && headers.forwarded === undefined;
}

/** Asks the database as the gateway sees it, through the pool that requests use. */
async function checkDatabase({ app, expectedMigration }: HealthParts): Promise<Omit<Readiness, "process">> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error("no answer in time")), CHECK_TIMEOUT_MS);
  });
  try {
    const answer = app.pool.query(
      `SELECT FROM public._prisma_migrations WHERE migration_name = $1 AND finished_at IS NOT NULL AND rolled_back_at IS NULL`,
      [expectedMigration],
    );
    const { rowCount } = await Promise.race([answer, tooLate]);
    return { database: "ok", migrations: rowCount === 0 ? "behind" : "ok" };
  } catch (error) {
    const isMissing = error instanceof Error && Reflect.get(error, "code") === UNDEFINED_TABLE;
    return isMissing ? { database: "ok", migrations: "behind" } : { database: "away", migrations: "unknown" };
  } finally {
    clearTimeout(timer);
  }
}
