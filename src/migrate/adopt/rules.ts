/** A fault that old rows may have, and what is done about it. SQL refers to the row as `t`. */
interface Repair {
  readonly reason: string;
  readonly when: string;
  /** Column → expression for its new value. */
  readonly set: Readonly<Record<string, string>>;
  /** Keeps the original in the row's metadata under this key. */
  readonly keep?: { readonly key: string; readonly value: string };
}

/** A row that no key can hold. */
interface Misfit {
  /** Impossible, and not looked for, where a foreign key to sessions is in place. */
  readonly bySessionKey: boolean;
  readonly reason: string;
  readonly when: string;
}

export interface TableRules {
  readonly table: string;
  /** Unique, or nearly so (short-term memory of v1), and indexed: the fill walks along it. */
  readonly key: "id" | "session_id";
  /** Timestamp column → what a NULL becomes; null where NULL means something. */
  readonly timestamps: Readonly<Record<string, string | null>>;
  readonly repairs: readonly Repair[];
  readonly misfits: readonly Misfit[];
}

export interface RuleSettings {
  /** When the adoption began, for rows that say nothing of their own time. */
  readonly startedAt: Date;
  /** v1 and v2: rows bear tenants, not always their session's. */
  readonly hasTenants: boolean;
}

const ROLES = "('user', 'assistant', 'system', 'tool')";
const STATUSES = "('active', 'archived', 'deleted')";

/** The rules for each table of the predecessor, parents first. */
export function rulesFor(settings: RuleSettings): readonly TableRules[] {
  const started = `timestamptz '${settings.startedAt.toISOString()}'`;
  const sessionTime = `coalesce((SELECT s.created_at FROM sessions AS s WHERE s.id = t.session_id), ${started})`;
  const foreign = settings.hasTenants ? [takesTenantOfSession] : [];
  const byTable: TableRules[] = [
    { table: "tenants", key: "id", timestamps: { created_at: started }, repairs: [], misfits: [] },
    {
      table: "users",
      key: "id",
      timestamps: { created_at: started, password_reset_expires: null, last_login_at: null },
      repairs: [tokensInClear],
      misfits: [],
    },
    {
      table: "api_keys",
      key: "id",
      timestamps: { created_at: started, last_used_at: null, expires_at: null },
      repairs: [],
      misfits: [],
    },
    {
      table: "sessions",
      key: "id",
      timestamps: {
        created_at: `coalesce(t.updated_at, t.archived_at, ${started})`,
        updated_at: `coalesce(t.created_at, t.archived_at, ${started})`,
        archived_at: null,
        last_indexed_at: null,
      },
      repairs: [...sessionStatus, userOfAnotherTenant("t.tenant_id")],
      misfits: [],
    },
    {
      table: "messages",
      key: "id",
      timestamps: { timestamp: sessionTime },
      repairs: [...messageRole, ...foreign],
      misfits: [sessionGone],
    },
    {
      table: "files",
      key: "id",
      timestamps: { uploaded_at: sessionTime },
      repairs: [
        ...foreign,
        userOfAnotherTenant(settings.hasTenants ? `coalesce(${tenantOfSession}, t.tenant_id)` : "t.tenant_id"),
      ],
      misfits: [sessionGone],
    },
    {
      table: "memory_short",
      key: "session_id",
      timestamps: { expires_at: null },
      repairs: foreign,
      misfits: [sessionGone, ...(settings.hasTenants ? [secondShortMemory] : [])],
    },
    {
      table: "memory_medium",
      key: "id",
      timestamps: { created_at: sessionTime },
      repairs: foreign,
      misfits: [sessionGone],
    },
    {
      table: "memory_long",
      key: "id",
      timestamps: { created_at: started, updated_at: `coalesce(t.created_at, ${started})` },
      repairs: [memoryKind],
      misfits: [],
    },
    {
      table: "integrations",
      key: "id",
      timestamps: { created_at: started },
      repairs: [...integrationWords, userOfAnotherTenant("t.tenant_id")],
      misfits: [],
    },
    {
      table: "notifications",
      key: "id",
      timestamps: { created_at: sessionTime, read_at: null },
      repairs: foreign,
      misfits: [sessionGone],
    },
  ];
  return byTable;
}

/** Times that this release adds: an old row lacks them without being at fault, so deriving them is no repair. */
export const ADDED_TIMESTAMPS: Readonly<Record<string, readonly string[]>> = {
  memory_long: ["updated_at"],
  integrations: ["created_at"],
};

const sessionGone: Misfit = {
  bySessionKey: true,
  reason: "its session does not exist",
  when: "t.session_id IS NOT NULL AND NOT EXISTS (SELECT FROM sessions AS s WHERE s.id = t.session_id)",
};

const tenantOfSession = "(SELECT s.tenant_id FROM sessions AS s WHERE s.id = t.session_id)";

const takesTenantOfSession: Repair = {
  reason: "belonged to another tenant than its session; it takes the session's",
  when: `t.tenant_id <> ${tenantOfSession}`,
  set: { tenant_id: tenantOfSession },
};

// The old key was (tenant_id, session_id): several tenants could keep a memory of one session, but it has only one owner.
const secondShortMemory: Misfit = {
  bySessionKey: false,
  reason: "its session belongs to another tenant and has a short-term memory there",
  when: `t.tenant_id <> ${tenantOfSession} AND EXISTS (
    SELECT FROM memory_short AS o WHERE o.session_id = t.session_id AND o.tenant_id <> t.tenant_id
      AND (o.tenant_id = ${tenantOfSession} OR (o.expires_at, o.tenant_id) > (t.expires_at, t.tenant_id)))`,
};

function userOfAnotherTenant(tenant: string): Repair {
  return {
    reason:
      "its user belongs to another tenant; the row belongs to its tenant as a whole, metadata.legacy_user_id keeps the user",
    when: `t.user_id IS NOT NULL AND NOT EXISTS (SELECT FROM users AS u WHERE u.id = t.user_id AND u.tenant_id = ${tenant})`,
    set: { user_id: "NULL" },
    keep: { key: "legacy_user_id", value: "t.user_id" },
  };
}

const tokensInClear: Repair = {
  reason: "e-mail verification and password reset tokens that were stored in clear text are removed",
  when: "t.email_verification_token IS NOT NULL OR t.password_reset_token IS NOT NULL OR t.password_reset_expires IS NOT NULL",
  set: { email_verification_token: "NULL", password_reset_token: "NULL", password_reset_expires: "NULL" },
};

const messageRole: readonly Repair[] = [
  {
    reason: "its role was a known one in other letters",
    when: `t.role NOT IN ${ROLES} AND lower(btrim(t.role)) IN ${ROLES}`,
    set: { role: "lower(btrim(t.role))" },
  },
  {
    reason: "its role was unknown; it is 'system' now, metadata.legacy_role keeps the original",
    when: `lower(btrim(t.role)) NOT IN ${ROLES}`,
    set: { role: "'system'" },
    keep: { key: "legacy_role", value: "t.role" },
  },
];

const sessionStatus: readonly Repair[] = [
  {
    reason: "its status was a known one in other letters",
    when: `t.status NOT IN ${STATUSES} AND lower(btrim(t.status)) IN ${STATUSES}`,
    set: { status: "lower(btrim(t.status))" },
  },
  {
    reason: "its status was unknown; it is 'active' now, metadata.legacy_status keeps the original",
    when: `lower(btrim(t.status)) NOT IN ${STATUSES}`,
    set: { status: "'active'" },
    keep: { key: "legacy_status", value: "t.status" },
  },
];

// The predecessor wrote the kind into the text: "[FACT] …", or a heading by which its search told e-mails and web pages apart.
const memoryKind: Repair = {
  reason: "its kind is derived from the beginning of its text",
  when: `t.kind = 'general' AND t.content ~* '^(\\[(fact|preference|personal_info|contact|project)\\]|\\[(session:|consolidated |riassunto conversazione\\])|email from:|subject:|web search result:|url:)'`,
  set: {
    kind: `CASE
      WHEN t.content ~* '^\\[(fact|preference|personal_info|contact|project)\\]' THEN lower(substring(t.content FROM '^\\[([A-Za-z_]+)\\]'))
      WHEN t.content ~* '^\\[(session:|consolidated |riassunto conversazione\\])' THEN 'summary'
      WHEN t.content ~* '^(email from:|subject:)' THEN 'email'
      WHEN t.content ~* '^(web search result:|url:)' THEN 'web'
      ELSE t.kind END`,
  },
};

// The trigger complete_integration derives purpose and status of every row that is written without them.
const integrationWords: readonly Repair[] = [
  { reason: "its purpose is derived from its service", when: "t.purpose IS NULL", set: {} },
  { reason: "its status is derived from its credentials", when: "t.status IS NULL", set: {} },
  {
    reason: "its name is taken from its metadata",
    when: "t.name IS NULL AND t.service_type = 'mcp_server' AND t.metadata ->> 'name' IS NOT NULL",
    set: { name: "left(t.metadata ->> 'name', 255)" },
  },
  {
    reason: "its account is taken from its metadata",
    when: "t.account IS NULL AND t.metadata ->> 'google_email' IS NOT NULL",
    set: { account: "left(t.metadata ->> 'google_email', 320)" },
  },
];
