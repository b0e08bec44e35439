import { createHash, randomBytes, randomInt, randomUUID, timingSafeEqual } from "node:crypto";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const KEY_MARK = "atr_";
const LEGACY_KEY_MARK = "kn_"; // the predecessor's keys: SHA-256 stored, as ours
const PREFIX_LENGTH = 8;
const SECRET_LENGTH = 43; // 43 × log2(62) = 256 bits
const CHECKSUM_LENGTH = 6;
const KEY_FORM = new RegExp(
  `^${KEY_MARK}[0-9A-Za-z]{${PREFIX_LENGTH}}_[0-9A-Za-z]{${SECRET_LENGTH + CHECKSUM_LENGTH}}$`,
);
const LEGACY_KEY_FORM = /^kn_[\w-]{16,200}$/;

/** A new API key: its text (shown once), the hash that is stored, and the prefix by which people recognise it. */
export interface NewKey {
  readonly text: string;
  readonly hash: string;
  readonly prefix: string;
}

/** Makes `atr_<8 random>_<256 random bits><checksum>`. The checksum refuses a typo without a query, and lets scanners find leaked keys. */
export function newApiKey(): NewKey {
  const prefix = `${KEY_MARK}${randomText(PREFIX_LENGTH)}`;
  const body = `${prefix}_${randomText(SECRET_LENGTH)}`;
  const text = `${body}${checksum(body)}`;
  return { text, hash: sha256(text), prefix };
}

/** Whether a text can be an API key at all: ours with a right checksum, or one of the predecessor's. */
export function isWellFormedKey(text: string): boolean {
  if (LEGACY_KEY_FORM.test(text)) return true;
  return KEY_FORM.test(text) && safeEqual(text.slice(-CHECKSUM_LENGTH), checksum(text.slice(0, -CHECKSUM_LENGTH)));
}

/** Whether a bearer credential is meant as an API key rather than a token. */
export function looksLikeKey(text: string): boolean {
  return text.startsWith(KEY_MARK) || text.startsWith(LEGACY_KEY_MARK);
}

/** SHA-256 in hexadecimal. Fast is right for random secrets; a slow hash here would be a way to exhaust the server. */
export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** Compares without telling by its duration where two texts differ. */
export function safeEqual(left: string, right: string): boolean {
  return timingSafeEqual(Buffer.from(sha256(left)), Buffer.from(sha256(right)));
}

/** A random secret of 256 bits in base64. */
export function newSecret(): string {
  return randomBytes(32).toString("base64");
}

/** An id for a request that brought none. */
export function newRequestId(): string {
  return randomUUID();
}

function randomText(length: number): string {
  return Array.from({ length }, () => ALPHABET.charAt(randomInt(ALPHABET.length))).join("");
}

function checksum(text: string): string {
  const digest = createHash("sha256").update(text).digest();
  return Array.from(digest.subarray(0, CHECKSUM_LENGTH), (byte) => ALPHABET.charAt(byte % ALPHABET.length)).join("");
}
