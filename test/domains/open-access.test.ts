import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { PLATFORM_KEY, startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf, sendTo } from "../support/send.ts";
import type { Sender } from "../support/send.ts";

const ASK = "{ sessions { totalCount } }";
const WHO = "{ openAccess { client via requests firstSeenAt lastSeenAt } }";
const CLIENTS_MAX = 100;

interface Row {
  readonly client: string;
  readonly via: string;
  readonly requests: number;
  readonly firstSeenAt: string;
  readonly lastSeenAt: string;
}

let now = new Date();
let app: TestApp;
beforeAll(async () => {
  app = await startApp({ OPEN_ACCESS_DEPRECATED: "on" }, { clock: { now: () => now } });
});
beforeEach(() => {
  now = new Date("2026-03-30T22:40:00Z");
});
afterAll(() => app.close());

/** Somebody without a credential, who names a tenant and himself. */
function stranger(tenantId: string, headers: Readonly<Record<string, string>> = {}): Sender {
  return sendTo(app.url, { "X-Tenant-ID": tenantId, "User-Agent": "", ...headers });
}

async function whoCame(send: Sender): Promise<(readonly [string, string, number])[]> {
  const rows = dataOf(await send<{ openAccess: readonly Row[] }>(WHO)).openAccess;
  return rows.map(({ client, via, requests }) => [client, via, requests]);
}

describe("clients without a credential", () => {
  test("are counted for the tenant that they came to, by how they call themselves, the latest first", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    await stranger(acme.id, { "apollographql-client-name": "old web", "User-Agent": "Mozilla/5.0" })(ASK);
    now = new Date("2026-03-31T00:00:00Z");
    await stranger(acme.id, { "User-Agent": "nightly-report/2.1 (linux)" })(ASK);
    now = new Date("2026-04-01T00:00:00Z");
    await stranger(acme.id, { "apollographql-client-name": "old web" })(ASK);
    await stranger(globex.id)(ASK);

    expect(dataOf(await acme.send(WHO))).toEqual({
      openAccess: [
        { client: "old web", via: "HEADER", requests: 2, firstSeenAt: "2026-03-30T22:40:00.000Z", lastSeenAt: "2026-04-01T00:00:00.000Z" },
        { client: "nightly-report", via: "HEADER", requests: 1, firstSeenAt: "2026-03-31T00:00:00.000Z", lastSeenAt: "2026-03-31T00:00:00.000Z" },
      ],
    }); // prettier-ignore
    expect(await whoCame(globex.send)).toEqual([["unknown", "HEADER", 1]]);
  });

  test("that name no tenant are counted for the default one", async () => {
    await app.anonymous(ASK, {}, { "apollographql-client-name": "nobody's" });

    // The platform's administrator, naming no tenant, is in the default one as well, and is not counted.
    expect(await whoCame(app.platform)).toEqual([["nobody's", "DEFAULT", 1]]);
  });

  test("are not those who show one, ask for a way to sign in, or are refused", async () => {
    const acme = await app.newTenant();
    await acme.send(ASK);
    await acme.send(ASK, {}, { "X-Tenant-ID": acme.id });
    await sendTo(app.url, { "X-API-Key": PLATFORM_KEY, "X-Tenant-ID": acme.id })(ASK);
    await stranger(acme.id, { "X-API-Key": "atr_nonsense" })(ASK);
    await stranger(acme.id)('mutation { requestPasswordReset(email: "nobody@example.org") }');

    expect(await whoCame(acme.send)).toEqual([]);
  });

  test("cannot fill the database with names, nor put anything into them that does not print", async () => {
    const acme = await app.newTenant();
    const said = (name: string) => stranger(acme.id, { "apollographql-client-name": name })(ASK);
    // Some of them before the others are written, the rest after.
    for (let each = 0; each < CLIENTS_MAX + 10; each += 1) {
      await said(`client ${each}`);
      if (each === CLIENTS_MAX / 2) await app.app.context.meters.flush();
    }
    await said("client 3");
    await said("x".repeat(5_000));
    const found = new Map((await whoCame(acme.send)).map(([client, , requests]) => [client, requests]));

    expect(found.size).toBe(CLIENTS_MAX + 1);
    expect([found.get("client 3"), found.get("others")]).toEqual([2, 11]);
    const globex = await app.newTenant();
    await stranger(globex.id, { "apollographql-client-name": 'caf\u00e9\u0001 {}"' })(ASK).catch(() => undefined);
    await stranger(globex.id, { "apollographql-client-name": "x".repeat(5_000) })(ASK);
    for (const [client] of await whoCame(globex.send)) expect(client).toMatch(/^[\x20-\x7e]{1,100}$/);
  });

  test("are shown to those who may administer the tenant", async () => {
    const acme = await app.newTenant();
    const reader = await acme.withScopes("SESSIONS_READ");

    expect(codesOf(await reader(WHO))).toEqual(["FORBIDDEN"]);
    expect(codesOf(await stranger(acme.id)(WHO))).toEqual(["FORBIDDEN"]);
  });
});

describe("where the operator says so, an answer without a credential tells since when that is deprecated", () => {
  test("and no other answer does", async () => {
    const acme = await app.newTenant();
    const open = await stranger(acme.id)(ASK);
    const ways = [
      await app.anonymous(ASK),
      await acme.send(ASK),
      await stranger(acme.id)('mutation { requestPasswordReset(email: "nobody@example.org") }'),
    ];

    expect(open.headers.get("deprecation")).toMatch(/^@1\d{9}$/); // RFC 9745, 2.1
    expect(ways.map(({ headers }) => headers.has("deprecation"))).toEqual([true, false, false]);
  });

  test("and nobody is told where the operator does not", async () => {
    const quiet = await startApp();

    expect((await quiet.anonymous(ASK)).headers.has("deprecation")).toBe(false);
    await quiet.close();
  });
});
