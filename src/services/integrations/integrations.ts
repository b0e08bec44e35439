import { defineLoader } from "../../context/loaders.ts";
import { ownRows, requireScope, SCOPES } from "../../context/permissions.ts";
import type { TenantContext } from "../../context/tenant-context.ts";
import { notFound } from "../../errors.ts";
import * as audit from "../audit.ts";
import { Problems } from "../checks.ts";
import { pageOf } from "../paging.ts";
import type { Page, PageArgs } from "../paging.ts";
import { wordsFilter } from "../stored-words.ts";
import { write } from "../writes.ts";
import { INTEGRATION_KINDS, INTEGRATION_PROVIDERS, present, SERVICE_PREFIX } from "./present.ts";
import type { Integration, IntegrationKind, IntegrationProvider } from "./present.ts";

export { INTEGRATION_KINDS, INTEGRATION_PROVIDERS, INTEGRATION_PURPOSES, INTEGRATION_STATUSES } from "./present.ts";
export type {
  Integration,
  IntegrationKind,
  IntegrationProvider,
  IntegrationPurpose,
  IntegrationStatus,
} from "./present.ts";

const NAME_LENGTH_MAX = 255; // as in prisma/models/integrations.prisma
const ORDER = { field: "createdAt", direction: "asc" } as const;

/** Which integrations a list shows; what is absent or null does not restrict it, and an empty list matches none. */
export interface IntegrationFilter {
  readonly kind?: readonly IntegrationKind[] | null | undefined;
  readonly provider?: readonly IntegrationProvider[] | null | undefined;
  readonly enabled?: boolean | null | undefined;
}

/** Absent stays; neither can be cleared. */
export interface IntegrationChanges {
  readonly name?: string | null | undefined;
  readonly enabled?: boolean | null | undefined;
}

/** The accounts and servers that are connected, as far as the actor may see them, the first one first. */
export async function list(ctx: TenantContext, page: PageArgs, filter: IntegrationFilter): Promise<Page<Integration>> {
  requireScope(ctx, SCOPES.INTEGRATIONS_READ);
  const where = visible(ctx, filter);
  return pageOf(ctx, { list: "integrations", order: ORDER }, page, {
    async read(window) {
      const rows = await ctx.db.integration.findMany({
        where: { AND: [where, window.where] },
        orderBy: window.orderBy,
        take: window.take,
      });
      return rows.map(present);
    },
    count: () => ctx.db.integration.count({ where }),
  });
}

/** One integration; null when there is none. All that are asked for in one tick come from one statement. */
export async function find(ctx: TenantContext, id: string): Promise<Integration | null> {
  requireScope(ctx, SCOPES.INTEGRATIONS_READ);
  return byId(ctx).load(id);
}

/**
 * Renames an integration, or switches it on or off. How it stands is kept while it is off.
 *
 * @throws NOT_FOUND, and BAD_USER_INPUT for a name that is empty or over 255 characters.
 */
export async function update(ctx: TenantContext, id: string, changes: IntegrationChanges): Promise<Integration> {
  requireScope(ctx, SCOPES.INTEGRATIONS_WRITE);
  const { name, enabled } = changes;
  new Problems()
    .text("input.name", name, 1, NAME_LENGTH_MAX)
    .notNull("input.name", name)
    .notNull("input.enabled", enabled)
    .throwIfAny();
  const data = { ...(name != null && { name }), ...(enabled != null && { enabled }) };
  const fields = Object.keys(data);
  return write(ctx, async (tx) => {
    const where = { AND: [visible(tx, {}), { id }] };
    if (fields.length > 0) {
      const { count } = await tx.db.integration.updateMany({ where, data });
      if (count > 0) await audit.record(tx, { action: "integration.update", target: id, details: { fields } });
    }
    const row = await tx.db.integration.findFirst({ where });
    if (!row) throw notFound("Integration");
    return present(row);
  });
}

/** Deletes an integration with its credentials. @throws NOT_FOUND. */
export async function remove(ctx: TenantContext, id: string): Promise<void> {
  requireScope(ctx, SCOPES.INTEGRATIONS_WRITE);
  await write(ctx, async (tx) => {
    const { count } = await tx.db.integration.deleteMany({ where: { AND: [visible(tx, {}), { id }] } });
    if (count === 0) throw notFound("Integration");
    await audit.record(tx, { action: "integration.delete", target: id });
  });
}

const byId = defineLoader(async (ctx: TenantContext, ids: readonly string[]) => {
  const rows = await ctx.db.integration.findMany({ where: { AND: [visible(ctx, {}), { id: { in: [...ids] } }] } });
  return new Map(rows.map((row) => [row.id, present(row)]));
});

/** Which integrations a caller may see and change: every read and write of this file goes through it. */
function visible(ctx: TenantContext, { kind, provider, enabled }: IntegrationFilter) {
  const asked = {
    ...(kind && { serviceType: wordsFilter(INTEGRATION_KINDS, kind, INTEGRATION_KINDS.OTHER) }),
    ...(provider && { provider: wordsFilter(INTEGRATION_PROVIDERS, provider, INTEGRATION_PROVIDERS.OTHER) }),
    // NULL, which the predecessor left at times, is not switched on.
    ...(enabled != null && (enabled ? { enabled } : { OR: [{ enabled }, { enabled: null }] })),
  };
  return { AND: [ownOrService(ctx), asked] };
}

/** What serves the tenant as a whole is everybody's, whoever connected it. */
function ownOrService(ctx: TenantContext): { OR?: object[] } {
  const { OR: own } = ownRows(ctx);
  return own ? { OR: [...own, { purpose: { startsWith: SERVICE_PREFIX } }] } : {};
}
