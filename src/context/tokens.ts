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
const DAY_MS = 86_400_000;
const KEPT_MAX = 10_000;

const claims = z.object({ sub: z.uuid(), tenant_id: z.uuid(), sid: z.uuid(), exp: z.number() });

/** Whom an access token speaks for, before anybody has looked whether they still may. */
export interface TokenSubject {
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
  /** Signs with a new key from now on; tokens signed by older ones go on working. @returns the new key's id. */
  readonly rotate: () => Promise<string>;
  /** Refuses tokens signed by any key but the newest. @returns how many keys are gone. */
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
  const imported = new LRUCache<string, Promise<CryptoKey | Uint8Array>>({ max: 100 });

  function publicKeyOf({ kid, publicKey }: TokenKeyRecord): Promise<CryptoKey | Uint8Array> {
    const known = imported.get(kid) ?? importJWK(publicKey, ALGORITHM);
    imported.set(kid, known);
    return known;
  }

  async function addKey(unlessNewerThan: Date): Promise<void> {
    const { publicKey, privateKey } = await generateKeyPair(ALGORITHM, { crv: "Ed25519", extractable: true });
    const jwk = await exportJWK(publicKey);
    const kid = await calculateJwkThumbprint(jwk);
    const sealedPrivateKey = sealing.seal(JSON.stringify(await exportJWK(privateKey)), placeOf(kid));
    await crossTenant.addTokenKey(
      { kid, publicKey: { ...jwk, kid, alg: ALGORITHM, use: "sig" }, sealedPrivateKey },
      unlessNewerThan,
    );
  }

  async function newestKey(): Promise<TokenKeyRecord> {
    const keys = await crossTenant.tokenKeys();
    const newest = keys.at(-1);
    if (!newest) throw new Error("no signing key was kept");
    return newest;
  }

  /** The key to sign with: the newest, unless it is old, or sealed by a master key that is no longer this one. */
  async function signingKey(): Promise<{ readonly kid: string; readonly key: CryptoKey | Uint8Array }> {
    const oldest = new Date(now().getTime() - KEY_DAYS * DAY_MS);
    const found = (await crossTenant.tokenKeys()).at(-1);
    const usable = found && found.createdAt > oldest && (await privateKeyOf(found));
    if (found && usable) return { kid: found.kid, key: usable };
    // Where the newest does not open, another one is made whatever its age.
    await addKey(found && found.createdAt > oldest ? found.createdAt : oldest);
    await crossTenant.removeTokenKeys(new Date(oldest.getTime() - DAY_MS));
    const made = await newestKey();
    const key = await privateKeyOf(made);
    if (!key) throw new Error("the signing key was made by a process with another MASTER_KEY");
    return { kid: made.kid, key };
  }

  async function privateKeyOf({ kid, sealedPrivateKey }: TokenKeyRecord): Promise<CryptoKey | Uint8Array | undefined> {
    const opened = attempt(() => sealing.open(sealedPrivateKey, placeOf(kid)));
    return opened === undefined
      ? undefined
      : importJWK(z.record(z.string(), z.unknown()).parse(JSON.parse(opened)), ALGORITHM);
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
    const { sub, tenant_id, sid, exp } = claims.parse(payload);
    const subject = { tenantId: tenant_id, userId: sub, signInId: sid };
    verified.set(hash, { ...subject, expiresAt: exp, kid: protectedHeader.kid ?? "" });
    return subject;
  }

  return {
    async issue({ tenantId, userId, signInId, role }) {
      const { kid, key } = await signingKey();
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
      await signingKey();
      return { keys: (await crossTenant.tokenKeys()).map(({ publicKey }) => publicKey) };
    },
    async rotate() {
      await addKey(new Date(8.64e15));
      return (await newestKey()).kid;
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
