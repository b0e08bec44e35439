import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { pbkdf2 } from "node:crypto";
import { createSocket } from "node:dgram";
import type { Socket } from "node:dgram";
import { createServer } from "node:http";
import type { IncomingHttpHeaders, RequestListener, Server } from "node:http";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { limitedTo } from "../../src/context/look-ups.ts";
import { openOutgoing, OutgoingRefusal } from "../../src/context/outgoing.ts";

// Addresses of this very machine, in every way that some parser takes for one; isolation.md §4 has the first seven.
const LOOPBACK = [
  "2130706433",
  "0x7f000001",
  "0177.0.0.1",
  "127.1",
  "127.0.0.1",
  "[::ffff:127.0.0.1]",
  "[::1]",
  "0x7f.1",
  "0.0.0.0",
  "[::]",
  "[::127.0.0.1]",
  "[::ffff:7f00:1]",
  "[64:ff9b::7f00:1]",
  "[2002:7f00:1::]",
];
const INSIDE = [
  "10.0.0.1",
  "172.16.5.4",
  "192.168.1.1",
  "100.64.0.1",
  "169.254.169.254",
  "[fe80::1]",
  "[fd00::1]",
  "[fec0::1]",
  "[64:ff9b::a00:1]",
  "[::ffff:10.0.0.1]",
  "224.0.0.1",
  "255.255.255.255",
  "192.0.2.1",
  "198.18.0.1",
  "240.0.0.1",
];
const NEVER = ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "100.100.100.200", "[fe80::1]"];

const strict = openOutgoing({ allowPrivateAddresses: false });
const open = openOutgoing({ allowPrivateAddresses: true, answerMaxBytes: 1_000, totalTimeoutMs: 2_000 });
const seen: { readonly url: string; readonly headers: IncomingHttpHeaders }[] = [];
let one: { readonly server: Server; readonly url: string };
let two: { readonly server: Server; readonly url: string };

async function listen(answer: RequestListener): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => {
    seen.push({ url: request.url ?? "", headers: request.headers });
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- a server that listens on TCP has such an address
  const { port } = server.address() as AddressInfo;
  return { server, url: `http://127.0.0.1:${port}` };
}

beforeAll(async () => {
  two = await listen((_request, response) => response.end("two"));
  one = await listen(({ url = "/" }, response) => {
    const redirects: Readonly<Record<string, string>> = {
      "/away": `${two.url}/landed`,
      "/near": "/landed",
      "/for-ever": "/for-ever",
      "/to-metadata": "http://169.254.169.254/latest/meta-data",
      "/to-file": "file:///etc/passwd",
    };
    const location = redirects[url];
    if (location !== undefined) return response.writeHead(302, { Location: location }).end();
    if (url === "/large") return response.end("x".repeat(1_001));
    if (url === "/silent") return undefined;
    return response.end("one");
  });
});
afterAll(async () => {
  await Promise.all([strict.close(), open.close()]);
  for (const { server } of [one, two]) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

describe("an address that a tenant names is not called", () => {
  test.each([...LOOPBACK, ...INSIDE])("when it is the literal %s", async (host) => {
    await expect(strict.fetch(`http://${host}:${new URL(one.url).port}/`)).rejects.toThrow(OutgoingRefusal);
    expect(() => strict.assertAllowed(host)).toThrow(OutgoingRefusal);
  });

  test("when it is a name that leads to this machine", async () => {
    await expect(strict.fetch(one.url.replace("127.0.0.1", "localhost"))).rejects.toThrow(OutgoingRefusal);
  });

  test("over any other protocol, by the same look-up", async () => {
    const socket = connect({ host: "localhost", port: Number(new URL(one.url).port), lookup: strict.lookup });
    const error = await new Promise((resolve) => socket.once("error", resolve));

    expect(error).toBeInstanceOf(OutgoingRefusal);
  });

  test("when it speaks neither http nor https", async () => {
    await expect(strict.fetch("file:///etc/passwd")).rejects.toThrow(OutgoingRefusal);
    await expect(strict.fetch("data:text/plain,hello")).rejects.toThrow(OutgoingRefusal);
  });

  test.each(NEVER)("when it is %s, even where private addresses are allowed", async (host) => {
    await expect(open.fetch(`http://${host}/`)).rejects.toThrow(OutgoingRefusal);
  });

  test("and nothing of all this has reached the machine", () => {
    expect(seen).toEqual([]);
  });

  test.each(["1.1.1.1", "[2606:4700::1111]", "[64:ff9b::101:101]", "example.com"])("unlike %s", (host) => {
    expect(() => strict.assertAllowed(host)).not.toThrow();
  });
});

describe("a redirect", () => {
  const secrets = { Authorization: "Bearer secret", "X-API-Key": "secret", Cookie: "secret=1", Accept: "text/plain" };
  const last = () => JSON.stringify(seen.at(-1));

  test("within an origin is followed with everything", async () => {
    expect(await (await open.fetch(`${one.url}/near`, { headers: secrets })).text()).toBe("one");
    expect(last()).toContain("Bearer secret");
  });

  test("to another origin is followed without anything that could be a credential", async () => {
    expect(await (await open.fetch(`${one.url}/away`, { headers: secrets })).text()).toBe("two");
    expect(last()).toContain("text/plain");
    expect(last()).not.toContain("secret");
  });

  test.each(["/to-metadata", "/to-file", "/for-ever"])("to %s is refused", async (path) => {
    await expect(open.fetch(one.url + path)).rejects.toThrow(OutgoingRefusal);
  });

  test("of what was posted is refused, and shown to whoever follows by themselves", async () => {
    await expect(open.fetch(`${one.url}/near`, { method: "POST", body: "secret" })).rejects.toThrow(OutgoingRefusal);
    expect((await open.fetch(`${one.url}/away`, { redirect: "manual" })).status).toBe(302);
  });
});

describe("an answer", () => {
  test("that is too large fails while it is read", async () => {
    await expect((await open.fetch(`${one.url}/large`)).text()).rejects.toThrow(OutgoingRefusal);
  });

  test("that does not come is not waited for", async () => {
    await expect(open.fetch(`${one.url}/silent`)).rejects.toThrow(/aborted|timeout/i);
  });
});

/** A DNS server that says of each name that it has this address; one that says nothing without an address. */
async function dnsServer(
  address?: readonly number[],
): Promise<{ readonly socket: Socket; readonly servers: string[] }> {
  const socket = createSocket("udp4");
  socket.on("message", (question, { port, address: from }) => {
    if (!address) return;
    const end = question.indexOf(0, 12) + 5; // after the name, its type and its class
    const isV4 = question.readUInt16BE(end - 4) === 1;
    const header = Buffer.from([...question.subarray(0, 2), 0x81, 0x80, 0, 1, 0, isV4 ? 1 : 0, 0, 0, 0, 0]);
    const answer = isV4 ? Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address]) : Buffer.alloc(0);
    socket.send(Buffer.concat([header, question.subarray(12, end), answer]), port, from);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return { socket, servers: [`127.0.0.1:${socket.address().port}`] };
}

describe("a name", () => {
  test("whose servers never answer holds up nobody else: not the threads that passwords and files need", async () => {
    const { socket, servers } = await dnsServer();
    const outgoing = openOutgoing({ allowPrivateAddresses: false, dnsServers: servers });
    let answered = 0;
    const calls = Array.from({ length: 8 }, (_, count) =>
      outgoing.fetch(`https://silent-${count}.example/`).finally(() => (answered += 1)),
    );
    const outcomes = Promise.allSettled(calls);

    await promisify(pbkdf2)("a", "b", 1, 32, "sha256");

    expect(answered).toBe(0);
    expect((await outcomes).map(({ status }) => status)).toEqual(Array(8).fill("rejected"));
    await outgoing.close();
    socket.close();
  });

  test("is looked up by DNS, and refused where the answer is an address inside", async () => {
    const [inside, outside] = [await dnsServer([127, 0, 0, 1]), await dnsServer([93, 184, 215, 14])];
    const look = async ({ servers }: typeof inside) => {
      const outgoing = openOutgoing({ allowPrivateAddresses: false, dnsServers: servers });
      const answer = await new Promise((resolve) =>
        outgoing.lookup("a.example", { all: true }, (error, found) => resolve(error ?? found)),
      );
      await outgoing.close();
      return answer;
    };

    expect(await look(inside)).toBeInstanceOf(OutgoingRefusal);
    expect(await look(outside)).toEqual([{ address: "93.184.215.14", family: 4 }]);
    for (const { socket } of [inside, outside]) socket.close();
  });

  test("of this machine is found where private addresses are allowed", async () => {
    expect(await (await open.fetch(one.url.replace("127.0.0.1", "localhost"))).text()).toBe("one");
  });

  test("that is waited for in vain keeps its place until its look-up ends, and whoever waits behind it gives up", async () => {
    const limited = limitedTo(1, 50);
    let end = (): void => undefined;
    const endless = new Promise<void>((resolve) => (end = resolve));
    let begun = 0;
    const next = async () => (begun += 1);

    const first = limited(() => endless);
    await expect(Promise.all([expect(first).rejects.toThrow("no answer"), limited(next)])).rejects.toThrow("no answer");
    expect(begun).toBe(0);
    end();
    await endless;

    expect(await limited(next)).toBe(1);
  });
});
