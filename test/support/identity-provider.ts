import { exportJWK, generateKeyPair, SignJWT } from "jose";
import type { CryptoKey, JWK, JWTHeaderParameters, JWTPayload } from "jose";
import { createHash, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { default as OidcProvider } from "oidc-provider";
import { z } from "zod";
import { openBrowser } from "./browser.ts";

/** The resource whose access tokens are JWTs. */
export const AUDIENCE = "urn:atrium:test";
/** The gateway as a client of the provider. */
export const CLIENT = { id: "atrium", secret: "a-secret-that-the-provider-gave" };
const APP = { id: "app", redirectUri: "http://app.invalid/back" };
const SCOPES = "openid email profile";

/** Somebody who has an account at the provider, and what it says of them. */
export interface Account {
  readonly sub: string;
  readonly email?: string;
  readonly email_verified?: boolean;
  readonly name?: string;
  /** Further claims in access tokens; organisation and position in ID tokens as well. */
  readonly more?: Readonly<Record<string, unknown>>;
}

interface Keys {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
  readonly jwks: { keys: JWK[] };
}

export interface TestProvider {
  readonly issuer: string;
  /** The key that signs access tokens at this moment. */
  readonly keys: () => Keys;
  /** Whoever sits in front of the provider's login page; null declines. */
  readonly person: (account: Account | null) => void;
  /** An access token that an app got by the whole way through the provider. */
  readonly accessTokenOf: (account: Account) => Promise<string>;
  /** Claims and header as its access tokens have them, but for the changes, signed with its key or another one. */
  readonly sign: (
    claims: JWTPayload,
    header?: Partial<JWTHeaderParameters>,
    key?: CryptoKey | Uint8Array,
  ) => Promise<string>;
  /** How many requests it has seen at a path. */
  readonly seen: (path: string) => number;
  /** New keys, and none of the old ones. */
  readonly rotateKeys: () => Promise<void>;
  readonly stop: () => Promise<void>;
  /** At the address that it had. */
  readonly restart: () => Promise<void>;
}

/** A real OpenID provider on a free port, with `redirectUri` of the gateway. Its people sign in without a password. */
export async function startIdentityProvider(redirectUri: () => string): Promise<TestProvider> {
  const { Provider } = await loadQuietly();
  let keys = await newKeys();
  let atTheDesk: Account | null = null;
  const accounts = new Map<string, Account>();
  const counts = new Map<string, number>();
  // Set up at the first request: the gateway, whose address it must know, may not be there yet.
  let handle = (request: IncomingMessage, response: ServerResponse): void => {
    setUp();
    handle(request, response);
  };
  let server = createServer();
  let port = 0;

  async function listen(): Promise<void> {
    server = createServer((request, response) => {
      const { pathname } = new URL(request.url ?? "/", "http://provider");
      counts.set(pathname, (counts.get(pathname) ?? 0) + 1);
      handle(request, response);
    });
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- a server that listens on TCP has such an address
    ({ port } = server.address() as AddressInfo);
  }

  await listen();
  const issuer = `http://127.0.0.1:${port}`;

  function setUp(): void {
    const provider = quietly(() => newProvider(Provider, issuer, { keys, accounts, redirectUri: redirectUri() }));
    const serve = provider.callback();
    async function logIn(request: IncomingMessage, response: ServerResponse): Promise<void> {
      const account = atTheDesk;
      if (account) accounts.set(account.sub, account);
      const result = account ? { login: { accountId: account.sub } } : { error: "access_denied" };
      await provider.interactionFinished(request, response, result);
    }
    handle = (request, response) => {
      const isLogin = (request.url ?? "").startsWith("/interaction/");
      (isLogin ? logIn(request, response) : serve(request, response)).catch(() => response.destroy());
    };
  }

  return {
    issuer,
    keys: () => keys,
    person: (account) => (atTheDesk = account),
    async accessTokenOf(account) {
      atTheDesk = account;
      const verifier = `${randomUUID()}${randomUUID()}`;
      const asked = new URLSearchParams({
        client_id: APP.id,
        response_type: "code",
        redirect_uri: APP.redirectUri,
        scope: `${SCOPES} api`,
        resource: AUDIENCE,
        code_challenge: createHash("sha256").update(verifier).digest("base64url"),
        code_challenge_method: "S256",
      });
      const back = await openBrowser().follow(`${issuer}/auth?${asked.toString()}`, (url) =>
        url.href.startsWith(APP.redirectUri),
      );
      const code = back.url.searchParams.get("code") ?? "";
      const answer = await fetch(`${issuer}/token`, {
        method: "POST",
        body: new URLSearchParams({
          grant_type: "authorization_code",
          client_id: APP.id,
          redirect_uri: APP.redirectUri,
          code,
          code_verifier: verifier,
          resource: AUDIENCE,
        }),
      });
      return z.object({ access_token: z.string() }).parse(await answer.json()).access_token;
    },
    async sign(claims, header = {}, key = keys.privateKey) {
      const now = Math.floor(Date.now() / 1000);
      const usual = { iss: issuer, aud: AUDIENCE, sub: "nobody", iat: now, exp: now + 300, jti: randomUUID() };
      return new SignJWT({ ...usual, ...claims })
        .setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid: keys.kid, ...header })
        .sign(key);
    },
    seen: (path) => counts.get(path) ?? 0,
    async rotateKeys() {
      keys = await newKeys();
      setUp();
    },
    async stop() {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
    restart: listen,
  };
}

function newProvider(
  Provider: typeof OidcProvider,
  issuer: string,
  parts: { readonly keys: Keys; readonly accounts: ReadonlyMap<string, Account>; readonly redirectUri: string },
): OidcProvider {
  const { keys, accounts, redirectUri } = parts;
  return new Provider(issuer, {
    clients: [
      { client_id: CLIENT.id, client_secret: CLIENT.secret, redirect_uris: [redirectUri] },
      { client_id: APP.id, redirect_uris: [APP.redirectUri], token_endpoint_auth_method: "none" },
    ],
    jwks: keys.jwks,
    ttl: { AccessToken: 300, AuthorizationCode: 60, Grant: 600, IdToken: 300, Interaction: 600, Session: 600 },
    cookies: { keys: ["a key of this test"] },
    claims: { openid: ["sub", "organisation", "position"], email: ["email", "email_verified"], profile: ["name"] },
    scopes: ["openid", "email", "profile", "api"],
    pkce: { required: () => true },
    findAccount: (_ctx, sub) => {
      const account = accounts.get(sub);
      return account && { accountId: sub, claims: () => ({ ...account, ...account.more }) };
    },
    extraTokenClaims: (_ctx, token) => ("accountId" in token ? accounts.get(token.accountId)?.more : undefined),
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    async loadExistingGrant({ oidc }) {
      const grant = new oidc.provider.Grant({
        clientId: oidc.client?.clientId ?? "",
        accountId: oidc.session?.accountId ?? "",
      });
      grant.addOIDCScope(`${SCOPES} api`);
      grant.addResourceScope(AUDIENCE, "api");
      await grant.save();
      return grant;
    },
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: "api",
          audience: AUDIENCE,
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: "ES256" } },
        }),
      },
    },
  });
}

async function newKeys(): Promise<Keys> {
  const [ec, rsa] = await Promise.all([
    generateKeyPair("ES256", { extractable: true }),
    generateKeyPair("RS256", { extractable: true }),
  ]);
  const kid = randomUUID();
  const own = { kid, use: "sig", alg: "ES256" };
  const [ecJwk, rsaJwk] = await Promise.all([exportJWK(ec.privateKey), exportJWK(rsa.privateKey)]);
  return {
    kid,
    privateKey: ec.privateKey,
    publicJwk: { ...(await exportJWK(ec.publicKey)), ...own },
    jwks: {
      keys: [
        { ...ecJwk, ...own },
        { ...rsaJwk, kid: randomUUID(), use: "sig", alg: "RS256" },
      ],
    },
  };
}

/** Its import warns of a runtime that it is not made for any more, and works. */
async function loadQuietly() {
  const loud = silence();
  try {
    return await import("oidc-provider");
  } finally {
    loud();
  }
}

/** It warns of everything that is only fit for tests. */
function quietly<Result>(work: () => Result): Result {
  const loud = silence();
  try {
    return work();
  } finally {
    loud();
  }
}

/** @returns what lets the console speak again. */
function silence(): () => void {
  const { console } = globalThis;
  const kept = ["info", "warn"].map((name): [string, unknown] => [name, Reflect.get(console, name)]);
  for (const [name] of kept) Reflect.set(console, name, () => undefined);
  return () => {
    for (const [name, method] of kept) Reflect.set(console, name, method);
  };
}
