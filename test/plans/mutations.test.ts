import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { SCRIPTS } from "./support/scripts.ts";
import { openTwin, timeOfTwins } from "./support/twins.ts";
import type { Twin } from "./support/twins.ts";

let fast: Twin;
let plain: Twin;
beforeAll(async () => {
  const now = timeOfTwins();
  [fast, plain] = await Promise.all([openTwin("on", now), openTwin("off", now)]);
});
afterAll(() => Promise.all([fast.close(), plain.close()]));

describe("the same answers and the same rows in every table come, on the fast path and without it, of", () => {
  test.each(Object.entries(SCRIPTS))("%s", async (_what, script) => {
    const [left, right] = await Promise.all([fast.play(script), plain.play(script)]);

    expect(left).toEqual(right);
    expect(left.answers.length).toBeGreaterThan(2);
  });

  test("calls of which most ran by a plan", () => {
    const { taken, passed } = fast.app.app.context.clients.plans.counts();

    expect(taken).toBeGreaterThan(passed);
    expect(plain.app.app.context.clients.plans.counts()).toMatchObject({ taken: 0, compiled: 0 });
  });
});
