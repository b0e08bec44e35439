import pg from "pg";
import { TENANT_OWNED_MODELS } from "../../../src/context/generated/tenancy/models.ts";
import { startApp } from "../../support/app.ts";
import type { TestApp } from "../../support/app.ts";
import type { Sender } from "../../support/send.ts";
import type { TestTenant } from "../../support/tenants.ts";
import { until } from "../../support/until.ts";

/** What is done in a tenant that has just been made, once in each gateway. */
export interface Scene {
  readonly app: TestApp;
  readonly tenant: TestTenant;
  /** Speaks as the tenant's key; what is answered is kept. */
  readonly send: Sender;
  /** Has the answers to somebody else kept as well. */
  readonly listenTo: (sender: Sender) => Sender;
}
export type Script = (scene: Scene) => Promise<unknown>;

/** What a script left behind, as text that is equal where the same was done: ids numbered, secrets and the time of day left out. */
interface Traces {
  readonly answers: readonly string[];
  readonly rows: readonly string[];
}

/** A gateway with a database of its own. */
export interface Twin {
  readonly app: TestApp;
  readonly play: (script: Script) => Promise<Traces>;
  readonly close: () => Promise<void>;
}

const HOUR_MS = 3_600_000;
const SECRETS = /atr_[\w-]+|s1\.[\w.-]+|\$argon2[^"\\]+|eyJ[\w-]+\.[\w-]+\.[\w-]+|[0-9a-f]{64}|tenant_\w*[0-9a-f]{12}/g;
const IDS = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const TIMES = /\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)/g;

/**
 * Opens one of two gateways that see the same time: an hour ago, so that times by the gateway's clock can be told from those that the
 * database makes, and are compared.
 */
export async function openTwin(fastPath: "on" | "off", now: Date): Promise<Twin> {
  const app = await startApp(
    { FAST_PATH: fastPath, PUBLIC_URL: "https://atrium.example" },
    { clock: { now: () => now } },
  );
  const superuser = new pg.Client({ connectionString: app.database.superuserUrl });
  await superuser.connect();
  /** The tenants of earlier scripts. */
  const known: string[] = [];

  async function play(script: Script): Promise<Traces> {
    const tenant = await app.newTenant();
    const answers: string[] = [];
    function listenTo(sender: Sender): Sender {
      return async (document, variables, headers) => {
        const answer = await sender(document, variables, headers);
        answers.push(answer.comparable);
        // Calls of the next step run by the plans that this one gave rise to.
        await app.app.context.clients.plans.settled();
        return answer;
      };
    }
    await script({ app, tenant, send: listenTo(tenant.send), listenTo });
    await app.app.context.accounts.refusals.flush();
    await app.app.context.meters.flush();
    const rows = await rowsWhenQuiet(superuser, known);
    return numbered(answers.map(withoutChance), rows);
  }

  return {
    app,
    play,
    async close() {
      await superuser.end();
      await app.close();
    },
  };
}

/** The time that both twins see. */
export function timeOfTwins(): Date {
  return new Date(Date.now() - HOUR_MS);
}

/** All rows of tenants that are not known yet; these are known from then on. */
async function rowsWhenQuiet(superuser: pg.Client, known: string[]): Promise<string[]> {
  const made = await superuser.query<{ id: string }>("SELECT id FROM tenants WHERE id <> ALL ($1)", [known]);
  const ids = made.rows.map(({ id }) => id);
  known.push(...ids);
  await until(async () => {
    const { rowCount } = await superuser.query("SELECT FROM mails WHERE tenant_id = ANY ($1)", [ids]);
    return rowCount === 0;
  });
  const tables = Object.values(TENANT_OWNED_MODELS).map(({ table }) => table);
  // When a key was used last is noted some time later.
  const parts = tables.map(
    (table) =>
      `SELECT '${table}' AS name, (to_jsonb(t) ${table === "api_keys" ? "- 'last_used_at'" : ""})::text AS row FROM ${table} AS t WHERE tenant_id = ANY ($1)`,
  );
  const { rows } = await superuser.query<{ name: string; row: string }>(
    `${parts.join(" UNION ALL ")} UNION ALL SELECT 'tenants', to_jsonb(t)::text FROM tenants AS t WHERE id = ANY ($1)`,
    [ids],
  );
  return rows.map(({ name, row }) => `${name} ${withoutChance(row)}`);
}

function withoutChance(text: string): string {
  return text.replaceAll(SECRETS, "<secret>").replaceAll(TIMES, (time) => {
    // Written as JavaScript writes it: one gateway and the database put the same instant differently.
    const distance = Math.abs(Date.parse(time.replace(" ", "T")) - Date.now());
    return distance < HOUR_MS / 2 ? "<now>" : time;
  });
}

/** Ids by the order in which they turn up, in answers first: who refers to whom stays to be seen. */
function numbered(answers: readonly string[], rows: readonly string[]): Traces {
  const numbers = new Map<string, number>();
  const number = (text: string): string =>
    text.replaceAll(IDS, (id) => {
      const known = numbers.get(id) ?? numbers.size + 1;
      numbers.set(id, known);
      return `<id ${known}>`;
    });
  const shape = (text: string): string => `${text.replaceAll(IDS, "<id>")} ${text}`;
  const sorted = rows.toSorted((left, right) => (shape(left) < shape(right) ? -1 : 1));
  return { answers: answers.map(number), rows: sorted.map(number) };
}
