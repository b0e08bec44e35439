import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import pg from "pg";
import { verifyChain } from "../../src/context/audit-chain.ts";
import type { ChainHead } from "../../src/context/audit-chain.ts";
import { openPool } from "../../src/context/prisma.ts";
import { newDatabase } from "../support/database.ts";
import type { TestDatabase } from "../support/database.ts";

const CHANGES: Readonly<Record<string, string>> = {
  id: "uuidv7()",
  action: "'session.delete'",
  actor: "'user:somebody-else'",
  target: "NULL",
  ip: "'192.0.2.1'",
  request_id: "NULL",
  details: `'{"count": 2}'`,
  created_at: "created_at - interval '1 millisecond'",
};

let database: TestDatabase;
let gateway: pg.Pool;
let superuser: pg.Pool;
beforeAll(async () => {
  database = await newDatabase();
  gateway = openPool({ url: database.gatewayUrl, max: 10, onConnectionError: () => undefined });
  superuser = new pg.Pool({ connectionString: database.superuserUrl, max: 1 });
});
afterAll(async () => {
  await Promise.all([gateway.end(), superuser.end()]);
  await database.drop();
});

async function newTenant(events = 0): Promise<string> {
  const name = randomUUID().replaceAll("-", "");
  const { rows } = await superuser.query<{ id: string }>(
    "INSERT INTO tenants (name, schema_name) VALUES ($1, $1) RETURNING id",
    [name],
  );
  const id = rows[0]?.id ?? "";
  for (let number = 1; number <= events; number += 1) await add(id, number);
  return id;
}

/** As the gateway adds an event: in a transaction of that tenant. */
async function add(tenantId: string, number: number): Promise<void> {
  await gateway.query(
    `BEGIN; SET LOCAL app.tenant_id = '${tenantId}';
     INSERT INTO audit_events (action, actor, target, ip, request_id, details)
       VALUES ('session.create', 'user:ada', 'object ${number}', '::1', 'request-${number}', '{"count": ${number}, "words": ["ä", "\\"]"]}');
     COMMIT`,
  );
}

/** Does what no role of the installation may do. Triggers are off, as for somebody who hides. */
async function tamper(statement: string): Promise<void> {
  await superuser.query(`SET session_replication_role = replica; ${statement}; SET session_replication_role = origin`);
}

async function eventAt(tenantId: string, position: number): Promise<string> {
  const { rows } = await superuser.query<{ event_id: string }>(
    "SELECT event_id FROM atrium.audit_chain WHERE tenant_id = $1 AND position = $2",
    [tenantId, position],
  );
  return rows[0]?.event_id ?? "";
}

async function verify(tenantId: string, anchor?: ChainHead): Promise<{ head: ChainHead; problems: string[] }> {
  const problems: string[] = [];
  const head = await verifyChain(gateway, tenantId, anchor, (problem) => problems.push(problem));
  return { head, problems };
}

/** Computes the whole chain of a tenant again, as somebody may who owns the database and knows how. */
async function rewrite(tenantId: string): Promise<void> {
  await tamper(`DO $$
    DECLARE
      event audit_events;
      last_position bigint := 0;
      last_hash bytea := '';
    BEGIN
      DELETE FROM atrium.audit_chain WHERE tenant_id = '${tenantId}';
      FOR event IN SELECT * FROM audit_events WHERE tenant_id = '${tenantId}' ORDER BY created_at, id LOOP
        last_position := last_position + 1;
        last_hash := atrium.audit_hash(last_hash, event);
        INSERT INTO atrium.audit_chain VALUES ('${tenantId}', last_position, event.id, last_hash);
      END LOOP;
      UPDATE atrium.audit_heads SET position = last_position, hash = last_hash WHERE tenant_id = '${tenantId}';
    END $$`);
}

describe("a trail that nobody touched verifies", () => {
  test("with no event, one, and more than a batch", async () => {
    const [empty, one, many] = [await newTenant(), await newTenant(1), await newTenant()];
    await gateway.query(
      `BEGIN; SET LOCAL app.tenant_id = '${many}';
       INSERT INTO audit_events (action, actor) SELECT 'session.create', 'number ' || n FROM generate_series(1, 4001) AS n; COMMIT`,
    );

    expect(await verify(empty)).toEqual({ head: { position: 0, hash: "" }, problems: [] });
    expect(await verify(one)).toEqual({
      head: { position: 1, hash: expect.stringMatching(/^[0-9a-f]{64}$/) },
      problems: [],
    });
    expect(await verify(many)).toMatchObject({ head: { position: 4001 }, problems: [] });
  });

  test("after fifty transactions of one tenant at once, of which some add their event before they change a row and some after", async () => {
    const tenantId = await newTenant(1);
    await superuser.query("INSERT INTO users (tenant_id, email) VALUES ($1, 'ada@example.com')", [tenantId]);
    const event = "INSERT INTO audit_events (action, actor) VALUES ('user.update', 'user:ada')";
    const change = "UPDATE users SET name = name || '.'";
    const transact = async (number: number): Promise<unknown> => {
      const statements = number % 2 === 0 ? [event, change] : [change, event];
      return gateway.query(`BEGIN; SET LOCAL app.tenant_id = '${tenantId}'; ${statements.join("; ")}; COMMIT`);
    };

    await Promise.all(Array.from({ length: 50 }, async (_, number) => transact(number)));

    expect(await verify(tenantId)).toMatchObject({ head: { position: 51 }, problems: [] });
  });

  test("while others write, and without the events of what was rolled back", async () => {
    const tenantId = await newTenant(3);
    await gateway.query(
      `BEGIN; SET LOCAL app.tenant_id = '${tenantId}'; INSERT INTO audit_events (action, actor) VALUES ('a', 'b'); ROLLBACK`,
    );

    const [found] = await Promise.all([
      verify(tenantId),
      ...Array.from({ length: 20 }, (_, number) => add(tenantId, number)),
    ]);

    expect(found.problems).toEqual([]);
    expect(await verify(tenantId)).toMatchObject({ head: { position: 23 }, problems: [] });
  });

  test("beside another tenant's, which it does not depend on", async () => {
    const [acme, globex] = [await newTenant(2), await newTenant(2)];
    await tamper(`DELETE FROM audit_events WHERE tenant_id = '${globex}'`);

    expect((await verify(acme)).problems).toEqual([]);
    expect((await verify(globex)).problems).toHaveLength(2);
  });
});

describe("found, with its event and position, is", () => {
  test("a change of any column", async () => {
    const { rows } = await superuser.query<{ name: string }>(
      "SELECT attname AS name FROM pg_attribute WHERE attrelid = 'audit_events'::regclass AND attnum > 0 AND attname <> 'tenant_id'",
    );
    expect(Object.keys(CHANGES).toSorted()).toEqual(rows.map(({ name }) => name).toSorted());

    for (const [column, value] of Object.entries(CHANGES)) {
      const tenantId = await newTenant(3);
      const event = await eventAt(tenantId, 2);
      await tamper(`UPDATE audit_events SET ${column} = ${value} WHERE tenant_id = '${tenantId}' AND id = '${event}'`);

      const { problems } = await verify(tenantId);

      const says =
        column === "id"
          ? [`event ${event} at position 2 was removed`, expect.stringContaining("is in no chain")]
          : [`event ${event} at position 2 was changed, or it stood elsewhere`];
      expect({ column, problems }).toEqual({ column, problems: says });
    }
  });

  test("an event that was removed", async () => {
    const tenantId = await newTenant(3);
    const event = await eventAt(tenantId, 1);
    await tamper(`DELETE FROM audit_events WHERE tenant_id = '${tenantId}' AND id = '${event}'`);

    expect((await verify(tenantId)).problems).toEqual([`event ${event} at position 1 was removed`]);
  });

  test("an event that was inserted without a link", async () => {
    const tenantId = await newTenant(2);
    const event = randomUUID();
    await tamper(
      `INSERT INTO audit_events (id, tenant_id, action, actor) VALUES ('${event}', '${tenantId}', 'session.create', 'user:ada')`,
    );

    expect((await verify(tenantId)).problems).toEqual([
      `event ${event} is in no chain: it was inserted, or its link was removed`,
    ]);
  });

  test("two events that were swapped", async () => {
    const tenantId = await newTenant(4);
    const [second, third] = [await eventAt(tenantId, 2), await eventAt(tenantId, 3)];
    const link = (position: number, event: string): string =>
      `UPDATE atrium.audit_chain SET event_id = '${event}' WHERE tenant_id = '${tenantId}' AND position = ${position}`;
    await tamper([link(2, randomUUID()), link(3, second), link(2, third)].join("; "));

    expect((await verify(tenantId)).problems).toEqual([
      `event ${third} at position 2 was changed, or it stood elsewhere`,
      `event ${second} at position 3 was changed, or it stood elsewhere`,
    ]);
  });

  test("an event that was removed together with its link", async () => {
    const tenantId = await newTenant(4);
    const event = await eventAt(tenantId, 2);
    await tamper(`DELETE FROM audit_events WHERE tenant_id = '${tenantId}' AND id = '${event}';
      DELETE FROM atrium.audit_chain WHERE tenant_id = '${tenantId}' AND position = 2`);

    expect((await verify(tenantId)).problems).toEqual(["link 2 is missing"]);
  });

  test("a removed link, and the links behind it that were moved up", async () => {
    const tenantId = await newTenant(3);
    const [second, third] = [await eventAt(tenantId, 2), await eventAt(tenantId, 3)];
    await tamper(`DELETE FROM atrium.audit_chain WHERE tenant_id = '${tenantId}' AND position = 2;
      UPDATE atrium.audit_chain SET position = 2 WHERE tenant_id = '${tenantId}' AND position = 3;
      UPDATE atrium.audit_heads SET position = 2 WHERE tenant_id = '${tenantId}'`);

    expect((await verify(tenantId)).problems).toEqual([
      `event ${third} at position 2 was changed, or it stood elsewhere`,
      `event ${second} is in no chain: it was inserted, or its link was removed`,
    ]);
  });

  test("an end that was cut off, with its links, and a chain without its head", async () => {
    const [cut, headless] = [await newTenant(5), await newTenant(2)];
    await tamper(`DELETE FROM audit_events WHERE tenant_id = '${cut}' AND id IN
        (SELECT event_id FROM atrium.audit_chain WHERE tenant_id = '${cut}' AND position > 3);
      DELETE FROM atrium.audit_chain WHERE tenant_id = '${cut}' AND position > 3;
      DELETE FROM atrium.audit_heads WHERE tenant_id = '${headless}'`);

    expect((await verify(cut)).problems).toEqual(["the end was cut off: links 4 to 5 are missing"]);
    expect((await verify(headless)).problems).toEqual(["links 1 to 2 are beyond the end of the chain"]);
  });

  test("a link that was given another hash", async () => {
    const tenantId = await newTenant(3);
    await tamper(`UPDATE atrium.audit_chain SET hash = sha256('x') WHERE tenant_id = '${tenantId}' AND position = 3`);

    expect((await verify(tenantId)).problems).toEqual([
      "the end of the chain and link 3 disagree",
      `event ${await eventAt(tenantId, 3)} at position 3 was changed, or it stood elsewhere`,
    ]);
  });
});

describe("somebody who writes the whole trail anew is found out by an anchor", () => {
  test("when an event before it was changed", async () => {
    const tenantId = await newTenant(3);
    const { head } = await verify(tenantId);
    await add(tenantId, 4);
    await tamper(
      `UPDATE audit_events SET actor = 'user:eve' WHERE tenant_id = '${tenantId}' AND id = '${await eventAt(tenantId, 2)}'`,
    );
    await rewrite(tenantId);

    expect((await verify(tenantId)).problems).toEqual([]);
    expect((await verify(tenantId, head)).problems).toEqual([
      `event ${await eventAt(tenantId, 3)} at position 3 is not the one that was anchored: the trail was written anew`,
    ]);
  });

  test("when the trail became shorter than it was", async () => {
    const tenantId = await newTenant(3);
    const { head } = await verify(tenantId);
    await tamper(`DELETE FROM audit_events WHERE tenant_id = '${tenantId}' AND id = '${await eventAt(tenantId, 3)}'`);
    await rewrite(tenantId);

    expect((await verify(tenantId)).problems).toEqual([]);
    expect((await verify(tenantId, head)).problems).toEqual([
      "the trail ends at position 2, but had 3 events when it was anchored",
    ]);
  });

  test("and nobody else: a trail that only grew agrees with it", async () => {
    const tenantId = await newTenant(3);
    const { head } = await verify(tenantId);
    await add(tenantId, 4);

    expect((await verify(tenantId, head)).problems).toEqual([]);
  });
});

describe("the gateway's role", () => {
  test.each([
    ["change an event", "UPDATE audit_events SET actor = 'nobody'"],
    ["remove an event", "DELETE FROM audit_events"],
    ["empty the trail", "TRUNCATE audit_events"],
    ["read the links", "SELECT * FROM atrium.audit_chain"],
    ["change the links", "UPDATE atrium.audit_chain SET hash = ''"],
    ["change the ends", "UPDATE atrium.audit_heads SET position = 0"],
    ["link what it likes", "SELECT atrium.audit_hash('', NULL)"],
    ["switch the chain off", "ALTER TABLE audit_events DISABLE TRIGGER link_audit_event"],
  ])("cannot %s", async (_what, statement) => {
    const tenantId = await newTenant(1);

    const attempt = gateway.query(`BEGIN; SET LOCAL app.tenant_id = '${tenantId}'; ${statement}; COMMIT`);

    await expect(attempt).rejects.toThrow(/permission denied|must be owner/);
    expect(await verify(tenantId)).toMatchObject({ head: { position: 1 }, problems: [] });
  });

  test("sees the links of the tenant that is set, and of no other", async () => {
    const [acme, globex] = [await newTenant(2), await newTenant(3)];
    const links = async (tenantId: string): Promise<unknown[]> => {
      const client = await gateway.connect();
      try {
        await client.query(`BEGIN; SET LOCAL app.tenant_id = '${tenantId}'`);
        const { rows } = await client.query<{ event_id: string }>("SELECT event_id FROM atrium.audit_links(0, 100)");
        const asked = [...rows.map(({ event_id: id }) => id), await eventAt(globex, 1)];
        const { rows: known } = await client.query("SELECT atrium.linked_audit_events($1)", [asked]);
        const { rows: head } = await client.query("SELECT position FROM atrium.audit_head()");
        await client.query("COMMIT");
        return [rows.length, known.length, head];
      } finally {
        client.release();
      }
    };

    expect(await links(acme)).toEqual([2, 2, [{ position: "2" }]]);
    expect((await gateway.query("SELECT * FROM atrium.audit_links(0, 100)")).rows).toEqual([]);
    expect((await gateway.query("SELECT * FROM atrium.audit_head()")).rows).toMatchObject([{ position: null }]);
  });
});
