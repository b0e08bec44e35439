import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import type { EmbeddedPostgres } from "../../src/embedded/postgres.ts";
import { asSuperuser } from "./data.ts";
import type { Draw, Pair } from "./data.ts";
import { requestOf } from "./operations.ts";
import type { BenchRequest, PlainQuery } from "./operations.ts";
import type { RunningServer } from "./servers.ts";

const COMPARED = 40; // pairs of a draw
const READS = ["Q1", "Q2", "Q3"] as const;

const answered = z.object({ data: z.record(z.string(), z.unknown()) });

/**
 * Proves that all servers do the same: they answer the same data to the same questions, and a message that any of them stores leaves the
 * same rows behind. The first one is what the others are held against.
 *
 * @throws Error at the first difference: nothing is measured then.
 */
export async function checkAnswers(
  servers: readonly RunningServer[],
  draw: Draw,
  postgres: EmbeddedPostgres,
): Promise<void> {
  const pairs = draw.pairs.slice(0, COMPARED);
  for (const pair of pairs) {
    for (const query of READS) await checkSame(servers, (server) => askPlain(server, query, pair), query);
    await checkStrangers(servers, pair, draw.pairs);
  }
  const [pair] = pairs;
  if (!pair) throw new Error("there is no data to compare");
  await checkSame(servers, (server) => storeMessage(server, pair, postgres), "Q4");
}

async function checkSame(
  servers: readonly RunningServer[],
  ask: (server: RunningServer) => Promise<unknown>,
  query: PlainQuery,
): Promise<void> {
  const [first, ...others] = servers.filter(({ kind: { only } }) => !only || only.includes(query));
  if (!first) return;
  const expected = await ask(first);
  for (const server of others) {
    const given = await ask(server);
    if (isDeepStrictEqual(given, expected)) continue;
    throw new Error(
      `${query}: ${server.kind.name} answers ${JSON.stringify(given)}\nwhere ${first.kind.name} answers ${JSON.stringify(expected)}`,
    );
  }
}

/** Another tenant's session does not exist, for any of them: the wall is up on all sides. */
async function checkStrangers(servers: readonly RunningServer[], pair: Pair, pairs: readonly Pair[]): Promise<void> {
  const stranger = pairs.find(({ tenantId }) => tenantId !== pair.tenantId);
  if (!stranger) return;
  for (const server of servers.filter(({ kind }) => !kind.only)) {
    const answer = await askPlain(server, "Q3", { ...pair, sessionId: stranger.sessionId });
    if (!isDeepStrictEqual(answer, { session: null }))
      throw new Error(`${server.kind.name} shows another tenant's session: ${JSON.stringify(answer)}`);
  }
}

/** What Q4 answers and what it leaves: the message, and the time on its session. */
async function storeMessage(server: RunningServer, pair: Pair, postgres: EmbeddedPostgres): Promise<unknown> {
  const content = `stored by ${server.kind.name}`;
  const before = new Date();
  const answer = await ask(server, requestOf("Q4", server.kind.dialect, pair, content));
  const message = z
    .object({ createMessage: z.object({ message: z.object({ id: z.uuid(), createdAt: z.string() }).loose() }) })
    .parse(answer).createMessage.message;
  const { rows } = await asSuperuser(postgres, (client) =>
    client.query<Record<string, unknown>>(
      `SELECT m.tenant_id, m.session_id, m.role, m.content, m.metadata, m.timestamp = s.updated_at AS touched,
         m.timestamp >= $3::timestamptz - interval '1 second' AS new, m.timestamp = $4::timestamptz AS told
       FROM messages AS m JOIN sessions AS s ON s.tenant_id = m.tenant_id AND s.id = m.session_id
       WHERE m.tenant_id = $1 AND m.id = $2`,
      [pair.tenantId, message.id, before, message.createdAt],
    ),
  );
  const unlike = { id: "", createdAt: "", content: "" };
  if (rows[0]?.["content"] !== content) throw new Error(`${server.kind.name} stored ${JSON.stringify(rows)}`);
  return { answer: { ...message, ...unlike }, rows: rows.map((row) => ({ ...row, content: "" })) };
}

async function askPlain(server: RunningServer, query: PlainQuery, pair: Pair): Promise<unknown> {
  return ask(server, requestOf(query, server.kind.dialect, pair));
}

async function ask({ kind, url }: RunningServer, { key, body }: BenchRequest): Promise<unknown> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": key },
    body,
  });
  const text = await response.text();
  const parsed = answered.safeParse(response.ok ? JSON.parse(text) : undefined);
  if (!parsed.success) throw new Error(`${kind.name} answers ${response.status}: ${text}`);
  return alike(parsed.data.data);
}

/** Where the servers' own ways of writing the same differ: points in time, and words that PostGraphile shows as they are stored. */
function alike(value: unknown, name = ""): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => alike(item));
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, inner]: [string, unknown]) => [key, alike(inner, key)]));
  if (typeof value !== "string") return value;
  if (name === "createdAt") return new Date(value).toISOString();
  return name === "status" || name === "role" ? value.toUpperCase() : value;
}
