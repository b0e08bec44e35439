import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { getNamedType, isAbstractType, isInterfaceType, isObjectType } from "graphql";
import type { GraphQLField, GraphQLNamedType, GraphQLObjectType } from "graphql";
import {
  ANONYMOUS_SCOPES,
  ALL_SCOPES,
  FIELDS,
  OPERATIONS,
  ROLE_SCOPES,
  USER_ROLES,
} from "../../src/context/permissions.ts";
import type { Need, Scope, UserRole } from "../../src/context/permissions.ts";
import { buildAtriumSchema } from "../../src/resolvers/index.ts";
import { PLATFORM_KEY, startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { personOf, signedIn } from "../support/people.ts";
import type { TestPerson } from "../support/people.ts";
import { codesOf, sendTo } from "../support/send.ts";
import type { Sender } from "../support/send.ts";
import { anId } from "../support/tenants.ts";
import { callOf, leastOf } from "./support/harmless.ts";
import { ID_CASES } from "./support/id-cases.ts";
import { furnish } from "./support/scene.ts";
import type { Furnished } from "./support/scene.ts";

type Field = GraphQLField<unknown, unknown>;

interface Principal {
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly role?: UserRole;
  readonly isPlatform?: true;
  /** A client that speaks as this principal, with a sign-in of its own: some operations end one. */
  readonly client: () => Promise<Sender>;
}

const PATIENCE_MS = 120_000; // some hundred requests

const schema = buildAtriumSchema();
const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].filter(isObjectType);
const operations = roots.flatMap((type) =>
  Object.values(type.getFields()).map((field) => ({ coordinate: `${type.name}.${field.name}`, type, field })),
);

let app: TestApp;
let acme: Furnished;
let principals: readonly Principal[];
const people = new Map<UserRole, TestPerson>();
const clients = new Map<string, Sender>();

beforeAll(async () => {
  app = await startApp();
  acme = await furnish(await app.newTenant(), { canary: "canary-a" });
  const others = ["calendar", "whatsapp", "mcp_server"] as const;
  for (const serviceType of others) {
    await acme.tenant.db.integration.create({
      data: {
        provider: "other",
        purpose: "service_other",
        serviceType,
        metadata: { server_url: "https://mcp.example/" },
      },
    });
  }
  for (const role of Object.values(USER_ROLES)) people.set(role, await personOf(app, acme.tenant, { role }));
  principals = principalsOf(acme);
});
afterAll(() => app.close());

function principalsOf({ tenant }: Furnished): readonly Principal[] {
  const key = (name: string, scopes: readonly Scope[]): Principal => ({
    name,
    scopes,
    client: () => clientWith(scopes),
  });
  return [
    ...Object.values(USER_ROLES).map((role) => ({
      name: role,
      role,
      scopes: ROLE_SCOPES[role],
      client: async () => (await signedIn(app, tenant, { ...personIn(role), role })).send,
    })),
    ...ALL_SCOPES.map((scope) => key(`a key with ${scope} alone`, [scope])),
    key("a key with no scope", []),
    { name: "nobody in particular", scopes: ANONYMOUS_SCOPES, client: async () => app.anonymous },
    {
      name: "the platform",
      scopes: ALL_SCOPES,
      isPlatform: true,
      client: async () => sendTo(app.url, { "X-API-Key": PLATFORM_KEY, "X-Tenant-ID": tenant.id }),
    },
  ];
}

function personIn(role: UserRole): TestPerson {
  const person = people.get(role);
  if (!person) throw new Error(`there is no ${role}`);
  return person;
}

/** A client with a key of exactly these scopes. */
async function clientWith(scopes: readonly Scope[]): Promise<Sender> {
  const name = scopes.toSorted().join();
  const client = clients.get(name) ?? (await acme.tenant.withScopes(...scopes));
  clients.set(name, client);
  return client;
}

/** The scopes that the harmless call of an operation hands on: it adds a USER, and a key with TENANT_ADMIN. */
const GIVEN: Readonly<Record<string, readonly Scope[]>> = {
  "Mutation.createUser": ROLE_SCOPES.user,
  "Mutation.createApiKey": ["tenant_admin"],
};

/** What the table says, in words of its own. */
function mayUse({ scopes, role, isPlatform }: Principal, need: Need, given: readonly Scope[] = []): boolean {
  switch (need.kind) {
    case "scope":
      return [need.scope, ...(need.gives ? given : [])].every((scope) => scopes.includes(scope));
    case "owner":
      return role === USER_ROLES.OWNER || isPlatform === true;
    case "person":
      return role !== undefined;
    case "platform":
      return isPlatform === true;
    case "tenant":
    case "door":
      return true;
  }
}

describe("the table of who may use what", () => {
  test("names every operation of the schema, and nothing else", () => {
    expect(Object.keys(OPERATIONS).toSorted()).toEqual(operations.map(({ coordinate }) => coordinate).toSorted());
  });

  test("names only fields that the schema has", () => {
    const missing = Object.keys(FIELDS).filter((coordinate) => {
      const [name = "", field = ""] = coordinate.split(".");
      const type = schema.getType(name);
      return !isObjectType(type) || !type.getFields()[field];
    });

    expect(missing).toEqual([]);
  });

  test("lets a viewer change nothing but what is about the viewer's own account", () => {
    const viewer = {
      name: "viewer",
      role: USER_ROLES.VIEWER,
      scopes: ROLE_SCOPES.viewer,
      client: async () => app.anonymous,
    };
    const mutations = operations.filter(({ type }) => type === schema.getMutationType());
    const allowed = mutations.filter(({ coordinate }) => {
      const need = OPERATIONS[coordinate];
      return need && need.kind !== "door" && mayUse(viewer, need);
    });

    expect(allowed.map(({ field }) => field.name).toSorted()).toEqual(["changePassword", "logout", "updateProfile"]);
  });

  test("gives every role all that the next lower one may do", () => {
    const { owner, admin, user, viewer } = ROLE_SCOPES;

    expect(owner).toEqual(expect.arrayContaining([...admin]));
    expect(admin).toEqual(expect.arrayContaining([...user]));
    expect(user).toEqual(expect.arrayContaining([...viewer]));
  });
});

describe("for every role, every single scope, nobody and the platform, FORBIDDEN is answered where the table says so and nowhere else:", () => {
  test.each(operations)(
    "$coordinate",
    async ({ coordinate, type, field }) => {
      const need = OPERATIONS[coordinate];
      if (!need) throw new Error(`${coordinate} is missing in OPERATIONS of src/context/permissions.ts`);
      for (const principal of principals) {
        const send = await principal.client();
        const call = `${callOf(field, anId)} ${leastOf(field.type)}`;
        const codes = codesOf(await send(`${type.name.toLowerCase()} { ${call} }`));

        const answer = codes.includes("FORBIDDEN") ? "FORBIDDEN" : "allowed";
        const wanted = mayUse(principal, need, GIVEN[coordinate]) ? "allowed" : "FORBIDDEN";
        expect({ who: principal.name, answer, codes }).toEqual({ who: principal.name, answer: wanted, codes });
      }
    },
    PATIENCE_MS,
  );
});

async function refuses(send: Sender, query: string): Promise<boolean> {
  return codesOf(await send(query)).includes("FORBIDDEN");
}

/** A type of the schema as some caller meets it: by a way that needs these scopes and no other. */
interface Place {
  readonly type: GraphQLObjectType;
  readonly scopes: readonly Scope[];
  readonly ask: (selection: string) => string;
}

describe("fields below an operation", () => {
  // What these leave behind would be missing afterwards, and their payloads hold nothing but ids.
  const DESTRUCTIVE = /^(delete|forget|clear|revoke|archive)/;

  // A way that takes more of them shows nothing that its parts do not.
  const SCOPES_MAX = 2;

  function placesBelow(type: GraphQLNamedType, scopes: readonly Scope[], ask: Place["ask"]): Place[] {
    if (isObjectType(type)) return [{ type, scopes, ask }];
    if (!isAbstractType(type)) return [];
    return schema.getPossibleTypes(type).map((possible) => ({
      type: possible,
      scopes,
      ask: (selection) => ask(`... on ${possible.name} { ${selection} }`),
    }));
  }

  function below(place: Place, field: Field, coordinate: string): Place[] {
    const need = FIELDS[coordinate];
    const scopes = need?.kind === "scope" ? [...new Set([...place.scopes, need.scope])] : place.scopes;
    if (scopes.length > SCOPES_MAX) return [];
    const call = callOf(field, (path) => ownIdFor(`${coordinate}(${path})`));
    return placesBelow(getNamedType(field.type), scopes, (selection) =>
      place.ask(`${call} { __typename ${selection} }`),
    );
  }

  function ownIdFor(coordinate: string): string {
    return acme.ids[ID_CASES[coordinate]?.models[0] ?? ""] ?? anId();
  }

  function firstPlaces(): Place[] {
    // What was just made has nothing below it that could be seen: it comes last.
    const isNew = ({ field }: (typeof operations)[number]): number => Number(field.name.startsWith("create"));
    return operations
      .toSorted((left, right) => isNew(left) - isNew(right))
      .flatMap(({ coordinate, type, field }) => {
        const need = OPERATIONS[coordinate];
        if (DESTRUCTIVE.test(field.name) || (need?.kind !== "scope" && need?.kind !== "tenant")) return [];
        const root = {
          type,
          scopes: need.kind === "scope" ? [need.scope] : [],
          ask: (selection: string) => `${type.name.toLowerCase()} { ${selection} }`,
        };
        return below(root, field, coordinate);
      });
  }

  test(
    "need another scope where the table says so and nowhere else, by whatever way they are reached",
    async () => {
      const seen = new Set<string>();
      const reached = new Set<string>();
      const refused = new Set<string>();
      const queue = firstPlaces();
      for (let place = queue.shift(); place; place = queue.shift()) {
        const { type, scopes, ask } = place;
        const name = `${type.name} by ${scopes.toSorted().join()}`;
        if (seen.has(name)) continue;
        const send = await clientWith(scopes);
        const { data = null } = await send(ask("__typename"));
        if (!JSON.stringify(data).includes(`"__typename":"${type.name}"`)) continue;
        seen.add(name);
        reached.add(type.name);
        const fields = Object.values(type.getFields()).map((field) => ({
          field,
          coordinate: `${type.name}.${field.name}`,
          need: FIELDS[`${type.name}.${field.name}`],
        }));
        const callsOf = (some: typeof fields): string =>
          some
            .map(({ field, coordinate }) => {
              const call = callOf(field, (path) => ownIdFor(`${coordinate}(${path})`));
              return `${call} ${leastOf(field.type)}`;
            })
            .join(" ");
        const lacking = fields.filter(({ need }) => need?.kind === "scope" && !scopes.includes(need.scope));
        const free = fields.filter((entry) => !lacking.includes(entry));
        expect({ name, isRefused: await refuses(send, ask(`__typename ${callsOf(free)}`)) }).toEqual({
          name,
          isRefused: false,
        });
        for (const entry of lacking) {
          const more = entry.need?.kind === "scope" ? [entry.need.scope] : [];
          expect({ ...entry, isRefused: await refuses(send, ask(callsOf([entry]))) }).toEqual({
            ...entry,
            isRefused: true,
          });
          expect(await refuses(await clientWith([...scopes, ...more]), ask(callsOf([entry])))).toBe(false);
          refused.add(entry.coordinate);
        }
        queue.push(...fields.flatMap(({ field, coordinate }) => below(place, field, coordinate)));
      }

      expect([...refused].toSorted()).toEqual(Object.keys(FIELDS).toSorted());
      const node = schema.getType("Node");
      if (!isInterfaceType(node)) throw new Error("there is no interface Node");
      const nodes = schema.getPossibleTypes(node).map((type) => type.name);
      expect(nodes.filter((type) => !reached.has(type))).toEqual([]);
    },
    PATIENCE_MS,
  );
});
