import { randomNumbers } from "./data.ts";
import type { Draw, Pair } from "./data.ts";
import type { QueryName } from "./options.ts";

/** How a server's schema is asked: PostGraphile makes its own from the tables, the others have Atrium's. */
export type Dialect = "atrium" | "postgraphile";

/** The queries that are sent by themselves; Q5 is a mix of them. */
export type PlainQuery = Exclude<QueryName, "Q5">;

const MIX: readonly (readonly [PlainQuery, number])[] = [
  ["Q1", 0.4],
  ["Q2", 0.25],
  ["Q3", 0.25],
  ["Q4", 0.1],
];
const MIX_LENGTH = 2_400;
const MIX_SEED = 5;
const CONTENT = "Some words of a message that somebody has just written, about as long as they usually are.";

const DOCUMENTS: Readonly<Record<Dialect, Readonly<Record<PlainQuery, string>>>> = {
  atrium: {
    Q1: `query Q1($first: Int!) { sessions(first: $first) { nodes { id name status createdAt } } }`,
    Q2: `query Q2($first: Int!, $messages: Int!) {
  sessions(first: $first) { nodes { id name status createdAt messages(last: $messages) { nodes { id role content createdAt } } } }
}`,
    Q3: `query Q3($id: ID!, $messages: Int!) {
  session(id: $id) { id name status createdAt messages(first: $messages) { nodes { id role content createdAt } } }
}`,
    Q4: `mutation Q4($input: CreateMessageInput!) { createMessage(input: $input) { message { id role content createdAt } } }`,
  },
  postgraphile: {
    Q1: `query Q1($first: Int!) { sessions: allSessions(first: $first, orderBy: [UPDATED_AT_DESC, ROW_ID_DESC]) { nodes { id: rowId name status createdAt } } }`,
    Q2: `query Q2($first: Int!, $messages: Int!) {
  sessions: allSessions(first: $first, orderBy: [UPDATED_AT_DESC, ROW_ID_DESC]) {
    nodes { id: rowId name status createdAt messages: messagesByTenantIdAndSessionId(last: $messages, orderBy: [TIMESTAMP_ASC, ROW_ID_ASC]) { nodes { id: rowId role content createdAt: timestamp } } }
  }
}`,
    Q3: `query Q3($id: UUID!, $messages: Int!) {
  session: sessionByRowId(rowId: $id) { id: rowId name status createdAt messages: messagesByTenantIdAndSessionId(first: $messages, orderBy: [TIMESTAMP_ASC, ROW_ID_ASC]) { nodes { id: rowId role content createdAt: timestamp } } }
}`,
    Q4: `mutation Q4($input: BenchStoreMessageInput!) { createMessage: benchStoreMessage(input: $input) { message: result { id: rowId role content createdAt: timestamp } } }`,
  },
};

/** A request as a client sends it: the same text each time, what differs in variables. */
export interface BenchRequest {
  readonly key: string;
  readonly body: string;
}

/** The requests of a query about all pairs of a draw, in an order that is the same for every server. */
export function requestsOf(query: QueryName, dialect: Dialect, { pairs }: Draw): BenchRequest[] {
  if (query !== "Q5") return pairs.map((pair) => requestOf(query, dialect, pair));
  const random = randomNumbers(MIX_SEED);
  return Array.from({ length: MIX_LENGTH }, (_, index) => pairs[index % pairs.length])
    .filter((pair) => pair !== undefined)
    .map((pair) => requestOf(pickQuery(random()), dialect, pair));
}

/** One query about one pair. */
export function requestOf(query: PlainQuery, dialect: Dialect, pair: Pair, content = CONTENT): BenchRequest {
  const body = {
    query: DOCUMENTS[dialect][query],
    operationName: query,
    variables: variablesOf(query, dialect, pair, content),
  };
  return { key: pair.key, body: JSON.stringify(body) };
}

function variablesOf(query: PlainQuery, dialect: Dialect, { sessionId }: Pair, content: string): object {
  switch (query) {
    case "Q1":
      return { first: 20 };
    case "Q2":
      return { first: 20, messages: 10 };
    case "Q3":
      return { id: sessionId, messages: 20 };
    case "Q4":
      return { input: { sessionId, role: dialect === "atrium" ? "USER" : "user", content } };
  }
}

function pickQuery(at: number): PlainQuery {
  let sum = 0;
  for (const [query, part] of MIX) {
    sum += part;
    if (at < sum) return query;
  }
  return "Q4";
}
