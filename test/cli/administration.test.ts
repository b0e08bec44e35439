import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { runKeyCommand } from "../../src/cli/key.ts";
import { runTenantCommand } from "../../src/cli/tenant.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf, sendTo } from "../support/send.ts";
import type { Answer } from "../support/send.ts";
import { anId } from "../support/tenants.ts";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const KEY = /^atr_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}$/;
const ID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

async function run(command: "tenant" | "key", ...args: string[]): Promise<{ code: number; lines: string[] }> {
  const lines: string[] = [];
  const print = (line: string) => void lines.push(line);
  const code = await (command === "tenant" ? runTenantCommand : runKeyCommand)(args, app.app.context, print);
  return { code, lines };
}

function idIn(lines: readonly string[]): string {
  return ID.exec(lines.join("\n"))?.[0] ?? "";
}

function ask(key: string | undefined): Promise<Answer> {
  return sendTo(app.url, { "X-API-Key": key ?? "" })("{ tenantContext { scopes tenant { name plan schemaName } } }");
}

/** The first answer that is not refused with `code`, or the last refusal; a change takes at most a second to reach a server. */
async function settled(key: string | undefined, isExpected: (answer: Answer) => boolean): Promise<Answer> {
  const deadline = performance.now() + 1_000;
  for (;;) {
    const answer = await ask(key);
    if (isExpected(answer) || performance.now() > deadline) return answer;
  }
}

describe("atrium tenant", () => {
  test("create prints the tenant's id and a key that works, last", async () => {
    const { code, lines } = await run(
      "tenant",
      "create",
      "Made by hand",
      "--plan",
      "pro",
      "--schema-name",
      "by_hand",
      "--owner-email",
      "Ada@Example.com",
    );

    expect(code).toBe(0);
    expect(lines.at(-1)).toMatch(KEY);
    expect(dataOf(await ask(lines.at(-1)))).toMatchObject({
      tenantContext: { tenant: { name: "Made by hand", plan: "PRO", schemaName: "by_hand" } },
    });
    const people = await app.app.context.clients
      .of(idIn(lines))
      .db.user.findMany({ select: { email: true, role: true } });
    expect(people).toEqual([{ email: "ada@example.com", role: "owner" }]);
  });

  test("list shows every tenant on a line, beyond one page, or those whose name contains a text", async () => {
    const mark = anId();
    for (let number = 0; number < 101; number += 1) await app.newTenant();
    await run("tenant", "create", `${mark} A`);
    await run("tenant", "create", `${mark} B`);

    const all = await run("tenant", "list");
    const some = await run("tenant", "list", "--search", mark);

    expect(all.lines.length).toBeGreaterThan(103);
    expect(new Set(all.lines).size).toBe(all.lines.length);
    expect(some.lines).toEqual([expect.stringContaining(`${mark} A`), expect.stringContaining(`${mark} B`)]);
    expect(some.lines[0]).toMatch(/active +free/);
  });

  test("suspend ends a tenant's requests, and resume admits them again", async () => {
    const { lines } = await run("tenant", "create", "On and off");
    const id = idIn(lines);
    dataOf(await ask(lines.at(-1)));

    const suspended = await run("tenant", "suspend", id);
    const refused = await settled(lines.at(-1), (answer) => codesOf(answer).length > 0);
    const resumed = await run("tenant", "resume", id.toUpperCase());
    const admitted = await settled(lines.at(-1), (answer) => codesOf(answer).length === 0);

    expect(suspended).toEqual({ code: 0, lines: ["On and off is suspended."] });
    expect(codesOf(refused)).toEqual(["TENANT_INACTIVE"]);
    expect(resumed).toEqual({ code: 0, lines: ["On and off is active."] });
    expect(codesOf(admitted)).toEqual([]);
  });

  test("what goes wrong is said in words, and a name that is taken is one of these things", async () => {
    await run("tenant", "create", "Taken");

    await expect(run("tenant", "create", "Taken")).rejects.toThrow("exists already");
    await expect(run("tenant", "create", "X", "--owner-email", "ada")).rejects.toThrow("is not an e-mail address");
    await expect(run("tenant", "suspend", anId())).rejects.toThrow("Tenant not found");
    await expect(run("tenant", "suspend", "Taken")).rejects.toThrow("Tenant not found");
  });

  test.each([
    ["nothing", []],
    ["an unknown word", ["explode"]],
    ["a later version's word", ["delete", "x"]],
    ["create without a name", ["create"]],
    ["a name without quotes", ["create", "Two", "Words"]],
    ["an unknown plan", ["create", "X", "--plan", "gold"]],
    ["an unknown option", ["create", "X", "--colour", "red"]],
    ["list with a word", ["list", "all"]],
    ["resume without an id", ["resume"]],
  ])("%s is answered by how the command is written", async (_what, args) => {
    await expect(run("tenant", ...args)).rejects.toMatchObject({
      name: "UsageError",
      message: expect.stringContaining("atrium tenant"),
    });
  });
});

describe("atrium key", () => {
  test("create prints the key's id and its text, last; it has the scopes asked for", async () => {
    const acme = await app.newTenant();

    const some = await run(
      "key",
      "create",
      "--tenant",
      acme.id,
      "--scopes",
      "sessions_read,FILES_READ",
      "--name",
      "nightly",
    );
    const all = await run("key", "create", "--tenant", acme.id, "--scopes", "all", "--expires-in-days", "1");

    expect(some.lines.at(-1)).toMatch(KEY);
    expect(dataOf(await ask(some.lines.at(-1)))).toMatchObject({
      tenantContext: { scopes: ["SESSIONS_READ", "FILES_READ"] },
    });
    expect(dataOf(await ask(all.lines.at(-1)))).toMatchObject({ tenantContext: { tenant: { name: acme.name } } });
    expect(all.lines[0]).toContain("expires 20");
    expect((await acme.db.auditEvent.findMany({ select: { action: true, actor: true } })).at(0)).toEqual({
      action: "api_key.create",
      actor: "platform",
    });
  });

  test("revoke ends the key of the tenant that is named, and no other's", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const { lines } = await run("key", "create", "--tenant", acme.id, "--scopes", "all");
    const id = idIn(lines);

    await expect(run("key", "revoke", id, "--tenant", globex.id)).rejects.toThrow("API key not found");
    await expect(run("key", "revoke", "x", "--tenant", acme.id)).rejects.toThrow("API key not found");
    await expect(run("key", "revoke", id, "--tenant", anId())).rejects.toThrow("There is no tenant");
    expect(codesOf(await ask(lines.at(-1)))).toEqual([]);
    expect((await run("key", "revoke", id, "--tenant", acme.id)).code).toBe(0);
    expect(codesOf(await settled(lines.at(-1), (answer) => codesOf(answer).length > 0))).toEqual(["UNAUTHENTICATED"]);
  });

  test.each([
    ["nothing", []],
    ["no tenant", ["create", "--scopes", "all"]],
    ["no scopes", ["create", "--tenant", anId()]],
    ["an unknown scope", ["create", "--tenant", anId(), "--scopes", "everything"]],
    ["a day that is no number", ["create", "--tenant", anId(), "--scopes", "all", "--expires-in-days", "soon"]],
    ["revoke without a key", ["revoke", "--tenant", anId()]],
    ["revoke without a tenant", ["revoke", anId()]],
  ])("%s is answered by how the command is written", async (_what, args) => {
    await expect(run("key", ...args)).rejects.toMatchObject({
      name: "UsageError",
      message: expect.stringContaining("atrium key"),
    });
  });
});
