import { randomUUID } from "node:crypto";
import pg from "pg";
import type { TestApp } from "../support/app.ts";
import { dataOf } from "../support/send.ts";
import type { Answer, Sender } from "../support/send.ts";
import type { TestTenant } from "../support/tenants.ts";

/** What a client says to a list. */
export interface PageVariables {
  readonly first?: number | null;
  readonly after?: string | null;
  readonly last?: number | null;
  readonly before?: string | null;
}

export interface Connection {
  readonly edges: readonly { readonly cursor: string; readonly node: { readonly id: string } }[];
  readonly nodes: readonly { readonly id: string }[];
  readonly pageInfo: {
    readonly hasNextPage: boolean;
    readonly hasPreviousPage: boolean;
    readonly startCursor: string | null;
    readonly endCursor: string | null;
  };
  readonly totalCount: number;
}

/** One list of one owner, with a way to fill it and one to see what is really in it. */
export interface OpenList {
  /** Adds a row for each number; equal numbers become equal sort keys. */
  readonly add: (keys: readonly number[]) => Promise<unknown>;
  /** All ids of the list, in its order, read without paging. */
  readonly ids: () => Promise<string[]>;
  readonly send: (variables: PageVariables) => Promise<Answer>;
}

export interface ListCase {
  /** Schema coordinate of the field. */
  readonly field: string;
  /** Further arguments, as they stand in the operation. */
  readonly variant?: string;
  /** The list of this tenant, or below this session, which is a new one if none is named. */
  readonly open: (app: TestApp, tenant: TestTenant, sessionId?: string) => Promise<OpenList>;
}

interface Row {
  readonly id: string;
  readonly key: Date | string;
}

interface Source {
  readonly add: (keys: readonly number[]) => Promise<unknown>;
  readonly rows: () => Promise<readonly Row[]>;
}

type SourceOf = (tenant: TestTenant, sessionId: string) => Source;

/** The page of an answer that must have no errors. */
export function pageOf(answer: Answer): Connection {
  const found: unknown = Object.values(dataOf(answer))[0];
  const list: unknown = typeof found === "object" && found !== null && "list" in found ? found.list : found;
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- the operation below asked for exactly this
  return list as Connection;
}

const at = (key: number) => new Date(Date.UTC(2024, 0, 1) + key);

/** The orders differ: by the time of change, the rows stand the other way round. */
function sessionsBy(order: "createdAt" | "updatedAt" | "name"): SourceOf {
  return ({ db }) => ({
    add: (keys) =>
      db.session.createMany({
        data: keys.map((key) => ({ name: `s${key}`, createdAt: at(key * 2), updatedAt: at(10 - key) })),
      }),
    rows: async () => (await db.session.findMany()).map((row) => ({ id: row.id, key: row[order] })),
  });
}

const sources = {
  messages: ({ db }, sessionId) => ({
    add: (keys) =>
      db.message.createMany({
        data: keys.map((key) => ({ sessionId, role: "user", content: "x", createdAt: at(key) })),
      }),
    rows: async () => byCreation(await db.message.findMany({ where: { sessionId } })),
  }),
  files: ({ db }, sessionId) => ({
    add: (keys) =>
      db.file.createMany({
        data: keys.map((key) => ({ sessionId, filename: "f", filepath: "f", uploadedAt: at(key) })),
      }),
    rows: async () => (await db.file.findMany()).map((row) => ({ id: row.id, key: row.uploadedAt })),
  }),
  notifications: ({ db }, sessionId) => ({
    add: (keys) =>
      db.notification.createMany({
        data: keys.map((key) => ({ sessionId, type: "todo", urgency: "low", content: {}, createdAt: at(key) })),
      }),
    rows: async () => byCreation(await db.notification.findMany()),
  }),
  tasks: ({ db }, sessionId) => ({
    add: (keys) => db.task.createMany({ data: keys.map((key) => ({ sessionId, type: "t", createdAt: at(key) })) }),
    rows: async () => byCreation(await db.task.findMany()),
  }),
  longTermMemories: ({ db }) => ({
    add: (keys) => db.memoryLong.createMany({ data: keys.map((key) => ({ content: "m", createdAt: at(key) })) }),
    rows: async () => byCreation(await db.memoryLong.findMany()),
  }),
  integrations: ({ db }) => ({
    add: (keys) =>
      db.integration.createMany({
        data: keys.map((key) => ({
          provider: "google",
          serviceType: "email",
          purpose: "service_email",
          createdAt: at(key),
        })),
      }),
    rows: async () => byCreation(await db.integration.findMany()),
  }),
  auditEvents: ({ db }) => ({
    add: (keys) =>
      db.auditEvent.createMany({ data: keys.map((key) => ({ action: "a.b", actor: "test", createdAt: at(key) })) }),
    rows: async () => byCreation(await db.auditEvent.findMany()),
  }),
  apiKeys: ({ db }) => ({
    add: (keys) => db.apiKey.createMany({ data: keys.map((key) => ({ keyHash: randomUUID(), createdAt: at(key) })) }),
    rows: async () => byCreation(await db.apiKey.findMany()),
  }),
  users: ({ db }) => ({
    add: (keys) =>
      db.user.createMany({ data: keys.map((key) => ({ email: `${randomUUID()}@example.com`, createdAt: at(key) })) }),
    rows: async () => byCreation(await db.user.findMany()),
  }),
} satisfies Record<string, SourceOf>;

/** Every connection of the schema; a test holds this list against it. */
export const LISTS: readonly ListCase[] = [
  tenantsList("sessions", sessionsBy("updatedAt"), "desc"),
  tenantsList("sessions", sessionsBy("updatedAt"), "asc", "orderBy: { field: UPDATED_AT, direction: ASC }"),
  tenantsList("sessions", sessionsBy("createdAt"), "desc", "orderBy: { field: CREATED_AT }"),
  tenantsList("sessions", sessionsBy("createdAt"), "asc", "orderBy: { field: CREATED_AT, direction: ASC }"),
  tenantsList("sessions", sessionsBy("name"), "desc", "orderBy: { field: NAME, direction: DESC }"),
  tenantsList("sessions", sessionsBy("name"), "asc", "orderBy: { field: NAME, direction: ASC }"),
  tenantsList("files", sources.files),
  tenantsList("notifications", sources.notifications),
  tenantsList("tasks", sources.tasks),
  tenantsList("longTermMemories", sources.longTermMemories),
  tenantsList("integrations", sources.integrations, "asc"),
  tenantsList("auditEvents", sources.auditEvents),
  tenantsList("apiKeys", sources.apiKeys),
  tenantsList("users", sources.users, "asc"),
  sessionsList("messages", sources.messages, "asc"),
  sessionsList("files", sources.files),
  sessionsList("notifications", sources.notifications),
  sessionsList("tasks", sources.tasks),
  { field: "Query.tenants", open: openTenants },
];

function tenantsList(name: string, source: SourceOf, direction: "asc" | "desc" = "desc", variant?: string): ListCase {
  return {
    field: `Query.${name}`,
    ...(variant && { variant }),
    async open(_app, tenant, sessionId) {
      // Lists of sessions hold nothing but what the test adds.
      const id = name === "sessions" ? "" : (sessionId ?? (await newSession(tenant)));
      return openList(tenant.send, operation(name, variant), direction, source(tenant, id));
    },
  };
}

function sessionsList(name: string, source: SourceOf, direction: "asc" | "desc" = "desc"): ListCase {
  return {
    field: `Session.${name}`,
    async open(_app, tenant, sessionId) {
      const id = sessionId ?? (await newSession(tenant));
      return openList(tenant.send, operation(name, undefined, id), direction, source(tenant, id));
    },
  };
}

export async function newSession(tenant: TestTenant): Promise<string> {
  const { id } = await tenant.db.session.create({ data: { name: "s" } });
  return id;
}

/** The platform's list goes over all tenants: each test looks at those with a name of its own. */
async function openTenants(app: TestApp): Promise<OpenList> {
  const search = randomUUID();
  async function inDatabase(text: string, values: unknown[]): Promise<{ id: string; created_at: Date }[]> {
    const client = new pg.Client({ connectionString: app.database.superuserUrl });
    await client.connect();
    try {
      return (await client.query<{ id: string; created_at: Date }>(text, values)).rows;
    } finally {
      await client.end();
    }
  }
  return openList(app.platform, operation("tenants", `search: "${search}"`), "asc", {
    add: (keys) =>
      inDatabase(
        `INSERT INTO tenants (name, schema_name, created_at)
         SELECT $1 || gen_random_uuid(), 'tenant_' || md5(gen_random_uuid()::text), created_at FROM unnest($2::timestamptz[]) AS created_at`,
        [search, keys.map(at)],
      ),
    rows: async () =>
      (await inDatabase("SELECT id, created_at FROM tenants WHERE name LIKE $1 || '%'", [search])).map((row) => ({
        id: row.id,
        key: row.created_at,
      })),
  });
}

function openList(send: Sender, document: string, direction: "asc" | "desc", source: Source): OpenList {
  return {
    add: source.add,
    send: (variables) => send(document, { ...variables }),
    async ids() {
      const inOrder = [...(await source.rows())].sort(compare).map((row) => row.id);
      return direction === "asc" ? inOrder : inOrder.reverse();
    },
  };
}

function operation(list: string, variant: string | undefined, sessionId?: string): string {
  const page = "first: $first, after: $after, last: $last, before: $before";
  const field = `list: ${list}(${[page, variant].filter(Boolean).join(", ")}) {
    totalCount edges { cursor node { id } } nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }`;
  return `query ($first: Int, $after: String, $last: Int, $before: String) {
    ${sessionId === undefined ? field : `session(id: "${sessionId}") { ${field} }`} }`;
}

function byCreation(rows: readonly { readonly id: string; readonly createdAt: Date }[]): Row[] {
  return rows.map((row) => ({ id: row.id, key: row.createdAt }));
}

function compare(left: Row, right: Row): number {
  if (left.key < right.key) return -1;
  if (left.key > right.key) return 1;
  return left.id < right.id ? -1 : 1;
}
