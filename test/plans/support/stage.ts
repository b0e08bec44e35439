import { isObjectType } from "graphql";
import type { GraphQLSchema } from "graphql";
import pg from "pg";
import { TENANT_OWNED_MODELS } from "../../../src/context/generated/tenancy/models.ts";
import { USER_ROLES } from "../../../src/context/permissions.ts";
import { PLATFORM_LISTS } from "../../isolation/support/id-cases.ts";
import { furnish, furnishPerson } from "../../isolation/support/scene.ts";
import { startApp } from "../../support/app.ts";
import type { TestApp } from "../../support/app.ts";
import { personOf } from "../../support/people.ts";
import { dataOf, sendTo } from "../../support/send.ts";
import type { Sender } from "../../support/send.ts";
import type { TestTenant } from "../../support/tenants.ts";
import { fillLists } from "./rows.ts";
import type { Stock } from "./values.ts";

/** Somebody who asks the same of a gateway with the fast path and of one without. */
export interface Caller {
  readonly name: string;
  readonly fast: Sender;
  readonly plain: Sender;
  readonly stock: Stock;
  /** What no answer to this caller may hold: the text in each row of the other tenant, and the ids of these rows. */
  readonly forbidden: { readonly canary: string; readonly ids: ReadonlySet<string> };
}

/** Two gateways over one database, and two tenants in it. */
export interface Stage {
  readonly fast: TestApp;
  readonly plain: TestApp;
  /** Of both tenants in turn. */
  readonly callers: readonly Caller[];
  readonly close: () => Promise<void>;
}

const CANARIES = ["canary-a", "canary-b"] as const;
const FEW_SCOPES = ["SESSIONS_READ", "NOTIFICATIONS_READ"];
const FAVOURITE_SHARE = 12; // how often the session that has cursors stands among the ids, so that its lists are paged
const UNLIMITED = {
  requestsPerMinute: 1_000_000,
  complexityPerMinute: 1_000_000_000,
  requestsPerMinutePerCredential: 1_000_000,
  complexityPerMinutePerCredential: 1_000_000_000,
};

// What would change while questions are asked: the last use of a key is noted, and refusals are written into the trail.
const KEYS_HELD = `
  CREATE FUNCTION not_noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
  CREATE TRIGGER not_noted BEFORE UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION not_noted()`;
// Times finer than a millisecond, as PostgreSQL makes them by itself.
const TRAIL_HELD = `
  CREATE TRIGGER not_noted BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION not_noted();
  UPDATE sessions SET created_at = created_at + interval '123 microseconds' WHERE name LIKE '%null%';
  UPDATE messages SET timestamp = timestamp + interval '999 microseconds' WHERE role = 'user'`;

interface Side {
  readonly tenant: TestTenant;
  readonly canary: string;
  readonly ids: Readonly<Record<string, readonly string[]>>;
  readonly cursors: Readonly<Record<string, readonly string[]>>;
}

/** Sets the stage: nothing that a query answers changes from here on, so that two answers to one question are equal whenever they are asked for. */
export async function openStage(schema: GraphQLSchema): Promise<Stage> {
  const now = new Date();
  const options = { clock: { now: () => now } };
  // Addresses of the gateway stand in some answers.
  const settings = { PUBLIC_URL: "https://atrium.example", DATABASE_POOL_MAX: "10" };
  const fast = await startApp({ ...settings, FAST_PATH: "on" }, options);
  const plain = await startApp({ ...settings, FAST_PATH: "off" }, { ...options, database: fast.database });
  const superuser = new pg.Client({ connectionString: fast.database.superuserUrl });
  await superuser.connect();
  // The gateways have looked at the walls by now: such triggers would not pass.
  await superuser.query(KEYS_HELD);
  const people: { readonly side: number; readonly role: string; readonly identity: Identity }[] = [];
  const sides: Side[] = [];
  for (const canary of CANARIES) {
    const tenant = await fast.newTenant();
    dataOf(
      await fast.platform(
        "mutation ($id: ID!, $limits: JSONObject) { updateTenant(input: { id: $id, limits: $limits }) { tenant { id } } }",
        { id: tenant.id, limits: UNLIMITED },
      ),
    );
    await furnish(tenant, { canary });
    const user = await personOf(fast, tenant, { role: USER_ROLES.USER });
    const owner = await personOf(fast, tenant, { role: USER_ROLES.OWNER });
    for (const { id } of [user, owner]) await furnishPerson(tenant, id, canary);
    await fillLists(tenant, { canary, people: [user.id, owner.id] });
    people.push(
      { side: sides.length, role: "key with all scopes", identity: { "X-API-Key": tenant.key } },
      { side: sides.length, role: "USER", identity: { Authorization: `Bearer ${user.token}` } },
      { side: sides.length, role: "OWNER", identity: { Authorization: `Bearer ${owner.token}` } },
      { side: sides.length, role: "key with few scopes", identity: { "X-API-Key": await fewScopes(tenant) } },
    );
    sides.push({ tenant, canary, ids: {}, cursors: {} });
  }
  await superuser.query(TRAIL_HELD);
  const known: Side[] = [];
  for (const side of sides) {
    const ids = await idsOf(superuser, side.tenant.id);
    known.push({ ...side, ids, cursors: await cursorsOf(schema, side.tenant.send, ids["Session"]?.[0] ?? "") });
  }
  await superuser.end();
  const [first, second] = known;
  if (!first || !second) throw new Error("there are two tenants");
  const pairs = [
    { own: first, other: second },
    { own: second, other: first },
  ];
  return {
    fast,
    plain,
    callers: people.flatMap(({ side, role, identity }) =>
      pairs.slice(side, side + 1).map(({ own, other }) => ({
        name: `${role} of ${own.canary}`,
        fast: sendTo(fast.url, identity),
        plain: sendTo(plain.url, identity),
        stock: stockOf(own, other),
        forbidden: { canary: other.canary, ids: new Set(Object.values(other.ids).flat()) },
      })),
    ),
    async close() {
      await plain.close();
      await fast.close();
    },
  };
}

type Identity = Readonly<Record<string, string>>;

function stockOf(own: Side, other: Side): Stock {
  return {
    own: own.ids,
    foreign: other.ids,
    ownCursors: own.cursors,
    foreignCursors: other.cursors,
    words: [own.canary, own.canary.toUpperCase(), "ünï", "session.create", "platform", "person-1"],
  };
}

async function fewScopes({ send }: TestTenant): Promise<string> {
  const made = await send<{ createApiKey: { key: string } }>(
    "mutation ($scopes: [Scope!]!) { createApiKey(input: { scopes: $scopes }) { key } }",
    { scopes: FEW_SCOPES },
  );
  return dataOf(made).createApiKey.key;
}

async function idsOf(superuser: pg.Client, tenantId: string): Promise<Record<string, string[]>> {
  const ids: Record<string, string[]> = { Tenant: [tenantId] };
  for (const [model, { table, hasId }] of Object.entries(TENANT_OWNED_MODELS)) {
    if (!hasId) continue;
    const { rows } = await superuser.query<{ id: string }>(`SELECT id FROM ${table} WHERE tenant_id = $1 ORDER BY id`, [
      tenantId,
    ]);
    ids[model] = rows.map(({ id }) => id);
  }
  const [favourite = ""] = ids["Session"]?.slice(-2) ?? [];
  return { ...ids, Session: [...Array.from({ length: FAVOURITE_SHARE }, () => favourite), ...(ids["Session"] ?? [])] };
}

/** Cursors of each list of the tenant, and of the lists below one session. */
async function cursorsOf(schema: GraphQLSchema, send: Sender, sessionId: string): Promise<Record<string, string[]>> {
  const cursors: Record<string, string[]> = {};
  for (const name of ["Query", "Session"]) {
    const type = schema.getType(name);
    if (!isObjectType(type)) throw new Error(`there is no type ${name}`);
    const lists = Object.values(type.getFields()).filter(({ args }) =>
      args.some((argument) => argument.name === "after"),
    );
    for (const { name: list, args } of lists) {
      const place = `${name}.${list}`;
      if (PLATFORM_LISTS.includes(place)) continue;
      const orders = args.some((argument) => argument.name === "orderBy")
        ? [
            "",
            ...["NAME", "CREATED_AT"].flatMap((field) => [
              `, orderBy: { field: ${field} }`,
              `, orderBy: { field: ${field}, direction: ASC }`,
            ]),
          ]
        : [""];
      for (const order of orders) {
        const page = `${list}(first: 6${order}) { edges { cursor } }`;
        const { comparable } = await send(
          name === "Query" ? `{ ${page} }` : `{ session(id: "${sessionId}") { ${page} } }`,
        );
        const found = [...comparable.matchAll(/"cursor":"([^"]+)"/g)].flatMap(([, cursor]) => cursor ?? []);
        if (found.length === 0) throw new Error(`${place} has no cursors: ${comparable}`);
        cursors[place] = [...(cursors[place] ?? []), ...found];
      }
    }
  }
  return cursors;
}
