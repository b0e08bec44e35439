import { USER_ROLES } from "../../../src/context/permissions.ts";
import { PASSWORD, LOGIN, REFRESH, addPerson, atTheDoor, signIn } from "../../support/door.ts";
import { personOf } from "../../support/people.ts";
import { anId } from "../../support/tenants.ts";
import { WRITES } from "../../support/writes.ts";
import type { Write } from "../../support/writes.ts";
import type { Scene, Script } from "./twins.ts";

const ROUNDS = 3; // a call gets a plan at the second sight, and runs by it at the third
const USER = "user { id email name role active emailVerified timezone metadata createdAt lastLoginAt }";
const SESSION = `session { id name title description status metadata createdAt updatedAt archivedAt messageCount ${USER} }`;
const MEMORY = "memory { id content kind importance createdAt updatedAt learnedFromSessions { id name } }";
const API_KEY = "apiKey { id name prefix scopes active createdAt expiresAt }";

const CREATE_SESSION = `mutation ($input: CreateSessionInput!) { createSession(input: $input) { ${SESSION} } }`;
const UPDATE_SESSION = `mutation ($input: UpdateSessionInput!) { updateSession(input: $input) { ${SESSION} } }`;
const CREATE_MESSAGE =
  "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { message { id role content metadata createdAt session { id updatedAt messageCount } } } }";
const REMEMBER = `mutation ($input: RememberInput!) { remember(input: $input) { created ${MEMORY} } }`;
const CREATE_USER = `mutation ($input: CreateUserInput!) { createUser(input: $input) { ${USER} } }`;
const UPDATE_USER = `mutation ($input: UpdateUserInput!) { updateUser(input: $input) { ${USER} } }`;

const METADATA = { ä: "🦜", deep: [1, 1.5, 1e21, { null: null, yes: true }], "quote\"'": "\\" };

/** One mutation of the list, a few times with something of its own, once with an id that nothing has, and once by somebody who may not. */
function scriptOf(mutation: string, write: Write): Script {
  return async (scene) => {
    const { app, tenant, listenTo, send } = scene;
    const role = write.isOwners ? USER_ROLES.OWNER : USER_ROLES.USER;
    const person = write.isPersons && (await personOf(app, tenant, { role, email: "anna@example.com" }));
    const speak = write.isPlatforms ? listenTo(app.platform) : person ? listenTo(person.send) : send;
    const text = (id: string): string => `mutation { done: ${mutation}${write.ask(id)} }`;
    for (let round = 0; round < ROUNDS; round += 1) {
      const { id } = (await write.prepare?.(tenant)) ?? { id: "" };
      await speak(text(id));
    }
    if (!write.prepare) return;
    await speak(text(anId()));
    const powerless = listenTo(await tenant.withScopes());
    await powerless(text((await write.prepare(tenant)).id));
  };
}

async function newSession({ tenant }: Scene, data: { readonly status?: string } = {}): Promise<string> {
  const { id } = await tenant.db.session.create({ data: { name: "s", ...data } });
  return id;
}

async function inRounds(work: (round: number) => Promise<unknown>): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) await work(round);
}

/** What mutations do beyond their plain case, by what it is about. */
const MORE: Readonly<Record<string, Script>> = {
  "sessions with everything and with the least": async ({ send }) => {
    await inRounds(async (round) => {
      await send(CREATE_SESSION, { input: { name: `${round} ü`, title: "T", description: "D\n", metadata: METADATA } });
      await send(CREATE_SESSION, { input: { name: "n", title: null, description: null, metadata: null } });
      await send(CREATE_SESSION, { input: { name: "n" } });
      await send(CREATE_SESSION, { input: { name: "" } });
      await send(CREATE_SESSION, { input: { name: "x".repeat(256) } });
    });
  },
  "the same idempotency key, with the same input and with another": async (scene) => {
    const { send } = scene;
    const sessionId = await newSession(scene);
    await inRounds(async (round) => {
      const idempotencyKey = `key ${round}`;
      for (const name of ["first", "first", "other"]) await send(CREATE_SESSION, { input: { name, idempotencyKey } });
      for (const content of ["first", "first", "other"])
        await send(CREATE_MESSAGE, { input: { sessionId, content, idempotencyKey } });
    });
  },
  "changes of a session: absent stays, null clears": async (scene) => {
    const changes = [
      {},
      { name: "N" },
      { name: null },
      { title: "T", description: "D" },
      { title: null },
      { description: null, metadata: METADATA },
      { metadata: null },
      { name: "N", title: "T", description: "D", metadata: {} },
    ];
    for (const change of changes) {
      await inRounds(async () => scene.send(UPDATE_SESSION, { input: { id: await newSession(scene), ...change } }));
    }
    await scene.send(UPDATE_SESSION, { input: { id: anId(), name: "of nobody" } });
  },
  "messages of every role, to sessions that are open and that are not": async (scene) => {
    const { send } = scene;
    const sessionId = await newSession(scene);
    await inRounds(async (round) => {
      for (const role of ["USER", "ASSISTANT", "SYSTEM", "TOOL"])
        await send(CREATE_MESSAGE, { input: { sessionId, role, content: `${role} ${round}`, metadata: METADATA } });
      await send(CREATE_MESSAGE, { input: { sessionId, content: "plain" } });
      await send(CREATE_MESSAGE, { input: { sessionId, content: "\u0000" } });
      await send(CREATE_MESSAGE, { input: { sessionId: anId(), content: "of nothing" } });
      for (const status of ["archived", "deleted"])
        await send(CREATE_MESSAGE, { input: { sessionId: await newSession(scene, { status }), content: "too late" } });
    });
  },
  "the life of a session": async (scene) => {
    const { send, tenant } = scene;
    await inRounds(async () => {
      const id = await newSession(scene);
      await tenant.db.message.createMany({
        data: ["user", "assistant"].map((role) => ({ sessionId: id, role, content: `said by ${role}` })),
      });
      await tenant.db.file.create({ data: { sessionId: id, filename: "f", filepath: "f" } });
      await tenant.db.task.create({ data: { sessionId: id, type: "t" } });
      for (const done of ["archiveSession", "archiveSession", "restoreSession", "restoreSession", "archiveSession"])
        await send(`mutation ($id: ID!) { ${done}(id: $id) { ${SESSION} } }`, { id });
      for (const hard of [false, false, true, true])
        await send("mutation ($id: ID!, $hard: Boolean) { deleteSession(id: $id, hard: $hard) { deletedId } }", {
          id,
          hard,
        });
    });
  },
  "memories that are new, known, changed and forgotten": async (scene) => {
    const { send } = scene;
    await inRounds(async (round) => {
      const sessions = [await newSession(scene), await newSession(scene)];
      const input = { content: `fact ${round}`, kind: "FACT", importance: 0.1, learnedFromSessionIds: sessions };
      await send(REMEMBER, { input });
      await send(REMEMBER, { input });
      await send(REMEMBER, { input: { content: "fact", learnedFromSessionIds: [anId()] } });
      const { id } = await scene.tenant.db.memoryLong.create({ data: { content: "m" } });
      for (const change of [{}, { content: "other" }, { kind: "WEB", importance: 1 }, { importance: 2 }])
        await send(`mutation ($input: UpdateMemoryInput!) { updateMemory(input: $input) { ${MEMORY} } }`, {
          input: { id, ...change },
        });
      await send("mutation ($ids: [ID!]!) { forget(ids: $ids) { deletedIds } }", { ids: [id, anId(), id] });
      await send("mutation { forget(ids: []) { deletedIds } }");
    });
  },
  "short-term memory, set, replaced and cleared": async (scene) => {
    const { send } = scene;
    const SET =
      "mutation ($input: SetShortTermMemoryInput!) { setShortTermMemory(input: $input) { shortTerm { context expiresAt } } }";
    await inRounds(async () => {
      const sessionId = await newSession(scene);
      for (const context of [{ a: 1 }, METADATA])
        await send(SET, { input: { sessionId, context, ttlSeconds: 86_400 } });
      for (let twice = 0; twice < 2; twice += 1)
        await send("mutation ($id: ID!) { clearShortTermMemory(sessionId: $id) }", { id: sessionId });
    });
  },
  "notifications by filter": async (scene) => {
    const { send, tenant } = scene;
    const ALL = "mutation ($filter: NotificationFilter) { markAllNotificationsRead(filter: $filter) { count } }";
    await inRounds(async () => {
      const sessionId = await newSession(scene);
      for (const urgency of ["low", "high", "unheard of"])
        await tenant.db.notification.create({ data: { type: "todo", urgency, content: {}, sessionId } });
      for (const filter of [{ urgency: ["HIGH"] }, { type: [] }, { sessionId }, { read: true }, null])
        await send(ALL, { filter });
      const ids = (await tenant.db.notification.findMany({ orderBy: { id: "asc" } })).map(({ id }) => id);
      for (const id of ids.slice(0, 2))
        await send(
          "mutation ($id: ID!) { markNotificationRead(id: $id) { notification { id read readAt type session { id } } } }",
          { id },
        );
      await send("mutation ($ids: [ID!]!) { deleteNotifications(ids: $ids) { deletedIds } }", {
        ids: [...ids, anId()],
      });
    });
  },
  "the life of a key": async ({ send, tenant }) => {
    await inRounds(async (round) => {
      const input = { name: `key ${round}`, scopes: ["SESSIONS_READ"], ...(round > 0 && { expiresInDays: round }) };
      await send(`mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { key ${API_KEY} } }`, { input });
      const made = await tenant.db.apiKey.findFirst({ where: { name: input.name } });
      for (const done of [`rotateApiKey(id: $id) { key ${API_KEY} }`, `revokeApiKey(id: $id) { ${API_KEY} }`])
        for (let twice = 0; twice < 2; twice += 1) await send(`mutation ($id: ID!) { ${done} }`, { id: made?.id });
    });
  },
  "people: added twice, changed, demoted": async ({ app, tenant, listenTo, send }) => {
    const owner = await personOf(app, tenant, { role: USER_ROLES.OWNER, email: "olga@example.com" });
    const asOwner = listenTo(owner.send);
    await inRounds(async (round) => {
      const email = `person-${round}@example.com`;
      for (let twice = 0; twice < 2; twice += 1)
        await send(CREATE_USER, { input: { email, name: "P", role: "ADMIN" } });
      const made = await tenant.db.user.findFirst({ where: { email } });
      const changes = [{}, { name: null }, { role: "VIEWER" }, { email: "olga@example.com" }, { active: false }];
      for (const change of changes) await send(UPDATE_USER, { input: { id: made?.id, ...change } });
      await asOwner(UPDATE_USER, { input: { id: owner.id, role: "USER" } });
    });
    await asOwner(`mutation ($input: UpdateProfileInput!) { updateProfile(input: $input) { ${USER} } }`, {
      input: { name: "Olga", timezone: "Europe/Berlin", metadata: METADATA },
    });
  },
  "signing in, rightly and wrongly, and renewing it": async ({ app, tenant, listenTo }) => {
    await addPerson(tenant);
    const door = listenTo(atTheDoor(app.url, tenant.id));
    await inRounds(async () => {
      for (const password of [PASSWORD, "wrong"]) await door(LOGIN, { email: "alice@example.com", password });
      const { refreshToken: token } = await signIn(app.url, tenant.id);
      for (let twice = 0; twice < 2; twice += 1) await door(REFRESH, { token });
    });
  },
  "several in one request, one of which fails": async (scene) => {
    await inRounds(async (round) => {
      const id = await newSession(scene);
      await scene.send(
        `mutation ($id: ID!, $name: String!) {
          first: createSession(input: { name: $name }) { ${SESSION} }
          second: updateSession(input: { id: $id, title: $name }) { ${SESSION} }
          third: createMessage(input: { sessionId: $id, content: "" }) { message { id } }
          fourth: createSession(input: { name: "never" }) { ${SESSION} }
        }`,
        { id, name: `name ${round}` },
      );
    });
  },
};

/** Every mutation of the schema as one that is let in sends it, and what else can come of them. */
export const SCRIPTS: Readonly<Record<string, Script>> = {
  ...Object.fromEntries(Object.entries(WRITES).map(([mutation, write]) => [mutation, scriptOf(mutation, write)])),
  ...MORE,
};
