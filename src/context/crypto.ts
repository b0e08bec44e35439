import {
  createCipheriv,
  createDecipheriv,
  hash,
  hkdfSync,
  randomBytes,
  randomInt,
  randomUUID,
  timingSafeEqual,
} from "node:crypto";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const KEY_MARK = "atr_";
const LEGACY_KEY_MARK = "kn_"; // the predecessor's keys: SHA-256 stored, as ours
const PREFIX_LENGTH = 8;
const SECRET_LENGTH = 43; // 43 × log2(62) = 256 bits
const CHECKSUM_LENGTH = 6;
const KEY_FORM = new RegExp(
  `^${KEY_MARK}[0-9A-Za-z]{${PREFIX_LENGTH}}_[0-9A-Za-z]{${SECRET_LENGTH + CHECKSUM_LENGTH}}$`,
);
const TOKEN_FORM = /^([\w-]{22})_[\w-]{43}$/; // 128 and 256 bits in base64url
const NONCE_BYTES = 12; // as NIST SP 800-38D asks for GCM
const SEALED_MARK = "s1";
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

/** What a token in somebody's hands is for: it stands in front, so that one is never taken for another. */
export type TokenMark = "atr_r" | "atr_m" | "atr_o";

/**
 * Makes `<mark>_<tenant>_<256 random bits>`: what renews a sign-in (atr_r), comes by mail (atr_m) or travels through a browser (atr_o). The
 * tenant is part of the text, so that the token alone says where to look, and part of what is hashed, so that it cannot be exchanged.
 */
export function newToken(mark: TokenMark, tenantId: string): { readonly text: string; readonly hash: string } {
  const tenant = Buffer.from(tenantId.replaceAll("-", ""), "hex").toString("base64url");
  const text = `${mark}_${tenant}_${randomBytes(32).toString("base64url")}`;
  return { text, hash: sha256(text) };
}

/** The tenant that a token names, and the hash under which it is stored there; null for a text that is no such token. */
export function readToken(mark: TokenMark, text: string): { readonly tenantId: string; readonly hash: string } | null {
  const [, tenant] = TOKEN_FORM.exec(text.startsWith(`${mark}_`) ? text.slice(mark.length + 1) : "") ?? [];
  if (tenant === undefined) return null;
  const hex = Buffer.from(tenant, "base64url").toString("hex");
  const tenantId = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  return { tenantId, hash: sha256(text) };
}

/** Keeps texts so that only this installation can read them, and only in the place they were sealed for. */
export interface Sealing {
  /** @param place what the text belongs to: sealed for one place, it does not open in another. */
  readonly seal: (text: string, place: string) => string;
  /** @throws Error when the text was sealed for another place, by another master key, or was changed. */
  readonly open: (sealed: string, place: string) => string;
}

/** AES-256-GCM under a key derived from the installation's master key. */
export function openSealing(masterKey: string): Sealing {
  const key = Buffer.from(hkdfSync("sha256", masterKey, "atrium", "sealing", 32));
  return {
    seal(text, place) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(place));
      const content = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
      return [SEALED_MARK, ...[nonce, cipher.getAuthTag(), content].map((part) => part.toString("base64url"))].join(
        ".",
      );
    },
    open(sealed, place) {
      const [mark, ...parts] = sealed.split(".");
      const [nonce, tag, content] = parts.map((part) => Buffer.from(part, "base64url"));
      if (mark !== SEALED_MARK || !nonce || !tag || !content) throw new Error("this is no sealed text");
      const cipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 });
      cipher.setAAD(Buffer.from(place)).setAuthTag(tag);
      return Buffer.concat([cipher.update(content), cipher.final()]).toString("utf8");
    },
  };
}

/** Whether a bearer credential is meant as an API key rather than a token. */
export function looksLikeKey(text: string): boolean {
  return text.startsWith(KEY_MARK) || text.startsWith(LEGACY_KEY_MARK);
}

/** SHA-256 in hexadecimal. Fast is right for random secrets; a slow hash here would be a way to exhaust the server. */
export function sha256(text: string): string {
  return hash("sha256", text, "hex");
}

/** Compares two results of sha256 without telling by its duration where they differ. */
export function equalHashes(left: string, right: string): boolean {
  return left.length === right.length && timingSafeEqual(Buffer.from(left), Buffer.from(right));
}

/** Compares without telling by its duration where two texts differ. */
export function safeEqual(left: string, right: string): boolean {
  return equalHashes(sha256(left), sha256(right));
}

/** A random secret of 256 bits in base64. */
export function newSecret(): string {
  return randomBytes(32).toString("base64");
}

/** A password for somebody who has not chosen one: 95 random bits, in characters that everybody can type. */
export function newPassword(): string {
  return randomText(16);
}

/** An id for a request that brought none. */
export function newRequestId(): string {
  return randomUUID();
}

function randomText(length: number): string {
  return Array.from({ length }, () => ALPHABET.charAt(randomInt(ALPHABET.length))).join("");
}

function checksum(text: string): string {
  const digest = hash("sha256", text, "buffer");
  return Array.from(digest.subarray(0, CHECKSUM_LENGTH), (byte) => ALPHABET.charAt(byte % ALPHABET.length)).join("");
}
