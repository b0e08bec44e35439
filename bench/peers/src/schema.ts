import { makeExecutableSchema } from "@graphql-tools/schema";
import type { GraphQLSchema } from "graphql";
import { inTenant } from "./database.ts";
import { CREATE_MESSAGE, FIRST_MESSAGES, LAST_MESSAGES, SESSION, SESSIONS } from "./statements.ts";

// What mercurius and Yoga share: the part of Atrium's schema that is asked for, over pg. How children are loaded is each one's own.

const typeDefs = /* GraphQL */ `
  enum SessionStatus {
    ACTIVE
    ARCHIVED
    DELETED
  }
  enum MessageRole {
    USER
    ASSISTANT
    SYSTEM
    TOOL
  }
  type Session {
    id: ID!
    name: String!
    status: SessionStatus!
    createdAt: String!
    messages(first: Int, last: Int): MessageConnection!
  }
  type SessionConnection {
    nodes: [Session!]!
  }
  type Message {
    id: ID!
    role: MessageRole!
    content: String!
    createdAt: String!
  }
  type MessageConnection {
    nodes: [Message!]!
  }
  input CreateMessageInput {
    sessionId: ID!
    role: MessageRole! = USER
    content: String!
  }
  type MessagePayload {
    message: Message!
  }
  type Query {
    sessions(first: Int!): SessionConnection!
    session(id: ID!): Session
  }
  type Mutation {
    createMessage(input: CreateMessageInput!): MessagePayload!
  }
`;

export interface SessionRow {
  readonly id: string;
}

interface MessageRow {
  readonly id: string;
  readonly sessionId: string;
}

export interface MessageArguments {
  readonly first?: number | null;
  readonly last?: number | null;
}

export interface MessagePage {
  readonly nodes: readonly MessageRow[];
}

/** Who asks. */
export interface Caller {
  readonly tenantId: string;
}

/** @param messages the resolver of Session.messages, where it is not made by a loader of the server itself. */
export function makeSchema<Context extends Caller>(
  messages?: (session: SessionRow, args: MessageArguments, caller: Context) => Promise<MessagePage>,
): GraphQLSchema {
  return makeExecutableSchema<Context>({
    typeDefs,
    resolvers: {
      SessionStatus: { ACTIVE: "active", ARCHIVED: "archived", DELETED: "deleted" },
      MessageRole: { USER: "user", ASSISTANT: "assistant", SYSTEM: "system", TOOL: "tool" },
      Query: {
        sessions: async (_root, { first }: { first: number }, { tenantId }) => ({
          nodes: await inTenant<SessionRow>(tenantId, SESSIONS, [first]),
        }),
        session: async (_root, { id }: { id: string }, { tenantId }) =>
          (await inTenant<SessionRow>(tenantId, SESSION, [id]))[0] ?? null,
      },
      ...(messages && { Session: { messages } }),
      Mutation: {
        createMessage: async (_root, { input }: { input: NewMessage }, { tenantId }) => ({
          message: await createMessage(tenantId, input),
        }),
      },
    },
  });
}

interface NewMessage {
  readonly sessionId: string;
  readonly role: string;
  readonly content: string;
}

async function createMessage(tenantId: string, { sessionId, role, content }: NewMessage): Promise<MessageRow> {
  const values = [sessionId, role, content, new Date()];
  const [message] = await inTenant<MessageRow>(tenantId, CREATE_MESSAGE, values);
  if (!message) throw new Error("the session is missing or closed");
  return message;
}

/** What several sessions are asked for at once, answered by one statement for each kind of page. In the order of the questions. */
export async function loadMessages(
  tenantId: string,
  questions: readonly { readonly sessionId: string; readonly args: MessageArguments }[],
): Promise<MessagePage[]> {
  const pages = questions.map((): MessageRow[] => []);
  const kinds = new Map<string, number[]>();
  for (const [index, { args }] of questions.entries()) {
    const kind = `${args.first ?? ""}/${args.last ?? ""}`;
    const alike = kinds.get(kind);
    if (alike) alike.push(index);
    else kinds.set(kind, [index]);
  }
  await Promise.all(
    [...kinds.values()].map(async (indexes) => {
      const args = questions[indexes[0] ?? 0]?.args ?? {};
      const isLast = args.last != null;
      const ids = indexes.map((index) => questions[index]?.sessionId);
      const limit = args.last ?? args.first ?? 20;
      const rows = await inTenant<MessageRow>(tenantId, isLast ? LAST_MESSAGES : FIRST_MESSAGES, [ids, limit]);
      const bySession = new Map(ids.map((id, place) => [id, pages[indexes[place] ?? 0]]));
      for (const row of rows) bySession.get(row.sessionId)?.push(row);
      if (isLast) for (const index of indexes) pages[index]?.reverse();
    }),
  );
  return pages.map((nodes) => ({ nodes }));
}
