import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, test } from "@jest/globals";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import pg from "pg";
import { runAuditCommand } from "../../src/cli/audit.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { dataOf } from "../support/send.ts";
import { anId } from "../support/tenants.ts";
import type { TestTenant } from "../support/tenants.ts";

let app: TestApp;
let superuser: pg.Client;
let folder: string;
beforeAll(async () => {
  app = await startApp();
  superuser = new pg.Client({ connectionString: app.database.superuserUrl });
  await superuser.connect();
});
afterAll(async () => {
  await superuser.end();
  await app.close();
});
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), "atrium-anchor-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

async function run(...args: string[]): Promise<{ code: number; lines: string[] }> {
  const lines: string[] = [];
  const code = await runAuditCommand(args, app.app.context, (line) => lines.push(line));
  return { code, lines };
}

async function tenantWith(sessions: number): Promise<TestTenant> {
  const tenant = await app.newTenant();
  for (let number = 0; number < sessions; number += 1)
    dataOf(await tenant.send('mutation { createSession(input: { name: "s" }) { session { id } } }'));
  return tenant;
}

/** As somebody who owns the server, without a trace. */
async function tamper(statement: string): Promise<void> {
  await superuser.query(`SET session_replication_role = replica; ${statement}; SET session_replication_role = origin`);
}

describe("atrium audit verify", () => {
  test("prints for each tenant, suspended or not, how many events it has and the hash of the last", async () => {
    const [acme, globex] = [await tenantWith(2), await tenantWith(0)];
    await app.app.context.crossTenant.updateTenant(globex.id, { active: false });

    const { code, lines } = await run("verify");

    expect(code).toBe(0);
    expect(lines.find((line) => line.startsWith(acme.id))).toMatch(/ {2}ok {6}2 events {2}[0-9a-f]{64}$/);
    expect(lines.find((line) => line.startsWith(globex.id))).toMatch(/ {2}ok {6}0 events$/);
    expect(lines.at(-1)).toMatch(/^\d+ audit trails are as written\.$/);
  });

  test("names the tenant, the event and the position of what was changed, and fails", async () => {
    const [acme, globex] = [await tenantWith(3), await tenantWith(1)];
    const [, second] = await acme.db.auditEvent.findMany({ orderBy: { id: "asc" } });
    await tamper(`UPDATE audit_events SET actor = 'user:eve' WHERE id = '${second?.id}'`);

    const all = await run("verify");
    const one = await run("verify", "--tenant", acme.id.toUpperCase());
    const other = await run("verify", "--tenant", globex.id);
    await tamper(`DELETE FROM audit_events WHERE tenant_id = '${acme.id}';
      DELETE FROM atrium.audit_chain WHERE tenant_id = '${acme.id}'; DELETE FROM atrium.audit_heads WHERE tenant_id = '${acme.id}'`);

    expect(all.code).toBe(1);
    expect(all.lines).toContain(
      `${acme.id}  BROKEN  event ${second?.id} at position 2 was changed, or it stood elsewhere`,
    );
    expect(all.lines.at(-1)).toMatch(/^1 of \d+ audit trails are not as they were written\.$/);
    expect(one.code).toBe(1);
    expect(other).toMatchObject({ code: 0, lines: [expect.any(String), "", "1 audit trail is as written."] });
  });

  test("shows at most a hundred problems of one tenant, and counts the rest", async () => {
    const acme = await app.newTenant();
    await tamper(`INSERT INTO audit_events (tenant_id, action, actor)
      SELECT '${acme.id}', 'session.create', 'user:eve' FROM generate_series(1, 130)`);

    const { code, lines } = await run("verify", "--tenant", acme.id);
    await tamper(`DELETE FROM audit_events WHERE tenant_id = '${acme.id}'`);

    expect(code).toBe(1);
    expect(lines).toHaveLength(100 + 4);
    expect(lines).toContain(`${acme.id}  BROKEN  and 30 more`);
  });
});

describe("an anchor", () => {
  test("agrees with trails that only grew, and finds a tenant whose trail is gone", async () => {
    const [acme, globex] = [await tenantWith(2), await tenantWith(2)];
    const file = path.join(folder, "anchor");
    expect((await run("verify", "--write-anchor", file)).code).toBe(0);
    dataOf(await acme.send('mutation { createSession(input: { name: "s" }) { session { id } } }'));
    expect((await run("verify", "--anchor", file, "--write-anchor", file)).code).toBe(0);
    expect(readFileSync(file, "utf8")).toMatch(new RegExp(`^${acme.id} 3 [0-9a-f]{64}$`, "m"));

    await tamper(`DELETE FROM audit_events WHERE tenant_id = '${globex.id}';
      DELETE FROM atrium.audit_chain WHERE tenant_id = '${globex.id}'; DELETE FROM atrium.audit_heads WHERE tenant_id = '${globex.id}'`);

    expect((await run("verify")).code).toBe(0);
    const { code, lines } = await run("verify", "--anchor", file);
    expect(code).toBe(1);
    expect(lines).toContain(
      `${globex.id}  BROKEN  the trail ends at position 0, but had 2 events when it was anchored`,
    );
  });

  test("names tenants that are not there any more, and is not written over by what is broken", async () => {
    const file = path.join(folder, "anchor");
    const gone = `${anId()} 7 ${"a".repeat(64)}`;
    writeFileSync(file, `# comment\n${gone}\n`);

    const { code, lines } = await run("verify", "--anchor", file, "--write-anchor", file);

    expect(code).toBe(1);
    expect(lines).toContain(`${gone.slice(0, 36)}  BROKEN  the tenant was there when it was anchored, and is gone`);
    expect(lines.at(-1)).toContain("No anchor was written.");
    expect(readFileSync(file, "utf8")).toContain(gone);
  });

  test("that is missing or is none is an error, never an empty one", async () => {
    const file = path.join(folder, "anchor");
    await expect(run("verify", "--anchor", file)).rejects.toThrow("ENOENT");
    writeFileSync(file, "nonsense\n");
    await expect(run("verify", "--anchor", file)).rejects.toThrow(`${file} is no anchor: "nonsense"`);
  });
});

test.each([
  [[]],
  [["delete"]],
  [["verify", "more"]],
  [["verify", "--all"]],
  [["verify", "--tenant", anId(), "--write-anchor", "x"]],
])("%j is not understood, and the answer shows how it is written", async (args) => {
  await expect(run(...args)).rejects.toThrow("atrium audit verify [--tenant <id>]");
});

test("an unknown tenant is an error", async () => {
  await expect(run("verify", "--tenant", anId())).rejects.toThrow("There is no tenant");
});
