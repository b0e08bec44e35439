import { Agent, request } from "node:http";
import { orders } from "./orders.ts";
import type { Findings, Orders } from "./orders.ts";

// One sender of requests, in a process of its own: whatever it is slowed down by, it is not the other sender.

const MILLISECONDS = 1000;
const SOCKETS_MAX = 400;
const TICK_MS = 1;

const agent = new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX });

async function send(order: Orders): Promise<Findings> {
  const body = JSON.stringify({ query: order.query });
  const latenciesMs: number[] = [];
  const statuses: Record<string, number> = {};
  const begin = performance.now();
  const countedFrom = begin + order.warmUpSeconds * MILLISECONDS;
  const end = begin + order.seconds * MILLISECONDS;
  let sent = 0;

  async function one(dueAt: number): Promise<void> {
    const isCounted = dueAt >= countedFrom;
    if (isCounted) sent += 1;
    const key = order.keys[Math.floor(Math.random() * order.keys.length)] ?? "";
    const status = await ask(order.url, key, body);
    if (!isCounted) return;
    statuses[status] = (statuses[status] ?? 0) + 1;
    if (status === 200) latenciesMs.push(performance.now() - dueAt);
  }

  const before = process.cpuUsage();
  if (order.rate === 0) {
    const senders = Array.from({ length: order.atOnce }, async () => {
      while (performance.now() < end) await one(performance.now());
    });
    await Promise.all(senders);
  } else {
    await sendAtRate(order.rate, begin, end, one);
  }
  const { user, system } = process.cpuUsage(before);
  const cpuShare = (user + system) / MILLISECONDS / (performance.now() - begin);
  return { latenciesMs, sent, statuses, cpuShare };
}

/** Sends when requests are due, whether or not earlier ones were answered; they come as independent people do (exponential gaps). */
async function sendAtRate(
  rate: number,
  begin: number,
  end: number,
  one: (dueAt: number) => Promise<void>,
): Promise<void> {
  const underWay = new Set<Promise<void>>();
  const gap = (): number => (-Math.log(1 - Math.random()) / rate) * MILLISECONDS;
  let dueAt = begin + gap();
  while (dueAt < end) {
    for (const now = performance.now(); dueAt <= now && dueAt < end; dueAt += gap()) {
      const sending: Promise<void> = one(dueAt).finally(() => underWay.delete(sending));
      underWay.add(sending);
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  await Promise.all(underWay);
}

/** @returns the status, 0 where there was no answer. */
async function ask(url: string, key: string, body: string): Promise<number> {
  return new Promise((resolve) => {
    const headers = {
      "Content-Type": "application/json",
      "Content-Length": Buffer.byteLength(body),
      "X-API-Key": key,
    };
    const outgoing = request(url, { method: "POST", agent, headers }, (incoming) => {
      incoming.resume();
      incoming.on("end", () => resolve(incoming.statusCode ?? 0));
      incoming.on("error", () => resolve(0));
    });
    outgoing.on("error", () => resolve(0));
    outgoing.end(body);
  });
}

process.on("message", (order: unknown) => {
  void send(orders.parse(order)).then((findings) => process.send?.(findings));
});
