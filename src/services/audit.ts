import { actorName, requireScope, SCOPES } from "../context/permissions.ts";
import type { AuditEventRow, Prisma } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { pageOf } from "./paging.ts";
import type { Page, PageArgs } from "./paging.ts";

const ORDER = { field: "createdAt", direction: "desc" } as const;

/** What was done, to what. `details` holds names and counts, never contents and never a secret. */
export interface AuditEntry {
  /** The thing and the verb: `session.create`. */
  readonly action: string;
  readonly target?: string;
  readonly details?: Prisma.InputJsonObject;
}

/** Adds to the audit trail, in the transaction of the write that it tells of: both happened, or neither. */
export async function record(tx: TenantContext, entry: AuditEntry): Promise<void> {
  await tx.db.auditEvent.create({
    data: {
      action: entry.action,
      actor: actorName(tx.actor),
      target: entry.target ?? null,
      ip: tx.ip ?? null,
      details: entry.details ?? {},
    },
  });
}

/** The tenant's audit trail, newest first. */
export async function list(
  ctx: TenantContext,
  page: PageArgs,
  filter: { readonly action?: string | null | undefined },
): Promise<Page<AuditEventRow>> {
  requireScope(ctx, SCOPES.TENANT_ADMIN);
  const where = filter.action == null ? {} : { action: filter.action };
  return pageOf(ctx, { list: "auditEvents", order: ORDER }, page, {
    read: (window) =>
      ctx.db.auditEvent.findMany({ where: { AND: [where, window.where] }, orderBy: window.orderBy, take: window.take }),
    count: () => ctx.db.auditEvent.count({ where }),
  });
}
