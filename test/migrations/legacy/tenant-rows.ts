import { createHash } from "node:crypto";
import type pg from "pg";
import { IDS } from "./rows.ts";

/** A key as the predecessor made them: `kn_` and 43 characters; it stored the SHA-256 in hexadecimal. */
export const OLD_KEY = "kn_Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYm";

export const TENANT_IDS = {
  globex: "0e000000-0000-4000-8000-000000000001",
  key: "0e000000-0000-4000-8000-000000000002",
  ann: "0e000000-0000-4000-8000-000000000003",
  bob: "0e000000-0000-4000-8000-000000000004",
  globexSession: "0e000000-0000-4000-8000-000000000005",
  strayMessage: "0e000000-0000-4000-8000-000000000006",
  strayFile: "0e000000-0000-4000-8000-000000000007",
  bobsSession: "0e000000-0000-4000-8000-000000000008",
  bobsIntegration: "0e000000-0000-4000-8000-000000000009",
  strayNotification: "0e000000-0000-4000-8000-00000000000a",
} as const;

/** Writes what the first multi-tenant release wrote: a second tenant, a key, and rows that bear another tenant than their session. */
export async function writeV1Rows(client: pg.Client): Promise<void> {
  const ids = TENANT_IDS;
  const hash = createHash("sha256").update(OLD_KEY).digest("hex");
  await client.query(
    "INSERT INTO tenants (id, name, schema_name, active, metadata, created_at) VALUES ($1, 'Globex Città', 'tenant_globex', false, NULL, NULL)",
    [ids.globex],
  );
  await client.query(
    `INSERT INTO api_keys (id, tenant_id, key_hash, name, last_used_at, created_at)
     VALUES ($1, $2, $3, NULL, '2025-01-01 00:00:00.123456+00', '2025-01-01 00:00:00+00')`,
    [ids.key, ids.globex, hash],
  );
  await client.query(
    `INSERT INTO users (id, tenant_id, email, name)
     SELECT $1, id, 'ann@example.com', 'Ann' FROM tenants WHERE schema_name = 'tenant_default'`,
    [ids.ann],
  );
  await client.query("INSERT INTO users (id, tenant_id, email, name) VALUES ($1, $2, 'ann@example.com', NULL)", [
    ids.bob,
    ids.globex,
  ]);
  await client.query("INSERT INTO sessions (id, tenant_id, name, metadata) VALUES ($1, $2, 'of globex', '{}')", [
    ids.globexSession,
    ids.globex,
  ]);
  await client.query(
    `INSERT INTO messages (id, tenant_id, session_id, role, content) VALUES ($1, $2, $3, 'user', 'of globex, in a session of the default tenant'),
       (gen_random_uuid(), $2, $4, 'user', 'at home')`,
    [ids.strayMessage, ids.globex, IDS.plain, ids.globexSession],
  );
  await client.query(
    "INSERT INTO notifications (id, tenant_id, session_id, type, urgency, content) VALUES ($1, $2, $3, 'contradiction', 'high', '{}')",
    [ids.strayNotification, ids.globex, IDS.plain],
  );
  // The key was (tenant_id, session_id): two tenants could remember one session.
  await client.query(
    `INSERT INTO memory_short (tenant_id, session_id, context_data, expires_at)
     VALUES ($1, $2, '{"of": "globex"}', now()), ($1, $3, '{"of": "home"}', now())`,
    [ids.globex, IDS.plain, ids.globexSession],
  );
}

/** Writes what the second release added: people who sign in and own things, with tokens in clear text. */
export async function writeV2Rows(client: pg.Client): Promise<void> {
  const ids = TENANT_IDS;
  await client.query(
    `UPDATE users SET password_hash = '$2b$12$hash', role = 'admin', email_verification_token = 'in clear', password_reset_token = 'in clear, too',
       password_reset_expires = now(), last_login_at = now(), metadata = '{"enabled_tools": ["x"]}' WHERE id = $1`,
    [ids.ann],
  );
  // Bob is of Globex; the session and the integration are of the default tenant.
  await client.query(
    `INSERT INTO sessions (id, tenant_id, user_id, name, last_indexed_at, metadata)
     SELECT $1, id, $2, 'of a stranger', '2025-05-05 00:00:00.000001+00', '{"day": 1}' FROM tenants WHERE schema_name = 'tenant_default'`,
    [ids.bobsSession, ids.bob],
  );
  await client.query(
    `INSERT INTO integrations (id, tenant_id, user_id, provider, service_type, purpose, enabled, credentials_encrypted, metadata)
     VALUES ($1, $2, $3, 'google', 'email', 'user_email', true, 'gAAAAA', '{"google_email": "bob@example.com"}')`,
    [ids.bobsIntegration, ids.globex, ids.bob],
  );
  await client.query(
    `INSERT INTO files (id, tenant_id, user_id, session_id, filename, filepath)
     SELECT $1::uuid, $2::uuid, $3::uuid, NULL::uuid, 'of bob', 'uploads/users/bob/x' UNION ALL
     SELECT gen_random_uuid(), id, $4, NULL, 'of ann', 'uploads/users/ann/x' FROM tenants WHERE schema_name = 'tenant_default'`,
    [ids.strayFile, ids.globex, ids.bob, ids.ann],
  );
}
