import { TENANT_OWNED_MODELS } from "../generated/tenancy/models.ts";
import type { ModelDescription } from "../generated/tenancy/models.ts";

/** What kind of value stands somewhere in a call; decides how it may travel to PostgreSQL. */
export type ValueKind = "text" | "whole" | "fraction" | "big" | "instant" | "json" | "texts";

/** Told of each value of a call in the order in which they stand there; what it gives back takes the value's place. */
type OnValue = (kind: ValueKind, value: unknown) => unknown;

/** A call taken apart: what is the same for all calls of its kind, and what is not. */
export interface CallShape {
  /** The same for all calls that differ in nothing but their values, and in how many a set has up to the next power of two. */
  readonly key: string;
  readonly kinds: readonly ValueKind[];
  readonly values: readonly unknown[];
}

type Fields = Readonly<Record<string, unknown>>;

/** Whatever is written into the key as it stands: it decides which statement Prisma writes. */
const WRITTEN_OUT = new Set(["omit", "orderBy", "by", "_count", "skipDuplicates"]);
const SET_MAX = 1024; // values; more of them Prisma would divide between several statements
const VALUES_MAX = 2_048;
const WHOLE_MAX = 2 ** 31 - 1;
const COMPARISONS = new Set(["equals", "not", "gt", "gte", "lt", "lte", "contains", "startsWith", "endsWith"]);
const CHANGES = new Set(["set", "increment", "decrement", "multiply", "divide"]);
// What ISO 8601 writes with four digits, which is also how the adapter writes an instant.
const INSTANT_MIN = Date.parse("0000-01-01T00:00:00Z");
const INSTANT_MAX = Date.parse("9999-12-31T23:59:59.999Z");

/** @returns undefined for a call that is not understood whole: Prisma does those itself. */
export function shapeOf(model: string, operation: string, args: unknown): CallShape | undefined {
  const kinds: ValueKind[] = [];
  const values: unknown[] = [];
  const reader = new CallReader((kind, value) => {
    kinds.push(kind);
    values.push(value);
    return value;
  });
  reader.read(model, args);
  return reader.isUnderstood && values.length <= VALUES_MAX
    ? { key: `${model}.${operation}(${reader.key})`, kinds, values }
    : undefined;
}

/** The same call with other values, made by `replace` for each kind and place. */
export function withValues(
  model: string,
  args: unknown,
  replace: (kind: ValueKind, place: number) => unknown,
): unknown {
  let place = 0;
  return new CallReader((kind) => replace(kind, place++)).read(model, args);
}

/** Walks through the arguments of one call of Prisma. */
class CallReader {
  key = "";
  isUnderstood = true;
  readonly #onValue: OnValue;

  constructor(onValue: OnValue) {
    this.#onValue = onValue;
  }

  read(modelName: string, args: unknown): unknown {
    const model = TENANT_OWNED_MODELS[modelName];
    return model ? this.#fields(args ?? {}, (name, value) => this.#argument(model, name, value)) : this.#giveUp();
  }

  #argument(model: ModelDescription, name: string, value: unknown): unknown {
    switch (name) {
      case "where":
        return this.#where(model, value);
      case "data":
        return this.#eachOrOne(value, (row) => this.#data(model, row));
      case "take":
      case "skip":
        return this.#size(value);
      case "select":
        return this.#select(model, value);
      default:
        return WRITTEN_OUT.has(name) ? this.#writtenOut(value) : this.#giveUp();
    }
  }

  #where(model: ModelDescription, where: unknown): unknown {
    return this.#fields(where, (name, value) => {
      if (name === "AND" || name === "OR" || name === "NOT")
        return this.#eachOrOne(value, (part) => this.#where(model, part));
      const relation = model.relations[name];
      if (relation) return this.#fields(value, (_quantifier, part) => this.#whereOf(relation.model, part));
      const type = model.types[name];
      if (type === undefined || type === "Json" || type.endsWith("[]")) return this.#giveUp();
      return this.#condition(value);
    });
  }

  #whereOf(modelName: string, where: unknown): unknown {
    const model = TENANT_OWNED_MODELS[modelName];
    return model ? this.#where(model, where) : this.#giveUp();
  }

  #condition(value: unknown): unknown {
    if (!isPlainObject(value)) return this.#value(value);
    return this.#fields(value, (name, operand) => {
      if (name === "mode") return this.#writtenOut(operand);
      if (name === "in" || name === "notIn") return this.#set(operand);
      return COMPARISONS.has(name) ? this.#condition(operand) : this.#giveUp();
    });
  }

  /** A set is filled up to a power of two by what it has already, so that there are few statements for sets of all sizes. */
  #set(set: unknown): unknown {
    if (!Array.isArray(set) || set.length > SET_MAX) return this.#giveUp();
    const room = set.length === 0 ? 0 : 2 ** Math.ceil(Math.log2(set.length));
    this.key += `${room}×`;
    const replaced: unknown[] = [];
    for (let place = 0; place < room; place += 1) {
      const value: unknown = set[Math.min(place, set.length - 1)];
      replaced.push(value === null || typeof value === "boolean" ? this.#giveUp() : this.#value(value));
    }
    return replaced;
  }

  #data(model: ModelDescription, row: unknown): unknown {
    return this.#fields(row, (name, value) => {
      const type = model.types[name];
      if (type === undefined || type === "Bytes" || type === "Decimal") return this.#giveUp();
      if (value === null) return this.#value(null);
      if (type === "Json") return isJson(value) ? this.#leaf("json", value) : this.#giveUp();
      if (type.endsWith("[]")) return isTexts(value) ? this.#leaf("texts", value) : this.#giveUp();
      if (!isPlainObject(value)) return this.#value(value);
      return this.#fields(value, (change, operand) => (CHANGES.has(change) ? this.#value(operand) : this.#giveUp()));
    });
  }

  /** Fields by name, or those and one list below the row. */
  #select(model: ModelDescription, select: unknown): unknown {
    return this.#fields(select, (name, value) => {
      if (typeof value === "boolean" && model.types[name] !== undefined) return this.#value(value);
      const relation = model.relations[name];
      if (!relation?.isList || !isPlainObject(value)) return this.#giveUp();
      const below = TENANT_OWNED_MODELS[relation.model];
      return below ? this.#fields(value, (part, inner) => this.#argument(below, part, inner)) : this.#giveUp();
    });
  }

  #size(value: unknown): unknown {
    if (!isWhole(value)) return this.#giveUp();
    // None at all, and backwards, are other statements.
    if (value <= 0) return this.#writtenOut(value);
    return this.#leaf("whole", value);
  }

  #value(value: unknown): unknown {
    if (typeof value === "string") return this.#leaf("text", value);
    if (isWhole(value)) return this.#leaf("whole", value);
    if (typeof value === "bigint") return this.#leaf("big", value);
    // A whole number that is too large for Int means something else to Prisma than a fraction.
    if (Number.isFinite(value) && !Number.isInteger(value)) return this.#leaf("fraction", value);
    if (typeof value === "boolean" || value === null) return this.#writtenOut(value);
    return isWritableInstant(value) ? this.#leaf("instant", value) : this.#giveUp();
  }

  #leaf(kind: ValueKind, value: unknown): unknown {
    this.key += `$${kind}`;
    return this.#onValue(kind, value);
  }

  #writtenOut(value: unknown): unknown {
    this.key += JSON.stringify(value);
    return value;
  }

  #eachOrOne(value: unknown, read: (part: unknown) => unknown): unknown {
    if (!Array.isArray(value)) return read(value);
    this.key += "[";
    const replaced = value.map(read);
    this.key += "]";
    return replaced;
  }

  /** What is undefined is not there, for Prisma as well. */
  #fields(value: unknown, read: (name: string, value: unknown) => unknown): unknown {
    if (!isPlainObject(value)) return this.#giveUp();
    const replaced: Record<string, unknown> = {};
    this.key += "{";
    for (const name of Object.keys(value)) {
      const field = value[name];
      if (field === undefined) continue;
      this.key += `${name}:`;
      replaced[name] = read(name, field);
      this.key += ",";
    }
    this.key += "}";
    return replaced;
  }

  /** What is given back stands in for what was not understood; nobody looks at it. */
  #giveUp(): unknown {
    this.isUnderstood = false;
    return undefined;
  }
}

function isPlainObject(value: unknown): value is Fields {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  // Objects of another realm, as under Jest, have another Object.prototype, which has no prototype either.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Not instanceof, for the reason above. */
function isWritableInstant(value: unknown): value is Date {
  if (Object.prototype.toString.call(value) !== "[object Date]") return false;
  const time = Number(value);
  return time >= INSTANT_MIN && time <= INSTANT_MAX;
}

function isWhole(value: unknown): value is number {
  return Number.isInteger(value) && Math.abs(Number(value)) <= WHOLE_MAX;
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((text) => typeof text === "string");
}

function isJson(value: unknown): boolean {
  if (Array.isArray(value)) return value.every(isJson);
  if (isPlainObject(value)) return Object.values(value).every(isJson);
  return value === null || typeof value === "string" || typeof value === "boolean" || Number.isFinite(value);
}
