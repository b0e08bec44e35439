import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import type { EmbeddedPostgres } from "../../src/embedded/postgres.ts";
import { asSuperuser } from "../compare/data.ts";
import type { Draw } from "../compare/data.ts";
import type { BenchRequest } from "../compare/operations.ts";
import type { RunningServer } from "../compare/servers.ts";

export const PAGE_SIZE = 20;

const DOCUMENT = `query Page($first: Int!, $after: String) { sessions(first: $first, after: $after) { nodes { id name status createdAt } pageInfo { endCursor } } }`;

const answered = z.object({
  data: z.object({
    sessions: z.object({
      nodes: z.array(z.object({ id: z.string() })),
      pageInfo: z.object({ endCursor: z.string() }),
    }),
  }),
});
const place = z.tuple([z.string(), z.number(), z.string()]);

/** The first pages of some tenants' sessions, and pages far down in the same lists: asked in the same words. */
export interface Pages {
  readonly near: readonly BenchRequest[];
  readonly far: readonly BenchRequest[];
}

/**
 * Makes requests for pages `from` to `to` of each tenant of a draw, counted from 1. The rows before each page are found by SQL; a cursor of
 * the server's own is the pattern for the others.
 *
 * @throws Error when a far page does not hold the rows that SQL finds there.
 */
export async function makePages(
  server: RunningServer,
  { pairs }: Draw,
  postgres: EmbeddedPostgres,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<Pages> {
  const keys = new Map(pairs.map(({ tenantId, key }) => [tenantId, key]));
  const near: BenchRequest[] = [];
  const far: BenchRequest[] = [];
  for (const [tenantId, key] of keys) {
    const first = requestFor(key, undefined);
    const { endCursor } = (await ask(server, first)).pageInfo;
    const [tag] = place.parse(JSON.parse(Buffer.from(endCursor, "base64url").toString()));
    const rows = await sessionsOf(postgres, tenantId);
    for (let page = from; page <= to; page += 1) {
      const before = rows[(page - 1) * PAGE_SIZE - 1];
      if (!before) throw new Error(`a tenant has only ${rows.length} sessions: there is no page ${page}`);
      const cursor = Buffer.from(JSON.stringify([tag, before.at, before.id])).toString("base64url");
      near.push(first);
      far.push(requestFor(key, cursor));
      if (page === to) await checkPage(server, requestFor(key, cursor), rows.slice((page - 1) * PAGE_SIZE));
    }
  }
  return { near, far };
}

function requestFor(key: string, after: string | undefined): BenchRequest {
  const body = { query: DOCUMENT, operationName: "Page", variables: { first: PAGE_SIZE, after } };
  return { key, body: JSON.stringify(body) };
}

interface SessionPlace {
  readonly id: string;
  readonly at: number;
}

async function sessionsOf(postgres: EmbeddedPostgres, tenantId: string): Promise<readonly SessionPlace[]> {
  return asSuperuser(postgres, async (client) => {
    const { rows } = await client.query<{ id: string; at: Date }>(
      "SELECT id, updated_at AS at FROM sessions WHERE tenant_id = $1 ORDER BY updated_at DESC, id DESC",
      [tenantId],
    );
    return rows.map(({ id, at }) => ({ id, at: at.getTime() }));
  });
}

async function checkPage(server: RunningServer, request: BenchRequest, rows: readonly SessionPlace[]): Promise<void> {
  const { nodes } = await ask(server, request);
  const expected = rows.slice(0, PAGE_SIZE).map(({ id }) => id);
  const given = nodes.map(({ id }) => id);
  if (!isDeepStrictEqual(given, expected))
    throw new Error(`a page far down holds ${given.join()}\nwhere SQL finds ${expected.join()}`);
}

async function ask({ url }: RunningServer, { key, body }: BenchRequest) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": key },
    body,
  });
  return answered.parse(await response.json()).data.sessions;
}
