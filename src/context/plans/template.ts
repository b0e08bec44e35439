import { isDeepStrictEqual } from "node:util";
import type { ValueKind } from "./call-shape.ts";
import type { WrittenStatement } from "./recording.ts";
import { encodingOf, quickTypes } from "./wire.ts";
import type { Encode } from "./wire.ts";

/** Where a parameter of a statement comes from. */
type Source =
  | { readonly from: "tenant" }
  | { readonly from: "row above" }
  | { readonly from: "call"; readonly place: number; readonly encode: Encode }
  | { readonly from: "statement"; readonly value: unknown };

/** A statement as Prisma writes it for all calls of one shape. */
export interface Template {
  readonly text: string;
  readonly sources: readonly Source[];
  readonly types: WrittenStatement["types"];
}

/** The values with which a call was recorded. */
export interface Samples {
  readonly tenantId: string;
  /** The id of the row above, in a list below one. */
  readonly above: string;
  readonly values: readonly unknown[];
}

/** Values that stand nowhere else, of the right type for their place; another set for each recording. */
export function samplesFor(kinds: readonly ValueKind[], recording: number, tenantId: string): Samples {
  return {
    tenantId,
    above: sampleText(recording, 99_999_999),
    values: kinds.map((kind, place) => sampleOf(kind, recording, place)),
  };
}

function sampleOf(kind: ValueKind, recording: number, place: number): unknown {
  const number = 1_000_000 * (recording + 1) + place;
  switch (kind) {
    case "text":
      return sampleText(recording, place);
    case "whole":
      return number;
    case "fraction":
      return number + 0.5;
    case "big":
      return 10n ** 12n + BigInt(number);
    case "instant":
      // With and without a fraction of a second, which are written in two ways.
      return new Date(10 ** 12 + number * 1000 + recording * 7);
    case "json":
      return { sample: [sampleText(recording, place), number, null, true] };
    case "texts":
      return [sampleText(recording, place), `"${number}", \\`];
  }
}

/** A UUID, so that it may stand where one is expected. */
function sampleText(recording: number, place: number): string {
  return `5a3b1e00-000${recording}-4000-8000-${String(place).padStart(12, "0")}`;
}

/**
 * Finds where each parameter comes from, by two recordings of the same call with different samples.
 *
 * @returns undefined when the two differ in anything else: something in it is made anew at each call (a time, an id), and only Prisma can do that.
 */
export function templateOf(
  kinds: readonly ValueKind[],
  [first, second]: readonly [WrittenStatement, WrittenStatement],
  samples: readonly [Samples, Samples],
): Template | undefined {
  if (first.text !== second.text || first.values.length !== second.values.length) return undefined;
  const sources: Source[] = [];
  for (const [index, value] of first.values.entries()) {
    const source = sourceOf(kinds, [value, second.values[index]], samples);
    if (!source) return undefined;
    sources.push(source);
  }
  return { text: first.text, sources, types: quickTypes(first.types) };
}

function sourceOf(
  kinds: readonly ValueKind[],
  [one, other]: readonly [unknown, unknown],
  [first, second]: readonly [Samples, Samples],
): Source | undefined {
  if (one === first.tenantId && other === second.tenantId) return { from: "tenant" };
  if (one === first.above && other === second.above) return { from: "row above" };
  for (const [place, kind] of kinds.entries()) {
    const encode = encodingOf(kind, first.values[place], one);
    if (encode && isDeepStrictEqual(encode(second.values[place]), other)) return { from: "call", place, encode };
  }
  return isDeepStrictEqual(one, other) ? { from: "statement", value: one } : undefined;
}

/** The numbers, from 1, of the parameters that are the tenant. */
export function tenantParametersOf({ sources }: Template): ReadonlySet<number> {
  return new Set(sources.flatMap((source, index) => (source.from === "tenant" ? [index + 1] : [])));
}

/** Whether every value of the call reaches the statement: one that does not would have been written into it. */
export function usesAll({ sources }: Template, kinds: readonly ValueKind[]): boolean {
  const used = new Set(sources.flatMap((source) => (source.from === "call" ? [source.place] : [])));
  return kinds.every((_kind, place) => used.has(place));
}

/**
 * One statement for rows and a list below each of them: for every row of `above`, those of `below` that name it, in their order and within
 * their limit. Gives the id of the row above before the columns of the list, and one line without a list's row for a row that has none.
 */
export function joinBelow(above: Template, below: Template): Template | undefined {
  const sources = [...above.sources];
  const numbers = below.sources.map((source) => (source.from === "row above" ? undefined : sources.push(source)));
  const text = below.text.replaceAll(/\$(\d+)/g, (_all, number: string) => {
    const renumbered = numbers[Number(number) - 1];
    return renumbered === undefined ? `"above"."id"` : `$${renumbered}`;
  });
  if (above.sources.some(({ from }) => from === "row above") || numbers.every((number) => number !== undefined))
    return undefined;
  return {
    text: `SELECT "above"."id", "below".* FROM (${above.text}) AS "above" LEFT JOIN LATERAL (${text}) AS "below" ON true`,
    sources,
    types: below.types,
  };
}
