import {
  calculateJwkThumbprint,
  decodeJwt,
  errors,
  exportJWK,
  generateKeyPair,
  importJWK,
  jwtVerify,
  SignJWT,
} from "jose";
import type { CryptoKey, JWK, JWTVerifyGetKey } from "jose";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import { AppError } from "../errors.ts";
import type { CrossTenant, TokenKeyRecord } from "./cross-tenant.ts";
import { newRequestId, sha256 } from "./crypto.ts";
import type { Sealing } from "./crypto.ts";
import type { UserRole } from "./permissions.ts";

const ALGORITHM = "EdDSA"; // small and fast; the only one that is ever accepted for tokens of our own
const TYPE = "at+jwt"; // RFC 9068
const LIFETIME_SECONDS = 900; // as in the predecessor
const SKEW_SECONDS = 60; // isolation.md §4
const KEY_DAYS = 30;
// Whoever verifies tokens elsewhere keeps the published keys for five minutes (http/well-known.ts), and other processes learn of a new one
// by a notice: nobody meets a token before its key.
const PUBLISHED_FIRST_MS = 600_000;
// After that, and the life of the last token that the key before has signed; with an hour to spare.
const SUPERSEDED_MS = PUBLISHED_FIRST_MS + 3_600_000;
const DAY_MS = 86_400_000;
const KEYS_MAX = 100;
const KEPT_MAX = 10_000; // tokens; some 4 MB

const claims = z.object({ sub: z.uuid(), tenant_id: z.uuid(), sid: z.uuid(), exp: z.number(), iat: z.number() });

/** A key that this process can sign with. */
interface Signer {
  readonly kid: string;
  readonly key: CryptoKey | Uint8Array;
  readonly ageMs: number;
}

/** Whom an access token speaks for, before anybody has looked whether they still may. */
interface TokenSubject {
  readonly tenantId: string;
  readonly userId: string;
  readonly signInId: string;
}

/** The installation's own access tokens: JWTs that any process reads, and anybody can verify by the published keys. */
export interface Tokens {
  /** @returns the token's text, and in how many seconds it expires. */
  readonly issue: (subject: TokenSubject & { readonly role: UserRole }) => Promise<{ text: string; expiresIn: number }>;
  /** Whether a text claims to be a token of this installation; proves nothing. */
  readonly claimsToBeOurs: (text: string) => boolean;
  /** @throws UNAUTHENTICATED for whatever was not issued here, has expired, or is meant for somebody else. */
  readonly read: (text: string) => Promise<TokenSubject>;
  /** The public keys by which tokens in use can be verified, as a JSON Web Key Set. */
  readonly publicKeys: () => Promise<{ readonly keys: readonly JWK[] }>;
  /** Sees to it that there is a key to sign with: what issues inside a transaction should not have to wait for one. */
  readonly prepare: () => Promise<void>;
  /** Publishes a new key, which signs from ten minutes on; tokens signed by older ones go on working. @returns the new key's id. */
  readonly rotate: () => Promise<string>;
  /** Refuses tokens signed by any key but the newest, which signs from now on. @returns how many keys are gone. */
  readonly dropOldKeys: () => Promise<number>;
}

export interface TokensOptions {
  readonly crossTenant: CrossTenant;
  readonly sealing: Sealing;
  readonly issuer: string;
  readonly audience: string;
  readonly now: () => Date;
}

export function openTokens({ crossTenant, sealing, issuer, audience, now }: TokensOptions): Tokens {
  // By the token's hash; a signature is checked once, its expiry and the sign-in every time.
  const verified = new LRUCache<string, TokenSubject & { readonly expiresAt: number; readonly kid: string }>({
    max: KEPT_MAX,
  });
  const imported = new LRUCache<string, Promise<CryptoKey | Uint8Array>>({ max: KEYS_MAX });
  const signing = new LRUCache<string, CryptoKey | Uint8Array>({ max: KEYS_MAX });

  function publicKeyOf({ kid, publicKey }: TokenKeyRecord): Promise<CryptoKey | Uint8Array> {
    const known = imported.get(kid) ?? importJWK(publicKey, ALGORITHM);
    imported.set(kid, known);
    return known;
  }

  /** Adds a key, unless somebody else did since `keys` were looked at: of processes that find no key at once, one makes it. */
  async function addKey(keys: readonly TokenKeyRecord[]): Promise<boolean> {
    const { publicKey, privateKey } = await generateKeyPair(ALGORITHM, { crv: "Ed25519", extractable: true });
    const jwk = await exportJWK(publicKey);
    const kid = await calculateJwkThumbprint(jwk);
    const sealedPrivateKey = sealing.seal(JSON.stringify(await exportJWK(privateKey)), placeOf(kid));
    // PostgreSQL knows microseconds, of which a Date has lost some: without the one more, the newest key is newer than itself.
    const unlessNewerThan = new Date((keys.at(-1)?.createdAt.getTime() ?? 0) + 1);
    return crossTenant.addTokenKey(
      { kid, publicKey: { ...jwk, kid, alg: ALGORITHM, use: "sig" }, sealedPrivateKey },
      unlessNewerThan,
    );
  }

  /** The key to sign with: of those that this process can open, the newest that has been published for long enough. */
  async function signer(): Promise<Signer> {
    const isDue = (newest: Signer | undefined): boolean => !newest || newest.ageMs > KEY_DAYS * DAY_MS;
    let keys = await crossTenant.tokenKeys();
    let signers = await signersAmong(keys);
    if (isDue(signers.at(-1))) {
      // Also where keys were sealed by a master key that is lost: they go on verifying, and sign no more.
      await addKey(keys);
      keys = await crossTenant.tokenKeys();
      signers = await signersAmong(keys);
    }
    const newest = keys.at(-1);
    if (newest && keys.length > 1 && ageOf(newest) > SUPERSEDED_MS) await crossTenant.removeTokenKeys(newest.createdAt);
    const chosen = signers.findLast(({ ageMs }) => ageMs >= PUBLISHED_FIRST_MS) ?? signers[0];
    if (!chosen) throw new Error("no signing key opens: processes of this installation have different master keys");
    return chosen;
  }

  async function signersAmong(keys: readonly TokenKeyRecord[]): Promise<Signer[]> {
    const opened = await Promise.all(keys.map(async (record) => ({ record, key: await privateKeyOf(record) })));
    return opened.flatMap(({ record, key }) => (key ? [{ kid: record.kid, key, ageMs: ageOf(record) }] : []));
  }

  const ageOf = ({ createdAt }: TokenKeyRecord): number => now().getTime() - createdAt.getTime();

  async function privateKeyOf({ kid, sealedPrivateKey }: TokenKeyRecord): Promise<CryptoKey | Uint8Array | undefined> {
    const known = signing.get(kid);
    if (known) return known;
    const opened = attempt(() => sealing.open(sealedPrivateKey, placeOf(kid)));
    if (opened === undefined) return undefined;
    const key = await importJWK(z.record(z.string(), z.unknown()).parse(JSON.parse(opened)), ALGORITHM);
    signing.set(kid, key);
    return key;
  }

  const keyFor: JWTVerifyGetKey = async ({ kid }) => {
    const record = (await crossTenant.tokenKeys()).find((key) => key.kid === kid);
    if (!record) throw new errors.JWKSNoMatchingKey();
    return publicKeyOf(record);
  };

  async function read(text: string): Promise<TokenSubject> {
    const hash = sha256(text);
    const known = verified.get(hash);
    const seconds = now().getTime() / 1000;
    const isKept = known && (await crossTenant.tokenKeys()).some(({ kid }) => kid === known.kid);
    if (known && isKept && known.expiresAt + SKEW_SECONDS > seconds) return known;
    const { payload, protectedHeader } = await jwtVerify(text, keyFor, {
      issuer,
      audience,
      algorithms: [ALGORITHM],
      typ: TYPE,
      requiredClaims: ["exp", "nbf", "iat", "sub", "jti"],
      maxTokenAge: LIFETIME_SECONDS,
      clockTolerance: SKEW_SECONDS,
      currentDate: now(),
    }).catch(refuse);
    const parsed = claims.safeParse(payload);
    if (!parsed.success) throw new AppError("UNAUTHENTICATED", "The token is not valid", { cause: parsed.error });
    const { sub, tenant_id, sid, exp, iat } = parsed.data;
    const subject = { tenantId: tenant_id, userId: sub, signInId: sid };
    // What is kept must not outlive what would be refused if it were read again.
    const expiresAt = Math.min(exp, iat + LIFETIME_SECONDS);
    verified.set(hash, { ...subject, expiresAt, kid: protectedHeader.kid ?? "" });
    return subject;
  }

  return {
    async issue({ tenantId, userId, signInId, role }) {
      const { kid, key } = await signer();
      const iat = Math.floor(now().getTime() / 1000);
      const text = await new SignJWT({ tenant_id: tenantId, sid: signInId, role })
        .setProtectedHeader({ alg: ALGORITHM, typ: TYPE, kid })
        .setIssuer(issuer)
        .setAudience(audience)
        .setSubject(userId)
        .setJti(newRequestId())
        .setIssuedAt(iat)
        .setNotBefore(iat)
        .setExpirationTime(iat + LIFETIME_SECONDS)
        .sign(key);
      return { text, expiresIn: LIFETIME_SECONDS };
    },
    claimsToBeOurs: (text) => attempt(() => decodeJwt(text).iss) === issuer,
    read,
    async publicKeys() {
      // Whoever asks first would find nothing to verify with otherwise.
      await signer();
      return { keys: (await crossTenant.tokenKeys()).map(({ publicKey }) => publicKey) };
    },
    async prepare() {
      await signer();
    },
    async rotate() {
      await addKey(await crossTenant.tokenKeys());
      const newest = (await crossTenant.tokenKeys()).at(-1);
      if (!newest) throw new Error("no signing key was kept");
      return newest.kid;
    },
    dropOldKeys: () => crossTenant.removeTokenKeys(new Date(8.64e15)),
  };
}

function placeOf(kid: string): string {
  return `token key ${kid}`;
}

function refuse(error: unknown): never {
  if (error instanceof errors.JOSEError || error instanceof TypeError) {
    const isExpired = error instanceof errors.JWTExpired;
    throw new AppError("UNAUTHENTICATED", isExpired ? "The token has expired" : "The token is not valid", {
      cause: error,
    });
  }
  throw error;
}

function attempt<Result>(work: () => Result): Result | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
