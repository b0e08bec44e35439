import { z } from "zod";
import { sha256 } from "../context/crypto.ts";
import { actorName } from "../context/permissions.ts";
import type { Prisma } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError } from "../errors.ts";
import { Problems } from "./checks.ts";
import { write } from "./writes.ts";

const KEPT_HOURS = 24;
const KEY_LENGTH_MAX = 255;

const frozenAnswer = z.object({ json: z.string(), dates: z.array(z.string()) });
const fields = z.record(z.string(), z.unknown());

/** What one mutation may do once only. */
export interface OnceOptions {
  /** Name of the mutation; the same key may be used with another one. */
  readonly operation: string;
  /** As the client chose it; without one, `work` simply runs. */
  readonly key: string | null | undefined;
  /** What the client asked for, the key aside. */
  readonly input: object;
}

/**
 * Runs `work` in a transaction, unless the same actor ran the same operation with the same key within 24 hours: then the first answer comes
 * back as it was, and nothing is done. Doubles that arrive at the same time wait for the first one. A failure is not kept: the
 * next attempt runs.
 *
 * @returns a row: its own fields are text, numbers, booleans, JSON or dates.
 * @throws BAD_USER_INPUT when the key is empty or longer than 255 characters.
 * @throws CONFLICT when the key came with another input before.
 */
export async function once<Row extends object>(
  ctx: TenantContext,
  options: OnceOptions,
  work: (tx: TenantContext) => Promise<Row>,
): Promise<Row> {
  const { operation, key, input } = options;
  if (typeof key !== "string") return write(ctx, work);
  new Problems().text("input.idempotencyKey", key, 1, KEY_LENGTH_MAX).throwIfAny();
  const claim = { operation, keyHash: sha256(JSON.stringify([actorName(ctx.actor), key])) };
  const inputHash = sha256(canonical(input));
  const now = ctx.clock.now();
  return write(ctx, async (tx) => {
    const expiry = new Date(now.getTime() - KEPT_HOURS * 3_600_000);
    await tx.db.idempotencyKey.deleteMany({ where: { createdAt: { lte: expiry } } });
    // A second claim waits here until the first one's transaction has ended: then its answer is there, or the claim is free.
    const { count } = await tx.db.idempotencyKey.createMany({
      data: [{ ...claim, inputHash, answer: {}, createdAt: now }],
      skipDuplicates: true,
    });
    // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- the claim names the operation, and `work` of that operation returned it
    if (count === 0) return (await firstAnswer(tx, claim, inputHash)) as Row;
    const row = await work(tx);
    await tx.db.idempotencyKey.update({ where: claim, data: { answer: freeze(row) } });
    return row;
  });
}

/** What the claim's owner answered. */
async function firstAnswer(
  tx: TenantContext,
  claim: { readonly operation: string; readonly keyHash: string },
  inputHash: string,
): Promise<object> {
  const kept = await tx.db.idempotencyKey.findUnique({ where: claim });
  if (kept?.inputHash !== inputHash)
    throw new AppError("CONFLICT", "This idempotency key was used with another input before");
  return revive(kept.answer);
}

/** A row as JSON, with a note of which of its fields are dates: JSON of a client may look like anything, so values cannot tell. */
function freeze(row: object): Prisma.InputJsonObject {
  const dates = Object.entries(row).flatMap(([field, value]) => (value instanceof Date ? [field] : []));
  return { json: JSON.stringify(row), dates };
}

function revive(answer: Prisma.JsonValue): object {
  const { json, dates } = frozenAnswer.parse(answer);
  const row = fields.parse(JSON.parse(json));
  const instants = dates.map((field): [string, Date] => [field, z.coerce.date().parse(row[field])]);
  return { ...row, ...Object.fromEntries(instants) };
}

/** The same text for the same input, in whatever order a client wrote its fields. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([left], [right]) => (left < right ? -1 : 1)))
      : inner,
  );
}
