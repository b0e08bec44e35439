import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { UsageError } from "../../src/cli/command.ts";
import { runTokenCommand } from "../../src/cli/token.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { addPerson, REFRESH, signIn, WHO, withToken } from "../support/door.ts";
import type { Auth } from "../support/door.ts";
import { dataOf } from "../support/send.ts";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

async function run(...args: string[]): Promise<{ code: number; text: string }> {
  const lines: string[] = [];
  const code = await runTokenCommand(args, app.app.context, (line) => void lines.push(line));
  return { code, text: lines.join("\n") };
}

const published = async () => (await app.app.context.accounts.tokens.publicKeys()).keys.map(({ kid }) => String(kid));

describe("atrium token rotate", () => {
  test("publishes a new key and signs nobody out", async () => {
    const acme = await app.newTenant();
    await addPerson(acme);
    const { accessToken } = await signIn(app.url, acme.id);
    const before = await published();

    const { code, text } = await run("rotate");

    const added = (await published()).filter((kid) => !before.includes(kid));
    expect(code).toBe(0);
    expect(added).toHaveLength(1);
    expect(text).toContain(`Key ${added[0] ?? ""} is published`);
    expect((await withToken(app.url, accessToken)(WHO)).status).toBe(200);
  });

  test("with --drop-old, refuses what older keys signed at once, and refresh tokens go on", async () => {
    const acme = await app.newTenant();
    await addPerson(acme);
    const { accessToken, refreshToken } = await signIn(app.url, acme.id);

    const { code } = await run("rotate", "--drop-old");

    expect(code).toBe(0);
    expect(await published()).toHaveLength(1);
    expect((await withToken(app.url, accessToken)(WHO)).status).toBe(401);
    const { auth } = dataOf(await app.anonymous<Auth>(REFRESH, { token: refreshToken }));
    expect((await withToken(app.url, auth.accessToken)(WHO)).status).toBe(200);
  });

  test.each([[[]], [["rotat"]], [["rotate", "--all"]], [["rotate", "now"]]])("%j is not understood", async (args) => {
    await expect(run(...args)).rejects.toThrow(UsageError);
  });
});
