import { AppError } from "../errors.ts";

/** What a credential may do. The GraphQL name is the key, the stored word the value. */
export const SCOPES = {
  SESSIONS_READ: "sessions_read",
  SESSIONS_WRITE: "sessions_write",
  FILES_READ: "files_read",
  FILES_WRITE: "files_write",
  MEMORY_READ: "memory_read",
  MEMORY_WRITE: "memory_write",
  NOTIFICATIONS_READ: "notifications_read",
  NOTIFICATIONS_WRITE: "notifications_write",
  INTEGRATIONS_READ: "integrations_read",
  INTEGRATIONS_WRITE: "integrations_write",
  AGENT_RUN: "agent_run",
  USERS_ADMIN: "users_admin",
  TENANT_ADMIN: "tenant_admin",
} as const;

export type Scope = (typeof SCOPES)[keyof typeof SCOPES];

export const ALL_SCOPES: readonly Scope[] = Object.values(SCOPES);

/** What a request without a credential may do where such requests are let in: what the predecessor allowed everybody, less administration. */
export const ANONYMOUS_SCOPES: readonly Scope[] = ALL_SCOPES.filter(
  (scope) => scope !== "users_admin" && scope !== "tenant_admin",
);

/** Who acts. */
export type Actor =
  | { readonly kind: "apiKey"; readonly apiKeyId: string; readonly scopes: ReadonlySet<Scope> }
  | { readonly kind: "platform"; readonly scopes: ReadonlySet<Scope> }
  | { readonly kind: "anonymous"; readonly scopes: ReadonlySet<Scope> }
  | { readonly kind: "system"; readonly task: string; readonly scopes: ReadonlySet<Scope> };

/** How an actor is named in the audit trail and the logs; holds no secret. */
export function actorName(actor: Actor): string {
  switch (actor.kind) {
    case "apiKey":
      return `api_key:${actor.apiKeyId}`;
    case "platform":
      return "platform";
    case "anonymous":
      return "anonymous";
    case "system":
      return `system:${actor.task}`;
  }
}

/** @throws FORBIDDEN unless the actor has the scope. Called at the top of every service function, so that every edge is covered. */
export function requireScope(ctx: { readonly actor: Actor }, scope: Scope): void {
  if (!ctx.actor.scopes.has(scope)) throw new AppError("FORBIDDEN", `This needs the scope ${scope.toUpperCase()}`);
}

/** Turns what is stored with a key into scopes. NULL, on keys of the predecessor, which had no scopes, means all of them. */
export function storedScopes(stored: unknown): readonly Scope[] {
  if (stored === null || stored === undefined) return ALL_SCOPES;
  return Array.isArray(stored) ? ALL_SCOPES.filter((scope) => stored.includes(scope)) : [];
}
