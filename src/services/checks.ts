import { badInput } from "../errors.ts";
import type { FieldProblem } from "../errors.ts";

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const JSON_DEPTH_MAX = 100; // beyond thousands, whatever walks a value recursively runs out of stack
// What PostgreSQL's jsonb refuses, as JSON.stringify escapes it: an escape with an odd number of backslashes in front.
const UNSTORABLE = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f]..)/;

/** Collects problems of an input, so that a caller learns of all of them at once. */
export class Problems {
  readonly #found: FieldProblem[] = [];

  /** Characters are counted as PostgreSQL counts them: code points. NUL is refused everywhere, because PostgreSQL's text cannot hold it. */
  text(path: string, value: string | null | undefined, min: number, max: number): this {
    if (value == null) return this;
    const length = Array.from(value).length;
    if (value.includes("\0")) this.add(path, "contains a NUL character");
    else if (length < min && value.trim() === "") this.add(path, "is empty");
    else if (length < min || length > max) this.add(path, `has ${length} characters; ${min} to ${max} are allowed`);
    return this;
  }

  /** For what is required in an update when it is there at all: absent stays, null is refused. */
  notNull(path: string, value: unknown): this {
    if (value === null) this.add(path, "cannot be null");
    return this;
  }

  within(path: string, value: number | null | undefined, min: number, max: number): this {
    if (value != null && !(value >= min && value <= max)) this.add(path, `is not between ${min} and ${max}`);
    return this;
  }

  /** A list of ids has a bound, like every list that a client sends. */
  size(path: string, list: readonly unknown[] | null | undefined, max: number): this {
    if (list != null && list.length > max) this.add(path, `has ${list.length} entries; at most ${max} are allowed`);
    return this;
  }

  json(path: string, value: unknown, maxBytes: number): this {
    if (value == null) return this;
    if (isDeeperThan(value, JSON_DEPTH_MAX)) return this.add(path, `is nested deeper than ${JSON_DEPTH_MAX} levels`);
    const text = JSON.stringify(value);
    if (UNSTORABLE.test(text)) this.add(path, "contains a NUL character or half of a surrogate pair");
    if (Buffer.byteLength(text) > maxBytes) this.add(path, `is larger than ${maxBytes} bytes`);
    return this;
  }

  add(path: string, message: string): this {
    this.#found.push({ path, message });
    return this;
  }

  /** @throws BAD_USER_INPUT with every problem, if there is any. */
  throwIfAny(): void {
    if (this.#found.length > 0) throw badInput(...this.#found);
  }
}

/** Whether a text has the form of an id at all. One that has not is answered like one that does not exist. */
export function isId(text: string): boolean {
  return ID.test(text);
}

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeperThan(inner, levels - 1));
}
