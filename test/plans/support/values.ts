import { isEnumType, isInputObjectType, isListType, isNonNullType } from "graphql";
import type { GraphQLInputType } from "graphql";
import { ID_CASES, NODE_TYPES } from "../../isolation/support/id-cases.ts";
import type { Random } from "./random.ts";

/** What one caller may put into an operation: ids and cursors of its tenant, and those of another one. */
export interface Stock {
  /** By model. */
  readonly own: Readonly<Record<string, readonly string[]>>;
  readonly foreign: Readonly<Record<string, readonly string[]>>;
  /** Cursors by the field that they belong to: `Query.sessions`. */
  readonly ownCursors: Readonly<Record<string, readonly string[]>>;
  readonly foreignCursors: Readonly<Record<string, readonly string[]>>;
  /** What stands in texts of this tenant. */
  readonly words: readonly string[];
}

/** Where a value goes: `Query.sessions(filter.userId)`. */
export interface Place {
  readonly field: string;
  readonly path: string;
  /** How many nodes a page may have here, so that lists within lists stay below the limits of an operation. */
  readonly sizeMax: number;
}

const MISSING = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000";
const NO_IDS = ["nonsense", "", "00000000-0000-0000-0000-000000000000", `${MISSING}0`];
const NO_CURSORS = ["nonsense", "", "WyJub25zZW5zZSIsMCwiMDE5MGFhYWEtYmJiYi03Y2NjLThkZGQtZWVlZWZmZmYwMDAwIl0"];
const WORDS = ["", "a", "%", "_", "\\", "'", "Ünï", "🦜", "session", "x".repeat(256), "\u0000"];
const SIZES_WRONG = [-1, 101, 2_147_483_647];
// Earlier than anything that is counted while the test runs: what a tenant uses grows with each request.
const PERIOD = ["2026-01-01T00:00:00Z", "2026-01-02T03:00:00Z", "2026-01-31T22:30:00+02:00", "2026-02-01T00:00:00Z"];
const INSTANTS = [...PERIOD, "0099-01-01T00:00:00Z", "2026-01-15T12:00:00.123456Z", "2100-01-01T00:00:00Z"];
const NO_INSTANTS = ["2026-02-30T00:00:00Z", "yesterday", ""];
const WRONG = 0.02; // enough to see every kind of refusal, few enough for most operations to answer

/** A value for an argument or an input field, right in most cases: as it stands in JSON, which is how variables are sent. */
export function valueFor(random: Random, type: GraphQLInputType, place: Place, stock: Stock): unknown {
  if (isNonNullType(type)) return random.chance(WRONG / 4) ? null : valueFor(random, type.ofType, place, stock);
  if (random.chance(0.04)) return null;
  if (isListType(type)) {
    const item = (): unknown => valueFor(random, type.ofType, place, stock);
    return random.chance(0.1) ? item() : Array.from({ length: random.below(4) }, item);
  }
  if (isEnumType(type)) {
    return random.chance(WRONG) ? "NO_SUCH_WORD" : random.pick(type.getValues().map(({ name }) => name));
  }
  if (isInputObjectType(type)) {
    const fields = Object.values(type.getFields()).filter((field) => isNonNullType(field.type) || random.chance(0.4));
    return Object.fromEntries(
      fields.map(({ name, type: inner }) => [name, valueFor(random, inner, within(place, name), stock)]),
    );
  }
  return scalarFor(random, type.name, place, stock);
}

/** The place of an input's field. */
export function within(place: Place, name: string): Place {
  return { ...place, path: `${place.path}.${name}` };
}

/** A value as it is written into a document. */
export function literalOf(type: GraphQLInputType, value: unknown): string {
  if (isNonNullType(type)) return literalOf(type.ofType, value);
  if (value === null || value === undefined) return "null";
  if (isListType(type)) {
    const items: readonly unknown[] = Array.isArray(value) ? value : [value];
    return `[${items.map((item) => literalOf(type.ofType, item)).join(", ")}]`;
  }
  if (isInputObjectType(type)) {
    const fields = Object.entries(value).map(
      ([name, inner]) => `${name}: ${literalOf(type.getFields()[name]?.type ?? type, inner)}`,
    );
    return `{ ${fields.join(", ")} }`;
  }
  return isEnumType(type) && typeof value === "string" ? value : JSON.stringify(value);
}

function scalarFor(random: Random, scalar: string, place: Place, stock: Stock): unknown {
  switch (scalar) {
    case "ID":
      return idFor(random, place, stock);
    case "String":
      return /^(after|before)$/.test(place.path) ? cursorFor(random, place, stock) : textFor(random, stock);
    case "Boolean":
      return random.chance(0.5);
    case "Int":
      return random.chance(WRONG) ? random.pick(SIZES_WRONG) : random.below(place.sizeMax + 1);
    case "Float":
      return random.pick([0, 0.1, 0.5, 0.9, 1]);
    case "DateTime":
      if (random.chance(WRONG)) return random.pick(NO_INSTANTS);
      return random.pick(/^(from|to)$/.test(place.path) ? PERIOD : INSTANTS);
    default:
      throw new Error(`no value of ${scalar} is known: add one to test/plans/support/values.ts`);
  }
}

function idFor(random: Random, { field, path }: Place, { own, foreign }: Stock): string {
  const models = ID_CASES[`${field}(${path})`]?.models ?? Object.values(NODE_TYPES);
  const model = random.pick(models);
  const luck = random.below(100);
  if (luck < 70) return random.pick(own[model] ?? [MISSING]);
  if (luck < 85) return random.pick(foreign[model] ?? [MISSING]);
  if (luck < 90) return random.pick(own[random.pick(Object.values(NODE_TYPES))] ?? [MISSING]);
  return luck < 98 ? MISSING : random.pick(NO_IDS);
}

function cursorFor(random: Random, { field }: Place, { ownCursors, foreignCursors }: Stock): string {
  const known = (random.chance(0.85) ? ownCursors : foreignCursors)[field] ?? [];
  return known.length === 0 || random.chance(WRONG) ? random.pick(NO_CURSORS) : random.pick(known);
}

function textFor(random: Random, { words }: Stock): string {
  return random.pick(random.chance(0.6) ? words : WORDS);
}
