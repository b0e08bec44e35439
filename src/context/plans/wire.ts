import { isDeepStrictEqual } from "node:util";
import pg from "pg";
import type { ValueKind } from "./call-shape.ts";

/** How a value of a call becomes a parameter of its statement. */
export type Encode = (value: unknown) => unknown;

const asIs: Encode = (value) => value;

/** The ways in which the adapter was seen to send values of a kind. */
const ENCODINGS: Readonly<Record<ValueKind, readonly Encode[]>> = {
  text: [asIs],
  whole: [asIs, String],
  fraction: [asIs],
  big: [String, asIs],
  instant: [writeInstant],
  json: [(value) => JSON.stringify(value)],
  texts: [asIs],
};

/** The encoding by which `sample` of that kind became `parameter`; undefined when it did not. */
export function encodingOf(kind: ValueKind, sample: unknown, parameter: unknown): Encode | undefined {
  return ENCODINGS[kind].find((encode) => isDeepStrictEqual(encode(sample), parameter));
}

/** `2026-01-02 03:04:05.678`, and without a fraction that is nothing. The years 0 to 9999. */
function writeInstant(value: unknown): string | undefined {
  if (!(value instanceof Date)) return undefined;
  const text = value.toISOString();
  const end = text.endsWith(".000Z") ? 19 : 23;
  return `${text.slice(0, 10)} ${text.slice(11, end)}`;
}

const { TIMESTAMPTZ } = pg.types.builtins;
const INSTANTS: number = TIMESTAMPTZ;

/** The adapter's way of reading columns, but for instants, which its parsers take apart and put together again. */
export function quickTypes(types: pg.CustomTypesConfig | undefined): pg.CustomTypesConfig | undefined {
  if (!types) return undefined;
  const readSlowly: unknown = types.getTypeParser(TIMESTAMPTZ, "text");
  function readInstant(text: string): Date {
    // As PostgreSQL writes it where the session's time zone is UTC, in the years that ISO 8601 writes with four digits.
    if (text.endsWith("+00") && text.charAt(4) === "-" && text.charAt(10) === " ")
      return new Date(`${text.slice(0, 10)}T${text.slice(11, -3)}Z`);
    return new Date(String(typeof readSlowly === "function" ? Reflect.apply(readSlowly, undefined, [text]) : text));
  }
  const { getTypeParser } = types;
  function parserOf(oid: number, format?: string): unknown {
    return oid === INSTANTS ? readInstant : Reflect.apply(getTypeParser, types, [oid, format]);
  }
  return Object.defineProperty({ ...types }, "getTypeParser", { value: parserOf });
}

/** How a field of a row is read from what the adapter's own parsers make of a column. */
export type Decode = (column: unknown) => unknown;

const text = (column: unknown): unknown => column;

/** Prisma's types of fields, and what its client gives for them. */
const DECODINGS: Readonly<Record<string, Decode>> = {
  String: text,
  Int: text,
  Float: text,
  Boolean: text,
  "String[]": text,
  DateTime: (column) => (typeof column === "string" ? new Date(column) : column),
  BigInt: (column) => (typeof column === "string" ? BigInt(column) : column),
  Json: (column) => (typeof column === "string" ? parseJson(column) : column),
};

/** How a field of that type is read; undefined for types that only Prisma reads. */
export function decodingOf(type: string): Decode | undefined {
  return DECODINGS[type];
}

function parseJson(column: string): unknown {
  const value: unknown = JSON.parse(column);
  return value;
}
