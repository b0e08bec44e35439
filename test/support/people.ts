import { randomUUID } from "node:crypto";
import type { UserRole } from "../../src/context/permissions.ts";
import type { TestApp } from "./app.ts";
import { sendTo } from "./send.ts";
import type { Sender } from "./send.ts";
import type { TestTenant } from "./tenants.ts";

const DAY_MS = 86_400_000;

export interface TestPerson {
  readonly id: string;
  readonly email: string;
  readonly signInId: string;
  /** An access token of 15 minutes, by the app's clock. */
  readonly token: string;
  /** Sends operations with that token. */
  readonly send: Sender;
}

/** A person of the tenant who is signed in, put into the tenant's rows past the way through password and mail. */
export async function personOf(
  { app, url }: Pick<TestApp, "app" | "url">,
  tenant: Pick<TestTenant, "id" | "db">,
  { role, email = `person-${randomUUID()}@example.com` }: { readonly role: UserRole; readonly email?: string },
): Promise<TestPerson> {
  const user = await tenant.db.user.create({ data: { email, role, emailVerified: true } });
  return signedIn({ app, url }, tenant, { id: user.id, email: user.email, role });
}

/** One more sign-in of a person whom the tenant knows already. */
export async function signedIn(
  { app, url }: Pick<TestApp, "app" | "url">,
  tenant: Pick<TestTenant, "id" | "db">,
  { id, email, role }: { readonly id: string; readonly email: string; readonly role: UserRole },
): Promise<TestPerson> {
  const now = app.context.clock.now();
  const signIn = await tenant.db.signIn.create({
    data: { userId: id, method: "password", createdAt: now, expiresAt: new Date(now.getTime() + DAY_MS) },
  });
  const { text } = await app.context.accounts.tokens.issue({
    tenantId: tenant.id,
    userId: id,
    signInId: signIn.id,
    role,
  });
  return {
    id,
    email,
    signInId: signIn.id,
    token: text,
    send: sendTo(url, { Authorization: `Bearer ${text}` }),
  };
}
