import { Pool } from "undici";
import { sendOrders } from "./sending.ts";
import type { SendFindings, SendOrders } from "./sending.ts";

// Sends requests as fast as they are answered, in a process of its own.

const MILLISECONDS = 1_000;
const PATIENCE = 4;
const FAILURE_LENGTH = 500;

async function send({ url, requests, connections, seconds, atLeast }: SendOrders): Promise<SendFindings> {
  const { origin, pathname } = new URL(url);
  const pool = new Pool(origin, { connections, pipelining: 1 });
  const latencies: number[] = [];
  const failures: string[] = [];
  let next = 0;
  const begin = performance.now();
  const end = begin + seconds * MILLISECONDS;
  const latest = begin + seconds * MILLISECONDS * PATIENCE;

  async function one(): Promise<void> {
    const { key = "", body = "" } = requests[next % requests.length] ?? {};
    next += 1;
    const sentAt = performance.now();
    const answer = await pool.request({
      path: pathname,
      method: "POST",
      headers: { "content-type": "application/json", "x-api-key": key },
      body,
    });
    const text = await answer.body.text();
    latencies.push(performance.now() - sentAt);
    if (answer.statusCode !== 200 || text.includes('"errors"'))
      failures.push(`${answer.statusCode} ${text}`.slice(0, FAILURE_LENGTH));
  }

  const senders = Array.from({ length: connections }, async () => {
    while (performance.now() < (latencies.length < atLeast ? latest : end)) await one();
  });
  await Promise.all(senders);
  await pool.close();
  latencies.sort((left, right) => left - right);
  const percentile = (part: number): number => latencies[Math.floor(latencies.length * part)] ?? 0;
  return {
    answered: latencies.length,
    failed: failures.length,
    ...(failures[0] !== undefined && { firstFailure: failures[0] }),
    p50: percentile(0.5),
    p99: percentile(0.99),
  };
}

process.on("message", (message: unknown) => {
  void send(sendOrders.parse(message)).then((findings) => process.send?.(findings));
});
