import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { readTrustedDocuments } from "../../src/resolvers/document-files.ts";
import { buildAtriumSchema } from "../../src/resolvers/index.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const get = (address: string): Promise<Response> => fetch(new URL(address, app.url));

describe("the pages where people sign in", () => {
  test.each(["sign-in", "forgot", "reset", "welcome", "verify"])(
    "has %s, which runs nothing but its own script",
    async (name) => {
      const answer = await get(`/account/${name}?tenant=x`);
      const html = await answer.text();

      expect(answer.status).toBe(200);
      expect(answer.headers.get("content-security-policy")).toContain(
        "default-src 'none'; script-src 'self'; style-src 'self'",
      );
      expect(answer.headers.get("referrer-policy")).toBe("no-referrer");
      expect(html).toContain(`data-page="${name}"`);
      expect(html).not.toMatch(/https?:|<script>|style=|onclick=/);
    },
  );

  test("ask the gateway for documents that it has, all of them, by their ids", async () => {
    const script = await (await get("/account/static/account.js")).text();
    const asked = [...script.matchAll(/"(account\/[a-z-]+)"/g)].map(([, id = ""]) => id);
    const { byKey } = readTrustedDocuments(["public/account/documents.json"], buildAtriumSchema());

    expect(asked).toHaveLength(7);
    expect(asked.sort()).toEqual([...byKey.keys()].sort());
  });

  test("sign somebody in by such an id", async () => {
    const acme = await app.newTenant();
    const headers = { "Content-Type": "application/json", "X-Tenant-ID": acme.id };
    const variables = { input: { email: "nobody@example.com", password: "a long enough password" } };
    const body = JSON.stringify({ documentId: "account/sign-in", variables });
    const answer = await fetch(app.url, { method: "POST", headers, body });

    expect(await answer.json()).toMatchObject({
      errors: [{ extensions: { code: "UNAUTHENTICATED" }, path: ["done"] }],
    });
  });

  test("are reached by links in mails", async () => {
    const acme = await app.newTenant();
    const create = "mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id } } }";
    await acme.send(create, { input: { email: "grace@example.com", sendInvitation: true } });
    const { text } = await app.mailbox.to("grace@example.com");
    const link = /http\S+/.exec(text)?.[0] ?? "";

    expect(new URL(link).pathname).toBe("/account/welcome");
    expect((await get(link)).status).toBe(200);
  });
});
