/** How one argument that takes an id is tried: an operation with `$id`, and the models whose ids are put there. */
export interface IdCase {
  readonly models: readonly string[];
  readonly operation: string;
  /** Only the platform's administrator may ask; for everybody else the answer is the same for every id, their own included. */
  readonly isPlatforms?: true;
  /** Only an owner of the tenant may ask, in person. */
  readonly isOwners?: true;
}

const look = (field: string, model: string): IdCase => ({
  models: [model],
  operation: `query ($id: ID!) { ${field}(id: $id) { __typename id } }`,
});
const act = (field: string, model: string, payload: string): IdCase => ({
  models: [model],
  operation: `mutation ($id: ID!) { ${field}(id: $id) { ${payload} } }`,
});
const filter = (field: string, argument: string, model: string): IdCase => ({
  models: [model],
  operation: `query ($id: ID!) { ${field}(${argument}) { totalCount nodes { id } pageInfo { hasNextPage endCursor } } }`,
});
const inSession = (selection: string): string => `query ($id: ID!) { sessions(first: 5) { nodes { ${selection} } } }`;

/** What `node` can answer with, and the model behind it; a test compares the types with the schema's. */
export const NODE_TYPES: Readonly<Record<string, string>> = {
  ApiKey: "ApiKey",
  AuditEvent: "AuditEvent",
  CalendarIntegration: "Integration",
  EmailIntegration: "Integration",
  File: "File",
  LongTermMemory: "MemoryLong",
  McpIntegration: "Integration",
  MediumTermMemory: "MemoryMedium",
  Message: "Message",
  Notification: "Notification",
  OtherIntegration: "Integration",
  Session: "Session",
  Task: "Task",
  Tenant: "Tenant",
  User: "User",
};
const NODE_MODELS = [...new Set(Object.values(NODE_TYPES))];

/** A case for every coordinate that takes an id; a coordinate without one fails the suite. */
export const ID_CASES: Readonly<Record<string, IdCase>> = {
  "Query.session(id)": look("session", "Session"),
  "Query.message(id)": look("message", "Message"),
  "Query.file(id)": look("file", "File"),
  "Query.longTermMemory(id)": look("longTermMemory", "MemoryLong"),
  "Query.notification(id)": look("notification", "Notification"),
  "Query.task(id)": look("task", "Task"),
  "Query.integration(id)": look("integration", "Integration"),
  "Query.user(id)": look("user", "User"),
  "Query.tenantById(id)": { ...look("tenantById", "Tenant"), isPlatforms: true },
  "Query.node(id)": { models: NODE_MODELS, operation: "query ($id: ID!) { node(id: $id) { __typename id } }" },
  "Query.nodes(ids)": {
    models: NODE_MODELS,
    operation: "query ($id: ID!) { nodes(ids: [$id, $id]) { __typename id } }",
  },
  "Query.sessions(filter.userId)": filter("sessions", "filter: { userId: $id }", "User"),
  "Query.files(sessionId)": filter("files", "sessionId: $id", "Session"),
  "Query.tasks(sessionId)": filter("tasks", "sessionId: $id", "Session"),
  "Query.longTermMemories(filter.sessionIds)": filter("longTermMemories", "filter: { sessionIds: [$id] }", "Session"),
  "Query.notifications(filter.sessionId)": filter("notifications", "filter: { sessionId: $id }", "Session"),
  "Query.unreadNotificationCount(filter.sessionId)": {
    models: ["Session"],
    operation: "query ($id: ID!) { unreadNotificationCount(filter: { sessionId: $id }) }",
  },
  "Session.notifications(filter.sessionId)": {
    models: ["Session"],
    operation: inSession("notifications(filter: { sessionId: $id }) { totalCount nodes { id } }"),
  },
  "Mutation.rotateApiKey(id)": act("rotateApiKey", "ApiKey", "apiKey { id }"),
  "Mutation.revokeApiKey(id)": act("revokeApiKey", "ApiKey", "apiKey { id }"),
  "Mutation.updateSession(input.id)": {
    models: ["Session"],
    operation: 'mutation ($id: ID!) { updateSession(input: { id: $id, name: "taken" }) { session { id name } } }',
  },
  "Mutation.restoreSession(id)": act("restoreSession", "Session", "session { id }"),
  "Mutation.archiveSession(id)": act("archiveSession", "Session", "session { id }"),
  "Mutation.deleteSession(id)": {
    models: ["Session"],
    operation: "mutation ($id: ID!) { deleteSession(id: $id, hard: true) { deletedId } }",
  },
  "Mutation.createMessage(input.sessionId)": {
    models: ["Session"],
    operation:
      'mutation ($id: ID!) { createMessage(input: { sessionId: $id, content: "of another" }) { message { content } } }',
  },
  "Mutation.deleteFile(id)": act("deleteFile", "File", "deletedId"),
  "Mutation.updateIntegration(input.id)": {
    models: ["Integration"],
    operation:
      "mutation ($id: ID!) { updateIntegration(input: { id: $id, enabled: false }) { integration { id enabled } } }",
  },
  "Mutation.deleteIntegration(id)": act("deleteIntegration", "Integration", "deletedId"),
  "Mutation.remember(input.learnedFromSessionIds)": {
    models: ["Session"],
    operation:
      'mutation ($id: ID!) { remember(input: { content: "of another", learnedFromSessionIds: [$id] }) { created memory { content learnedFromSessions { id } } } }',
  },
  "Mutation.updateMemory(input.id)": {
    models: ["MemoryLong"],
    operation: 'mutation ($id: ID!) { updateMemory(input: { id: $id, content: "taken" }) { memory { id content } } }',
  },
  "Mutation.forget(ids)": {
    models: ["MemoryLong"],
    operation: "mutation ($id: ID!) { forget(ids: [$id]) { deletedIds } }",
  },
  "Mutation.setShortTermMemory(input.sessionId)": {
    models: ["Session"],
    operation:
      "mutation ($id: ID!) { setShortTermMemory(input: { sessionId: $id, context: {} }) { shortTerm { context } } }",
  },
  "Mutation.clearShortTermMemory(sessionId)": {
    models: ["Session"],
    operation: "mutation ($id: ID!) { clearShortTermMemory(sessionId: $id) }",
  },
  "Mutation.markNotificationRead(id)": act("markNotificationRead", "Notification", "notification { id read }"),
  "Mutation.markAllNotificationsRead(filter.sessionId)": {
    models: ["Session"],
    operation: "mutation ($id: ID!) { markAllNotificationsRead(filter: { sessionId: $id }) { count } }",
  },
  "Mutation.deleteNotifications(ids)": {
    models: ["Notification"],
    operation: "mutation ($id: ID!) { deleteNotifications(ids: [$id]) { deletedIds } }",
  },
  "Mutation.updateUser(input.id)": {
    models: ["User"],
    operation: 'mutation ($id: ID!) { updateUser(input: { id: $id, name: "taken" }) { user { id name } } }',
  },
  "Mutation.resendInvitation(userId)": {
    models: ["User"],
    operation: "mutation ($id: ID!) { resendInvitation(userId: $id) }",
  },
  "Mutation.updateIdentityProvider(input.id)": {
    models: ["IdentityProvider"],
    operation:
      'mutation ($id: ID!) { updateIdentityProvider(input: { id: $id, name: "taken" }) { identityProvider { id name } } }',
    isOwners: true,
  },
  "Mutation.deleteIdentityProvider(id)": {
    ...act("deleteIdentityProvider", "IdentityProvider", "deletedId"),
    isOwners: true,
  },
  "Mutation.updateTenant(input.id)": {
    models: ["Tenant"],
    operation: 'mutation ($id: ID!) { updateTenant(input: { id: $id, name: "taken" }) { tenant { id } } }',
    isPlatforms: true,
  },
};

/** Where a list below another type is reached from. */
export const PARENTS: Readonly<Record<string, (field: string) => string>> = {
  Query: (field) => field,
  Session: (field) => `sessions(first: 1) { nodes { ${field} } }`,
};
/** Lists that only the platform's administrator may read. */
export const PLATFORM_LISTS = ["Query.tenants"];
