import { rmSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { openApp } from "../src/app.ts";
import type { App } from "../src/app.ts";
import { readConfig } from "../src/config.ts";
import { newToken } from "../src/context/crypto.ts";
import { openLog } from "../src/context/log.ts";
import { startEmbeddedPostgres } from "../src/embedded/postgres.ts";
import { deploy } from "../src/migrate/migrate.ts";
import * as passwords from "../src/services/passwords.ts";
import { temporaryFolder } from "../test/support/postgres.ts";

// Two questions about signing in, asked over HTTP of a gateway on a PostgreSQL of its own:
// does "no such user" take another time than "wrong password", and do wrong credentials take memory?
// npm run bench -- sign-in [pairs] [wrong credentials of each kind]

const PAIRS = Number(process.argv[2] ?? 500);
const WRONG = Number(process.argv[3] ?? 10_000);
const ROUNDS = 5;
const AT_ONCE = 50;
const MEGABYTE = 1_048_576;
const LOGIN = 'mutation ($email: EmailAddress!) { login(input: { email: $email, password: "wrong" }) { expiresIn } }';

setFlagsFromString("--expose-gc");
const collectGarbage: unknown = runInNewContext("gc");

let sent = 0;

async function main(): Promise<void> {
  const dataDir = temporaryFolder();
  const postgres = await startEmbeddedPostgres({ dataDir });
  try {
    await deploy(postgres.ownerUrl, { gatewayRole: new URL(postgres.gatewayUrl).username });
    const app = await openApp({
      config: readConfig({
        NODE_ENV: "production",
        PORT: "0",
        DATA_DIR: dataDir,
        TRUSTED_PROXIES: "127.0.0.1",
        MASTER_KEY: "master-key-of-a-benchmark-0123456789",
        DATABASE_URL: postgres.gatewayUrl,
        DATABASE_OWNER_URL: postgres.ownerUrl,
      }),
      gatewayUrl: postgres.gatewayUrl,
      platformAdminKey: "platform-key-of-a-benchmark-0123456789",
      masterKey: "master-key-of-a-benchmark-0123456789",
      log: openLog({ logLevel: "silent" }),
    });
    await comparePairs(app);
    await watchMemory(app);
    await app.close();
  } finally {
    await postgres.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Interleaved, so that whatever else the machine does falls on both alike; each pair in the order that a coin decides. */
async function comparePairs(app: App): Promise<void> {
  const tenant = await newTenant(app);
  const { db } = app.context.clients.of(tenant);
  const passwordHash = await passwords.hash("rivers of quiet copper");
  const known = Array.from({ length: PAIRS }, (_, index) => `person-${index}@example.com`);
  await db.user.createMany({ data: known.map((email) => ({ email, passwordHash })) });
  for (let warming = 0; warming < 50; warming += 1)
    await time(() => wrongSignIn(app, tenant, `warm-${warming}@example.com`));
  const pairs: { missing: number; wrong: number }[] = [];
  for (const [index, email] of known.entries()) {
    const missing = () => time(() => wrongSignIn(app, tenant, `nobody-${index}@example.com`));
    const wrong = () => time(() => wrongSignIn(app, tenant, email));
    if (Math.random() < 0.5) {
      const first = await missing();
      pairs.push({ missing: first, wrong: await wrong() });
    } else {
      const first = await wrong();
      pairs.push({ missing: await missing(), wrong: first });
    }
  }
  const ratios = pairs.map(({ missing, wrong }) => missing / wrong);
  // 95 % of resampled medians lie between these: where 1 does as well, the two cannot be told apart by that many.
  const medians = Array.from({ length: 1_000 }, () =>
    quantile(
      ratios.map(() => ratios[Math.floor(Math.random() * ratios.length)] ?? 1),
      0.5,
    ),
  );
  console.table({
    pairs: PAIRS,
    "no such user, median ms": quantile(
      pairs.map(({ missing }) => missing),
      0.5,
    ).toFixed(2),
    "wrong password, median ms": quantile(
      pairs.map(({ wrong }) => wrong),
      0.5,
    ).toFixed(2),
    "ratio, median": quantile(ratios, 0.5).toFixed(4),
    "ratio, 95 % interval of the median": `${quantile(medians, 0.025).toFixed(4)} to ${quantile(medians, 0.975).toFixed(4)}`,
    "ratio, middle half of pairs": `${quantile(ratios, 0.25).toFixed(3)} to ${quantile(ratios, 0.75).toFixed(3)}`,
  });
}

/** Sends wrong credentials of every kind, round by round, and looks at what the process holds after each. */
async function watchMemory(app: App): Promise<void> {
  const tenant = await newTenant(app);
  const kinds: Readonly<Record<string, () => Promise<void>>> = {
    "sign-ins": () => wrongSignIn(app, tenant, `guess-${sent}@example.com`),
    "API keys": () => wrongCredential(app, { "X-API-Key": `kn_${"x".repeat(30)}${sent}` }),
    "access tokens": () => wrongCredential(app, { Authorization: `Bearer ${wrongToken()}` }),
    "refresh tokens": () =>
      ask(
        app,
        { "X-Tenant-ID": tenant },
        `mutation { refreshToken(refreshToken: "${newToken("atr_r", tenant).text}") { expiresIn } }`,
      ),
  };
  const rows: object[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const start = performance.now();
    for (const work of Object.values(kinds)) await many(round === 0 ? 200 : WRONG / ROUNDS, work);
    if (typeof collectGarbage === "function") Reflect.apply(collectGarbage, undefined, []);
    const { heapUsed, rss } = process.memoryUsage();
    rows.push({
      "wrong credentials of each kind so far": round === 0 ? 200 : 200 + (round * WRONG) / ROUNDS,
      "heap, MB": (heapUsed / MEGABYTE).toFixed(1),
      "rss, MB": Math.round(rss / MEGABYTE),
      seconds: ((performance.now() - start) / 1000).toFixed(1),
    });
  }
  console.table(rows);
}

async function many(count: number, work: () => Promise<void>): Promise<void> {
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await work();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function wrongSignIn(app: App, tenant: string, email: string): Promise<void> {
  sent += 1;
  // Each from an address of its own: attempts are counted by address, and what is refused for that is not what is measured.
  const address = `10.${(sent >> 16) & 255}.${(sent >> 8) & 255}.${sent & 255}`;
  await ask(app, { "X-Tenant-ID": tenant, "X-Forwarded-For": address }, LOGIN, { email });
}

async function wrongCredential(app: App, headers: Readonly<Record<string, string>>): Promise<void> {
  sent += 1;
  await ask(app, headers, "{ viewer { id } }");
}

function wrongToken(): string {
  const part = (content: object): string => Buffer.from(JSON.stringify(content)).toString("base64url");
  return `${part({ alg: "EdDSA", typ: "at+jwt", kid: `k${sent}` })}.${part({ iss: "atrium", jti: sent })}.${"A".repeat(86)}`;
}

async function ask(app: App, headers: Readonly<Record<string, string>>, query: string, variables = {}): Promise<void> {
  const response = await fetch(`${app.url}/graphql`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify({ query, variables }),
  });
  const text = await response.text();
  if (!text.includes('"errors"')) throw new Error(`a wrong credential was taken: ${text}`);
}

async function newTenant({ context }: App): Promise<string> {
  const name = `Benchmark ${Math.random()}`;
  const schemaName = `tenant_${Math.random().toString(16).slice(2)}`;
  const made = await context.crossTenant.createTenant({
    name,
    schemaName,
    plan: "enterprise",
    isolation: "shared",
    metadata: {},
    key: { hash: name, prefix: "atr_bench", name: "First key", scopes: [] },
  });
  return made.id;
}

async function time(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

await main();
