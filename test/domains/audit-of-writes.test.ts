import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { buildAtriumSchema } from "../../src/resolvers/index.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { personOf } from "../support/people.ts";
import { codesOf, dataOf } from "../support/send.ts";
import { CANARY, WRITES } from "../support/writes.ts";

/**
 * What the trail does not have: an access token lives for a quarter of an hour, so renewals would fill it and tell nothing that the sign-in
 * and its end do not. A renewal that is seen twice is in it.
 */
const UNRECORDED = ["refreshToken"];

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

test("every mutation of the schema has its case here", () => {
  const mutations = Object.keys(buildAtriumSchema().getMutationType()?.getFields() ?? {});

  expect([...Object.keys(WRITES), ...UNRECORDED].toSorted()).toEqual(mutations.toSorted());
});

describe("the audit trail has who did it and what, and none of the contents, after", () => {
  test.each(Object.entries(WRITES))(
    "%s",
    async (mutation, { action, ask, prepare, isPlatforms, isPersons, isOwners, isDoor }) => {
      const acme = await app.newTenant();
      const role = isOwners ? "owner" : "user";
      const send = isPersons ? (await personOf(app, acme, { role })).send : acme.send;
      const { id } = (await prepare?.(acme)) ?? { id: "" };
      const answer = await (isPlatforms ? app.platform : send)<{ done: { tenant?: { id: string } } }>(
        `mutation { done: ${mutation}${ask(id)} }`,
      );

      // A tenant's trail is its own: that of a tenant just made is in that tenant.
      const tenantId = dataOf(answer).done.tenant?.id ?? acme.id;
      const events = await app.app.context.clients.of(tenantId).db.auditEvent.findMany();
      const found = events.filter((event) => event.action === action);
      expect(found).toHaveLength(1);
      const person = isDoor ? /^user:[0-9a-f-]{36}$|^system:sign-in$/ : /^user:[0-9a-f-]{36}$/;
      const actor = isPersons || isDoor ? person : /^api_key:[0-9a-f-]{36}$/;
      expect(found[0]?.actor).toMatch(isPlatforms ? /^platform/ : actor);
      expect(found[0]?.ip).toMatch(/127\.0\.0\.1$/);
      expect(found[0]?.requestId).toMatch(/^[\w-]{8,64}$/);
      expect(JSON.stringify(events)).not.toContain(CANARY);
    },
  );
});

describe("the audit trail has the refusal, and nothing of what did not happen:", () => {
  const refusable = Object.entries(WRITES).filter(([, { isPlatforms, isDoor }]) => !isPlatforms && !isDoor);

  test.each(refusable)("%s by somebody without the scope", async (mutation, { ask, prepare }) => {
    const acme = await app.newTenant();
    const { id } = (await prepare?.(acme)) ?? { id: "" };
    const powerless = await acme.withScopes();

    expect(codesOf(await powerless(`mutation { done: ${mutation}${ask(id)} }`))).toEqual(["FORBIDDEN"]);
    await app.app.context.accounts.refusals.flush();
    expect(await acme.db.auditEvent.findMany()).toMatchObject([
      {
        action: "access.refused",
        actor: expect.stringMatching(/^api_key:/),
        requestId: expect.any(String),
        details: { operation: `Mutation.${mutation}`, code: "FORBIDDEN", count: 1 },
      },
    ]);
  });
});
