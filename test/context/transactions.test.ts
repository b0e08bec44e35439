import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { TenantDb } from "../../src/context/tenant-client.ts";
import { newTenant, openGateway } from "../isolation/support/gateway.ts";
import type { Gateway } from "../isolation/support/gateway.ts";

let gateway: Gateway;
beforeAll(async () => {
  gateway = await openGateway({});
});
afterAll(() => gateway.close());

test("of two transactions that wait for each other both happen, and the one that PostgreSQL ended leaves nothing of its first attempt", async () => {
  const { db, transact } = gateway.context.clients.of(await newTenant(gateway.context));
  const [one, two] = await Promise.all([
    db.session.create({ data: { name: "" } }),
    db.session.create({ data: { name: "" } }),
  ]);
  const attempts: string[] = [];
  let locked = 0;
  let meet: () => void = () => undefined;
  const both = new Promise<void>((resolve) => (meet = resolve));

  async function changeBoth(tx: TenantDb, by: string, ids: readonly string[]): Promise<void> {
    attempts.push(by);
    await tx.message.create({ data: { sessionId: one.id, role: "user", content: by } });
    for (const id of ids) {
      const { name } = await tx.session.update({ where: { id }, data: { name: { set: by } } });
      expect(name).toBe(by);
      locked += 1;
      if (locked === 2) meet();
      await both;
    }
  }
  await Promise.all([
    transact((tx) => changeBoth(tx, "first", [one.id, two.id])),
    transact((tx) => changeBoth(tx, "second", [two.id, one.id])),
  ]);

  expect(attempts).toHaveLength(3);
  expect((await db.message.findMany({ orderBy: { content: "asc" } })).map(({ content }) => content)).toEqual([
    "first",
    "second",
  ]);
});
