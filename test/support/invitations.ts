import { sha256 } from "../../src/context/crypto.ts";
import type { TenantDb } from "../../src/context/tenant-client.ts";
import type { ReceivedMail } from "./mailbox.ts";
import { dataOf } from "./send.ts";
import { anId } from "./tenants.ts";
import type { TestTenant } from "./tenants.ts";

/** An address that nobody else has. */
export function anAddress(): string {
  return `${anId()}@example.com`;
}

/** Adds somebody to a tenant with an invitation. @returns their id. */
export async function invite(tenant: TestTenant, email: string, name = "Ada"): Promise<string> {
  const { createUser } = dataOf(
    await tenant.send<{ createUser: { user: { id: string } } }>(
      "mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id } } }",
      { input: { email, name, sendInvitation: true } },
    ),
  );
  return createUser.user.id;
}

/** What the token in a mail stands for; undefined when it works no more. */
export async function tokenIn(db: TenantDb, { token }: ReceivedMail) {
  return (await db.oneTimeToken.findMany()).find(({ tokenHash }) => tokenHash === sha256(token));
}
