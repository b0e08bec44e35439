import type pg from "pg";

/** Ids that tests look for again. */
export const IDS = {
  plain: "11111111-1111-4111-8111-111111111111",
  untimed: "22222222-2222-4222-8222-222222222222",
  archived: "33333333-3333-4333-8333-333333333333",
  nowhere: "99999999-9999-4999-8999-999999999999",
  oddRole: "44444444-4444-4444-8444-444444444444",
  loudRole: "55555555-5555-4555-8555-555555555555",
  large: "66666666-6666-4666-8666-666666666666",
  mcp: "77777777-7777-4777-8777-777777777777",
  calendar: "88888888-8888-4888-8888-888888888888",
  fact: "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
  stranger: "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb",
  disabled: "cccccccc-cccc-4ccc-8ccc-cccccccccccc",
} as const;

export const LARGE_TEXT = "Perché no? 日本語 🙂 ".repeat(50_000); // more than 1 MB in UTF-8

/**
 * Writes rows as the single-tenant backend did, the ugly ones included: NULL and JSON-null metadata, NULL enabled and importance,
 * unknown roles, memories of sessions that do not exist, text that is not ASCII, a message of 1 MB, times that are NULL.
 *
 * @param hasOrphans whether the variant allows a short-term memory without its session (it does where no foreign key forbids it).
 */
export async function writeLegacyRows(
  client: pg.Client,
  { hasOrphans, hasFiles = true }: { hasOrphans: boolean; hasFiles?: boolean },
): Promise<void> {
  await client.query(
    `INSERT INTO sessions (id, name, created_at, updated_at, metadata, title, description, status, archived_at) VALUES
      ($1, 'Riunione: caffè ☕', '2025-01-02 03:04:05.123456+00', '2025-01-03 03:04:05.999999+00', '{"day": "2025-01-02"}', 'Perché', NULL, 'active', NULL),
      ($2, 'untimed', NULL, NULL, NULL, NULL, NULL, 'Active', NULL),
      ($3, 'old', '2024-01-01 00:00:00+00', '2024-06-01 00:00:00+00', 'null', NULL, 'put away', 'archived', '2024-06-01 00:00:00.000001+00'),
      (gen_random_uuid(), 'gone', now(), now(), '{}', NULL, NULL, 'deleted', NULL),
      (gen_random_uuid(), 'odd status', now(), now(), '[1]', NULL, NULL, 'paused', NULL)`,
    [IDS.plain, IDS.untimed, IDS.archived],
  );
  await client.query(
    `INSERT INTO sessions (id, name, status, metadata)
     SELECT gen_random_uuid(), 'session ' || n, (ARRAY['active', 'archived', 'deleted'])[1 + n % 3], '{}' FROM generate_series(1, 20) AS n`,
  );
  await client.query(
    `INSERT INTO messages (id, session_id, role, content, timestamp, metadata)
     SELECT gen_random_uuid(), s.id, (ARRAY['user', 'assistant', 'system'])[1 + n % 3], 'message ' || n,
            timestamptz '2025-01-02 03:04:05.000001+00' + n * interval '1.000003 s', CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN 'null' ELSE '{"tools_used": ["web"]}' END::jsonb
     FROM sessions AS s, generate_series(1, 4) AS n`,
  );
  await client.query(
    `INSERT INTO messages (id, session_id, role, content, timestamp, metadata) VALUES
      ($1, $4, 'narrator', 'Once upon a time', '2025-02-02 00:00:00+00', '{"mood": "dark"}'),
      ($2, $4, ' Assistant', 'HELLO', NULL, NULL),
      ($3, $4, 'user', $5, '2025-02-02 00:00:00.123+00', '{}')`,
    [IDS.oddRole, IDS.loudRole, IDS.large, IDS.plain, LARGE_TEXT],
  );
  if (hasFiles) {
    await client.query(
      `INSERT INTO files (id, session_id, filename, filepath, mime_type, uploaded_at, metadata) VALUES
        (gen_random_uuid(), $1, 'relazione è.pdf', 'uploads/x/relazione è.pdf', 'application/pdf', '2025-03-03 00:00:00.5005+00', '{}'),
        (gen_random_uuid(), $2, 'no time.txt', 'uploads/y/no time.txt', NULL, NULL, NULL)`,
      [IDS.plain, IDS.untimed],
    );
  }
  await client.query(
    `INSERT INTO memory_short (session_id, context_data, expires_at) VALUES ($1, '{"message_count": 2}', now() + interval '1 hour')`,
    [IDS.plain],
  );
  if (hasOrphans) {
    await client.query(
      'INSERT INTO memory_short (session_id, context_data, expires_at) VALUES ($1, \'{"lost": "perché"}\', now())',
      [IDS.nowhere],
    );
  }
  await client.query(
    `INSERT INTO memory_medium (id, session_id, content, embedding_id, created_at) VALUES
      (gen_random_uuid(), $1, '[RIASSUNTO CONVERSAZIONE] breve', 'medium_x', '2025-01-02 00:00:00.7777+00'),
      (gen_random_uuid(), $1, 'untimed', NULL, NULL)`,
    [IDS.plain],
  );
  await client.query(
    `INSERT INTO memory_long (id, content, embedding_id, learned_from_sessions, importance_score, created_at) VALUES
      ($1, '[FACT] Il gatto si chiama Ünal', 'long_1', $3::jsonb, 0.7, '2025-01-02 00:00:00.123456+00'),
      (gen_random_uuid(), '[PERSONAL_INFO] lives in Torino', 'long_2', NULL, NULL, NULL),
      (gen_random_uuid(), '[CONSOLIDATED FACT] many things', NULL, '[]', 0.9, now()),
      (gen_random_uuid(), '[SESSION:1|TITLE:x] dump', NULL, '[]', 0.8, now()),
      (gen_random_uuid(), 'Email from: a@b.c', NULL, 'null', 0.5, now()),
      (gen_random_uuid(), 'Web search result: x', NULL, '[]', 0.6, now()),
      (gen_random_uuid(), '[FACTORY] is no kind', NULL, $2::jsonb, 0.0, now())`,
    [IDS.fact, JSON.stringify(["not even a uuid"]), JSON.stringify([IDS.plain, IDS.nowhere])],
  );
  await client.query(
    `INSERT INTO integrations (id, provider, service_type, credentials_encrypted, enabled, metadata) VALUES
      ($1, 'mcp', 'mcp_server', 'http://localhost:8080/mcp', true, '{"server_url": "http://localhost:8080/mcp", "name": "Tools", "selected_tools": ["a"]}'),
      ($2, 'apple', 'calendar', NULL, NULL, '{"username": "ann", "password": "in clear"}'),
      ($3, 'google', 'email', 'gAAAAAB…', false, NULL)`,
    [IDS.mcp, IDS.calendar, IDS.disabled],
  );
  await client.query(
    `INSERT INTO notifications (id, type, urgency, content, session_id, read, created_at, read_at) VALUES
      (gen_random_uuid(), 'contradiction', 'high', '{"confidence": 0.9}', $1, false, '2025-01-02 00:00:00.000009+00', NULL),
      (gen_random_uuid(), 'email_received', 'low', '{"from": "ä"}', NULL, true, NULL, '2025-01-02 00:00:00.000009+00')`,
    [IDS.plain],
  );
}
