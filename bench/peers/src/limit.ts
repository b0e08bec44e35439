import { createServer } from "node:http";
import type { IncomingMessage } from "node:http";
import { instantText, tenantOf, textsInTenant } from "./database.ts";
import { settings } from "./settings.ts";
import {
  CREATE_MESSAGE,
  CREATE_MESSAGE_AUDITED,
  SESSION_WITH_MESSAGES,
  SESSIONS,
  SESSIONS_WITH_MESSAGES,
} from "./statements.ts";

// The limit: what these answers cost without GraphQL, one prepared statement each and text put together by hand. With the same
// authentication and the same row-level security as everybody.

interface Body {
  readonly operationName: string;
  readonly variables: {
    readonly first: number;
    readonly messages: number;
    readonly id: string;
    readonly input: { readonly sessionId: string; readonly role: string; readonly content: string };
  };
}

const createMessage = process.env["AUDIT"] === "on" ? CREATE_MESSAGE_AUDITED : CREATE_MESSAGE;

const server = createServer((request, response) => {
  answer(request).then(
    (text) => {
      response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
      response.end(text);
    },
    (error: unknown) => response.writeHead(500).end(String(error)),
  );
});
server.listen(settings.port, "127.0.0.1");

async function answer(request: IncomingMessage): Promise<string> {
  const [tenantId, text] = await Promise.all([tenantOf(request.headers["x-api-key"]), textOf(request)]);
  const { operationName, variables } = JSON.parse(text) as Body;
  switch (operationName) {
    case "Q1": {
      const rows = await textsInTenant(tenantId, SESSIONS, [variables.first]);
      return `{"data":{"sessions":{"nodes":[${rows.map((row) => `{${sessionFields(row)}}`).join(",")}]}}}`;
    }
    case "Q2": {
      const rows = await textsInTenant(tenantId, SESSIONS_WITH_MESSAGES, [variables.first, variables.messages]);
      return `{"data":{"sessions":{"nodes":[${sessionsText(rows)}]}}}`;
    }
    case "Q3": {
      const rows = await textsInTenant(tenantId, SESSION_WITH_MESSAGES, [variables.id, variables.messages]);
      return `{"data":{"session":${sessionsText(rows) || "null"}}}`;
    }
    case "Q4": {
      const { sessionId, role, content } = variables.input;
      const values = [sessionId, role.toLowerCase(), content, new Date()];
      const [row] = await textsInTenant(tenantId, createMessage, values);
      if (!row) throw new Error("the session is missing or closed");
      return `{"data":{"createMessage":{"message":${messageText(row, 0)}}}}`;
    }
    default:
      throw new Error(`there is no ${operationName}`);
  }
}

/** Flat rows, those of a session one after the other, as a list of sessions. */
function sessionsText(rows: readonly string[][]): string {
  let text = "";
  let current: string | undefined;
  for (const row of rows) {
    if (row[0] === current) {
      text += `,${messageText(row, 4)}`;
      continue;
    }
    if (current !== undefined) text += "]}},";
    current = row[0];
    text += `{${sessionFields(row)},"messages":{"nodes":[`;
    if (row[4] !== null) text += messageText(row, 4);
  }
  return text && `${text}]}}`;
}

function sessionFields([id, name = "", status = "", createdAt = ""]: readonly string[]): string {
  return `"id":"${id}","name":${JSON.stringify(name)},"status":"${status.toUpperCase()}","createdAt":"${instantText(createdAt)}"`;
}

function messageText(row: readonly string[], from: number): string {
  const [role = "", content = "", createdAt = ""] = row.slice(from + 1);
  return `{"id":"${row[from]}","role":"${role.toUpperCase()}","content":${JSON.stringify(content)},"createdAt":"${instantText(createdAt)}"}`;
}

async function textOf(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    request.setEncoding("utf8");
    request.on("data", (chunk: string) => (text += chunk));
    request.on("end", () => resolve(text));
    request.on("error", reject);
  });
}
