import { hash as argon2Hash, parseOptions, verify as argon2Verify } from "@node-rs/argon2";
import { ZxcvbnFactory } from "@zxcvbn-ts/core";
import { adjacencyGraphs, dictionary as commonWords } from "@zxcvbn-ts/language-common";
import { dictionary as englishWords } from "@zxcvbn-ts/language-en";
import { openFairQueue } from "../context/fair-queue.ts";
import type { FairQueue } from "../context/fair-queue.ts";
import type { Problems } from "./checks.ts";

const PASSWORD_LENGTH_MIN = 12;
const PASSWORD_LENGTH_MAX = 1_024;
const PASSWORD_BYTES_MAX = 4 * PASSWORD_LENGTH_MAX;

// OWASP Password Storage Cheat Sheet (2025): argon2id with 19 MiB of memory, 2 passes and 1 lane at least.
const PARAMETERS = { memoryCost: 19_456, timeCost: 2, parallelism: 1, outputLen: 32 } as const;
const { memoryCost: m, timeCost: t, parallelism: p } = PARAMETERS;
/** No text is known that has this hash. It costs what a real one costs, so that a person who is not there takes as long as one who is. */
const NOBODYS_HASH = `$argon2id$v=19$m=${m},t=${t},p=${p}$${"A".repeat(22)}$${"A".repeat(43)}`;

// Each works for some 20 ms on a thread of its own, in 19 MiB: libuv has four threads, and files and names need some of them.
const AT_ONCE = 2;
const WAITING_MAX = 100; // of one lane, about a second of waiting; whoever comes then waits no longer for an answer that says so
const PATIENCE_MS = 20_000;

const OWN_LANE = "installation"; // of what no tenant asks for, and of who names a tenant that is not there

// Fewer guesses than this, and a list of common passwords with the usual changes finds it: zxcvbn's "safely unguessable" begins here.
const GUESSES_MIN = 1e8;
const OWN_LENGTH_MIN = 6; // "acme-alice-2026" has four characters that are not told by who somebody is
// Measured: a text of 40 characters takes at most 0.1 s, whatever it holds. Of 256, in the form of "p4ssw0rd…", it takes minutes.
const ESTIMATED_LENGTH = 40;
const LOOK_ALIKES: Readonly<Record<string, string>> = {
  "@": "a",
  "4": "a",
  "3": "e",
  "1": "i",
  "!": "i",
  "0": "o",
  $: "s",
  "5": "s",
  "7": "t",
};

/**
 * The argon2id hash of a password, with its parameters and salt in it.
 *
 * @param lane whose share of the work it is: a tenant's id. Lanes take turns, so that one that floods delays another by one password.
 * @throws RATE_LIMITED when too many passwords of this lane wait for their turn; UNAVAILABLE when it does not come.
 */
export async function hash(text: string, lane = OWN_LANE): Promise<string> {
  return inTurn(lane, () => argon2Hash(canonical(text), PARAMETERS));
}

/**
 * Whether a text is the password that has this hash. Takes as long for a hash that is missing or of another kind (the predecessor's bcrypt),
 * which no password has.
 *
 * @param lane as for `hash`.
 * @throws as `hash`.
 */
export async function verify(stored: string | null, text: string, lane = OWN_LANE): Promise<boolean> {
  const isPossible = parametersOf(stored) !== undefined && isShortEnough(text);
  const hashed = isPossible && stored !== null ? stored : NOBODYS_HASH;
  const isRight = await inTurn(lane, () => argon2Verify(hashed, isPossible ? canonical(text) : ""));
  return isRight && isPossible;
}

/** Whether a hash was made with other parameters than new ones are: the next time its password is known, it is made again. */
export function isOutdated(stored: string): boolean {
  const made = parametersOf(stored);
  return !made || Object.entries(PARAMETERS).some(([name, value]) => Reflect.get(made, name) !== value);
}

/**
 * Adds what is wrong with a new password: its length, in characters, or that somebody who guesses would soon come to it. NIST SP 800-63B
 * section 3.1.1.2 asks for both, and for no mixture of kinds of characters.
 *
 * @param about what is known of the person: address, name, tenant. As guessable as the commonest words.
 */
export function addProblems(problems: Problems, path: string, password: string, about: readonly string[]): void {
  if (!isShortEnough(password)) {
    problems.add(path, `is longer than ${PASSWORD_LENGTH_MAX} characters`);
    return;
  }
  const text = canonical(password);
  problems.text(path, text, PASSWORD_LENGTH_MIN, PASSWORD_LENGTH_MAX);
  if (text.length >= PASSWORD_LENGTH_MIN && isGuessable(text, about))
    problems.add(path, "is too easy to guess: it is common, a pattern, or made of what is known of you");
}

/** The same characters however a keyboard composes them; as NIST SP 800-63B asks. */
function canonical(text: string): string {
  return text.normalize("NFKC");
}

function isShortEnough(text: string): boolean {
  return Buffer.byteLength(text) <= PASSWORD_BYTES_MAX;
}

function parametersOf(stored: string | null): object | undefined {
  try {
    return stored === null ? undefined : parseOptions(stored);
  } catch {
    return undefined; // of another kind
  }
}

function isGuessable(text: string, about: readonly string[]): boolean {
  const start = text.slice(0, ESTIMATED_LENGTH);
  const known = about.flatMap((fact) => [fact, ...fact.split(/[^\p{L}\p{N}]+/u)]).filter((word) => word.length > 2);
  if (remainder(text, known).length < OWN_LENGTH_MIN) return true;
  const variants = new Set([start, withoutLookAlikes(start), start.replaceAll(/[^\p{L}\p{N}]+/gu, "")]);
  estimator ??= openEstimator();
  const { check } = estimator;
  return [...variants].some((variant) => check(variant, known) < GUESSES_MIN);
}

/** What is left of a text that holds what is known of the person, once that and the separators are taken out. */
function remainder(text: string, known: readonly string[]): string {
  const longestFirst = known.map((word) => word.toLowerCase()).toSorted((left, right) => right.length - left.length);
  const lower = text.toLowerCase();
  const rest = longestFirst.reduce((left, word) => left.replaceAll(word, ""), lower);
  return rest === lower ? text : rest.replaceAll(/[^\p{L}\p{N}]+/gu, "");
}

/** "p@ssw0rd" is "password": digits and signs between letters that look like a letter. */
function withoutLookAlikes(text: string): string {
  return text.replaceAll(/(?<=\p{L})[@4310!$57]+(?=\p{L})/gu, (run) =>
    Array.from(run, (sign) => LOOK_ALIKES[sign] ?? sign).join(""),
  );
}

/** Tells in how many guesses a text would be found, given what is known. */
interface Estimator {
  readonly check: (text: string, known: readonly string[]) => number;
}

// Made when first needed: its dictionaries take 0.1 s and 20 MB.
let estimator: Estimator | undefined;

function openEstimator(): Estimator {
  const zxcvbn = new ZxcvbnFactory({
    dictionary: { ...commonWords, ...englishWords },
    graphs: adjacencyGraphs,
    maxLength: ESTIMATED_LENGTH,
    // Its own search for look-alikes can take minutes for one text; `withoutLookAlikes` stands in for it.
    l33tTable: {},
  });
  return { check: (text, known) => zxcvbn.check(text, [...known]).guesses };
}

// Made when first needed, like the estimator.
let turns: FairQueue | undefined;

/** Few at a time, and a bounded number that wait: whoever asks for thousands of hashes cannot take the memory or the processor for it. */
async function inTurn<Result>(lane: string, work: () => Promise<Result>): Promise<Result> {
  turns ??= openFairQueue({
    turns: () => AT_ONCE,
    isCrowded: () => false,
    waitingInLane: WAITING_MAX,
    patienceMs: PATIENCE_MS,
  });
  const place = turns.enter(lane);
  try {
    if (place.turn) await place.turn;
    return await work();
  } finally {
    place.leave();
  }
}
