import { afterAll, beforeAll, expect, test } from "@jest/globals";
import net from "node:net";
import type { AddressInfo, Socket } from "node:net";
import pg from "pg";
import { openLog } from "../../src/context/log.ts";
import { listenForRevocations } from "../../src/context/revocations.ts";
import { newDatabase } from "../support/database.ts";
import type { TestDatabase } from "../support/database.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await newDatabase();
});
afterAll(() => database.drop());

/** A way to the database that can fall silent without closing, as a firewall does. */
async function throughSilence(
  target: URL,
): Promise<{ url: string; fallSilent: () => void; close: () => Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = net.createServer((near) => {
    const far = net.connect(Number(target.port), target.hostname);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
    }
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = new URL(target);
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- a server that listens on TCP has an address of this kind
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.toString(),
    fallSilent() {
      for (const socket of sockets) socket.unpipe().pause();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("a line that falls silent without closing counts as down, and comes back by itself", async () => {
  const way = await throughSilence(new URL(database.gatewayUrl));
  const states: boolean[] = [];
  let changed: () => void = () => undefined;
  const until = async (length: number): Promise<void> => {
    while (states.length < length) await new Promise<void>((resolve) => (changed = resolve));
  };
  const requests = new pg.Pool({ connectionString: database.gatewayUrl });
  const line = listenForRevocations(
    {
      url: way.url,
      notify: (channel) => requests.query("SELECT pg_notify($1, '')", [channel]),
      log: openLog({ logLevel: "silent" }),
    },
    {
      heard: () => undefined,
      listening(isListening) {
        states.push(isListening);
        changed();
      },
    },
  );

  await until(1);
  way.fallSilent();
  await until(3);

  expect(states).toEqual([true, false, true]);
  await way.close();
  await line.close();
  await requests.end();
});
