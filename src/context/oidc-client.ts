import * as oauth from "openid-client";
import { AppError } from "../errors.ts";
import { sha256 } from "./crypto.ts";
import type { Identities, ProviderClient } from "./oidc.ts";
import type { Issuers } from "./oidc-issuers.ts";

const ISSUER_MARK_LENGTH = 32; // of 64 hexadecimal digits
const SCOPE = "openid email profile";
const TIMEOUT_SECONDS = 10; // a person waits

/** What signing in at a provider needs of the process. */
interface ClientParts {
  readonly identities: Identities;
  readonly publicUrl: () => string;
}

/**
 * What sets an issuer's redirect address apart from all others'. With one address for all, a hostile issuer could send the browser on to an
 * honest one, whose code would then be taken for its own and brought to it (RFC 9700 §4.4).
 */
export function issuerMark(issuer: string): string {
  return sha256(issuer).slice(0, ISSUER_MARK_LENGTH);
}

/** Where an issuer sends browsers back to: the address to register there. */
export function redirectAddress({ publicUrl }: Pick<ClientParts, "publicUrl">, issuer: string): string {
  return `${publicUrl()}/auth/callback/${issuerMark(issuer)}`;
}

/** What this browser's sign-in is recognised by: PKCE with S256 (RFC 7636) binds the code, the nonce binds the ID token. */
export async function newProof(): Promise<{ verifier: string; nonce: string; challenge: string }> {
  const verifier = oauth.randomPKCECodeVerifier();
  return { verifier, nonce: oauth.randomNonce(), challenge: await oauth.calculatePKCECodeChallenge(verifier) };
}

/** Where the browser goes to sign in. @throws UPSTREAM_FAILED when the provider's metadata are not to be had. */
export async function authorizationAddress(
  parts: ClientParts,
  client: ProviderClient,
  { state, nonce, challenge }: { readonly state: string; readonly nonce: string; readonly challenge: string },
): Promise<URL> {
  const configuration = await configurationOf(parts.identities.issuers, client);
  try {
    return oauth.buildAuthorizationUrl(configuration, {
      redirect_uri: redirectAddress(parts, client.provider.issuer),
      scope: SCOPE,
      state,
      nonce,
      code_challenge: challenge,
      code_challenge_method: "S256",
    });
  } catch (error) {
    throw failed(error);
  }
}

/**
 * Exchanges the code that a browser came back with. Where the provider says that it names itself on the way back (RFC 9207), it must.
 *
 * @returns the verified claims: the ID token's, completed by what the provider tells at its userinfo endpoint.
 * @throws UPSTREAM_FAILED for whatever the provider does not answer as it should.
 */
export async function askForTokens(
  parts: ClientParts,
  client: ProviderClient,
  checks: {
    readonly query: URLSearchParams;
    readonly state: string;
    readonly nonce: string;
    readonly verifier: string;
  },
): Promise<object> {
  const { issuers } = parts.identities;
  const configuration = await configurationOf(issuers, client);
  const address = new URL(`${redirectAddress(parts, client.provider.issuer)}?${checks.query.toString()}`);
  try {
    const tokens = await oauth.authorizationCodeGrant(configuration, address, {
      expectedState: checks.state,
      expectedNonce: checks.nonce,
      pkceCodeVerifier: checks.verifier,
      idTokenExpected: true,
    });
    // The library trusts the connection and checks no signature; here it is checked as an access token's is.
    const { payload } = await issuers.verify(client.provider.issuer, tokens.id_token ?? "", [client.clientId]);
    const hasMore = configuration.serverMetadata().userinfo_endpoint !== undefined;
    const more = hasMore ? await oauth.fetchUserInfo(configuration, tokens.access_token, payload.sub ?? "") : {};
    return { ...more, ...payload };
  } catch (error) {
    throw failed(error);
  }
}

async function configurationOf(issuers: Issuers, client: ProviderClient): Promise<oauth.Configuration> {
  const { issuer } = client.provider;
  const clientSecret = client.clientSecret();
  const metadata = await issuers.metadata(issuer);
  const configuration = new oauth.Configuration(
    metadata,
    client.clientId,
    undefined,
    authenticationOf(clientSecret, metadata.token_endpoint_auth_methods_supported),
  );
  configuration.timeout = TIMEOUT_SECONDS;
  configuration[oauth.customFetch] = issuers.outgoingTo(issuer).fetch;
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- marked so to stand out: only where the operator allows private addresses
  if (issuers.isInsecureAllowed) oauth.allowInsecureRequests(configuration);
  return configuration;
}

/** In the body where the provider says so; in the header otherwise, which is the default of OpenID Connect Discovery §3. */
function authenticationOf(clientSecret: string | undefined, methods: readonly string[] = []): oauth.ClientAuth {
  if (clientSecret === undefined) return oauth.None();
  return methods.includes("client_secret_post") && !methods.includes("client_secret_basic")
    ? oauth.ClientSecretPost(clientSecret)
    : oauth.ClientSecretBasic(clientSecret);
}

function failed(cause: unknown): AppError {
  return new AppError("UPSTREAM_FAILED", "The identity provider did not answer as it should", { cause });
}
