import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { personOf } from "../support/people.ts";
import { codesOf } from "../support/send.ts";
import { anId } from "../support/tenants.ts";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

test("nobody's mailbox is flooded by moving a person there and away again", async () => {
  const acme = await app.newTenant();
  const { id } = await personOf(app, acme, { role: "user" });
  const victim = `${anId()}@example.com`;
  const move = async (email: string): Promise<unknown[]> =>
    codesOf(
      await acme.send("mutation ($input: UpdateUserInput!) { updateUser(input: $input) { user { id } } }", {
        input: { id, email },
      }),
    );

  const codes = [];
  for (let round = 0; round < 3; round += 1)
    for (const email of [victim, `${anId()}@example.com`]) codes.push((await move(email))[0] ?? "moved");

  expect(codes).toEqual(["moved", "moved", "moved", "moved", "moved", "RATE_LIMITED"]);
  expect(await acme.db.user.findUnique({ where: { id } })).toMatchObject({ email: victim });
});
