import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf, sendTo } from "../support/send.ts";
import type { Answer, Sender } from "../support/send.ts";
import type { TestTenant } from "../support/tenants.ts";

const ASK = "{ sessions { totalCount } }";
const USAGE = `query ($from: DateTime!, $to: DateTime!, $granularity: Granularity, $metrics: [UsageMetric!]) {
  usage(from: $from, to: $to, granularity: $granularity, metrics: $metrics) { metric start value }
}`;

interface UsageVariables {
  readonly from: string;
  readonly to: string;
  readonly granularity?: "HOUR" | "DAY" | "MONTH";
  readonly metrics?: readonly string[] | null;
}
interface Point {
  readonly metric: string;
  readonly start: string;
  readonly value: number | string;
}

let now = new Date();
let app: TestApp;
beforeAll(async () => {
  app = await startApp({}, { clock: { now: () => now } });
});
beforeEach(() => {
  now = new Date("2026-03-30T22:40:00Z");
});
afterAll(() => app.close());

async function usageOf(send: Sender, variables: UsageVariables): Promise<(readonly [string, string, string])[]> {
  const answer: Answer<{ usage: readonly Point[] }> = await send(USAGE, { ...variables });
  return dataOf(answer).usage.map(({ metric, start, value }) => [metric, start, String(value)]);
}

/** Sends so many requests, one after the other. @returns what they cost together. */
async function ask(send: Sender, times: number): Promise<number> {
  let cost = 0;
  for (let each = 0; each < times; each += 1) {
    const answer = await send(ASK);
    dataOf(answer);
    cost += costOf(answer);
  }
  return cost;
}

function costOf({ extensions }: Answer<unknown>): number {
  return Number(extensions?.["cost"]);
}

async function addFile({ db }: TestTenant, size: bigint, sessionId?: string): Promise<string> {
  const { id } = await db.file.create({ data: { filename: "f", filepath: "f", size, sessionId: sessionId ?? null } });
  return id;
}

const today = { from: "2026-03-30T00:00:00Z", to: "2026-03-31T00:00:00Z" } as const;

describe("usage", () => {
  test("is in the answer as soon as it happened, and is the tenant's own", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const cost = await ask(acme.send, 3);
    await ask(globex.send, 1);
    const asked = await acme.send<{ usage: readonly Point[] }>(USAGE, {
      ...today,
      metrics: ["COMPLEXITY", "REQUESTS"],
    });

    // Whoever asks is a request as well, and has its price.
    expect(dataOf(asked).usage).toEqual([
      { metric: "REQUESTS", start: "2026-03-30T00:00:00.000Z", value: 4 },
      { metric: "COMPLEXITY", start: "2026-03-30T00:00:00.000Z", value: cost + costOf(asked) },
    ]);
    expect(cost).toBeGreaterThan(0);
    // The platform's administrator is a client of the tenant that is named.
    const asPlatform: Sender = (document, variables) => app.platform(document, variables, { "X-Tenant-ID": globex.id });
    expect(await usageOf(asPlatform, { ...today, metrics: ["REQUESTS"] })).toEqual([
      ["REQUESTS", "2026-03-30T00:00:00.000Z", "2"],
    ]);
  });

  test("is added up by hour, day and month in UTC, by metric and time, without periods that had none", async () => {
    const acme = await app.newTenant();
    await ask(acme.send, 2);
    now = new Date("2026-03-30T23:00:00Z");
    await ask(acme.send, 1);
    now = new Date("2026-04-01T00:00:00Z");
    await ask(acme.send, 4);
    const span = { from: "2026-03-30T22:59:59.999Z", to: "2026-04-01T00:00:00.001Z" };
    const starts = async (granularity: "HOUR" | "DAY" | "MONTH") => {
      const points = await usageOf(acme.send, { ...span, granularity, metrics: ["REQUESTS"] });
      return points.map(([, start, value]) => [start, Number(value)]);
    };

    expect(await starts("HOUR")).toEqual([
      ["2026-03-30T22:00:00.000Z", 2],
      ["2026-03-30T23:00:00.000Z", 1],
      ["2026-04-01T00:00:00.000Z", 5],
    ]);
    expect(await starts("DAY")).toEqual([
      ["2026-03-30T00:00:00.000Z", 3],
      ["2026-04-01T00:00:00.000Z", 6],
    ]);
    expect(await starts("MONTH")).toEqual([
      ["2026-03-01T00:00:00.000Z", 3],
      ["2026-04-01T00:00:00.000Z", 7],
    ]);
    const all = await usageOf(acme.send, { ...span, granularity: "DAY" });
    expect(all.map(([metric]) => metric)).toEqual([
      ...["REQUESTS", "REQUESTS", "COMPLEXITY", "COMPLEXITY"],
      // A level is known for the day that it is asked for on.
      "STORAGE_BYTES",
    ]);
  });

  test("is of whole periods that have a part in the time asked for, whose end does not count", async () => {
    const acme = await app.newTenant();
    await ask(acme.send, 1);
    const hours = async (from: string, to: string) =>
      (await usageOf(acme.send, { from, to, granularity: "HOUR", metrics: ["COMPLEXITY"] })).length;

    expect(await hours("2026-03-30T22:59:00Z", "2026-03-30T22:59:01Z")).toBe(1);
    expect(await hours("2026-03-30T22:00:00Z", "2026-03-30T22:00:00.001Z")).toBe(1);
    expect(await hours("2026-03-30T21:00:00Z", "2026-03-30T22:00:00Z")).toBe(0);
    expect(await hours("2026-03-30T23:00:00Z", "2026-03-31T00:00:00Z")).toBe(0);
  });

  test("has at most 1,000 points, of a time that has a length", async () => {
    const { send } = await app.newTenant();
    const from = "2026-01-01T00:00:00Z";
    const thousandHours = "2026-02-11T16:00:00Z";
    const problem = async (variables: UsageVariables) => {
      const [error] = (await send(USAGE, { ...variables })).errors ?? [];
      return [error?.extensions["code"], error?.message];
    };
    const tooMany = (points: number): unknown =>
      expect.stringMatching(new RegExp(`${points} points; at most 1000 are given: ask for less time`));

    expect(await usageOf(send, { from, to: thousandHours, granularity: "HOUR", metrics: ["TOOL_CALLS"] })).toEqual([]);
    expect(
      await problem({ from, to: "2026-02-11T16:00:00.001Z", granularity: "HOUR", metrics: ["TOOL_CALLS"] }),
    ).toEqual(["BAD_USER_INPUT", tooMany(1001)]);
    expect(await problem({ from, to: thousandHours, granularity: "HOUR" })).toEqual(["BAD_USER_INPUT", tooMany(7000)]);
    expect(await problem({ from: "0001-01-01T00:00:00Z", to: "9999-12-31T23:59:59Z", granularity: "MONTH" })).toEqual([
      "BAD_USER_INPUT",
      expect.anything(),
    ]);
    for (const to of [from, "2025-12-31T23:59:59Z"])
      expect(await problem({ from, to })).toEqual(["BAD_USER_INPUT", expect.stringContaining("is not before `to`")]);
    expect(await usageOf(send, { from, to: thousandHours, granularity: "HOUR", metrics: [] })).toEqual([]);
    expect(await usageOf(send, { ...today, metrics: ["TOOL_CALLS", "REQUESTS", "REQUESTS"] })).toHaveLength(1);
  });

  test("is for those who may administer the tenant", async () => {
    const acme = await app.newTenant();
    const reader = await acme.withScopes("SESSIONS_READ");

    expect(codesOf(await reader(USAGE, today))).toEqual(["FORBIDDEN"]);
  });

  test("does not count what was refused before it was anybody's, nor the price of what was not executed", async () => {
    const acme = await app.newTenant();
    await sendTo(app.url, { "X-API-Key": "atr_nonsense" })(ASK);
    await acme.send("{ nothing }");
    await acme.send(ASK, {}, { "X-Cost-Only": "true" });
    const asked = await acme.send<{ usage: readonly Point[] }>(USAGE, {
      ...today,
      metrics: ["REQUESTS", "COMPLEXITY"],
    });

    expect(dataOf(asked).usage.map(({ value }) => value)).toEqual([3, costOf(asked)]);
  });
});

describe("storage", () => {
  const storage = (send: Sender, from: string, to: string) =>
    usageOf(send, { from, to, metrics: ["STORAGE_BYTES"] }).then((points) =>
      points.map(([, start, value]) => [start.slice(0, 10), Number(value)]),
    );

  test("is the level at each period's end, and now: it stays until files change", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    await addFile(globex, 7_000n);
    const session = await acme.db.session.create({ data: { name: "s" } });
    const [first] = [await addFile(acme, 5_000_000_000n), await addFile(acme, 30n, session.id)];
    await addFile(acme, 2n);
    expect(await storage(acme.send, "2026-03-29T00:00:00Z", "2026-04-02T00:00:00Z")).toEqual([
      ["2026-03-30", 5_000_000_032],
    ]);
    dataOf(await acme.send(`mutation { deleteFile(id: "${first}") { deletedId } }`));
    now = new Date("2026-04-02T08:00:00Z");
    dataOf(await acme.send(`mutation { deleteSession(id: "${session.id}", hard: true) { deletedId } }`));

    const expected = [
      ["2026-03-30", 32],
      ["2026-03-31", 32],
      ["2026-04-01", 32],
      ["2026-04-02", 2],
    ];
    expect(await storage(acme.send, "2026-03-28T00:00:00Z", "2026-04-05T00:00:00Z")).toEqual(expected);
    // What was the level before the time that is asked for counts there as well.
    expect(await storage(acme.send, "2026-04-01T12:00:00Z", "2026-04-05T00:00:00Z")).toEqual(expected.slice(2));
  });

  test("is right after files were deleted at the same time", async () => {
    const acme = await app.newTenant();
    const ids = await Promise.all(Array.from({ length: 12 }, () => addFile(acme, 10n)));
    await addFile(acme, 5n);
    await Promise.all(
      ids.map(async (id, index) => {
        // Some of them see the next hour already.
        if (index === 6) now = new Date("2026-03-30T23:00:00Z");
        return dataOf(await acme.send(`mutation { deleteFile(id: "${id}") { deletedId } }`));
      }),
    );

    const notes = await acme.db.usageCount.findMany({ where: { metric: "storage_bytes" }, orderBy: { hour: "desc" } });
    expect(notes[0]?.value).toBe(5n);
  });
});
