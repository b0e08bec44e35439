// The rows as services see them: types only, so that nothing here can reach the database.
export type {
  ApiKey as ApiKeyRow,
  AuditEvent as AuditEventRow,
  File as FileRow,
  IdentityProvider as IdentityProviderRow,
  Integration as IntegrationRow,
  MemoryLong as MemoryLongRow,
  MemoryMedium as MemoryMediumRow,
  MemoryShort as MemoryShortRow,
  Mail as MailRow,
  Message as MessageRow,
  Notification as NotificationRow,
  OneTimeToken as OneTimeTokenRow,
  OpenAccess as OpenAccessRow,
  Session as SessionRow,
  Task as TaskRow,
  User as UserRow,
} from "./generated/client/client.ts";
export type { Prisma } from "./generated/client/client.ts";
