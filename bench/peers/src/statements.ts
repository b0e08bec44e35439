import type { Statement } from "./database.ts";

// The statements of the servers that are written by hand. None names the tenant: row-level security does.

export const SESSIONS: Statement = {
  name: "sessions",
  text: `SELECT id, name, status, created_at AS "createdAt" FROM sessions
    WHERE status <> 'deleted' ORDER BY updated_at DESC, id DESC LIMIT $1`,
};

export const SESSION: Statement = {
  name: "session",
  text: `SELECT id, name, status, created_at AS "createdAt" FROM sessions WHERE id = $1`,
};

const messages = (order: "ASC" | "DESC"): string =>
  `SELECT m.* FROM unnest($1::uuid[]) AS s (id) CROSS JOIN LATERAL (
     SELECT id, session_id AS "sessionId", role, content, timestamp AS "createdAt" FROM messages
     WHERE session_id = s.id ORDER BY timestamp ${order}, id ${order} LIMIT $2
   ) AS m`;

/** The first messages of each of some sessions, oldest first. */
export const FIRST_MESSAGES: Statement = { name: "first_messages", text: messages("ASC") };

/** The last messages of each of some sessions, newest first. */
export const LAST_MESSAGES: Statement = { name: "last_messages", text: messages("DESC") };

const TOUCH = `UPDATE sessions SET updated_at = $4
    WHERE id = $1 AND status NOT IN ('archived', 'deleted') RETURNING tenant_id, id`;
const STORE = `INSERT INTO messages (tenant_id, session_id, role, content, metadata, timestamp)
    SELECT tenant_id, id, $2, $3, '{}', $4 FROM touched
    RETURNING id, role, content, timestamp AS "createdAt"`;

/** Stores a message in a session that is open, and notes the time on the session. No row where it is not open. */
export const CREATE_MESSAGE: Statement = {
  name: "create_message",
  text: `WITH touched AS (${TOUCH}) ${STORE}`,
};

/** The same, with an audit event as Atrium writes it. */
export const CREATE_MESSAGE_AUDITED: Statement = {
  name: "create_message_audited",
  text: `WITH touched AS (${TOUCH}), stored AS (${STORE}), audited AS (
    INSERT INTO audit_events (action, actor, target, ip, request_id, details)
    SELECT 'message.create', 'api_key:bench', id::text, '127.0.0.1', 'bench', jsonb_build_object('sessionId', $1::text) FROM stored
  ) SELECT * FROM stored`,
};

/** With the messages in the same rows, oldest first: what one session or twenty take in one statement. */
const withMessages = (sessions: string, order: "ASC" | "DESC"): string =>
  `SELECT s.id, s.name, s.status, s.created_at, m.id, m.role, m.content, m.timestamp FROM (${sessions}) AS s
   LEFT JOIN LATERAL (
     SELECT id, role, content, timestamp FROM messages
     WHERE session_id = s.id ORDER BY timestamp ${order}, id ${order} LIMIT $2
   ) AS m ON true ORDER BY s.updated_at DESC, s.id DESC, m.timestamp, m.id`;

export const SESSIONS_WITH_MESSAGES: Statement = {
  name: "sessions_with_messages",
  text: withMessages(
    `SELECT id, name, status, created_at, updated_at FROM sessions
     WHERE status <> 'deleted' ORDER BY updated_at DESC, id DESC LIMIT $1`,
    "DESC",
  ),
};

export const SESSION_WITH_MESSAGES: Statement = {
  name: "session_with_messages",
  text: withMessages("SELECT id, name, status, created_at, updated_at FROM sessions WHERE id = $1", "ASC"),
};
