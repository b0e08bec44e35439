import { afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import pg from "pg";
import { processesIn } from "../src/embedded/processes.ts";
import { SAMPLE_QUERY } from "../src/embedded/sample-data.ts";
import { newDatabase } from "./support/database.ts";
import { temporaryFolder } from "./support/postgres.ts";
import { dataOf, sendTo } from "./support/send.ts";

const PATIENCE_MS = 120_000; // what a newcomer is promised, on a machine that is busy with other tests
const KEY = /\batr_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}\b/g;

let dataDir: string;
let started: Gateway[];
// What `npm start` does first, where it has not been done.
beforeAll(() => {
  execFileSync(process.execPath, ["scripts/build.js"], { stdio: "ignore" });
}, PATIENCE_MS);
beforeEach(() => {
  dataDir = temporaryFolder();
  started = [];
});
afterEach(async () => {
  for (const { child, exited } of started) {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
    await exited;
  }
  rmSync(dataDir, { recursive: true, force: true });
});

interface Gateway {
  readonly child: ChildProcess;
  readonly said: () => string;
  readonly complained: () => string;
  /** The exit code, or the signal that ended it. */
  readonly exited: Promise<number | string | null>;
  /** Waits for a text on standard output. @throws Error with all that was printed, when it ends before. */
  readonly until: (text: string | RegExp) => Promise<RegExpExecArray>;
}

/** The gateway in a process of its own, as `npm start` runs it. */
function start(settings: Readonly<Record<string, string>> = {}): Gateway {
  const child = spawn(process.execPath, ["scripts/start.js"], {
    env: { ...process.env, NODE_ENV: "development", DATA_DIR: dataDir, PORT: "0", ...settings },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  let complained = "";
  let hasEnded = false;
  child.stdout.on("data", (text: Buffer) => (said += text.toString()));
  child.stderr.on("data", (text: Buffer) => (complained += text.toString()));
  const exited = new Promise<number | string | null>((resolve) => {
    child.once("close", (code, signal) => {
      hasEnded = true;
      resolve(code ?? signal);
    });
  });
  async function until(text: string | RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = new RegExp(text).exec(said);
      if (found) return found;
      if (hasEnded) throw new Error(`It ended before it said ${String(text)}:\n${said}${complained}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  const gateway = { child, said: () => said, complained: () => complained, exited, until };
  started.push(gateway);
  return gateway;
}

/** Waits for the last line that a start prints. */
async function untilReady({ until, said }: Gateway): Promise<{ url: string; keys: string[] }> {
  const [, url = ""] = await until(/^Atrium is ready at (http:\/\/\S+\/graphql)$/m);
  await until(/^ {2}curl .*\n/m);
  return { url, keys: said().match(KEY) ?? [] };
}

async function asSuperuser(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(statement);
  await client.end();
}

describe("a start without any setting", () => {
  test(
    "serves sample tenants from a database of its own, refuses a second one, survives kill -9, and ends in order",
    async () => {
      const first = start();
      const { url, keys } = await untilReady(first);
      const send = sendTo(url, { "X-API-Key": keys[0] ?? "" });
      dataOf(await send('mutation { createSession(input: { name: "Kept" }) { session { id } } }'));

      expect(first.said()).toContain(`\n  ${SAMPLE_QUERY}\n`);
      expect(dataOf(await send(SAMPLE_QUERY))).toMatchObject({ tenantContext: { tenant: { name: "Acme" } } });
      // Progress before the ready line: whatever takes long says so.
      expect(first.said()).toMatch(/^Applying \S+ \(1 of \d+\)$/m);

      const second = start();
      expect(await second.exited).toBe(1);
      expect(second.complained()).toContain(
        `The data folder ${dataDir} is in use by the Atrium with process id ${first.child.pid ?? 0}.`,
      );
      expect(second.said()).toBe("");

      first.child.kill("SIGKILL");
      expect(await first.exited).toBe("SIGKILL");
      const third = start();
      const again = await untilReady(third);
      const answer = await sendTo(again.url, { "X-API-Key": keys[0] ?? "" })("{ sessions { nodes { name } } }");

      expect(again.keys).toEqual(keys);
      expect(JSON.stringify(dataOf(answer))).toContain("Kept");
      expect(third.said()).not.toContain("Applying");

      third.child.kill("SIGTERM");
      expect(await third.exited).toBe(0);
      expect(processesIn(path.join(dataDir, "postgres"), [])).toEqual([]);
      expect(existsSync(path.join(dataDir, "atrium.lock"))).toBe(false);
    },
    PATIENCE_MS,
  );

  test(
    "that is interrupted half-way ends in order, twice Ctrl-C or once, and the next one completes it",
    async () => {
      const first = start();
      await first.until("Applying");
      first.child.kill("SIGINT");
      first.child.kill("SIGINT");

      expect(await first.exited).toBe(0);
      expect(first.said()).toMatch(/Stopping \(SIGINT\)/);
      expect(first.said()).not.toContain("is ready");
      expect(first.complained()).toBe("");
      expect(processesIn(path.join(dataDir, "postgres"), [])).toEqual([]);
      expect((await untilReady(start())).keys.length).toBeGreaterThan(1);
    },
    PATIENCE_MS,
  );
});

describe("a start on a database of one's own", () => {
  test(
    "says so on standard output and logs JSON on standard error; in production it makes no sample tenants",
    async () => {
      const database = await newDatabase();
      const gateway = start({
        NODE_ENV: "production",
        MASTER_KEY: Buffer.alloc(32, 1).toString("base64"),
        DATABASE_URL: database.gatewayUrl,
        DATABASE_OWNER_URL: database.ownerUrl,
      });
      const [ready, url = ""] = await gateway.until(/^Atrium is ready at (http:\/\/\S+\/graphql)$/m);
      await sendTo(url, {})("{ sessions { totalCount } }");
      gateway.child.kill("SIGINT");

      expect(await gateway.exited).toBe(0);
      expect(gateway.said()).toBe(`${ready}\nStopping (SIGINT)\n`);
      const lines = gateway.complained().trim().split("\n");
      expect(lines.map((line): unknown => JSON.parse(line))).toEqual([
        expect.objectContaining({ msg: "request", route: "/graphql", codes: ["TENANT_REQUIRED"] }),
      ]);
      expect(existsSync(path.join(dataDir, "postgres"))).toBe(false);
      expect(readFileSync(path.join(dataDir, "platform-admin.key"), "utf8").trim().length).toBeGreaterThan(31);
      await database.drop();
    },
    PATIENCE_MS,
  );

  test(
    "whose walls do not stand ends with 1 and the name of the check, and serves nobody",
    async () => {
      const database = await newDatabase();
      await asSuperuser(database.superuserUrl, "ALTER TABLE messages DISABLE ROW LEVEL SECURITY");
      const gateway = start({ DATABASE_URL: database.gatewayUrl, DATABASE_OWNER_URL: database.ownerUrl });

      expect(await gateway.exited).toBe(1);
      expect(gateway.complained()).toContain("messages: row-level security is enabled and forced");
      expect(gateway.said()).not.toContain("is ready");
      await database.drop();
    },
    PATIENCE_MS,
  );
});

describe("a start that cannot be", () => {
  test("lists every wrong setting at once, a line each, and ends with 1", async () => {
    const gateway = start({ PORT: "many", DATABASE_URL: "mysql://somewhere", INTROSPECTION: "perhaps" });

    expect(await gateway.exited).toBe(1);
    expect(gateway.said()).toBe("");
    expect(gateway.complained().trim().split("\n")).toEqual([
      "PORT is not a whole number",
      "DATABASE_URL is not a postgresql:// address with a database name",
      expect.stringMatching(/^INTROSPECTION .*"on"\|"members"\|"off"$/),
      "DATABASE_URL and DATABASE_OWNER_URL are given together, or neither",
    ]);
  });

  test("because no database answers says which settings to look at", async () => {
    const nowhere = "postgresql://nobody@127.0.0.1:1/nothing";
    const gateway = start({ DATABASE_URL: nowhere, DATABASE_OWNER_URL: nowhere });

    expect(await gateway.exited).toBe(1);
    expect(gateway.complained()).toMatch(
      /^PostgreSQL does not answer: .*ECONNREFUSED.*\n.*DATABASE_URL and DATABASE_OWNER_URL.*\n$/,
    );
  });

  test(
    "because its port is taken says what to do",
    async () => {
      const database = await newDatabase();
      const urls = { DATABASE_URL: database.gatewayUrl, DATABASE_OWNER_URL: database.ownerUrl, SAMPLE_DATA: "off" };
      const first = start(urls);
      const [, port = ""] = await first.until(/^Atrium is ready at http:\/\/127\.0\.0\.1:(\d+)\//m);
      const second = start({ ...urls, PORT: port });

      expect(await second.exited).toBe(1);
      expect(second.complained()).toMatch(/already in use 127\.0\.0\.1:\d+\nSet PORT to another one/);
      first.child.kill("SIGTERM");
      expect(await first.exited).toBe(0);
      await database.drop();
    },
    PATIENCE_MS,
  );
});
