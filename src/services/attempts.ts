import { networkOf } from "../context/networks.ts";
import type { Allowance } from "../context/rate-limits.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError } from "../errors.ts";
import { REMEMBERED_MS } from "./sign-ins.ts";

const QUARTER_HOUR_SECONDS = 900;
const HOUR_SECONDS = 3_600;

/** For one person from one address: more than anybody mistypes, and 480 guesses a day for whoever guesses. */
const FOR_ONE: Allowance = { name: "sign_in", points: 5, seconds: QUARTER_HOUR_SECONDS };
/** From one address, whoever is meant: an office behind one address mistypes less, and a list of addresses and passwords is long. */
const FROM_ADDRESS: Allowance = { name: "sign_in_from_address", points: 50, seconds: QUARTER_HOUR_SECONDS };
/**
 * For one person, from wherever: against guesses from many addresses. From where somebody has signed in before they may do so whatever others
 * do, so that nobody locks a person out of their account; from elsewhere a new password by mail lets them in.
 */
const FOR_PERSON: Allowance = { name: "sign_in_for_person", points: 50, seconds: HOUR_SECONDS };
/** Requests for a mail with a token, by the address it would go to: enough for whoever lost one, too few to fill a mailbox. */
const MAILS_TO: Allowance = { name: "password_reset", points: 3, seconds: HOUR_SECONDS };
/** Likewise by the address that asks. */
const MAILS_FROM: Allowance = { name: "password_reset_from_address", points: 20, seconds: HOUR_SECONDS };
/** Tokens that came by mail, by the address that shows them. Guessing 256 bits is hopeless; this bounds what it costs us. */
const TOKENS_FROM: Allowance = { name: "mailed_token_from_address", points: 50, seconds: QUARTER_HOUR_SECONDS };

/** Uses of tokens, good or not, by the network: each asks a database, and an office of a thousand people renews some 70 sign-ins a minute. */
const USES_FROM: Allowance = { name: "token_use_from_address", points: 120, seconds: 60 };

const NOBODY = "00000000-0000-0000-0000-000000000000";
const SIGN_INS_LOOKED_AT = 200;

/** Whose account is tried. */
export interface Account {
  /** As the request names it, whether or not there is such a tenant. */
  readonly tenantId: string;
  readonly email: string;
}

/** An attempt that was counted. */
export interface Attempt {
  /** It was the person: what was counted against them is given back, so that only what fails adds up. */
  readonly succeeded: () => Promise<void>;
}

/**
 * Counts an attempt to prove a password, before anything is computed for it. Takes the same for people that there are and that there are
 * not.
 *
 * @param door null where there is no such tenant.
 * @throws RATE_LIMITED when there were too many.
 */
export async function count(
  ctx: TenantContext,
  door: Pick<TenantContext, "db"> | null,
  { tenantId, email }: Account,
): Promise<Attempt> {
  const { limits } = ctx.accounts;
  const account = JSON.stringify([tenantId, email.toLowerCase()]);
  const network = networkOf(ctx.ip);
  const pair = JSON.stringify([account, network]);
  // First, so that one address cannot make the store count thousands of accounts.
  await take(ctx, FROM_ADDRESS, network);
  await take(ctx, FOR_ONE, pair);
  const { isWithin, resetSeconds } = await limits.take(FOR_PERSON, account, 1);
  if (!isWithin && !(await isKnownFrom(ctx, door, email, network))) throw tooMany(resetSeconds);
  return {
    async succeeded() {
      await Promise.all([
        limits.reset(FOR_ONE, pair),
        limits.take(FROM_ADDRESS, network, -1),
        limits.take(FOR_PERSON, account, -1),
      ]);
    },
  };
}

/** Whether a mail with a token may be asked for once more; whoever asks is not told. */
export async function mayAskForMail(ctx: TenantContext, { tenantId, email }: Account): Promise<boolean> {
  const { limits } = ctx.accounts;
  const from = await limits.take(MAILS_FROM, networkOf(ctx.ip), 1);
  if (!from.isWithin) return false;
  const to = await limits.take(MAILS_TO, JSON.stringify([tenantId, email.toLowerCase()]), 1);
  return to.isWithin;
}

/** Counts that somebody shows a token that came by mail. @throws RATE_LIMITED when there were too many that were none. */
export async function countToken(ctx: TenantContext): Promise<Attempt> {
  const network = networkOf(ctx.ip);
  await take(ctx, TOKENS_FROM, network);
  return {
    async succeeded() {
      await ctx.accounts.limits.take(TOKENS_FROM, network, -1);
    },
  };
}

/** Counts that somebody shows a token of whatever kind, before anything is looked up for it. @throws RATE_LIMITED */
export async function countUse(ctx: TenantContext): Promise<void> {
  await take(ctx, USES_FROM, networkOf(ctx.ip));
}

async function take(ctx: TenantContext, allowance: Allowance, key: string): Promise<void> {
  const { isWithin, resetSeconds } = await ctx.accounts.limits.take(allowance, key, 1);
  if (!isWithin) throw tooMany(resetSeconds);
}

function tooMany(retryAfterSeconds: number): AppError {
  return new AppError("RATE_LIMITED", "Too many attempts to sign in, please try again later", { retryAfterSeconds });
}

/** Whether this person has signed in from there in the last 90 days. Asks the same where there is no such person. */
async function isKnownFrom(
  { clock }: TenantContext,
  door: Pick<TenantContext, "db"> | null,
  email: string,
  network: string,
): Promise<boolean> {
  if (!door) return false;
  const user = await door.db.user.findUnique({ where: { email: email.toLowerCase() }, select: { id: true } });
  const since = new Date(clock.now().getTime() - REMEMBERED_MS);
  const recent = await door.db.signIn.findMany({
    where: { userId: user?.id ?? NOBODY, createdAt: { gte: since } },
    distinct: ["ip"],
    select: { ip: true },
    orderBy: { createdAt: "desc" },
    take: SIGN_INS_LOOKED_AT,
  });
  return recent.some(({ ip }) => networkOf(ip ?? undefined) === network);
}
