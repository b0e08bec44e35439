import type { TrustedIssuer } from "../config.ts";
import type { Logger } from "./log.ts";
import { openIssuers } from "./oidc-issuers.ts";
import type { Issuers } from "./oidc-issuers.ts";
import { installationProvider } from "./oidc-trust.ts";
import type { TrustedProvider } from "./oidc-trust.ts";
import { openOutgoing } from "./outgoing.ts";

/** A provider at which browsers can sign in. */
export interface ProviderClient {
  /** How a browser names it: the id of a tenant's provider, the issuer of the installation's. */
  readonly id: string;
  /** What people call it. */
  readonly name: string;
  readonly provider: TrustedProvider;
  readonly clientId: string;
  /**
   * Undefined for a public client, which proves itself by PKCE alone. Asked for where it is used: one that does not open spoils no list.
   *
   * @throws UPSTREAM_FAILED for a secret that no longer opens.
   */
  readonly clientSecret: () => string | undefined;
}

/** What outside identities need beyond a tenant's rows. */
export interface Identities {
  /** The providers that the operator named. */
  readonly installation: readonly TrustedProvider[];
  /** Those of them at which browsers can sign in. */
  readonly clients: readonly ProviderClient[];
  readonly issuers: Issuers;
  /** Origins that a browser may be sent back to, beside the gateway's own. */
  readonly returnOrigins: readonly string[];
}

export interface IdentitiesOptions {
  readonly oidcIssuers: readonly TrustedIssuer[];
  readonly allowPrivateAddresses: boolean;
  readonly corsOrigins: readonly string[];
  readonly now: () => Date;
  readonly log: Logger;
}

export function openIdentities(options: IdentitiesOptions): Identities {
  const { oidcIssuers, allowPrivateAddresses, now, log } = options;
  const installation = oidcIssuers.map(installationProvider);
  return {
    installation,
    clients: oidcIssuers.flatMap((trusted) => {
      const { clientId, clientSecret, issuer, name = new URL(issuer).host } = trusted;
      if (clientId === undefined) return [];
      return [
        { id: issuer, name, provider: installationProvider(trusted), clientId, clientSecret: () => clientSecret },
      ];
    }),
    issuers: openIssuers({
      isInstallations: (issuer) => installation.some((provider) => provider.issuer === issuer),
      outgoing: {
        // The operator may well have a provider in a network of their own; what tenants name is another matter.
        installations: openOutgoing({ allowPrivateAddresses: true }),
        tenants: openOutgoing({ allowPrivateAddresses }),
      },
      isInsecureAllowed: allowPrivateAddresses,
      now,
      log,
    }),
    returnOrigins: options.corsOrigins,
  };
}
