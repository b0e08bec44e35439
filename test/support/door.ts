import { newToken } from "../../src/context/crypto.ts";
import type { TokenPurpose } from "../../src/services/one-time-tokens.ts";
import * as passwords from "../../src/services/passwords.ts";
import { dataOf, sendTo } from "./send.ts";
import type { Sender } from "./send.ts";
import type { TestTenant } from "./tenants.ts";

/** A password that nobody refuses. */
export const PASSWORD = "rivers of quiet copper";
export const OTHER_PASSWORD = "mountains of loud tin";

const AUTH = "accessToken refreshToken expiresIn user { id email role emailVerified }";
export const LOGIN = `mutation ($email: EmailAddress!, $password: String!) { auth: login(input: { email: $email, password: $password }) { ${AUTH} } }`;
export const REFRESH = `mutation ($token: String!) { auth: refreshToken(refreshToken: $token) { ${AUTH} } }`;
export const CONFIRM = `mutation ($token: String!, $password: String!) { auth: confirmPasswordReset(input: { token: $token, newPassword: $password }) { ${AUTH} } }`;
export const CHANGE = `mutation ($old: String!, $new: String!) { auth: changePassword(input: { currentPassword: $old, newPassword: $new }) { ${AUTH} } }`;
export const VERIFY = "mutation ($token: String!) { verifyEmail(token: $token) { user { email emailVerified } } }";
export const FORGOT = "mutation ($email: EmailAddress!) { requestPasswordReset(email: $email) }";
export const LOGOUT = "mutation ($all: Boolean) { logout(allDevices: $all) }";
export const WHO = "{ viewer { id email role } }";

/** What signing in answers. */
export interface Auth {
  readonly auth: {
    readonly accessToken: string;
    readonly refreshToken: string;
    readonly expiresIn: number;
    readonly user: {
      readonly id: string;
      readonly email: string;
      readonly role: string;
      readonly emailVerified: boolean;
    };
  };
}

/** Somebody at the door of a tenant: a header, and no credential. */
export function atTheDoor(url: string, tenantId: string): Sender {
  return sendTo(url, { "X-Tenant-ID": tenantId });
}

/** A client with an access token. */
export function withToken(url: string, token: string, headers: Readonly<Record<string, string>> = {}): Sender {
  return sendTo(url, { Authorization: `Bearer ${token}`, ...headers });
}

/** A person of a tenant with PASSWORD, as a row. */
export async function addPerson(
  { db }: Pick<TestTenant, "db">,
  data: {
    readonly email?: string;
    readonly role?: string;
    readonly active?: boolean;
    readonly emailVerified?: boolean;
    readonly passwordHash?: string | null;
  } = {},
) {
  const passwordHash = data.passwordHash === undefined ? await passwords.hash(PASSWORD) : data.passwordHash;
  const email = data.email ?? "alice@example.com";
  return db.user.create({ data: { email, role: "user", emailVerified: true, ...data, passwordHash } });
}

/** Signs in, which must work. */
export async function signIn(url: string, tenantId: string, email = "alice@example.com", password = PASSWORD) {
  return dataOf(await atTheDoor(url, tenantId)<Auth>(LOGIN, { email, password })).auth;
}

/** Puts a token that came by mail in its place. @returns its text. */
export async function addMailedToken(
  { id, db }: Pick<TestTenant, "id" | "db">,
  purpose: TokenPurpose,
  userId: string,
  expiresAt = new Date(Date.now() + 60_000),
): Promise<string> {
  const { text, hash } = newToken("atr_m", id);
  await db.oneTimeToken.create({ data: { purpose, tokenHash: hash, userId, expiresAt } });
  return text;
}
