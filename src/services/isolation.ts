import type { Check } from "../context/isolation-checks.ts";
import { requireScope, SCOPES } from "../context/permissions.ts";
import type { TenantContext } from "../context/tenant-context.ts";

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
 */
export async function report(ctx: Pick<TenantContext, "actor" | "isolation" | "clock">): Promise<IsolationReport> {
  requireScope(ctx, SCOPES.TENANT_ADMIN);
  const checkedAt = ctx.clock.now();
  const checks = await ctx.isolation.prove();
  return { ok: checks.length > 0 && checks.every((check) => check.ok), checkedAt, checks };
}
