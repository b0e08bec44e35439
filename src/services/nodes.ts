import { defineLoader } from "../context/loaders.ts";
import { requireScope, SCOPES } from "../context/permissions.ts";
import type { AuditEventRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError } from "../errors.ts";
import * as apiKeys from "./api-keys.ts";
import { Problems } from "./checks.ts";
import * as files from "./files.ts";
import * as integrations from "./integrations/integrations.ts";
import * as memory from "./memory/memory.ts";
import * as messages from "./messages.ts";
import * as notifications from "./notifications.ts";
import * as sessions from "./sessions.ts";
import * as tasks from "./tasks.ts";
import * as tenants from "./tenants.ts";
import * as users from "./users.ts";

const IDS_MAX = 100;

/** A thing found by nothing but its id, and what it is. */
export interface Found {
  /** The name of its type in the API. */
  readonly kind: string;
  readonly row: object;
}

type Find = (ctx: TenantContext, id: string) => Promise<Found | null>;

// An id does not say what it names, so everything is asked. Each domain asks for its own scope, and reads all ids of one tick at once.
const DOMAINS: readonly Find[] = [
  among("Tenant", findTenant),
  among("Session", sessions.find),
  among("Message", messages.find),
  among("File", files.find),
  among("LongTermMemory", memory.longTerm.find),
  among("MediumTermMemory", memory.mediumTerm.find),
  among("Notification", notifications.find),
  among("Task", tasks.find),
  findIntegration,
  among("User", users.find),
  among("ApiKey", apiKeys.find),
  among("AuditEvent", findAuditEvent),
];

/** Whatever has this id in the tenant and may be read by the actor; null when there is none. What may not be read looks missing. */
export async function find(ctx: TenantContext, id: string): Promise<Found | null> {
  const answers = await Promise.all(DOMAINS.map((findIn) => findIn(ctx, id).catch(missingWhenForbidden)));
  return answers.find((answer) => answer !== null) ?? null;
}

/**
 * `find` for several ids: answers in their order, with null for what is not there. One statement for each type of thing.
 *
 * @throws BAD_USER_INPUT for more than IDS_MAX ids.
 */
export async function findAll(ctx: TenantContext, ids: readonly string[]): Promise<(Found | null)[]> {
  new Problems().size("ids", ids, IDS_MAX).throwIfAny();
  return Promise.all(ids.map((id) => find(ctx, id)));
}

function among(kind: string, findRow: (ctx: TenantContext, id: string) => Promise<object | null>): Find {
  return async (ctx, id) => {
    const row = await findRow(ctx, id);
    return row && { kind, row };
  };
}

async function findIntegration(ctx: TenantContext, id: string): Promise<Found | null> {
  const row = await integrations.find(ctx, id);
  return row && { kind: row.__typename, row };
}

async function findTenant(ctx: TenantContext, id: string): Promise<object | null> {
  const tenant = tenants.own(ctx);
  return tenant.id === id ? tenant : null;
}

async function findAuditEvent(ctx: TenantContext, id: string): Promise<object | null> {
  requireScope(ctx, SCOPES.TENANT_ADMIN);
  return auditEventsById(ctx).load(id);
}

const auditEventsById = defineLoader<TenantContext, AuditEventRow>(async (ctx, ids) => {
  const rows = await ctx.db.auditEvent.findMany({ where: { id: { in: [...ids] } } });
  return new Map(rows.map((row) => [row.id, row]));
});

function missingWhenForbidden(error: unknown): null {
  if (error instanceof AppError && error.code === "FORBIDDEN") return null;
  throw error;
}
