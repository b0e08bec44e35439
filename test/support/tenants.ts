import { randomUUID } from "node:crypto";
import type { App } from "../../src/app.ts";
import { newApiKey } from "../../src/context/crypto.ts";
import { ALL_SCOPES } from "../../src/context/permissions.ts";
import type { TenantDb } from "../../src/context/tenant-client.ts";
import { sendTo } from "./send.ts";
import type { Sender } from "./send.ts";

export interface TestTenant {
  readonly id: string;
  readonly name: string;
  /** The text of an API key with the scopes asked for. */
  readonly key: string;
  /** Sends operations with that key. */
  readonly send: Sender;
  /** The tenant's rows, through its scoped client: for setting the scene, and for looking at what was written. */
  readonly db: TenantDb;
  /** Another key of this tenant, with only these scopes (GraphQL names). */
  readonly withScopes: (...scopes: string[]) => Promise<Sender>;
}

/** Makes tenants the way the platform does, without going through the API each time. */
export function tenantMaker(
  app: App,
  url: string,
): (options?: { readonly scopes?: readonly string[] }) => Promise<TestTenant> {
  return async (options = {}) => {
    const key = newApiKey();
    const name = `Tenant ${randomUUID()}`;
    const schemaName = `tenant_${randomUUID().replaceAll("-", "")}`;
    const tenant = await app.context.crossTenant.createTenant({
      name,
      schemaName,
      plan: "enterprise", // tests ask more often in a minute than somebody who tries it out
      isolation: "shared",
      metadata: {},
      key: { hash: key.hash, prefix: key.prefix, name: "First key", scopes: ALL_SCOPES },
    });
    const { db } = app.context.clients.of(tenant.id);
    async function addKey(scopes: readonly string[]): Promise<string> {
      const made = newApiKey();
      await db.apiKey.create({
        data: {
          name: "Key",
          keyHash: made.hash,
          prefix: made.prefix,
          scopes: scopes.map((scope) => scope.toLowerCase()),
        },
      });
      return made.text;
    }
    const text = await addKey(options.scopes ?? ALL_SCOPES);
    return {
      id: tenant.id,
      name,
      key: text,
      send: sendTo(url, { "X-API-Key": text }),
      db,
      withScopes: async (...scopes) => sendTo(url, { "X-API-Key": await addKey(scopes) }),
    };
  };
}

/** An id that nothing has. */
export function anId(): string {
  return randomUUID();
}
