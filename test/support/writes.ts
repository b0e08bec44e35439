import { newToken } from "../../src/context/crypto.ts";
import type { TokenPurpose } from "../../src/services/one-time-tokens.ts";
import * as passwords from "../../src/services/passwords.ts";
import { addMailedToken, addPerson, PASSWORD } from "./door.ts";
import { anId } from "./tenants.ts";
import type { TestTenant } from "./tenants.ts";

/** Stands in everything that these mutations write and may not be in any trail. */
export const CANARY = "canary-that-no-trail-may-hold";

/** One mutation as somebody sends it who may. */
export interface Write {
  /** What the trail calls it. */
  readonly action: string;
  /** The mutation's arguments and selection, given an id that `prepare` made. */
  readonly ask: (id: string) => string;
  /** Makes what the mutation works on. */
  readonly prepare?: (tenant: TestTenant) => Promise<{ readonly id: string }>;
  readonly isPlatforms?: true;
  /** Done by a person, for whom a key cannot stand in. */
  readonly isPersons?: true;
  /** That person is an owner. */
  readonly isOwners?: true;
  /** Open to everybody: whoever it lets in is the one who acts from there on, and who is not let in acts as nobody in particular. */
  readonly isDoor?: true;
}

const session = ({ db }: TestTenant) => db.session.create({ data: { name: "s" } });
const archived = ({ db }: TestTenant) => db.session.create({ data: { name: "s", status: "archived" } });
const withShortTermMemory = async (tenant: TestTenant) => {
  const made = await session(tenant);
  const expiresAt = new Date(Date.now() + 60_000);
  await tenant.db.memoryShort.create({ data: { sessionId: made.id, contextData: {}, expiresAt } });
  return made;
};
const notification = ({ db }: TestTenant) =>
  db.notification.create({ data: { type: "todo", urgency: "low", content: {} } });
const memory = ({ db }: TestTenant) => db.memoryLong.create({ data: { content: "m" } });
const file = ({ db }: TestTenant) => db.file.create({ data: { filename: "f", filepath: "f" } });
const integration = ({ db }: TestTenant) =>
  db.integration.create({ data: { provider: "google", serviceType: "email", purpose: "service_email" } });
const user = ({ db }: TestTenant) => db.user.create({ data: { email: `${anId()}@example.com` } });
const withPassword = async (tenant: TestTenant) => {
  const { email } = await addPerson(tenant, { email: `${anId()}@example.com` });
  return { id: email };
};
const mailedToken = async (tenant: TestTenant, purpose: TokenPurpose) => {
  const { id } = await addPerson(tenant, { email: `${anId()}@example.com`, emailVerified: false });
  return { id: await addMailedToken(tenant, purpose, id) };
};
const outsideCode = async (tenant: TestTenant) => {
  const { id } = await addPerson(tenant, { email: `${anId()}@example.com` });
  const { text, hash } = newToken("atr_o", tenant.id);
  const expiresAt = new Date(Date.now() + 60_000);
  await tenant.db.oneTimeToken.create({ data: { purpose: "outside_code", tokenHash: hash, userId: id, expiresAt } });
  return { id: text };
};
const identityProvider = ({ db }: TestTenant) =>
  db.identityProvider.create({ data: { name: "p", issuer: "https://id.example", clientId: anId(), audience: "a" } });
const apiKey = ({ db }: TestTenant) => db.apiKey.create({ data: { keyHash: anId(), scopes: ["sessions_read"] } });

/** Every mutation of the schema but `refreshToken`; a test holds this list against it. */
export const WRITES: Readonly<Record<string, Write>> = {
  login: {
    action: "account.sign_in",
    isDoor: true,
    prepare: withPassword,
    ask: (email) => `(input: { email: "${email}", password: "${PASSWORD}" }) { expiresIn }`,
  },
  completeSignIn: {
    action: "account.sign_in",
    isDoor: true,
    prepare: outsideCode,
    ask: (code) => `(code: "${code}") { expiresIn }`,
  },
  createIdentityProvider: {
    action: "identity_provider.create",
    isPersons: true,
    isOwners: true,
    ask: () =>
      `(input: { name: "${CANARY}", issuer: "https://id.example", clientId: "c", clientSecret: "${CANARY}" }) { identityProvider { id } }`,
  },
  updateIdentityProvider: {
    action: "identity_provider.update",
    isPersons: true,
    isOwners: true,
    prepare: identityProvider,
    ask: (id) => `(input: { id: "${id}", name: "${CANARY}", clientSecret: "${CANARY}" }) { identityProvider { id } }`,
  },
  deleteIdentityProvider: {
    action: "identity_provider.delete",
    isPersons: true,
    isOwners: true,
    prepare: identityProvider,
    ask: (id) => `(id: "${id}") { deletedId }`,
  },
  verifyEmail: {
    action: "account.email_verified",
    isDoor: true,
    prepare: (tenant) => mailedToken(tenant, "verification"),
    ask: (token) => `(token: "${token}") { user { id } }`,
  },
  requestPasswordReset: {
    action: "account.password_reset_request",
    isDoor: true,
    ask: () => `(email: "${CANARY}@example.com")`,
  },
  confirmPasswordReset: {
    action: "account.password_reset",
    isDoor: true,
    prepare: (tenant) => mailedToken(tenant, "reset"),
    ask: (token) => `(input: { token: "${token}", newPassword: "${CANARY} 77" }) { expiresIn }`,
  },
  changePassword: {
    action: "account.password_change",
    isPersons: true,
    prepare: async ({ db }) => {
      await db.user.updateMany({ data: { passwordHash: await passwords.hash(PASSWORD) } });
      return { id: "" };
    },
    ask: () => `(input: { currentPassword: "${PASSWORD}", newPassword: "${CANARY} 77" }) { expiresIn }`,
  },
  logout: { action: "account.sign_out", isPersons: true, ask: () => "" },
  createApiKey: {
    action: "api_key.create",
    ask: () => `(input: { name: "${CANARY}", scopes: [SESSIONS_READ] }) { apiKey { id } }`,
  },
  rotateApiKey: { action: "api_key.rotate", prepare: apiKey, ask: (id) => `(id: "${id}") { apiKey { id } }` },
  revokeApiKey: { action: "api_key.revoke", prepare: apiKey, ask: (id) => `(id: "${id}") { apiKey { id } }` },
  createUser: {
    action: "user.create",
    ask: () =>
      `(input: { email: "${anId()}@example.com", password: "${CANARY}", sendInvitation: true }) { user { id } }`,
  },
  updateUser: {
    action: "user.update",
    prepare: user,
    ask: (id) => `(input: { id: "${id}", name: "${CANARY}", active: false }) { user { id } }`,
  },
  resendInvitation: { action: "user.invite", prepare: user, ask: (id) => `(userId: "${id}")` },
  updateProfile: {
    action: "user.update_profile",
    isPersons: true,
    ask: () => `(input: { name: "${CANARY}" }) { user { id } }`,
  },
  createSession: { action: "session.create", ask: () => `(input: { name: "${CANARY}" }) { session { id } }` },
  updateSession: {
    action: "session.update",
    prepare: session,
    ask: (id) => `(input: { id: "${id}", name: "${CANARY}" }) { session { id } }`,
  },
  archiveSession: { action: "session.archive", prepare: session, ask: (id) => `(id: "${id}") { session { id } }` },
  restoreSession: { action: "session.restore", prepare: archived, ask: (id) => `(id: "${id}") { session { id } }` },
  deleteSession: { action: "session.delete", prepare: session, ask: (id) => `(id: "${id}", hard: true) { deletedId }` },
  createMessage: {
    action: "message.create",
    prepare: session,
    ask: (id) => `(input: { sessionId: "${id}", content: "${CANARY}" }) { message { id } }`,
  },
  deleteFile: { action: "file.delete", prepare: file, ask: (id) => `(id: "${id}") { deletedId }` },
  remember: { action: "memory.remember", ask: () => `(input: { content: "${CANARY}" }) { created }` },
  updateMemory: {
    action: "memory.update",
    prepare: memory,
    ask: (id) => `(input: { id: "${id}", content: "${CANARY}" }) { memory { id } }`,
  },
  forget: { action: "memory.forget", prepare: memory, ask: (id) => `(ids: ["${id}"]) { deletedIds }` },
  setShortTermMemory: {
    action: "memory.set_short_term",
    prepare: session,
    ask: (id) => `(input: { sessionId: "${id}", context: { note: "${CANARY}" } }) { shortTerm { expiresAt } }`,
  },
  clearShortTermMemory: {
    action: "memory.clear_short_term",
    prepare: withShortTermMemory,
    ask: (id) => `(sessionId: "${id}")`,
  },
  markNotificationRead: {
    action: "notification.read",
    prepare: notification,
    ask: (id) => `(id: "${id}") { notification { read } }`,
  },
  markAllNotificationsRead: { action: "notification.read_all", prepare: notification, ask: () => "{ count }" },
  deleteNotifications: {
    action: "notification.delete",
    prepare: notification,
    ask: (id) => `(ids: ["${id}"]) { deletedIds }`,
  },
  updateIntegration: {
    action: "integration.update",
    prepare: integration,
    ask: (id) => `(input: { id: "${id}", name: "${CANARY}" }) { integration { id } }`,
  },
  deleteIntegration: { action: "integration.delete", prepare: integration, ask: (id) => `(id: "${id}") { deletedId }` },
  createTenant: {
    action: "tenant.create",
    isPlatforms: true,
    ask: () => `(input: { name: "Made ${anId()}" }) { tenant { id } apiKey }`,
  },
  updateTenant: {
    action: "tenant.update",
    isPlatforms: true,
    prepare: async ({ id }) => ({ id }),
    ask: (id) => `(input: { id: "${id}", metadata: { note: "${CANARY}" } }) { tenant { id } }`,
  },
};
