import type { TenantRecord } from "../context/cross-tenant.ts";
import { wordOf } from "./stored-words.ts";

export const PLANS = { FREE: "free", PRO: "pro", ENTERPRISE: "enterprise" } as const;
export type Plan = (typeof PLANS)[keyof typeof PLANS];

/** What a tenant may use. All of them are whole numbers. */
export interface TenantLimits {
  readonly requestsPerMinute: number;
  /** Sum of the prices of a minute's operations. */
  readonly complexityPerMinute: number;
  /** Requests a minute of one API key or one person. */
  readonly requestsPerMinutePerCredential: number;
  /** The same for prices. */
  readonly complexityPerMinutePerCredential: number;
  readonly storageBytes: number;
  /** Tokens of language models, in and out, in a calendar month. */
  readonly tokensPerMonth: number;
}

const GIBIBYTE = 2 ** 30;

// Each plan has ten times the traffic of the one before. FREE is for people who try it: ten requests a second leave a busy chat page alone.
const BY_PLAN: Readonly<Record<Plan, Omit<TenantLimits, `${string}PerCredential`>>> = {
  free: {
    requestsPerMinute: 600,
    complexityPerMinute: 60_000,
    storageBytes: GIBIBYTE,
    tokensPerMonth: 1_000_000,
  },
  pro: {
    requestsPerMinute: 6_000,
    complexityPerMinute: 600_000,
    storageBytes: 100 * GIBIBYTE,
    tokensPerMonth: 50_000_000,
  },
  enterprise: {
    requestsPerMinute: 60_000,
    complexityPerMinute: 6_000_000,
    storageBytes: 1_024 * GIBIBYTE,
    tokensPerMonth: 1_000_000_000,
  },
};

// A script that runs wild leaves the other half to everybody else in the tenant; a tenant with a single busy key can be given more.
const SHARE_OF_ONE_CREDENTIAL = 0.5;

// All but the last two are Int in the API. These two stay below 2^53, where JSON numbers are exact.
const RANGES: Readonly<Record<keyof TenantLimits, { readonly min: number; readonly max: number }>> = {
  requestsPerMinute: { min: 1, max: 1_000_000 },
  complexityPerMinute: { min: 1, max: 1_000_000_000 },
  requestsPerMinutePerCredential: { min: 1, max: 1_000_000 },
  complexityPerMinutePerCredential: { min: 1, max: 1_000_000_000 },
  storageBytes: { min: 0, max: 2 ** 50 },
  tokensPerMonth: { min: 0, max: 1_000_000_000_000 },
};

/** The tenant's plan; one that nobody knows reads as FREE, the least. */
export function planOf(tenant: Pick<TenantRecord, "plan">): Plan {
  return wordOf(PLANS, tenant.plan, PLANS.FREE);
}

/**
 * What the tenant may use: its plan's limits, with its own overrides where they make sense. One credential gets half of the tenant's
 * requests and prices, overridden or not, unless it has overrides of its own.
 */
export function limitsOf(tenant: Pick<TenantRecord, "plan" | "limits">): TenantLimits {
  const plan = BY_PLAN[planOf(tenant)];
  const own = (name: keyof TenantLimits, otherwise: number): number => {
    const override = tenant.limits[name];
    return isInRange(name, override) ? override : otherwise;
  };
  const requestsPerMinute = own("requestsPerMinute", plan.requestsPerMinute);
  const complexityPerMinute = own("complexityPerMinute", plan.complexityPerMinute);
  const shareOf = (whole: number): number => Math.ceil(whole * SHARE_OF_ONE_CREDENTIAL);
  return {
    requestsPerMinute,
    complexityPerMinute,
    requestsPerMinutePerCredential: own("requestsPerMinutePerCredential", shareOf(requestsPerMinute)),
    complexityPerMinutePerCredential: own("complexityPerMinutePerCredential", shareOf(complexityPerMinute)),
    storageBytes: own("storageBytes", plan.storageBytes),
    tokensPerMonth: own("tokensPerMonth", plan.tokensPerMonth),
  };
}

/** What is wrong with overrides that somebody wants to set, by name; empty when all is well. */
export function limitProblems(overrides: Readonly<Record<string, unknown>>): { name: string; message: string }[] {
  return Object.entries(overrides).flatMap(([name, value]) => {
    if (!isLimit(name)) return [{ name, message: `is not a limit; there are ${Object.keys(RANGES).join(", ")}` }];
    if (isInRange(name, value)) return [];
    const { min, max } = RANGES[name];
    return [{ name, message: `is not a whole number between ${min} and ${max}` }];
  });
}

function isLimit(name: string): name is keyof TenantLimits {
  return Object.hasOwn(RANGES, name);
}

function isInRange(name: keyof TenantLimits, value: unknown): value is number {
  const { min, max } = RANGES[name];
  return typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
}
