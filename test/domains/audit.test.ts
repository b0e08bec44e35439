import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf } from "../support/send.ts";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

test("the audit trail is for those who may administer the tenant", async () => {
  const acme = await app.newTenant();
  const reader = await acme.withScopes("SESSIONS_READ");

  expect(dataOf(await acme.send("{ auditEvents { totalCount nodes { id } } }"))).toEqual({
    auditEvents: { totalCount: 0, nodes: [] },
  });
  expect(codesOf(await reader("{ auditEvents { totalCount } }"))).toEqual(["FORBIDDEN"]);
});
