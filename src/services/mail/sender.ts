import type { AppContext } from "../../context/app-context.ts";
import type { MailBell } from "../../context/accounts.ts";
import { newRequestId } from "../../context/crypto.ts";
import type { Actor } from "../../context/permissions.ts";
import type { MailRow } from "../../context/rows.ts";
import { createTenantContext, inTransaction, TENANT_SOURCES } from "../../context/tenant-context.ts";
import type { TenantContext } from "../../context/tenant-context.ts";
import * as audit from "../audit.ts";
import { Undeliverable } from "./mailer.ts";
import type { Mailer, OutgoingMail } from "./mailer.ts";
import { prepare } from "./prepare.ts";

const SWEEP_EVERY_MS = 60_000;
/** After a first failure, a second one and so on: 22 hours together, so that a mail server may be away for a night. */
const PAUSES_MINUTES = [1, 5, 15, 60, 120, 360, 720] as const;
const ATTEMPTS_MAX = PAUSES_MINUTES.length + 1;
const SEND_WITHIN_MS = 45_000; // less than the shortest pause: until then the row is this process's
const TENANTS_AT_ONCE = 4;
const MAILS_IN_A_ROW = 20; // then other tenants have their turn
const CLOSE_PATIENCE_MS = 500;

const ACTOR: Actor = { kind: "system", task: "mail", scopes: new Set() };

/** Sends what is queued, in all tenants. */
export interface MailSender extends MailBell {
  /** Looks for mail that is left from before, now and every minute. */
  readonly start: () => void;
  /** Waits a moment for what is under way, and gives back what does not end by then. Nothing is sent afterwards. */
  readonly close: () => Promise<void>;
}

/**
 * Of several processes one sends a mail: whoever moves the row's next attempt first. A process that is killed between sending and removing
 * the row makes it go out twice, with another token; none gets lost.
 */
export function openMailSender(app: AppContext, mailer: Mailer): MailSender {
  const waiting = new Set<string>();
  const working = new Map<string, Promise<void>>();
  const ending = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  function ring(tenantId: string): void {
    waiting.add(tenantId);
    beginWork();
  }

  function beginWork(): void {
    for (const tenantId of waiting) {
      if (isClosed || working.size >= TENANTS_AT_ONCE) return;
      if (working.has(tenantId)) continue;
      waiting.delete(tenantId);
      const work = serve(tenantId)
        .catch((error: unknown) =>
          app.log.warn({ tenantId, ...describe(error) }, "a tenant's mail could not be looked at"),
        )
        .finally(() => {
          working.delete(tenantId);
          beginWork();
        });
      working.set(tenantId, work);
    }
  }

  /** Sends what is due in a tenant. A suspended tenant's mail waits for better days. */
  async function serve(tenantId: string): Promise<void> {
    const tenant = await app.crossTenant.tenantById(tenantId);
    if (!tenant?.active) return;
    const { log, clock } = app;
    const facts = { requestId: newRequestId(), ip: undefined, log, clock };
    const ctx = createTenantContext(app, { tenant, source: TENANT_SOURCES.TOKEN, actor: ACTOR }, facts);
    const due = await ctx.db.mail.findMany({
      where: { nextAttemptAt: { lte: clock.now() } },
      orderBy: [{ nextAttemptAt: "asc" }, { id: "asc" }],
      take: MAILS_IN_A_ROW,
    });
    for (const mail of due) {
      if (isClosed) return;
      // What goes wrong with one mail keeps no other from going out; the next look finds it again.
      await attempt(ctx, mail).catch((error: unknown) =>
        app.log.warn({ tenantId, mailId: mail.id, ...describe(error) }, "mail could not be worked on"),
      );
    }
    if (due.length === MAILS_IN_A_ROW) waiting.add(tenantId);
  }

  async function attempt(ctx: TenantContext, mail: MailRow): Promise<void> {
    const number = mail.attempts + 1;
    if (number > ATTEMPTS_MAX) return giveUp(ctx, mail, "no attempt is left");
    const claimed = { id: mail.id, attempts: number };
    const outgoing = await inTransaction(ctx, async (tx): Promise<OutgoingMail | "taken" | "moot"> => {
      const { count } = await tx.db.mail.updateMany({
        where: { id: mail.id, attempts: mail.attempts, nextAttemptAt: mail.nextAttemptAt },
        data: { attempts: number, nextAttemptAt: afterPause(tx.clock.now(), number) },
      });
      if (count === 0) return "taken";
      return (await prepare(tx, mail)) ?? "moot";
    });
    if (outgoing === "taken") return;
    if (outgoing !== "moot") {
      try {
        await mailer.send(outgoing, AbortSignal.any([ending.signal, AbortSignal.timeout(SEND_WITHIN_MS)]));
      } catch (error) {
        return notSent(ctx, mail, number, error);
      }
    }
    await ctx.db.mail.deleteMany({ where: claimed });
  }

  async function notSent(ctx: TenantContext, mail: MailRow, number: number, error: unknown): Promise<void> {
    if (ending.signal.aborted) {
      const back = { attempts: mail.attempts, nextAttemptAt: mail.nextAttemptAt };
      await ctx.db.mail.updateMany({ where: { id: mail.id, attempts: number }, data: back });
      return;
    }
    const isFinal = error instanceof Undeliverable || number >= ATTEMPTS_MAX;
    app.log.warn(
      { tenantId: ctx.tenant.id, mailId: mail.id, kind: mail.kind, attempt: number, ...describe(error) },
      "mail not sent",
    );
    if (isFinal)
      await giveUp(ctx, mail, error instanceof Undeliverable ? "the address was refused" : "no attempt is left");
  }

  async function giveUp(ctx: TenantContext, mail: MailRow, reason: string): Promise<void> {
    await inTransaction(ctx, async (tx) => {
      const { count } = await tx.db.mail.deleteMany({ where: { id: mail.id } });
      if (count === 0) return;
      const { kind, userId } = mail;
      await audit.record(tx, {
        action: "mail.failed",
        ...(userId !== null && { target: userId }),
        details: { kind, reason },
      });
    });
    app.log.warn({ tenantId: ctx.tenant.id, mailId: mail.id, kind: mail.kind, reason }, "mail given up");
  }

  async function sweep(): Promise<void> {
    try {
      for (const tenantId of await app.crossTenant.tenantsWithMail()) ring(tenantId);
    } catch (error) {
      app.log.warn(describe(error), "no look at waiting mail");
    }
  }

  return {
    ring,
    start() {
      void sweep();
      timer = setInterval(() => void sweep(), SWEEP_EVERY_MS).unref();
    },
    async close() {
      isClosed = true;
      clearInterval(timer);
      await within(CLOSE_PATIENCE_MS, Promise.all(working.values()));
      ending.abort();
      await within(CLOSE_PATIENCE_MS, Promise.all(working.values()));
    },
  };
}

function afterPause(now: Date, number: number): Date {
  const minutes = PAUSES_MINUTES[number - 1] ?? PAUSES_MINUTES[PAUSES_MINUTES.length - 1] ?? 0;
  return new Date(now.getTime() + minutes * 60_000);
}

/** Never the whole message: what a mail server says may repeat addresses. */
function describe(error: unknown): { readonly err: unknown; readonly status?: unknown } {
  if (!(error instanceof Error)) return { err: "unknown" };
  const cause = error instanceof Undeliverable ? error.cause : error;
  if (!(cause instanceof Error)) return { err: error.name };
  return { err: Reflect.get(cause, "code") ?? cause.name, status: Reflect.get(cause, "responseCode") };
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([work, new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))]);
  clearTimeout(timer);
}
