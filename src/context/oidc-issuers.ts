import { createLocalJWKSet, errors, jwtVerify } from "jose";
import type { JWTPayload, JWTVerifyGetKey, JWTVerifyResult } from "jose";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import { AppError } from "../errors.ts";
import type { Logger } from "./log.ts";
import type { Outgoing } from "./outgoing.ts";

const ISSUERS_MAX = 1_000;
const KEYS_MAX = 100; // of one issuer
const REFRESH_MS = 600_000; // behind a request's back
const WAIT_MS = 3_600_000; // after this long without a request, the first one waits for fresh keys
const KEPT_MS = 86_400_000; // for how long keys outlive an issuer that is down
const UNKNOWN_KEY_MS = 60_000; // isolation.md §4: at most one look a minute for a key that is not there
const RETRY_MS = 10_000; // after a look that failed
const TOKEN_AGE_MAX_SECONDS = 86_400; // whatever `exp` says, a token is not older than a day
const SKEW_SECONDS = 60; // isolation.md §4

/** Asymmetric ones only: with HS256, the public key would be all that a forger needs. */
const ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];
const KEY_TYPES = ["RSA", "EC", "OKP"];

const jwks = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(KEYS_MAX) });

/** What of a provider's metadata is used: OpenID Connect Discovery §3. */
type IssuerMetadata = z.infer<ReturnType<typeof metadataOf>>;

function metadataOf(isInsecureAllowed: boolean) {
  const address = z.url().refine((text) => isAllowedScheme(text, isInsecureAllowed), "is no https address");
  return z.object({
    issuer: z.string(),
    jwks_uri: address,
    authorization_endpoint: address.optional(),
    token_endpoint: address.optional(),
    userinfo_endpoint: address.optional(),
    token_endpoint_auth_methods_supported: z.array(z.string()).optional(),
    authorization_response_iss_parameter_supported: z.boolean().optional(),
  });
}

/** What issuers publish about themselves, fetched when it is needed and kept. */
export interface Issuers {
  /** @throws UPSTREAM_FAILED when the issuer does not answer, or not as it should. */
  readonly metadata: (issuer: string) => Promise<IssuerMetadata>;
  /**
   * Checks a token's signature, issuer, audience and times.
   *
   * @throws UNAUTHENTICATED for a token that is not right; UPSTREAM_FAILED when there are no keys to check it with.
   */
  readonly verify: (issuer: string, text: string, audience: readonly string[]) => Promise<JWTVerifyResult>;
  /** The way to an issuer's addresses, with the limits that hold for whoever named it. */
  readonly outgoingTo: (issuer: string) => Outgoing;
  /** Whether an issuer's address may be used at all: https, or http where that is as good. */
  readonly isAllowedAddress: (issuer: string) => boolean;
  /** Whether a tenant may name an issuer at this host; a name passes, and is looked at when it is called. */
  readonly isAllowedHost: (host: string) => boolean;
  /** Whether plain http is as good as https here. */
  readonly isInsecureAllowed: boolean;
  readonly close: () => Promise<void>;
}

export interface IssuersOptions {
  /** Whether the operator named an issuer. Its addresses may lie in the operator's own network, a tenant's may not. */
  readonly isInstallations: (issuer: string) => boolean;
  readonly outgoing: { readonly installations: Outgoing; readonly tenants: Outgoing };
  readonly isInsecureAllowed: boolean;
  readonly now: () => Date;
  readonly log: Logger;
}

export function openIssuers(options: IssuersOptions): Issuers {
  const { isInstallations, outgoing, isInsecureAllowed, now, log } = options;
  const known = new LRUCache<string, Issuer>({ max: ISSUERS_MAX });
  const outgoingTo = (issuer: string): Outgoing =>
    isInstallations(issuer) ? outgoing.installations : outgoing.tenants;

  function issuerOf(address: string): Issuer {
    const found =
      known.get(address) ??
      openIssuer(address, {
        fetch: outgoingTo(address).fetch,
        isInsecureAllowed,
        now: () => now().getTime(),
        // Its host alone: the rest of a provider's address is a tenant's affair.
        onFailure: (error) => log.warn({ issuer: hostOf(address), err: describe(error) }, "an issuer does not answer"),
      });
    known.set(address, found);
    return found;
  }

  return {
    metadata: (address) => issuerOf(address).metadata(),
    verify: (address, text, audience) =>
      jwtVerify(text, issuerOf(address).keyFor, {
        issuer: address,
        audience: [...audience],
        algorithms: ALGORITHMS,
        requiredClaims: ["exp", "iat", "sub"],
        maxTokenAge: TOKEN_AGE_MAX_SECONDS,
        clockTolerance: SKEW_SECONDS,
        currentDate: now(),
      }).catch(refuse),
    outgoingTo,
    isAllowedAddress: (address) => isAllowedScheme(address, isInsecureAllowed),
    isAllowedHost(host) {
      try {
        outgoing.tenants.assertAllowed(host);
        return true;
      } catch {
        return false;
      }
    },
    isInsecureAllowed,
    async close() {
      await Promise.all([outgoing.installations.close(), outgoing.tenants.close()]);
    },
  };
}

/** Refuses the text of a token that nobody has to fetch anything for. @returns what it says of itself, which proves nothing yet. */
export function looksRight(header: { readonly alg?: unknown; readonly kid?: unknown }, { iss }: JWTPayload): boolean {
  const { alg, kid } = header;
  return typeof alg === "string" && ALGORITHMS.includes(alg) && typeof kid === "string" && typeof iss === "string";
}

interface Issuer {
  readonly metadata: () => Promise<IssuerMetadata>;
  readonly keyFor: JWTVerifyGetKey;
}

interface Published {
  readonly metadata: IssuerMetadata;
  readonly keys: JWTVerifyGetKey;
  readonly kids: ReadonlySet<unknown>;
  readonly loadedAt: number;
}

interface IssuerParts {
  readonly fetch: Outgoing["fetch"];
  readonly isInsecureAllowed: boolean;
  readonly now: () => number;
  readonly onFailure: (error: unknown) => void;
}

/** One issuer's documents. However many ask at the same time, one of them fetches and the others wait for it. */
function openIssuer(address: string, { fetch, isInsecureAllowed, now, onFailure }: IssuerParts): Issuer {
  let published: Published | undefined;
  let loading: Promise<Published> | undefined;
  let failedAt = Number.NEGATIVE_INFINITY;
  let lookedForKeyAt = Number.NEGATIVE_INFINITY;

  async function fetchJson(url: string): Promise<unknown> {
    const answer = await fetch(url, { headers: { accept: "application/json" } });
    const text = await answer.text();
    if (answer.status !== 200) throw new Error(`status ${answer.status}`);
    const parsed: unknown = JSON.parse(text);
    return parsed;
  }

  async function fetchAll(): Promise<Published> {
    const document = await fetchJson(`${address.replace(/\/$/, "")}/.well-known/openid-configuration`);
    const metadata = metadataOf(isInsecureAllowed).parse(document);
    if (metadata.issuer !== address) throw new Error("the metadata are another issuer's");
    return fetchKeys(metadata);
  }

  async function fetchKeys(metadata: IssuerMetadata): Promise<Published> {
    const { keys } = jwks.parse(await fetchJson(metadata.jwks_uri));
    const usable = keys.filter(({ kty, use }) => KEY_TYPES.includes(kty) && (use === undefined || use === "sig"));
    const kids = new Set(usable.map(({ kid }) => kid));
    return { metadata, keys: createLocalJWKSet({ keys: usable }), kids, loadedAt: now() };
  }

  /** @throws whatever went wrong, after everybody who waits has heard of it. */
  function load(fetchIt: () => Promise<Published>): Promise<Published> {
    loading ??= fetchIt()
      .then((fresh) => (published = fresh))
      .catch((error: unknown) => {
        failedAt = now();
        onFailure(error);
        throw error;
      })
      .finally(() => (loading = undefined));
    return loading;
  }

  /** What is known, as long as it is good enough; while the issuer is down, what was known goes on for a day. */
  async function current(): Promise<Published> {
    const age = published ? now() - published.loadedAt : Number.POSITIVE_INFINITY;
    if (published && age < REFRESH_MS) return published;
    const mayTry = loading !== undefined || now() - failedAt >= RETRY_MS;
    if (published && age < WAIT_MS) {
      if (mayTry) load(fetchAll).catch(() => undefined);
      return published;
    }
    const fresh = mayTry ? await load(fetchAll).catch((error: unknown) => asError(error)) : undefined;
    if (fresh && !(fresh instanceof Error)) return fresh;
    if (published && age < KEPT_MS) return published;
    throw new AppError("UPSTREAM_FAILED", "The identity provider does not answer", { cause: fresh });
  }

  return {
    metadata: async () => (await current()).metadata,
    async keyFor(header, token) {
      const { kids, keys, metadata } = await current();
      if (kids.has(header.kid)) return keys(header, token);
      const isLooking = loading !== undefined;
      if (!isLooking && now() - lookedForKeyAt < UNKNOWN_KEY_MS) throw new errors.JWKSNoMatchingKey();
      if (!isLooking) lookedForKeyAt = now();
      const fresh = await load(() => fetchKeys(metadata)).catch(() => undefined);
      if (!fresh?.kids.has(header.kid)) throw new errors.JWKSNoMatchingKey();
      return fresh.keys(header, token);
    },
  };
}

function isAllowedScheme(address: string, isInsecureAllowed: boolean): boolean {
  return isInsecureAllowed ? /^https?:\/\//i.test(address) : /^https:\/\//i.test(address);
}

function refuse(error: unknown): never {
  if (!(error instanceof errors.JOSEError) && !(error instanceof TypeError)) throw error;
  const isExpired = error instanceof errors.JWTExpired;
  throw new AppError("UNAUTHENTICATED", isExpired ? "The token has expired" : "The token is not valid", {
    cause: error,
  });
}

function hostOf(address: string): string {
  return URL.canParse(address) ? new URL(address).host : "";
}

function describe(error: unknown): string {
  return asError(error).message;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
