import { expect } from "@jest/globals";
import { rmSync } from "node:fs";
import { Writable } from "node:stream";
import { openApp } from "../../../src/app.ts";
import type { App } from "../../../src/app.ts";
import { readConfig } from "../../../src/config.ts";
import { openLog } from "../../../src/context/log.ts";
import { tenantPool } from "../../../src/context/tenant-pool.ts";
import { MASTER_KEY, PLATFORM_KEY } from "../../support/app.ts";
import type { TestDatabase } from "../../support/database.ts";
import { isFastPathOn } from "../../support/fast-path.ts";
import type { TestPgBouncer } from "../../support/pgbouncer.ts";
import { temporaryFolder } from "../../support/postgres.ts";
import { codesOf, dataOf, sendTo } from "../../support/send.ts";
import type { TestTenant } from "../../support/tenants.ts";

/** A gateway that reaches its database through a pooler. */
export interface Process {
  readonly app: App;
  readonly url: string;
  /** What it has logged from `warn` on. */
  readonly said: () => string;
  readonly close: () => Promise<void>;
}

/** A gateway whose requests go through the pooler. */
export async function startBehind(
  bouncer: TestPgBouncer,
  database: TestDatabase,
  settings: Readonly<Record<string, string>> = {},
): Promise<Process> {
  const dataDir = temporaryFolder();
  const gatewayUrl = bouncer.through(database.gatewayUrl);
  let said = "";
  const app = await openApp({
    config: readConfig({
      PORT: "0",
      DATA_DIR: dataDir,
      DATABASE_URL: gatewayUrl,
      DATABASE_OWNER_URL: database.ownerUrl,
      DATABASE_LISTEN_URL: database.gatewayUrl,
      PREPARED_STATEMENTS: "off",
      FAST_PATH: isFastPathOn() ? "on" : "off",
      ...settings,
    }),
    gatewayUrl,
    platformAdminKey: PLATFORM_KEY,
    masterKey: MASTER_KEY,
    log: openLog(
      { logLevel: "warn" },
      new Writable({
        write(chunk: Buffer, _encoding, done) {
          said += chunk.toString();
          done();
        },
      }),
    ),
  });
  async function close(): Promise<void> {
    await app.close();
    rmSync(dataDir, { recursive: true, force: true });
  }
  return { app, url: `${app.url}/graphql`, said: () => said, close };
}

interface Occasion {
  readonly gateway: Process;
  readonly tenant: TestTenant;
  readonly own: string;
  readonly foreign: string;
}

/** What requests do, and how they end. */
export const ACTS: readonly ((occasion: Occasion) => Promise<unknown>)[] = [
  async ({ gateway, tenant }) =>
    dataOf(await as(tenant, gateway)("{ sessions(first: 50) { nodes { name messages { nodes { content } } } } }")),
  async ({ gateway, tenant, own }) => dataOf(await as(tenant, gateway)(`{ session(id: "${own}") { name } }`)),
  async ({ gateway, tenant, foreign }) => {
    const answer = await as(tenant, gateway)(`{ session(id: "${foreign}") { name } }`);
    expect(answer.data?.["session"] ?? null).toBeNull();
    return "nothing there";
  },
  async ({ gateway, tenant, own }) =>
    dataOf(
      await as(
        tenant,
        gateway,
      )(
        `mutation { createMessage(input: { sessionId: "${own}", role: USER, content: "${tenant.id}" }) { message { content } } }`,
      ),
    ),
  async ({ gateway, tenant, foreign }) => {
    const answer = await as(
      tenant,
      gateway,
    )(
      `mutation { createMessage(input: { sessionId: "${foreign}", role: USER, content: "${tenant.id}" }) { message { content } } }`,
    );
    expect(codesOf(answer)).toEqual(["NOT_FOUND"]);
    return "refused";
  },
  async ({ gateway, tenant }) =>
    dataOf(await as(tenant, gateway)('mutation { createSession(input: { name: "added" }) { session { name } } }')),
  async ({ gateway, tenant }) => {
    const attempt = gateway.app.context.clients.of(tenant.id).transact(async (tx) => {
      await tx.session.create({ data: { name: "rolled back" } });
      throw new Error("changed my mind");
    });
    await expect(attempt).rejects.toThrow("changed my mind");
    return "rolled back";
  },
  async ({ gateway, tenant }) => {
    const failing = tenantPool(gateway.app.context.pool, tenant.id).query({ text: "SELECT 1 / 0" });
    await expect(failing).rejects.toThrow("division by zero");
    return "failed";
  },
  async ({ gateway, tenant }) => {
    const sleeping = tenantPool(gateway.app.context.pool, tenant.id).query({ text: "SELECT pg_sleep(30)" });
    await expect(sleeping).rejects.toThrow("canceling statement due to user request");
    return "cancelled";
  },
];

function as({ key }: TestTenant, { url }: Process) {
  return sendTo(url, { "X-API-Key": key });
}
