import type pg from "pg";
import { openPrisma } from "../../../src/context/prisma.ts";
import { extend } from "../../../src/context/tenant-client.ts";
import { tenantPool } from "../../../src/context/tenant-pool.ts";
import type { TenantSetting } from "../../../src/context/tenant-pool.ts";
import type { Aim, Attack } from "./attacks.ts";
import { ATTACKER, describe, VICTIM } from "./world.ts";
import type { World } from "./world.ts";

/** Changed or added to the victim's rows; saw something of them; learned whether they exist. */
export type LeakKind = "write" | "read" | "infer";

export interface Leak {
  readonly attack: string;
  readonly aim: Aim;
  readonly kind: LeakKind;
}

/** Which walls are up: each alone, all of them, or none. */
export type Standing = "client" | "rows" | "keys" | "all" | "none";

const EVERYTHING: readonly LeakKind[] = ["write", "read", "infer"];
const NOTHING: readonly LeakKind[] = [];

/** What each wall must stop when it stands alone. Keys see references and moves, and nothing else; the others see no references. */
export const MUST_STOP: Readonly<Record<Standing, Readonly<Record<Aim, readonly LeakKind[]>>>> = {
  client: { row: EVERYTHING, insert: EVERYTHING, move: EVERYTHING, reference: NOTHING },
  rows: { row: EVERYTHING, insert: EVERYTHING, move: EVERYTHING, reference: NOTHING },
  // A row that exists cannot be moved, and one that does not is not found: keys alone tell these apart.
  keys: { row: NOTHING, insert: NOTHING, move: ["write"], reference: EVERYTHING },
  all: { row: EVERYTHING, insert: EVERYTHING, move: EVERYTHING, reference: EVERYTHING },
  none: { row: NOTHING, insert: NOTHING, move: NOTHING, reference: NOTHING },
};

/** One call of Prisma's client as the attacker. */
export type Call = (model: string, operation: string, args: unknown) => Promise<unknown>;

/** Prisma's client for the attacker, with or without the extension that is wall one. */
export function attackerOn(pool: pg.Pool, scope: "on" | "off", setting?: TenantSetting): Call {
  const prisma = extend(
    ATTACKER.tenantId,
    openPrisma(tenantPool(pool, ATTACKER.tenantId, { setting }), () => ""),
    scope,
  );
  return async (model, operation, args) => {
    const delegate: unknown = Reflect.get(prisma, describe(model).client);
    const call: unknown = delegate instanceof Object ? Reflect.get(delegate, operation) : undefined;
    if (typeof call !== "function") throw new Error(`Prisma has no ${model}.${operation}`);
    const answer: unknown = await Reflect.apply(call, delegate, [args]);
    return answer;
  };
}

/**
 * Runs each attack twice, once with the victim's rows in place and once without, and tells what the attacker got. The oracle is
 * non-interference: both runs must look the same to the attacker, show nothing of the victim and change nothing of it.
 */
export async function storm(world: World, call: Call, attacks: readonly Attack[]): Promise<Leak[]> {
  const present = await runAll(world, call, attacks, "present");
  const absent = await runAll(world, call, attacks, "absent");
  return attacks.flatMap((attack, index) => {
    const [foreign, missing] = [present[index], absent[index]];
    if (!foreign || !missing) throw new Error("every attack runs twice");
    const kinds: LeakKind[] = [];
    if (foreign.hasWritten || missing.hasWritten) kinds.push("write");
    if (foreign.hasRead) kinds.push("read");
    if (foreign.seen !== missing.seen) kinds.push("infer");
    return kinds.map((kind) => ({
      attack: `${attack.model}.${attack.operation} ${attack.what}`,
      aim: attack.aim,
      kind,
    }));
  });
}

interface Run {
  /** What the attacker can see: the answer, and its own rows afterwards. */
  readonly seen: string;
  readonly hasWritten: boolean;
  readonly hasRead: boolean;
}

async function runAll(
  world: World,
  call: Call,
  attacks: readonly Attack[],
  victim: "present" | "absent",
): Promise<Run[]> {
  await world.reset(victim);
  const before = await world.rows();
  const runs: Run[] = [];
  for (const attack of attacks) {
    const answer = await answerOf(call, attack);
    const after = isRead(attack.operation) ? before : await world.rows();
    // What the attacker put in by itself may come back to it.
    const isEcho = print(attack.args).includes(VICTIM.canary);
    runs.push({
      seen: comparable(`${answer} leaving ${after.attacker}`),
      hasWritten: after.victim !== before.victim,
      hasRead: !isEcho && answer.includes(VICTIM.canary),
    });
    if (after.attacker !== before.attacker || after.victim !== before.victim) await world.reset(victim);
  }
  return runs;
}

async function answerOf(call: Call, { model, operation, args }: Attack): Promise<string> {
  try {
    return `answers ${print(await call(model, operation, args))}`;
  } catch (error) {
    const { name, message } = error instanceof Error ? error : { name: "?", message: String(error) };
    const code: unknown = error instanceof Error ? Reflect.get(error, "code") : undefined;
    const meta: unknown = error instanceof Error ? Reflect.get(error, "meta") : undefined;
    return `refuses ${name} ${String(code)} ${message} ${print(meta)}`;
  }
}

function isRead(operation: string): boolean {
  return /^(find|count|aggregate|groupBy)/.test(operation);
}

function print(value: unknown): string {
  const text: unknown = JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "bigint" ? String(inner) : inner instanceof Error ? `${inner.name} ${inner.message}` : inner,
  );
  return typeof text === "string" ? text : "nothing";
}

/** Without what differs between any two runs: ids that the database made, and times. */
function comparable(text: string): string {
  return text
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-(?!00000000)[0-9a-f]{12}/g, "<new id>")
    .replaceAll(/\d{4}-\d\d-\d\d[T ][\d:.]+(Z|\+00:00)?/g, "<time>");
}
