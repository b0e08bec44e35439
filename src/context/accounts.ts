import type { Sealing } from "./crypto.ts";
import type { Identities } from "./oidc.ts";
import type { RateLimits } from "./rate-limits.ts";
import type { Refusals } from "./refusals.ts";
import type { Tokens } from "./tokens.ts";

/** Tells the sender of mail that there is some. Without a sender, as in commands, mail waits for a process that has one. */
export interface MailBell {
  readonly ring: (tenantId: string) => void;
}

/** What signing in needs beyond a tenant's rows; lives as long as the process, and reaches no row of any tenant. */
export interface Accounts {
  readonly tokens: Tokens;
  readonly sealing: Sealing;
  /** Counts attempts at signing in, and whatever else is limited. */
  readonly limits: RateLimits;
  /** What was refused, on its way into tenants' audit trails. */
  readonly refusals: Refusals;
  /** Where browsers reach the gateway, without a slash at the end. Known once it listens. */
  readonly publicUrl: () => string;
  readonly mail: MailBell;
  /** Forgets what this process keeps of a tenant: somebody's access has just ended, and need not wait for the notice. */
  readonly forget: (tenantId: string) => void;
  /** Providers outside that say who somebody is. */
  readonly identities: Identities;
}
