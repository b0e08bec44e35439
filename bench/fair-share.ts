import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import os from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { openContext } from "../src/app.ts";
import { readConfig } from "../src/config.ts";
import { newApiKey } from "../src/context/crypto.ts";
import { ALL_SCOPES } from "../src/context/permissions.ts";
import { startEmbeddedPostgres } from "../src/embedded/postgres.ts";
import { deploy } from "../src/migrate/migrate.ts";
import { temporaryFolder } from "../test/support/postgres.ts";
import { findings } from "./support/orders.ts";
import type { Findings, Orders } from "./support/orders.ts";

// What one tenant's flood does to the others: ten tenants at their equal share of half of what the gateway can do, then one of them at fifty
// times that. Prints the 99th percentile of the other nine, and how much it grows.
// npm run bench -- fair-share [process starts] [rounds of each kind in a start] [seconds of a round] [limited]
// With "limited", the one that floods is also refused by the limit of its requests in a minute; otherwise no limit is ever reached.

const [STARTS, ROUNDS, SECONDS] = [3, 3, 8].map((usual, index) => Number(process.argv[index + 2] ?? usual));
const isLimited = process.argv[5] === "limited";
const TENANTS = 10;
const USED = 0.5; // of what the gateway can do, when everybody keeps to the share
const FLOOD = 50;
const FLOODER_PER_MINUTE = 2_400; // 40 a second: some times its share on any machine
const SESSIONS = 20;
const MESSAGES = 40;
const WARM_UP_SECONDS = 1;
const PLATFORM_KEY = "bench-platform-administrator-key-0123456789";
const MASTER_KEY = "bench-master-key-0123456789-0123456789";
const QUERY = `{ sessions(first: 20) { nodes { id name messages(first: 10) { nodes { id role content createdAt } } } } }`;
const LOW_PRIORITY = 10; // a flood comes from elsewhere: its sender must not take the gateway's time on this machine

interface Round {
  readonly flood: number;
  readonly p50: number;
  readonly p99: number;
  readonly flooder: Findings;
  readonly others: Findings;
}

async function main(): Promise<void> {
  const dataDir = temporaryFolder();
  const postgres = await startEmbeddedPostgres({ dataDir });
  try {
    await deploy(postgres.ownerUrl, { gatewayRole: new URL(postgres.gatewayUrl).username });
    const settings = {
      PORT: "0",
      DATABASE_URL: postgres.gatewayUrl,
      DATABASE_OWNER_URL: postgres.ownerUrl,
      PLATFORM_ADMIN_KEY: PLATFORM_KEY,
      MASTER_KEY,
      SAMPLE_DATA: "off",
      DATA_DIR: dataDir,
    };
    const keys = await makeTenants(settings);
    const ratios: number[] = [];
    for (let start = 1; start <= (STARTS ?? 0); start += 1) ratios.push(await measureOneStart(settings, keys, start));
    console.log(`growth of the others' p99: median ${median(ratios).toFixed(2)}, of ${ratios.map(shown).join(", ")}`);
  } finally {
    await postgres.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Tenants with sessions and messages, on limits that none of this reaches. @returns a key of each. */
async function makeTenants(settings: Readonly<Record<string, string>>): Promise<string[]> {
  const config = readConfig({ ...settings, LOG_LEVEL: "silent" });
  const gatewayUrl = config.database?.gatewayUrl ?? "";
  const context = openContext({ config, gatewayUrl, platformAdminKey: PLATFORM_KEY, masterKey: MASTER_KEY });
  const keys: string[] = [];
  for (let index = 0; index < TENANTS; index += 1) {
    const key = newApiKey();
    const tenant = await context.crossTenant.createTenant({
      name: `Tenant ${index}`,
      schemaName: `tenant_${index}`,
      plan: "enterprise",
      isolation: "shared",
      metadata: {},
      key: { hash: key.hash, prefix: key.prefix, name: "Bench", scopes: ALL_SCOPES },
    });
    const requestsPerMinute = isLimited && index === 0 ? FLOODER_PER_MINUTE : 1_000_000;
    const limits = { requestsPerMinute, complexityPerMinute: 1_000_000_000 };
    await context.crossTenant.updateTenant(tenant.id, { limits });
    const { db } = context.clients.of(tenant.id);
    for (let session = 0; session < SESSIONS; session += 1) {
      const { id } = await db.session.create({ data: { name: `Session ${session}` } });
      const message = { sessionId: id, role: "user", content: "Some words of a message. ".repeat(8) };
      await db.message.createMany({ data: Array.from({ length: MESSAGES }, () => message) });
    }
    keys.push(key.text);
  }
  await context.close();
  return keys;
}

async function measureOneStart(
  settings: Readonly<Record<string, string>>,
  keys: readonly string[],
  start: number,
): Promise<number> {
  const gateway = await startGateway(settings);
  const [flooder, others] = [startSender(LOW_PRIORITY), startSender(0)];
  const [first = "", ...rest] = keys;
  const orders = { url: gateway.url, query: QUERY, warmUpSeconds: WARM_UP_SECONDS, seconds: SECONDS ?? 0, atOnce: 8 };
  try {
    const most = await tell(others, { ...orders, keys: [...keys], rate: 0 });
    const capacity = most.sent / (orders.seconds - WARM_UP_SECONDS);
    const share = (capacity * USED) / TENANTS;
    console.log(`start ${start}: ${capacity.toFixed(0)} requests/s at most, a share is ${share.toFixed(1)} requests/s`);
    const rounds: Round[] = [];
    for (let round = 0; round < (ROUNDS ?? 0); round += 1) {
      for (const flood of round % 2 === 0 ? [1, FLOOD] : [FLOOD, 1]) {
        const [ofFlooder, ofOthers] = await Promise.all([
          tell(flooder, { ...orders, keys: [first], rate: share * flood }),
          tell(others, { ...orders, keys: rest, rate: share * rest.length }),
        ]);
        rounds.push({
          flood,
          p50: percentile(ofOthers.latenciesMs, 0.5),
          p99: percentile(ofOthers.latenciesMs, 0.99),
          flooder: ofFlooder,
          others: ofOthers,
        });
      }
    }
    console.table(rounds.map(rowOf));
    const together = (flood: number): number =>
      median(rounds.filter((round) => round.flood === flood).map(({ p99 }) => p99));
    const ratio = together(FLOOD) / together(1);
    console.log(`start ${start}: p99 of the others grows by ${ratio.toFixed(2)}`);
    return ratio;
  } finally {
    flooder.kill();
    others.kill();
    await gateway.stop();
  }
}

function rowOf({ flood, p50, p99, flooder, others }: Round): Record<string, string | number> {
  const seconds = (SECONDS ?? 0) - WARM_UP_SECONDS;
  return {
    "flood, × share": flood,
    "others: p50, ms": shown(p50),
    "others: p99, ms": shown(p99),
    "others: answers": JSON.stringify(others.statuses),
    "flooder: sent/s": Math.round(flooder.sent / seconds),
    "flooder: answers": JSON.stringify(flooder.statuses),
    "senders, cores": `${flooder.cpuShare.toFixed(2)} + ${others.cpuShare.toFixed(2)}`,
  };
}

interface Gateway {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

async function startGateway(settings: Readonly<Record<string, string>>): Promise<Gateway> {
  const child = spawn(
    process.execPath,
    ["--import", "tsx", fileURLToPath(new URL("../src/main.ts", import.meta.url))],
    {
      env: { ...process.env, ...settings },
      stdio: ["ignore", "pipe", "ignore"],
    },
  );
  const ended = once(child, "exit");
  for await (const line of createInterface(child.stdout)) {
    const [url] = /http:\S+/.exec(line) ?? [];
    if (!line.startsWith("Atrium is ready") || url === undefined) continue;
    child.stdout.resume();
    return {
      url,
      async stop() {
        child.kill("SIGTERM");
        await ended;
      },
    };
  }
  throw new Error("the gateway did not start");
}

function startSender(priority: number): ChildProcess {
  const child = fork(fileURLToPath(new URL("./support/load.ts", import.meta.url)), { execArgv: ["--import", "tsx"] });
  if (child.pid !== undefined) os.setPriority(child.pid, priority);
  return child;
}

async function tell(sender: ChildProcess, orders: Orders): Promise<Findings> {
  sender.send(orders);
  const answer: unknown[] = await once(sender, "message");
  return findings.parse(answer[0]);
}

function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

const median = (values: readonly number[]): number => percentile(values, 0.5);
const shown = (value: number): string => value.toFixed(2);

await main();
