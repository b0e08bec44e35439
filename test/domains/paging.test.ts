import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { getNamedType, isObjectType } from "graphql";
import pg from "pg";
import { buildAtriumSchema } from "../../src/resolvers/index.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf } from "../support/send.ts";
import { LISTS, newSession, pageOf } from "./paging-lists.ts";
import type { TestTenant } from "../support/tenants.ts";
import type { Connection, ListCase, OpenList, PageVariables } from "./paging-lists.ts";

const RUNS = 5;
const TIME_MAX_MS = 60_000;
const WALK_MAX = 100; // rows; no walk here has that many to meet
const BAD = ["BAD_USER_INPUT"];
const CASES = LISTS.map((list) => [[list.field, list.variant].filter(Boolean).join(" "), list] as const);

// Few different keys, so that most rows share theirs with others.
const keys = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 9 });
const size = fc.integer({ min: 1, max: 4 });

let app: TestApp;
let acme: TestTenant;
let sessionId: string;
/** A cursor of each list: of one session and another one, and of another tenant. */
const cursors: { list: ListCase; tenant: TestTenant; sessionId: string; cursor: string }[] = [];
beforeAll(async () => {
  app = await startApp();
  acme = await app.newTenant();
  sessionId = await newSession(acme);
  const globex = await app.newTenant();
  const owners = [
    { tenant: acme, sessionId },
    { tenant: acme, sessionId: await newSession(acme) },
    { tenant: globex, sessionId: await newSession(globex) },
  ];
  for (const owner of owners) {
    for (const list of LISTS) {
      const open = await list.open(app, owner.tenant, owner.sessionId);
      await open.add([1]);
      cursors.push({ ...owner, list, cursor: pageOf(await open.send({ first: 1 })).edges[0]?.cursor ?? "" });
    }
  }
}, TIME_MAX_MS);
afterAll(() => app.close());

test("every connection of the schema has its case here", () => {
  const fields = Object.values(buildAtriumSchema().getTypeMap()).flatMap((type) =>
    isObjectType(type)
      ? Object.values(type.getFields())
          .filter((field) => getNamedType(field.type).name.endsWith("Connection"))
          .map((field) => `${type.name}.${field.name}`)
      : [],
  );

  expect([...new Set(LISTS.map((list) => list.field))].sort()).toEqual(fields.sort());
});

describe.each(CASES)("%s", (_name, list) => {
  test(
    "walks forward and backward meet every row once, in order, whatever the size of the pages",
    () =>
      property(
        fc.asyncProperty(keys, size, async (rows, pageSize) => {
          const open = await list.open(app, await app.newTenant());
          await open.add(rows);
          const ids = await open.ids();

          expect(await walk(open, "forward", pageSize, ids)).toEqual(ids);
          expect(await walk(open, "backward", pageSize, ids)).toEqual(ids);
        }),
      ),
    TIME_MAX_MS,
  );

  test(
    "rows that are added between two pages shift nothing",
    () =>
      property(
        fc.asyncProperty(keys, keys, size, fc.boolean(), async (rows, added, pageSize, isForward) => {
          const open = await list.open(app, await app.newTenant());
          await open.add(rows);
          const before = await open.ids();
          const seen = await walk(open, isForward ? "forward" : "backward", pageSize, undefined, async () => {
            const next = added.pop();
            if (next !== undefined) await open.add([next]);
          });
          const after = await open.ids();

          expect(new Set(seen).size).toBe(seen.length);
          expect(seen).toEqual(after.filter((id) => seen.includes(id)));
          expect(seen).toEqual(expect.arrayContaining(before));
        }),
      ),
    TIME_MAX_MS,
  );

  test("20 rows are a page when nothing is said, 100 the most, and 0 none; all count the same", async () => {
    const open = await list.open(app, await app.newTenant());
    await open.add(Array.from({ length: 101 }, (_, index) => index % 7));
    const ids = await open.ids();

    const pages = [
      [{}, ids.slice(0, 20)],
      [{ first: null, last: null }, ids.slice(0, 20)],
      [{ first: 100 }, ids.slice(0, 100)],
      [{ last: 100 }, ids.slice(-100)],
      [{ first: 0 }, []],
      [{ last: 0 }, []],
    ] as const;
    for (const [variables, expected] of pages) {
      const page = pageOf(await open.send(variables));
      expect(page.nodes.map((node) => node.id)).toEqual(expected);
      expect(page.totalCount).toBe(ids.length);
    }
  });

  test("a size out of bounds, and both directions at once, are refused", async () => {
    const open = await list.open(app, await app.newTenant());
    await open.add([1]);
    const cursor = pageOf(await open.send({ first: 1 })).edges[0]?.cursor ?? "";

    const refused: PageVariables[] = [
      { first: -1 },
      { first: 101 },
      { last: -1 },
      { last: 101 },
      { first: 1, last: 1 },
      { first: 1, before: cursor },
      { last: 1, after: cursor },
      { after: cursor, before: cursor },
    ];
    for (const variables of refused) expect([variables, codesOf(await open.send(variables))]).toEqual([variables, BAD]);
    expect(codesOf(await open.send({ after: cursor }))).toEqual([]);
    expect(codesOf(await open.send({ before: cursor }))).toEqual([]);
  });

  test("cursors of every other list, of another order, another owner and another tenant are refused", async () => {
    const open = await list.open(app, acme, sessionId);
    await open.add([1]);

    for (const foreign of cursors) {
      const isSameOwner = list.field.startsWith("Session.")
        ? foreign.sessionId === sessionId
        : foreign.tenant === acme || list.field === "Query.tenants"; // which is one for everybody who may page it
      if (foreign.list === list && isSameOwner) continue;
      const { cursor } = foreign;
      expect([foreign.list, codesOf(await open.send({ first: 1, after: cursor }))]).toEqual([foreign.list, BAD]);
      expect([foreign.list, codesOf(await open.send({ last: 1, before: cursor }))]).toEqual([foreign.list, BAD]);
    }
  });

  test(
    "no text makes a list fail: a cursor is taken or refused",
    async () => {
      const open = await list.open(app, await app.newTenant());
      await open.add([1, 2]);
      const cursor = pageOf(await open.send({ first: 1 })).edges[0]?.cursor ?? "";
      const [tag, , id] = contentOf(cursor);
      const forgeries = fc
        .oneof(
          fc.double(),
          fc.integer(),
          fc.constantFrom(8.64e15, -8.64e15, -62_167_219_200_001, 1.5),
          fc.string(),
          fc.constant(null),
        )
        .map((value) => encoded([tag, value, id]));
      const nonsense = fc.oneof(
        fc.string(),
        fc.string({ unit: "grapheme" }),
        fc.json().map((json) => Buffer.from(json).toString("base64url")),
        fc.jsonValue().map((value) => encoded([value, 0, id])),
        fc.jsonValue().map((value) => encoded([tag, 0, value])),
      );

      await property(
        fc.asyncProperty(nonsense, async (after) => {
          expect(codesOf(await open.send({ after }))).toEqual(BAD);
        }),
        20,
      );
      await property(
        fc.asyncProperty(forgeries, async (after) => {
          expect([[], BAD]).toContainEqual(codesOf(await open.send({ after })));
        }),
        20,
      );
    },
    TIME_MAX_MS,
  );
});

function encoded(content: unknown): string {
  return Buffer.from(JSON.stringify(content)).toString("base64url");
}

test("a list goes on behind a row whose id is a UUID of no version: the predecessor's clients chose their ids", async () => {
  const globex = await app.newTenant();
  const id = "11111111-1111-1111-1111-111111111111";
  const superuser = new pg.Client({ connectionString: app.database.superuserUrl });
  await superuser.connect();
  await superuser.query("INSERT INTO sessions (tenant_id, id, name) VALUES ($1, $2, 'old')", [globex.id, id]);
  await superuser.end();
  const query = "query ($after: String) { sessions(first: 1, after: $after) { nodes { id } pageInfo { endCursor } } }";
  const cursor = JSON.stringify((await globex.send(query)).data).match(/"endCursor":"([^"]+)"/)?.[1];

  const next = await globex.send(query, { after: cursor });

  expect(cursor).toBeDefined();
  expect(next.errors).toBeUndefined();
});

function contentOf(cursor: string): unknown[] {
  const content: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
  return Array.isArray(content) ? content : [];
}

async function property(what: fc.IAsyncProperty<unknown>, numRuns = RUNS): Promise<void> {
  await fc.assert(what, { numRuns });
}

/**
 * Pages through a whole list; `expected` makes it check what each page says of itself.
 *
 * @returns the ids in the list's order, in whichever direction they were met.
 */
async function walk(
  open: OpenList,
  direction: "forward" | "backward",
  pageSize: number,
  expected: readonly string[] | undefined,
  between: () => Promise<void> = async () => undefined,
): Promise<string[]> {
  const isForward = direction === "forward";
  const seen: string[] = [];
  let cursor: string | null = null;
  while (seen.length < WALK_MAX) {
    const page: Connection = pageOf(
      await open.send(isForward ? { first: pageSize, after: cursor } : { last: pageSize, before: cursor }),
    );
    const ids = page.nodes.map((node) => node.id);
    if (isForward) seen.push(...ids);
    else seen.unshift(...ids);
    expect(page.edges.map((edge) => edge.node.id)).toEqual(ids);
    expect(page.pageInfo.startCursor).toBe(page.edges[0]?.cursor ?? null);
    expect(page.pageInfo.endCursor).toBe(page.edges.at(-1)?.cursor ?? null);
    const { hasNextPage, hasPreviousPage } = page.pageInfo;
    if (expected) {
      expect(page.totalCount).toBe(expected.length);
      const [hasMore, hasLess] = isForward ? [hasNextPage, hasPreviousPage] : [hasPreviousPage, hasNextPage];
      expect(hasMore).toBe(seen.length < expected.length);
      expect(hasLess).toBe(cursor !== null);
    }
    if (!(isForward ? hasNextPage : hasPreviousPage)) return seen;
    cursor = isForward ? page.pageInfo.endCursor : page.pageInfo.startCursor;
    await between();
  }
  throw new Error("The walk does not end");
}
