import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { runUserCommand } from "../../src/cli/user.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { anId } from "../support/tenants.ts";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

async function* typed(...parts: string[]): AsyncGenerator<Buffer> {
  for (const part of parts) yield Buffer.from(part);
}

async function run(args: readonly string[], input = typed()): Promise<{ code: number; text: string }> {
  const lines: string[] = [];
  const code = await runUserCommand(args, app.app.context, (line) => void lines.push(line), input);
  return { code, text: lines.join("\n") };
}

describe("atrium user create", () => {
  test("adds a person with a role, and has the gateway invite them", async () => {
    const acme = await app.newTenant();
    const email = `${anId()}@example.com`;

    const { code, text } = await run([
      "create",
      ` ${email.toUpperCase()} `,
      ...["--tenant", acme.id.toUpperCase(), "--name", "Ada", "--role", "Owner", "--invite"],
    ]);
    const [user] = await acme.db.user.findMany();

    expect(code).toBe(0);
    expect(user).toMatchObject({ email, name: "Ada", role: "owner", passwordHash: null });
    expect(text).toContain(`Added ${email}, id ${user?.id ?? ""}, owner of ${acme.name}.`);
    expect((await app.mailbox.to(email)).token).toMatch(/^atr_m_/);
    expect(await acme.db.auditEvent.findMany()).toMatchObject([{ action: "user.create", actor: "platform" }]);
  });

  test("takes a password from the first line of standard input, however it arrives, and never shows it", async () => {
    const acme = await app.newTenant();

    const { text } = await run(
      ["create", "ada@example.com", "--tenant", acme.id, "--password-stdin"],
      typed("seven purple ", "gondolas drift\r\n", "and more"),
    );
    const [user] = await acme.db.user.findMany();

    expect(user?.passwordHash).toMatch(/^\$argon2id\$/);
    expect(user?.role).toBe("user");
    expect(text).not.toContain("gondolas");
  });

  test("says when somebody has no way in yet", async () => {
    const acme = await app.newTenant();

    expect((await run(["create", "ada@example.com", "--tenant", acme.id])).text).toContain("There is no password yet");
  });

  test("what goes wrong is said in words", async () => {
    const acme = await app.newTenant();
    const create = ["create", "ada@example.com", "--tenant"];

    await expect(run([...create, anId()])).rejects.toThrow("There is no tenant");
    await expect(run(["create", "ada", "--tenant", acme.id])).rejects.toThrow("is not an e-mail address");
    await expect(run([...create, acme.id, "--password-stdin"], typed("short\n"))).rejects.toThrow("input.password");
    await run([...create, acme.id]);
    await expect(run([...create, acme.id])).rejects.toThrow("exists already");
  });

  test.each<[string, string[]]>([
    ["nothing", []],
    ["an unknown word", ["explode"]],
    ["no address", ["create", "--tenant", "x"]],
    ["no tenant", ["create", "ada@example.com"]],
    ["two addresses", ["create", "ada@example.com", "eve@example.com", "--tenant", "x"]],
    ["an unknown role", ["create", "ada@example.com", "--tenant", "x", "--role", "king"]],
    ["a password among the arguments", ["create", "ada@example.com", "--tenant", "x", "--password", "secret"]],
  ])("%s is answered by how the command is written", async (_what, args) => {
    await expect(run(args)).rejects.toMatchObject({
      name: "UsageError",
      message: expect.stringContaining("atrium user create"),
    });
  });

  test("an empty standard input is no password", async () => {
    const acme = await app.newTenant();

    const refused = run(["create", "ada@example.com", "--tenant", acme.id, "--password-stdin"]);

    await expect(refused).rejects.toThrow("There is no password on standard input");
    expect(await acme.db.user.count()).toBe(0);
  });
});
