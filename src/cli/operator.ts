import type { AppContext } from "../context/app-context.ts";
import { newRequestId } from "../context/crypto.ts";
import { ALL_SCOPES } from "../context/permissions.ts";
import type { Actor } from "../context/permissions.ts";
import {
  createPlatformContext,
  createTenantContext,
  requirePlatform,
  TENANT_SOURCES,
} from "../context/tenant-context.ts";
import type { RequestFacts, TenantContext } from "../context/tenant-context.ts";
import { AppError } from "../errors.ts";
import { isId } from "../services/checks.ts";

// Whoever may run commands here can read the platform administrator's key as well, so commands act as the administrator.
const OPERATOR: Actor = { kind: "platform", scopes: new Set(ALL_SCOPES) };

/** The operator, naming no tenant. */
export function actForPlatform(app: AppContext): TenantContext {
  return createPlatformContext(app, OPERATOR, factsOf(app));
}

/**
 * The operator inside one tenant, active or not.
 *
 * @throws NOT_FOUND when there is no such tenant.
 */
export async function actForTenant(app: AppContext, id: string): Promise<TenantContext> {
  const platform = requirePlatform(actForPlatform(app));
  const tenant = isId(id) ? await platform.tenantById(id.toLowerCase()) : null;
  if (!tenant) throw new AppError("NOT_FOUND", `There is no tenant ${id}; "atrium tenant list" shows all`);
  return createTenantContext(app, { tenant, source: TENANT_SOURCES.HEADER, actor: OPERATOR }, factsOf(app));
}

function factsOf({ log, clock }: AppContext): RequestFacts {
  return { requestId: newRequestId(), ip: undefined, log, clock };
}
