import type { TenantRecord } from "../context/cross-tenant.ts";
import type { Check } from "../context/isolation-checks.ts";
import { requireScope, SCOPES } from "../context/permissions.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError } from "../errors.ts";

// Somebody who looks at it, and looks again. A loop of it would keep a connection busy for everybody else.
const REPORTS = { name: "isolation_report", points: 10, seconds: 60 };

/** What stands between two tenants, as found at `checkedAt`. */
export interface IsolationReport {
  readonly ok: boolean;
  readonly checkedAt: Date;
  readonly checks: readonly Check[];
}

/**
 * Holds the walls against the live database, and tries to get through them with two tenants made for it. Some hundred statements; whoever
 * asks while a probe runs gets its answer. A check that cannot run counts as failed, so this answers even when little works.
 *
 * @throws FORBIDDEN without TENANT_ADMIN.
 * @throws RATE_LIMITED beyond ten reports a minute for one tenant; the platform administrator may ask as often as they like.
 */
export async function report(
  ctx: Pick<TenantContext, "actor" | "isolation" | "clock" | "accounts"> & {
    readonly tenant: Pick<TenantRecord, "id">;
  },
): Promise<IsolationReport> {
  requireScope(ctx, SCOPES.TENANT_ADMIN);
  if (ctx.actor.kind !== "platform") {
    const { isWithin, resetSeconds } = await ctx.accounts.limits.take(REPORTS, ctx.tenant.id, 1);
    const message = `At most ${REPORTS.points} isolation reports a minute are made for one tenant`;
    if (!isWithin) throw new AppError("RATE_LIMITED", message, { retryAfterSeconds: resetSeconds });
  }
  const checkedAt = ctx.clock.now();
  const checks = await ctx.isolation.prove();
  return { ok: checks.length > 0 && checks.every((check) => check.ok), checkedAt, checks };
}
