import { describe, expect, test } from "@jest/globals";
import { rmSync } from "node:fs";
import { createServer } from "node:net";
import { openApp } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import { anAddress, invite, tokenIn } from "../support/invitations.ts";
import { startMailServer } from "../support/mail-server.ts";
import { mailboxIn } from "../support/mailbox.ts";
import { PLATFORM_KEY, startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { freePort } from "../support/ports.ts";
import { temporaryFolder } from "../support/postgres.ts";
import { until } from "../support/until.ts";

const MINUTE_MS = 60_000;

describe("a mail server", () => {
  test("that is away breaks no mutation; mail goes out once it is back, and once", async () => {
    let now = new Date("2030-01-01T12:00:00.000Z");
    const port = await freePort();
    const app = await startApp({ SMTP_URL: `smtp://127.0.0.1:${port}` }, { clock: { now: () => now } });
    try {
      const acme = await app.newTenant();
      const email = anAddress();
      const id = await invite(acme, email);
      await until(async () => app.logs.some(({ msg }) => msg === "mail not sent"));
      const [waiting] = await acme.db.mail.findMany();
      const server = await startMailServer(port);

      now = new Date(now.getTime() + MINUTE_MS);
      app.app.context.accounts.mail.ring(acme.id);
      await until(async () => (await acme.db.mail.count()) === 0);
      await server.close();

      expect(waiting).toMatchObject({ attempts: 1, nextAttemptAt: now, userId: id });
      expect(server.received).toMatchObject([{ to: email, subject: `Invitation to ${acme.name}` }]);
      const [mail] = server.received;
      expect(mail && (await tokenIn(acme.db, mail))).toMatchObject({ userId: id });
      expect(await acme.db.oneTimeToken.count()).toBe(1);
      expect(JSON.stringify(app.logs)).not.toContain(email);
    } finally {
      await app.close();
    }
  });

  test("that stays away for a day is given up, with a trace", async () => {
    let now = new Date("2030-01-01T12:00:00.000Z");
    const port = await freePort();
    const app = await startApp({ SMTP_URL: `smtp://127.0.0.1:${port}` }, { clock: { now: () => now } });
    try {
      const acme = await app.newTenant();
      const id = await invite(acme, anAddress());
      const begin = now;
      for (let attempts = 1; attempts < 8; attempts += 1) {
        await until(async () => (await acme.db.mail.findMany()).some((mail) => mail.attempts === attempts));
        await until(() => app.logs.filter(({ msg }) => msg === "mail not sent").length === attempts);
        const [waiting] = await acme.db.mail.findMany();
        now = waiting?.nextAttemptAt ?? now;
        // Until the round that noted the failure is over, the bell is heard for the next one.
        app.app.context.accounts.mail.ring(acme.id);
      }
      await until(async () => (await acme.db.mail.count()) === 0);

      const hours = (now.getTime() - begin.getTime()) / (60 * MINUTE_MS);
      expect(hours).toBeGreaterThan(20);
      expect(hours).toBeLessThan(25);
      expect(await acme.db.auditEvent.findMany({ where: { action: "mail.failed" } })).toMatchObject([
        { actor: "system:mail", target: id, details: { kind: "invitation" } },
      ]);
    } finally {
      await app.close();
    }
  });

  test("that refuses an address for good is asked once", async () => {
    const port = await freePort();
    const email = anAddress();
    const server = await startMailServer(port, email);
    const app = await startApp({ SMTP_URL: `smtp://127.0.0.1:${port}` });
    try {
      const acme = await app.newTenant();
      await invite(acme, email);
      await until(async () => (await acme.db.auditEvent.count({ where: { action: "mail.failed" } })) === 1);

      expect(await acme.db.mail.count()).toBe(0);
      expect(JSON.stringify(app.logs)).not.toContain(email);
    } finally {
      await app.close();
      await server.close();
    }
  });

  test("that two gateways use gets every mail once", async () => {
    const port = await freePort();
    const server = await startMailServer(port);
    const app = await startApp({ SMTP_URL: `smtp://127.0.0.1:${port}` });
    const second = await another(app, { SMTP_URL: `smtp://127.0.0.1:${port}` });
    try {
      const acme = await app.newTenant();
      const people = await Promise.all(
        Array.from({ length: 30 }, () => acme.db.user.create({ data: { email: anAddress() } })),
      );
      await acme.db.mail.createMany({
        data: people.map(({ id, email }) => ({ kind: "invitation", userId: id, email, nextAttemptAt: new Date(0) })),
      });

      await until(async () => {
        for (const { context } of [app.app, second]) context.accounts.mail.ring(acme.id);
        return (await acme.db.mail.count()) === 0;
      });

      expect(server.received.map(({ to }) => to).toSorted()).toEqual(people.map(({ email }) => email).toSorted());
    } finally {
      await second.close();
      await app.close();
      await server.close();
    }
  });

  test("mail that is left over from before goes out when a gateway starts", async () => {
    const dataDir = temporaryFolder();
    const app = await startApp();
    const acme = await app.newTenant();
    const { id: userId, email } = await acme.db.user.create({ data: { email: anAddress() } });
    await acme.db.mail.create({ data: { kind: "invitation", userId, email, nextAttemptAt: new Date(0) } });
    const second = await another(app, { DATA_DIR: dataDir });
    try {
      expect((await mailboxIn(dataDir).to(email)).token).toMatch(/^atr_m_/);
    } finally {
      await second.close();
      await app.close();
      rmSync(dataDir, { recursive: true, force: true });
    }
  });

  test("that hangs is not waited for when the gateway stops; the mail is given back", async () => {
    const silent = createServer();
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const address = silent.address();
    const port = address === null || typeof address === "string" ? 0 : address.port;
    const app = await startApp({ SMTP_URL: `smtp://127.0.0.1:${port}` });
    const acme = await app.newTenant();
    const reached = new Promise((resolve) => silent.once("connection", resolve));
    await invite(acme, anAddress());
    await reached;
    const second = await another(app, { SMTP_URL: `smtp://127.0.0.1:${port}` });
    try {
      const begin = performance.now();
      await app.app.close();

      expect(performance.now() - begin).toBeLessThan(5_000);
      const [mail] = await second.context.clients.of(acme.id).db.mail.findMany();
      expect(mail).toMatchObject({ attempts: 0 });
    } finally {
      await second.close();
      await app.close();
      silent.close();
    }
  });

  /** One more gateway on the same database. */
  async function another({ database }: TestApp, settings: Readonly<Record<string, string>>) {
    const { gatewayUrl, ownerUrl } = database;
    const config = readConfig({
      PORT: "0",
      DATABASE_URL: gatewayUrl,
      DATABASE_OWNER_URL: ownerUrl,
      LOG_LEVEL: "silent",
      ...settings,
    });
    return openApp({
      config,
      gatewayUrl,
      platformAdminKey: PLATFORM_KEY,
      masterKey: "another-test-master-key-0123456789-01",
    });
  }
});
