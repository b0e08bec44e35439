import { AppError } from "../errors.ts";
import type { ErrorCode } from "../errors.ts";
import { authenticate, tenantOf } from "./authenticate.ts";
import type { AuthenticationParts, CredentialHeaders, Principal, Refused } from "./authenticate.ts";
import type { KeyRecord, TenantRecord } from "./cross-tenant.ts";
import { actorName, ALL_SCOPES, ANONYMOUS_SCOPES, ROLE_SCOPES, storedScopes } from "./permissions.ts";
import type { Actor } from "./permissions.ts";
import { ACCESS_REFUSED } from "./refusals.ts";
import { createPlatformContext, createTenantContext, TENANT_SOURCES } from "./tenant-context.ts";
import type { ContextParts, RequestFacts, TenantContext, TenantSource } from "./tenant-context.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** What decides who asks and for which tenant. */
export interface ResolutionParts extends AuthenticationParts, ContextParts {
  readonly accounts: AuthenticationParts["accounts"] & ContextParts["accounts"];
  readonly defaultTenant: boolean;
  readonly trustTenantHeader: boolean;
  /** Counts requests by where their tenant came from and whether a credential came along, so that an operator sees who still relies on neither. */
  readonly onResolved: (source: TenantSource | "none", hasCredential: boolean) => void;
}

/**
 * Headers → who asks → for which tenant → context. The one way in for everything that arrives over HTTP.
 *
 * The header selects, it never grants: if it granted, anyone could read a tenant by guessing its id. Anything present and wrong is an
 * error, never a reason to try the next source. The table of cases is in docs/security.md.
 *
 * @throws UNAUTHENTICATED, API_KEY_EXPIRED, TENANT_REQUIRED, TENANT_INVALID_ID, TENANT_NOT_FOUND, TENANT_INACTIVE, TENANT_MISMATCH, UNAVAILABLE.
 */
export async function resolveRequest(
  parts: ResolutionParts,
  headers: CredentialHeaders,
  facts: RequestFacts,
): Promise<TenantContext> {
  const refused = noting(parts, facts);
  const selected = selectedTenantId(headers.tenantId);
  const principal = await authenticate(parts, headers, refused);
  const actor = actorOf(principal);
  const found = await chooseTenant(parts, principal, selected).catch((error: unknown) => {
    throw error instanceof AppError && REFUSALS.has(error.code) ? refused(principal, error) : error;
  });
  parts.onResolved(found?.source ?? "none", principal.kind !== "none");
  if (!found) return createPlatformContext(parts, actor, facts);
  return createTenantContext(parts, { ...found, actor }, facts);
}

// Of those that follow a credential that was recognised.
const REFUSALS = new Set<ErrorCode>(["TENANT_MISMATCH", "TENANT_INACTIVE"]);

/** Into the trail of the credential's own tenant, and of no other that the request names: its owner has to know that it was tried. */
function noting({ accounts }: ResolutionParts, { ip, requestId, clock }: RequestFacts): Refused {
  return (principal, error) => {
    const tenantId = tenantOf(principal);
    const actor = actorName(actorOf(principal));
    const details = { code: error.code };
    if (tenantId !== undefined)
      accounts.refusals.add({ tenantId, action: ACCESS_REFUSED, actor, ip, requestId, at: clock.now(), details });
    return error;
  };
}

function selectedTenantId(values: readonly string[]): string | undefined {
  const [value, ...more] = values;
  if (value === undefined) return undefined;
  if (more.length > 0 || !UUID.test(value)) throw new AppError("TENANT_INVALID_ID", "Invalid tenant ID format");
  return value.toLowerCase();
}

function actorOf(principal: Principal): Actor {
  switch (principal.kind) {
    case "none":
      return { kind: "anonymous", scopes: new Set(ANONYMOUS_SCOPES) };
    case "platform":
      return { kind: "platform", scopes: new Set(ALL_SCOPES) };
    case "apiKey":
      return actorWithKey(principal.key);
    case "person": {
      const { userId, role, signInId } = principal.person;
      return { kind: "person", userId, role, signInId, scopes: new Set(ROLE_SCOPES[role]) };
    }
  }
}

// By records that are kept for some seconds: what stands in them is read once, and not at every request.
const actors = new WeakMap<KeyRecord, Actor>();

function actorWithKey(key: KeyRecord): Actor {
  const known = actors.get(key);
  if (known) return known;
  const made: Actor = { kind: "apiKey", apiKeyId: key.id, scopes: new Set(storedScopes(key.scopes)) };
  actors.set(key, made);
  return made;
}

interface Choice {
  readonly tenant: TenantRecord;
  readonly source: TenantSource;
}

/** @returns null for the platform administrator who names no tenant where there is no default one. */
async function chooseTenant(
  parts: ResolutionParts,
  principal: Principal,
  selected: string | undefined,
): Promise<Choice | null> {
  switch (principal.kind) {
    case "apiKey":
      return ownTenant(parts, { tenantId: principal.key.tenantId, source: TENANT_SOURCES.API_KEY }, selected);
    case "person":
      return ownTenant(parts, { tenantId: principal.person.tenantId, source: TENANT_SOURCES.TOKEN }, selected);
    case "platform":
      if (selected !== undefined) return { tenant: await knownTenant(parts, selected), source: TENANT_SOURCES.HEADER };
      return parts.defaultTenant ? activeDefault(parts) : null;
    case "none":
      if (selected !== undefined) {
        if (!parts.trustTenantHeader) throw new AppError("UNAUTHENTICATED", "A credential is required");
        return { tenant: await knownTenant(parts, selected), source: TENANT_SOURCES.HEADER };
      }
      if (!parts.defaultTenant) throw tenantRequired();
      return mustHave(await activeDefault(parts));
  }
}

async function ownTenant(
  parts: ResolutionParts,
  { tenantId, source }: { readonly tenantId: string; readonly source: TenantSource },
  selected: string | undefined,
): Promise<Choice> {
  // Checked before the header's tenant is looked up: whether it exists is none of this caller's business.
  if (selected !== undefined && selected !== tenantId) {
    throw new AppError("TENANT_MISMATCH", "The credential does not belong to the tenant that X-Tenant-ID names");
  }
  const tenant = await parts.crossTenant.tenantById(tenantId);
  if (!tenant) throw new AppError("UNAUTHENTICATED", "The credential is not known");
  if (!tenant.active) throw new AppError("TENANT_INACTIVE", "The tenant is not active");
  return { tenant, source: selected === undefined ? source : TENANT_SOURCES.HEADER };
}

/** A tenant named by somebody who is not one of its own: inactive looks like missing. */
async function knownTenant(parts: ResolutionParts, id: string): Promise<TenantRecord> {
  const tenant = await parts.crossTenant.tenantById(id);
  if (!tenant?.active) throw new AppError("TENANT_NOT_FOUND", "Tenant not found or inactive");
  return tenant;
}

async function activeDefault(parts: ResolutionParts): Promise<Choice | null> {
  const id = await parts.crossTenant.defaultTenantId();
  const tenant = id === null ? null : await parts.crossTenant.tenantById(id);
  return tenant?.active ? { tenant, source: TENANT_SOURCES.DEFAULT } : null;
}

function mustHave(choice: Choice | null): Choice {
  if (!choice) throw tenantRequired();
  return choice;
}

function tenantRequired(): AppError {
  return new AppError("TENANT_REQUIRED", "Name a tenant: send an API key, or a token");
}
