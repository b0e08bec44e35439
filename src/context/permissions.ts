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

/** What a person may do in the tenant. The GraphQL name is the key, the stored word the value. */
export const USER_ROLES = { OWNER: "owner", ADMIN: "admin", USER: "user", VIEWER: "viewer" } as const;
export type UserRole = (typeof USER_ROLES)[keyof typeof USER_ROLES];

const ADMINISTRATION: readonly Scope[] = [SCOPES.USERS_ADMIN, SCOPES.TENANT_ADMIN];

/** What each role may do. OWNER is beyond ADMIN by the operations below that only an owner may use. */
export const ROLE_SCOPES: Readonly<Record<UserRole, readonly Scope[]>> = {
  owner: ALL_SCOPES,
  admin: ALL_SCOPES,
  user: ALL_SCOPES.filter((scope) => !ADMINISTRATION.includes(scope)),
  viewer: ALL_SCOPES.filter((scope) => scope.endsWith("_read")),
};

/** What a request without a credential may do where such requests are let in: what the predecessor allowed everybody, less administration. */
export const ANONYMOUS_SCOPES: readonly Scope[] = ROLE_SCOPES.user;

/** What an operation of the API asks of whoever calls it. */
export type Need =
  /** A scope: of a key, or of a person's role. */
  | {
      readonly kind: "scope";
      readonly scope: Scope;
      /** It hands rights on, and nobody hands on more than they hold: it needs whatever scopes it gives as well. */
      readonly gives?: true;
    }
  /** An owner of the tenant in person, or the platform's administrator. */
  | { readonly kind: "owner" }
  /** A person who is signed in. */
  | { readonly kind: "person" }
  /** The platform's administrator. */
  | { readonly kind: "platform" }
  /** A tenant, by whatever credential; what is shown below needs scopes of its own. */
  | { readonly kind: "tenant" }
  /** Nothing: it is how one gets a credential. The tenant is named by the header, or by a token in the arguments. */
  | { readonly kind: "door" };

const needs = (scope: Scope): Need => ({ kind: "scope", scope });
const givesBy = (scope: Scope): Need => ({ kind: "scope", scope, gives: true });
const OWNER: Need = { kind: "owner" };
const PERSON: Need = { kind: "person" };
const PLATFORM: Need = { kind: "platform" };
const TENANT: Need = { kind: "tenant" };
const DOOR: Need = { kind: "door" };

/**
 * Who may use what. Services enforce it; a test walks every operation for every role and scope and holds both against each other. The
 * schema is built with it and prints it: an operation that is missing here is an error.
 */
export const OPERATIONS: Readonly<Record<string, Need>> = {
  "Query.health": TENANT,
  "Query.node": TENANT,
  "Query.nodes": TENANT,
  "Query.tenant": TENANT,
  "Query.tenantContext": TENANT,
  "Query.viewer": TENANT,

  "Query.session": needs(SCOPES.SESSIONS_READ),
  "Query.sessions": needs(SCOPES.SESSIONS_READ),
  "Query.message": needs(SCOPES.SESSIONS_READ),
  "Query.task": needs(SCOPES.SESSIONS_READ),
  "Query.tasks": needs(SCOPES.SESSIONS_READ),
  "Mutation.createSession": needs(SCOPES.SESSIONS_WRITE),
  "Mutation.updateSession": needs(SCOPES.SESSIONS_WRITE),
  "Mutation.archiveSession": needs(SCOPES.SESSIONS_WRITE),
  "Mutation.restoreSession": needs(SCOPES.SESSIONS_WRITE),
  "Mutation.deleteSession": needs(SCOPES.SESSIONS_WRITE),
  "Mutation.createMessage": needs(SCOPES.SESSIONS_WRITE),

  "Query.file": needs(SCOPES.FILES_READ),
  "Query.files": needs(SCOPES.FILES_READ),
  "Mutation.deleteFile": needs(SCOPES.FILES_WRITE),

  "Query.longTermMemory": needs(SCOPES.MEMORY_READ),
  "Query.longTermMemories": needs(SCOPES.MEMORY_READ),
  "Mutation.remember": needs(SCOPES.MEMORY_WRITE),
  "Mutation.updateMemory": needs(SCOPES.MEMORY_WRITE),
  "Mutation.forget": needs(SCOPES.MEMORY_WRITE),
  "Mutation.setShortTermMemory": needs(SCOPES.MEMORY_WRITE),
  "Mutation.clearShortTermMemory": needs(SCOPES.MEMORY_WRITE),

  "Query.notification": needs(SCOPES.NOTIFICATIONS_READ),
  "Query.notifications": needs(SCOPES.NOTIFICATIONS_READ),
  "Query.unreadNotificationCount": needs(SCOPES.NOTIFICATIONS_READ),
  "Mutation.markNotificationRead": needs(SCOPES.NOTIFICATIONS_WRITE),
  "Mutation.markAllNotificationsRead": needs(SCOPES.NOTIFICATIONS_WRITE),
  "Mutation.deleteNotifications": needs(SCOPES.NOTIFICATIONS_WRITE),

  "Query.integration": needs(SCOPES.INTEGRATIONS_READ),
  "Query.integrations": needs(SCOPES.INTEGRATIONS_READ),
  "Mutation.updateIntegration": needs(SCOPES.INTEGRATIONS_WRITE),
  "Mutation.deleteIntegration": needs(SCOPES.INTEGRATIONS_WRITE),

  "Mutation.login": DOOR,
  "Mutation.refreshToken": DOOR,
  "Mutation.verifyEmail": DOOR,
  "Mutation.requestPasswordReset": DOOR,
  "Mutation.confirmPasswordReset": DOOR,
  "Mutation.completeSignIn": DOOR,
  "Mutation.logout": PERSON,
  "Mutation.changePassword": PERSON,
  "Mutation.updateProfile": PERSON,

  "Query.user": needs(SCOPES.USERS_ADMIN),
  "Query.users": needs(SCOPES.USERS_ADMIN),
  "Mutation.createUser": givesBy(SCOPES.USERS_ADMIN),
  "Mutation.updateUser": givesBy(SCOPES.USERS_ADMIN),
  "Mutation.resendInvitation": needs(SCOPES.USERS_ADMIN),

  "Query.apiKeys": needs(SCOPES.TENANT_ADMIN),
  "Mutation.createApiKey": givesBy(SCOPES.TENANT_ADMIN),
  "Mutation.rotateApiKey": givesBy(SCOPES.TENANT_ADMIN),
  "Mutation.revokeApiKey": needs(SCOPES.TENANT_ADMIN),
  "Query.auditEvents": needs(SCOPES.TENANT_ADMIN),
  "Query.isolationReport": needs(SCOPES.TENANT_ADMIN),
  "Query.openAccess": needs(SCOPES.TENANT_ADMIN),
  "Query.usage": needs(SCOPES.TENANT_ADMIN),

  "Query.identityProviders": OWNER,
  "Mutation.createIdentityProvider": OWNER,
  "Mutation.updateIdentityProvider": OWNER,
  "Mutation.deleteIdentityProvider": OWNER,

  "Query.tenants": PLATFORM,
  "Query.tenantById": PLATFORM,
  "Mutation.createTenant": PLATFORM,
  "Mutation.updateTenant": PLATFORM,
};

/** What fields below an operation ask for that whatever they hang on can be had without; enforced, walked and printed in the same way. */
export const FIELDS: Readonly<Record<string, Need>> = {
  "Session.files": needs(SCOPES.FILES_READ),
  "Session.messageCount": needs(SCOPES.SESSIONS_READ),
  "Session.messages": needs(SCOPES.SESSIONS_READ),
  "Session.notifications": needs(SCOPES.NOTIFICATIONS_READ),
  "Session.tasks": needs(SCOPES.SESSIONS_READ),
  "SessionMemory.mediumTerm": needs(SCOPES.MEMORY_READ),
  "SessionMemory.shortTerm": needs(SCOPES.MEMORY_READ),
  "File.session": needs(SCOPES.SESSIONS_READ),
  "LongTermMemory.learnedFromSessions": needs(SCOPES.SESSIONS_READ),
  "MediumTermMemory.session": needs(SCOPES.SESSIONS_READ),
  "Message.session": needs(SCOPES.SESSIONS_READ),
  "Notification.session": needs(SCOPES.SESSIONS_READ),
};

/** Who acts. */
export type Actor =
  | { readonly kind: "apiKey"; readonly apiKeyId: string; readonly scopes: ReadonlySet<Scope> }
  | {
      readonly kind: "person";
      readonly userId: string;
      readonly role: UserRole;
      /** Undefined where an outside provider's token speaks, which has no sign-in here. */
      readonly signInId: string | undefined;
      readonly scopes: ReadonlySet<Scope>;
    }
  | { readonly kind: "platform"; readonly scopes: ReadonlySet<Scope> }
  | { readonly kind: "anonymous"; readonly scopes: ReadonlySet<Scope> }
  | { readonly kind: "system"; readonly task: string; readonly scopes: ReadonlySet<Scope> };

/** How an actor is named in the audit trail and the logs; holds no secret. */
export function actorName(actor: Actor): string {
  switch (actor.kind) {
    case "apiKey":
      return `api_key:${actor.apiKeyId}`;
    case "person":
      return `user:${actor.userId}`;
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

/** @throws FORBIDDEN unless a person acts who is signed in. @returns that person. */
export function requirePerson(ctx: { readonly actor: Actor }): Extract<Actor, { kind: "person" }> {
  if (ctx.actor.kind !== "person") throw new AppError("FORBIDDEN", "This needs a person who is signed in");
  return ctx.actor;
}

/** @throws FORBIDDEN unless an owner of the tenant acts in person, or the platform's administrator. */
export function requireOwner(ctx: { readonly actor: Actor }): void {
  const { actor } = ctx;
  const isOwner = actor.kind === "platform" || (actor.kind === "person" && actor.role === USER_ROLES.OWNER);
  if (!isOwner) throw new AppError("FORBIDDEN", "This needs an owner of the tenant");
}

/** Whether the actor sees what belongs to any person of the tenant. Of people, owners and administrators do. isolation.md §4. */
export function seesAll({ actor }: { readonly actor: Actor }): boolean {
  return actor.kind !== "person" || actor.role === USER_ROLES.OWNER || actor.role === USER_ROLES.ADMIN;
}

/**
 * Which rows with an owner the actor may see and change, as a condition: whoever does not see all of the tenant sees their own and those
 * that have no owner, which belong to the tenant. Lists, counts, look-ups and writes put it beside their other conditions.
 */
export function ownRows(ctx: { readonly actor: Actor }): { OR?: { userId: string | null }[] } {
  const { actor } = ctx;
  return actor.kind === "person" && !seesAll(ctx) ? { OR: [{ userId: actor.userId }, { userId: null }] } : {};
}

/** Whose a new row is: the person's who makes it; the tenant's where a key or nobody in particular does. */
export function ownerOfNew({ actor }: { readonly actor: Actor }): string | null {
  return actor.kind === "person" ? actor.userId : null;
}

/** Turns what is stored with a key into scopes. NULL, on keys of the predecessor, which had no scopes, means all of them. */
export function storedScopes(stored: unknown): readonly Scope[] {
  if (stored === null || stored === undefined) return ALL_SCOPES;
  return Array.isArray(stored) ? ALL_SCOPES.filter((scope) => stored.includes(scope)) : [];
}
