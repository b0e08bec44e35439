import type { IntegrationRow } from "../../context/rows.ts";
import { wordOf } from "../stored-words.ts";
import { serverAddress, withoutSecrets } from "./secrets.ts";

export const INTEGRATION_KINDS = {
  CALENDAR: "calendar",
  EMAIL: "email",
  MCP_SERVER: "mcp_server",
  WHATSAPP: "whatsapp",
  OTHER: "other",
} as const;
export type IntegrationKind = (typeof INTEGRATION_KINDS)[keyof typeof INTEGRATION_KINDS];

export const INTEGRATION_PROVIDERS = {
  GOOGLE: "google",
  CALDAV: "caldav",
  IMAP: "imap",
  MCP: "mcp",
  APPLE: "apple",
  MICROSOFT: "microsoft",
  OTHER: "other",
} as const;
export type IntegrationProvider = (typeof INTEGRATION_PROVIDERS)[keyof typeof INTEGRATION_PROVIDERS];

export const INTEGRATION_PURPOSES = { USER: "user", SERVICE: "service" } as const;
export type IntegrationPurpose = (typeof INTEGRATION_PURPOSES)[keyof typeof INTEGRATION_PURPOSES];

export const INTEGRATION_STATUSES = {
  AUTHORIZATION_REQUIRED: "authorization_required",
  CONNECTED: "connected",
  ERROR: "error",
  DISABLED: "disabled",
} as const;
export type IntegrationStatus = (typeof INTEGRATION_STATUSES)[keyof typeof INTEGRATION_STATUSES];

/** How the stored purposes of what serves the tenant as a whole begin. */
export const SERVICE_PREFIX = "service_";

/** A connected account or server as everybody may see it: its credentials stay in the row. */
export interface Integration {
  readonly __typename: "CalendarIntegration" | "EmailIntegration" | "McpIntegration" | "OtherIntegration";
  readonly id: string;
  readonly kind: IntegrationKind;
  readonly provider: IntegrationProvider;
  readonly purpose: IntegrationPurpose;
  readonly name: string;
  readonly enabled: boolean;
  readonly status: IntegrationStatus;
  readonly statusMessage: string | null;
  /** Address or user name of the outside account. */
  readonly account: string | null;
  readonly userId: string | null;
  readonly metadata: object;
  /** Of MCP servers; null where the row holds no address that HTTP can reach. */
  readonly serverUrl: string | null;
  readonly createdAt: Date;
}

const PROVIDER_NAMES: Readonly<Record<IntegrationProvider, string>> = {
  google: "Google",
  caldav: "CalDAV",
  imap: "IMAP",
  mcp: "MCP",
  apple: "Apple",
  microsoft: "Microsoft",
  other: "Other",
};

const KIND_NAMES: Readonly<Record<IntegrationKind, string>> = {
  calendar: "calendar",
  email: "e-mail",
  mcp_server: "server",
  whatsapp: "WhatsApp",
  other: "integration",
};

/** What a row of any age shows to the outside. The predecessor left much out, and kept secrets in its metadata. */
export function present(row: IntegrationRow): Integration {
  const { id, statusMessage, userId, createdAt } = row;
  const stored = objectIn(row.metadata);
  const kind = wordOf(INTEGRATION_KINDS, row.serviceType, INTEGRATION_KINDS.OTHER);
  const provider = wordOf(INTEGRATION_PROVIDERS, row.provider, INTEGRATION_PROVIDERS.OTHER);
  // The predecessor kept an MCP server's address in place of credentials, and mostly in the metadata as well.
  const serverUrl =
    kind === "mcp_server" ? (serverAddress(stored["server_url"]) ?? serverAddress(row.credentialsEncrypted)) : null;
  return {
    __typename: typeName(kind, serverUrl),
    id,
    kind,
    provider,
    purpose: purposeOf(row),
    name: textIn(row.name) ?? textIn(stored["name"]) ?? `${PROVIDER_NAMES[provider]} ${KIND_NAMES[kind]}`,
    enabled: row.enabled === true,
    status: statusOf(row, serverUrl),
    statusMessage,
    account: textIn(row.account) ?? textIn(stored["google_email"]),
    userId,
    metadata: objectIn(withoutSecrets(row.metadata)),
    serverUrl,
    createdAt,
  };
}

function typeName(kind: IntegrationKind, serverUrl: string | null): Integration["__typename"] {
  if (kind === "calendar") return "CalendarIntegration";
  if (kind === "email") return "EmailIntegration";
  return kind === "mcp_server" && serverUrl !== null ? "McpIntegration" : "OtherIntegration";
}

function purposeOf({ purpose, userId }: IntegrationRow): IntegrationPurpose {
  if (purpose.startsWith(SERVICE_PREFIX)) return INTEGRATION_PURPOSES.SERVICE;
  if (purpose.startsWith("user_")) return INTEGRATION_PURPOSES.USER;
  return userId === null ? INTEGRATION_PURPOSES.SERVICE : INTEGRATION_PURPOSES.USER;
}

/** What is switched on while its row says disabled was switched off before there was a status: its credentials tell how it stands. */
function statusOf(row: IntegrationRow, serverUrl: string | null): IntegrationStatus {
  if (row.enabled !== true) return INTEGRATION_STATUSES.DISABLED;
  const stored = wordOf(INTEGRATION_STATUSES, row.status, INTEGRATION_STATUSES.ERROR);
  if (stored !== "disabled") return stored;
  const canConnect = row.credentialsEncrypted !== null || serverUrl !== null;
  return canConnect ? INTEGRATION_STATUSES.CONNECTED : INTEGRATION_STATUSES.AUTHORIZATION_REQUIRED;
}

function objectIn(json: unknown): Readonly<Record<string, unknown>> {
  return typeof json === "object" && json !== null && !Array.isArray(json) ? { ...json } : {};
}

function textIn(value: unknown): string | null {
  return typeof value === "string" && value.trim() !== "" ? value : null;
}
