import { actorName, requireScope, SCOPES } from "../context/permissions.ts";
import type { AuditEventRow, Prisma } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { Problems } from "./checks.ts";
import { pageOf } from "./paging.ts";
import type { Page, PageArgs } from "./paging.ts";

export { ACCESS_REFUSED } from "../context/refusals.ts";

const TEXT_LENGTH_MAX = 1_000; // of what events are looked for by; the longest that is written has fewer
const ORDER = { field: "createdAt", direction: "desc" } as const;

/** What was done, to what. `details` holds names and counts, never contents and never a secret. */
export interface AuditEntry {
  /** The thing and the verb: `session.create`. */
  readonly action: string;
  readonly target?: string;
  readonly details?: Prisma.InputJsonObject;
}

/** What somebody was not allowed to do. `details` holds names alone, few different ones: refusals that differ in them are kept apart. */
export interface RefusalEntry {
  readonly action: string;
  readonly target?: string;
  readonly details?: Readonly<Record<string, string>>;
}

/** What the trail is narrowed by; each of them has an index. */
export interface AuditFilter {
  readonly action?: string | null | undefined;
  readonly actor?: string | null | undefined;
  readonly target?: string | null | undefined;
  /** This time and later. */
  readonly since?: Date | null | undefined;
}

/** Adds to the audit trail, in the transaction of the write that it tells of: both happened, or neither. */
export async function record(tx: TenantContext, entry: AuditEntry): Promise<void> {
  await tx.db.auditEvent.create({
    data: {
      action: entry.action,
      actor: actorName(tx.actor),
      target: entry.target ?? null,
      ip: tx.ip ?? null,
      requestId: tx.requestId,
      details: entry.details ?? {},
    },
  });
}

/**
 * Takes note that somebody was refused: within five seconds it is in the audit trail, equal ones together as one event with a count.
 * Costs no statement and nothing to wait for; what a process has not written yet is lost with `kill -9`. Where there is no tenant, there is
 * no trail either.
 */
export function refused(ctx: TenantContext, { action, target, details = {} }: RefusalEntry): void {
  // A context without a tenant has a getter in its prototype, which throws.
  if (!Object.hasOwn(ctx, "tenant")) return;
  ctx.accounts.refusals.add({
    tenantId: ctx.tenant.id,
    action,
    actor: actorName(ctx.actor),
    target,
    ip: ctx.ip,
    requestId: ctx.requestId,
    at: ctx.clock.now(),
    details,
  });
}

/** The tenant's audit trail, newest first. */
export async function list(ctx: TenantContext, page: PageArgs, filter: AuditFilter): Promise<Page<AuditEventRow>> {
  requireScope(ctx, SCOPES.TENANT_ADMIN);
  const { action, actor, target, since } = filter;
  new Problems()
    .text("action", action, 0, TEXT_LENGTH_MAX)
    .text("actor", actor, 0, TEXT_LENGTH_MAX)
    .text("target", target, 0, TEXT_LENGTH_MAX)
    .throwIfAny();
  const where = {
    ...(action != null && { action }),
    ...(actor != null && { actor }),
    ...(target != null && { target }),
    ...(since != null && { createdAt: { gte: since } }),
  };
  return pageOf(ctx, { list: "auditEvents", order: ORDER }, page, {
    read: (window) =>
      ctx.db.auditEvent.findMany({ where: { AND: [where, window.where] }, orderBy: window.orderBy, take: window.take }),
    count: () => ctx.db.auditEvent.count({ where }),
  });
}
