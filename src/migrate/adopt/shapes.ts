/** Column name → type as PostgreSQL prints it, with "!" where NULL is not allowed. */
type Shape = Readonly<Record<string, string>>;
export type Shapes = Readonly<Record<string, Shape>>;

const TIME = "timestamp with time zone";
const NAME = "character varying(255)";

/** The single-tenant schema, the same columns in variants A and B. */
export const LEGACY_SHAPES = {
  sessions: {
    id: "uuid!",
    name: `${NAME}!`,
    created_at: TIME,
    updated_at: TIME,
    metadata: "jsonb",
    title: NAME,
    description: "text",
    status: "character varying(20)!",
    archived_at: TIME,
  },
  messages: {
    id: "uuid!",
    session_id: "uuid!",
    role: "character varying(20)!",
    content: "text!",
    timestamp: TIME,
    metadata: "jsonb",
  },
  files: {
    id: "uuid!",
    session_id: "uuid!",
    filename: `${NAME}!`,
    filepath: "character varying(500)!",
    mime_type: "character varying(100)",
    uploaded_at: TIME,
    metadata: "jsonb",
  },
  memory_short: { session_id: "uuid!", context_data: "jsonb!", expires_at: `${TIME}!` },
  memory_medium: { id: "uuid!", session_id: "uuid!", content: "text!", embedding_id: NAME, created_at: TIME },
  memory_long: {
    id: "uuid!",
    content: "text!",
    embedding_id: NAME,
    learned_from_sessions: "jsonb",
    importance_score: "double precision",
    created_at: TIME,
  },
  integrations: {
    id: "uuid!",
    provider: "character varying(50)!",
    service_type: "character varying(50)!",
    credentials_encrypted: "text",
    enabled: "boolean",
    metadata: "jsonb",
  },
  notifications: {
    id: "uuid!",
    type: "character varying(50)!",
    urgency: "character varying(20)!",
    content: "jsonb!",
    session_id: "uuid",
    read: "boolean!",
    created_at: TIME,
    read_at: TIME,
  },
} satisfies Shapes;

/** The first multi-tenant release: the same with a tenant in every row, and three tables more. */
export const V1_SHAPES = {
  tenants: {
    id: "uuid!",
    name: `${NAME}!`,
    schema_name: "character varying(63)!",
    active: "boolean!",
    created_at: TIME,
    metadata: "jsonb",
  },
  users: {
    id: "uuid!",
    tenant_id: "uuid!",
    email: `${NAME}!`,
    name: NAME,
    active: "boolean!",
    created_at: TIME,
    metadata: "jsonb",
  },
  api_keys: {
    id: "uuid!",
    tenant_id: "uuid!",
    key_hash: `${NAME}!`,
    name: NAME,
    active: "boolean!",
    last_used_at: TIME,
    expires_at: TIME,
    created_at: TIME,
  },
  sessions: { ...LEGACY_SHAPES.sessions, tenant_id: "uuid!" },
  messages: { ...LEGACY_SHAPES.messages, tenant_id: "uuid!" },
  files: { ...LEGACY_SHAPES.files, tenant_id: "uuid!" },
  memory_short: { ...LEGACY_SHAPES.memory_short, tenant_id: "uuid!" },
  memory_medium: { ...LEGACY_SHAPES.memory_medium, tenant_id: "uuid!" },
  memory_long: { ...LEGACY_SHAPES.memory_long, tenant_id: "uuid!" },
  integrations: { ...LEGACY_SHAPES.integrations, tenant_id: "uuid!" },
  notifications: { ...LEGACY_SHAPES.notifications, tenant_id: "uuid!" },
} satisfies Shapes;

/** The second multi-tenant release: users who sign in, owners, purposes. */
export const V2_SHAPES = {
  ...V1_SHAPES,
  users: {
    ...V1_SHAPES.users,
    password_hash: NAME,
    role: "character varying(50)!",
    permissions: "jsonb",
    email_verified: "boolean!",
    email_verification_token: NAME,
    password_reset_token: NAME,
    password_reset_expires: TIME,
    last_login_at: TIME,
    last_login_ip: "character varying(45)",
    timezone: "character varying(50)",
    inactivity_timeout_minutes: "integer",
  },
  sessions: { ...V1_SHAPES.sessions, user_id: "uuid", last_indexed_at: TIME },
  integrations: { ...V1_SHAPES.integrations, user_id: "uuid", purpose: "character varying(50)!" },
  files: { ...V1_SHAPES.files, session_id: "uuid", user_id: "uuid!" },
} satisfies Shapes;
