import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { parse, validate } from "graphql";
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

  test("ask the gateway for operations that it has, with the selections that it takes", async () => {
    const script = await (await get("/account/static/account.js")).text();
    const person = /const PERSON = "([^"]*)"/.exec(script)?.[1] ?? "";
    const operations = [...script.matchAll(/["`](mutation [^"`]*)["`]/g)].map(([, text = ""]) =>
      text.replace("${PERSON}", person),
    );
    const schema = buildAtriumSchema();

    expect(operations).toHaveLength(7);
    for (const operation of operations) expect(validate(schema, parse(operation))).toEqual([]);
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
