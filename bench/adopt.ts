import { readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { startEmbeddedPostgres } from "../src/embedded/postgres.ts";
import { adopt } from "../src/migrate/adopt/adopt.ts";
import { temporaryFolder } from "../test/support/postgres.ts";

// Adopts a legacy database of many messages, on a PostgreSQL of its own with its usual durability, while an old client writes.
// npx tsx bench/adopt.ts [messages]

const MESSAGES = Number(process.argv[2] ?? 1_000_000);
const MESSAGES_IN_SESSION = 50;
const MEGABYTE = 1_048_576;

async function main(): Promise<void> {
  const dataDir = temporaryFolder();
  const postgres = await startEmbeddedPostgres({ dataDir });
  try {
    await measure(postgres.superuserUrl, new URL(postgres.gatewayUrl).username);
  } finally {
    await postgres.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function measure(serverUrl: string, gatewayRole: string): Promise<void> {
  const url = new URL(serverUrl);
  url.pathname = "/legacy";
  await fillLegacy(serverUrl, url.toString());
  const client = await startWriting(url.toString());

  const memoryBefore = process.memoryUsage.rss();
  let memoryMost = memoryBefore;
  const start = performance.now();
  const report = await adopt(url.toString(), {
    gatewayRole,
    onProgress: () => {
      memoryMost = Math.max(memoryMost, process.memoryUsage.rss());
    },
  });
  const seconds = (performance.now() - start) / 1000;
  const { writes, slowestMs } = await client.stop();

  console.table({
    messages: MESSAGES,
    "whole adoption, s": seconds.toFixed(1),
    "rows a second, fill": report.rowsPerSecond,
    "rows a second, whole": Math.round(report.tables.reduce((sum, { rowsAfter }) => sum + rowsAfter, 0) / seconds),
    "longest lock, ms": Math.round(report.longestLockMs),
    "memory before, MB": Math.round(memoryBefore / MEGABYTE),
    "memory at most, MB": Math.round(memoryMost / MEGABYTE),
    "statements of the old client meanwhile": writes,
    "slowest of them, ms": Math.round(slowestMs),
  });
}

async function fillLegacy(serverUrl: string, url: string): Promise<void> {
  const server = await connect(serverUrl);
  await server.query("CREATE DATABASE legacy");
  await server.end();
  const client = await connect(url);
  await client.query(readFileSync(fileURLToPath(new URL("../test/migrations/legacy/a.sql", import.meta.url)), "utf8"));
  await client.query(
    `INSERT INTO sessions (id, name, metadata)
     SELECT gen_random_uuid(), 'session ' || n, '{}' FROM generate_series(1, $1::int / $2::int) AS n`,
    [MESSAGES, MESSAGES_IN_SESSION],
  );
  await client.query(
    `INSERT INTO messages (id, session_id, role, content, timestamp, metadata)
     SELECT gen_random_uuid(), s.id, (ARRAY['user', 'assistant'])[1 + n % 2], repeat('some words of a message ', 8),
            now() - n * interval '1.000007 s', '{"tools_used": []}'
     FROM sessions AS s, generate_series(1, $1::int) AS n`,
    [MESSAGES_IN_SESSION],
  );
  await client.query("VACUUM ANALYZE");
  await client.end();
}

interface Writer {
  stop(): Promise<{ writes: number; slowestMs: number }>;
}

/** Writes messages without a pause, as an old backend under load does, and notes the slowest statement. */
async function startWriting(url: string): Promise<Writer> {
  const client = await connect(url);
  const { rows } = await client.query<{ id: string }>("SELECT id FROM sessions LIMIT 1");
  const session = rows[0]?.id;
  let isStopping = false;
  let writes = 0;
  let slowestMs = 0;
  async function write(): Promise<void> {
    while (!isStopping) {
      const start = performance.now();
      await client.query(
        "INSERT INTO messages (id, session_id, role, content) VALUES (gen_random_uuid(), $1, 'user', 'x')",
        [session],
      );
      slowestMs = Math.max(slowestMs, performance.now() - start);
      writes += 1;
    }
  }
  const writing = write();
  return {
    stop: async () => {
      isStopping = true;
      await writing;
      await client.end();
      return { writes, slowestMs };
    },
  };
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

await main();
