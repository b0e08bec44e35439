import type { Answer } from "../../support/send.ts";
import { valuesOf } from "./arguments.ts";
import type { RandomDocument } from "./documents.ts";
import type { Random } from "./random.ts";
import type { Caller } from "./stage.ts";

/** One operation, as one caller sends it. */
export interface Question {
  readonly text: string;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly caller: Caller;
}

/** What came of a question. */
export interface Verdict {
  /** What is wrong: the ways differ, or something of the other tenant shows; undefined when all is well. */
  readonly fault: string | undefined;
  readonly hasData: boolean;
  readonly codes: readonly string[];
}

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const ASKED_AGAIN_MAX = 10;

/** A document in the mouth of one caller, with values of its own. */
export function questionFor(random: Random, { text, variables }: RandomDocument, caller: Caller): Question {
  return { text, variables: valuesOf(random, variables, caller.stock), caller };
}

/** Asks both ways at the same time, and holds the answers against each other and against what this caller must not see. */
export async function ask(question: Question): Promise<Verdict> {
  const { text, variables, caller } = question;
  let [fast, plain] = await askBothWays(question);
  for (let again = 0; again < ASKED_AGAIN_MAX && !isSame(fast, plain) && isRace(fast, plain); again += 1) {
    [fast, plain] = await askBothWays(question);
  }
  const data = fast.data == null ? "" : JSON.stringify(fast.data);
  const codes = (fast.errors ?? []).map(({ extensions }) => String(extensions["code"]));
  const faults = [
    ...(isSame(fast, plain) ? [] : ["The fast path answers otherwise."]),
    ...(codes.includes("INTERNAL_SERVER_ERROR") ? ["It ends in an exception."] : []),
    ...(fast.comparable.includes(caller.forbidden.canary) ? ["Another tenant's text shows."] : []),
    ...((data.match(UUID) ?? []).some((id) => caller.forbidden.ids.has(id)) ? ["Another tenant's id shows."] : []),
  ];
  return {
    fault:
      faults.length === 0
        ? undefined
        : [
            `${faults.join(" ")} Asked by the ${caller.name}:`,
            text,
            JSON.stringify(variables),
            `fast:  ${fast.comparable}`,
            `plain: ${plain.comparable}`,
          ].join("\n"),
    hasData: fast.data != null,
    codes,
  };
}

async function askBothWays({ text, variables, caller }: Question): Promise<readonly [Answer, Answer]> {
  return Promise.all([caller.fast(text, variables), caller.plain(text, variables)]);
}

/**
 * Whether two answers are the same bytes, but for what is a race in GraphQL itself: fields fail in the order in which their statements come back, and what
 * fails in a part of the answer that another failure has made null already may be left out.
 */
function isSame(fast: Answer, plain: Answer): boolean {
  if (bytesOf(fast) === bytesOf(plain)) return true;
  if (!isRace(fast, plain)) return false;
  const [left, right] = [errorsByNull(fast), errorsByNull(plain)];
  return [...left].every(([place, errors]) => errors.some((error) => right.get(place)?.includes(error)));
}

/** The body of an answer. Whether one without data tells the price depends on what its process was asked before: wrong variables are not priced again. */
function bytesOf({ comparable, data }: Answer): string {
  return data === undefined ? comparable.replace(/,"extensions":\{"cost":\d+\}\}\s*$/, "}") : comparable.trimEnd();
}

/** Whether two answers differ in nothing but which of several errors made the same parts of them null. */
function isRace(fast: Answer, plain: Answer): boolean {
  const [left, right] = [errorsByNull(fast), errorsByNull(plain)];
  const withoutErrors = ({ status, data, extensions }: Answer): string =>
    JSON.stringify([status, data, data === undefined ? {} : extensions]);
  return (
    withoutErrors(fast) === withoutErrors(plain) &&
    JSON.stringify([...left.keys()].toSorted()) === JSON.stringify([...right.keys()].toSorted())
  );
}

/** The errors of an answer, request ids apart, by the part of its data that they made null. */
function errorsByNull({ data, errors = [] }: Answer): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const error of errors) {
    const place = JSON.stringify(placeOfNull(data, error.path ?? []));
    const withoutRequest = JSON.stringify({ ...error, extensions: { ...error.extensions, requestId: "" } });
    found.set(place, [...(found.get(place) ?? []), withoutRequest]);
  }
  return found;
}

function placeOfNull(data: unknown, path: readonly (string | number)[]): readonly (string | number)[] {
  let value = data;
  for (const [depth, step] of path.entries()) {
    if (!(value instanceof Object)) return path.slice(0, depth);
    value = Reflect.get(value, step);
  }
  return path;
}
