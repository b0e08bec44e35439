import { requirePlatform } from "../context/tenant-context.ts";
import type { TenantContext } from "../context/tenant-context.ts";

const ANSWER_MS_MAX = 3_000; // later than that is as good as away for somebody who waits

/** How one service that the product needs does. */
interface ServiceHealth {
  readonly name: string;
  readonly healthy: boolean;
  /** Whether nothing works without it. */
  readonly required: boolean;
  /** Milliseconds to its answer; null when there was none. */
  readonly latencyMs: number | null;
  /** What is wrong, in words for a client. */
  readonly message: string | null;
}

interface Health {
  /** Whether every required service is healthy. */
  readonly ok: boolean;
  readonly services: readonly ServiceHealth[];
}

interface Probe {
  readonly name: string;
  readonly required: boolean;
  /** The smallest question that needs the whole way to the service and back. */
  readonly ask: (ctx: TenantContext) => Promise<unknown>;
}

const PROBES: readonly Probe[] = [{ name: "postgres", required: true, ask: askPostgres }];

/** Asks every service, all at once. Never throws, and takes ANSWER_MS_MAX at most. Needs no scope: it tells nothing about anybody. */
export async function check(ctx: TenantContext): Promise<Health> {
  const services = await Promise.all(PROBES.map((probe) => examine(ctx, probe)));
  return { ok: services.every(({ healthy, required }) => healthy || !required), services };
}

async function examine(ctx: TenantContext, { name, required, ask }: Probe): Promise<ServiceHealth> {
  const began = performance.now();
  try {
    await inTime(ask(ctx));
    return { name, required, healthy: true, latencyMs: Math.round(performance.now() - began), message: null };
  } catch (error) {
    ctx.log.warn({ service: name, err: error instanceof Error ? error.message : "unknown" }, "service unhealthy");
    return { name, required, healthy: false, latencyMs: null, message: "It does not answer" };
  }
}

/** As the tenant's own role and through its walls, like every other read. Only the platform administrator may have named no tenant. */
async function askPostgres(ctx: TenantContext): Promise<unknown> {
  if (ctx.actor.kind !== "platform") return ctx.db.apiKey.findFirst({ select: { id: true } });
  return requirePlatform(ctx).listTenants({}, { direction: "asc", beyond: undefined, take: 1 });
}

async function inTime(answer: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ANSWER_MS_MAX} ms`)), ANSWER_MS_MAX);
  });
  try {
    await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
