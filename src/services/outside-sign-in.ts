import { z } from "zod";
import { safeEqual, sha256 } from "../context/crypto.ts";
import { networkOf } from "../context/networks.ts";
import type { ProviderClient } from "../context/oidc.ts";
import { askForTokens, authorizationAddress, issuerMark, newProof } from "../context/oidc-client.ts";
import { includesTenant, isAllowedAddress, outsiderFrom, tenantsOf } from "../context/oidc-trust.ts";
import type { Allowance } from "../context/rate-limits.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { USER_ROLES } from "../context/permissions.ts";
import type { UserRow } from "../context/rows.ts";
import { AppError, badInput } from "../errors.ts";
import * as accounts from "./accounts.ts";
import type { SignedIn } from "./accounts.ts";
import * as attempts from "./attempts.ts";
import * as audit from "./audit.ts";
import { isId } from "./checks.ts";
import * as identityProviders from "./identity-providers.ts";
import * as oneTimeTokens from "./one-time-tokens.ts";
import * as outsiders from "./outsiders.ts";
import * as signIns from "./sign-ins.ts";
import { write } from "./writes.ts";

const RETURN_LENGTH_MAX = 2_000;
/** For one address: a person tries a few times, a program a few thousand. */
const ATTEMPTS = { name: "outside sign-in", points: 30, seconds: 60 };
/** Looks at a tenant's providers, likewise: each asks the tenant's database, and anybody may ask. */
const LOOKS = { name: "outside providers", points: 120, seconds: 60 };

const waiting = z.object({ provider: z.string(), returnTo: z.url(), browser: z.string(), proof: z.string() });
const proof = z.object({ verifier: z.string(), nonce: z.string() });

export interface Start {
  /** The tenant's id, as the sign-in page gave it. */
  readonly tenant: string;
  /** As `providers` named it. */
  readonly provider: string;
  /** Where the browser goes when all is done; the gateway's own page without it. */
  readonly returnTo: string | undefined;
  /** A secret that only this browser holds. */
  readonly browser: string;
}

/**
 * The providers at which people of a tenant can sign in by browser; none where there is no such tenant. Tells nothing but names.
 *
 * @throws RATE_LIMITED
 */
export async function providers(
  ctx: TenantContext,
  tenantId: string,
): Promise<readonly { readonly id: string; readonly name: string }[]> {
  await limit(ctx, LOOKS);
  const door = isId(tenantId) ? await ctx.door.of(tenantId.toLowerCase()) : null;
  const found = door ? await clientsOf(door) : [];
  return found.map(({ id, name }) => ({ id, name }));
}

/**
 * Begins a sign-in: what the browser is sent to, and the state that it will come back with. One statement, and whatever the provider
 * has to be asked for.
 *
 * @throws BAD_USER_INPUT for an address to return to that is not ours, and, with one answer for all, for a tenant or provider that is not there.
 * @throws RATE_LIMITED; UPSTREAM_FAILED when the provider does not answer.
 */
export async function start(
  ctx: TenantContext,
  request: Start,
): Promise<{ readonly address: URL; readonly state: string }> {
  await limit(ctx, ATTEMPTS);
  const returnTo = returnAddress(ctx, request.returnTo);
  const door = isId(request.tenant) ? await ctx.door.of(request.tenant.toLowerCase()) : null;
  const client = door && (await clientsOf(door)).find(({ id }) => id === request.provider);
  if (!door || !client) throw badInput({ path: "provider", message: "is no provider of this tenant" });
  const { verifier, nonce, challenge } = await newProof();
  const { sealing } = ctx.accounts;
  const state = await write(door, (tx) =>
    oneTimeTokens.make(tx, "outside_state", {
      data: {
        provider: client.id,
        returnTo,
        browser: sha256(request.browser),
        proof: sealing.seal(JSON.stringify({ verifier, nonce }), placeOf(tx, request.browser)),
      },
    }),
  );
  const address = await authorizationAddress(ctx.accounts, client, { state, nonce, challenge });
  return { address, state };
}

/**
 * Ends a sign-in, of which the browser brings back state and code: the tenant is the one that the state names, whatever else came along.
 *
 * @param mark the part of the address that belongs to the issuer.
 * @param query what the provider added to the address.
 * @param browserOf the secret that the browser holds for a state; undefined when it holds none.
 * @returns where the browser goes on, with a code in the fragment that works once, for a minute.
 * @throws BAD_USER_INPUT, one and the same, for a state that is unknown, used, expired, another browser's or another issuer's.
 * @throws FORBIDDEN when the person declined, or may not come in; UPSTREAM_FAILED when the provider does not answer as it should; RATE_LIMITED.
 */
export async function finish(
  ctx: TenantContext,
  {
    mark,
    query,
    browser,
  }: { readonly mark: string; readonly query: URLSearchParams; readonly browser: string | undefined },
): Promise<URL> {
  await limit(ctx, ATTEMPTS);
  const state = query.get("state") ?? "";
  const tenantId = oneTimeTokens.tenantOf("outside_state", state);
  const door = tenantId === null ? null : await ctx.door.of(tenantId);
  const kept = door && (await takeState(door, state, browser ?? ""));
  if (!door || !kept) throw staleState();
  const client = (await clientsOf(door)).find(({ id }) => id === kept.provider);
  if (!client || issuerMark(client.provider.issuer) !== mark) throw staleState();
  const error = query.get("error");
  if (error === "access_denied")
    throw new AppError("FORBIDDEN", "You chose not to sign in there, so nothing has happened.");
  if (error !== null) throw new AppError("UPSTREAM_FAILED", "The provider could not sign you in. Please try again.");
  const opened = ctx.accounts.sealing.open(kept.proof, placeOf(door, browser ?? ""));
  const { verifier, nonce } = proof.parse(JSON.parse(opened));
  const claims = await askForTokens(ctx.accounts, client, { query, state, nonce, verifier });
  const user = await welcome(door, client, claims);
  const code = await write(door, (tx) => oneTimeTokens.make(tx, "outside_code", { userId: user.id }));
  const to = new URL(kept.returnTo);
  to.hash = `code=${code}`;
  return to;
}

/**
 * Exchanges the code that the browser came back with for credentials.
 *
 * @throws UNAUTHENTICATED for a code that is unknown, used or expired, and for a person or tenant that is no longer active.
 * @throws RATE_LIMITED
 */
export async function complete(ctx: TenantContext, code: string): Promise<SignedIn> {
  await attempts.countUse(ctx);
  const tenantId = oneTimeTokens.tenantOf("outside_code", code);
  const door = tenantId === null ? null : await ctx.door.of(tenantId);
  const found = door && (await oneTimeTokens.find(door, ["outside_code"], code));
  const user = door && found?.userId != null ? await door.db.user.findUnique({ where: { id: found.userId } }) : null;
  if (!door || !user?.active) throw wrongCode();
  return accounts.signIn(door, user, "outside", async (tx) => {
    if (!(await oneTimeTokens.take(tx, ["outside_code"], code))) throw wrongCode();
    return signIns.begin(tx, user, "outside");
  });
}

/** The state's content, if it is this browser's, used up. Looked at first: whoever has learned a state must not be able to spoil it. */
async function takeState(door: TenantContext, state: string, browser: string) {
  return write(door, async (tx) => {
    const found = await oneTimeTokens.find(tx, ["outside_state"], state);
    const kept = found && waiting.parse(found.data);
    if (!kept || !safeEqual(kept.browser, sha256(browser))) return null;
    return (await oneTimeTokens.take(tx, ["outside_state"], state)) && kept;
  });
}

/** @throws FORBIDDEN unless the person is of the tenant, or becomes one by the provider's policy. */
async function welcome(door: TenantContext, { provider }: ProviderClient, claims: object): Promise<UserRow> {
  const tenants = tenantsOf(provider, claims);
  const outsider = outsiderFrom(provider, claims);
  const isMeant = includesTenant(tenants, door.tenant.id);
  const mayEnter = outsider && isMeant && isAllowedAddress(provider, outsider.email);
  const introduction = mayEnter ? { provider, outsider, isTenantNamed: tenants !== "*" } : undefined;
  const user = introduction && (await outsiders.meet(door, introduction));
  if (!introduction || !user?.active) {
    const details = { method: "outside", issuer: provider.issuer };
    audit.refused(door, { action: "account.sign_in_refused", ...(user && { target: user.id }), details });
    throw new AppError("FORBIDDEN", "This account is not known here. Ask an owner of your organisation to add you.");
  }
  return applyRole(door, user, introduction.outsider.role);
}

/** The provider's word for a role holds from now on; except for owners, whom nobody but an owner demotes, so that one remains. */
async function applyRole(door: TenantContext, user: UserRow, role: UserRow["role"] | undefined): Promise<UserRow> {
  if (role === undefined || role === user.role || user.role === USER_ROLES.OWNER) return user;
  return write(door, async (tx) => {
    // Whoever was given another role meanwhile, OWNER above all, keeps that one.
    const { count } = await tx.db.user.updateMany({ where: { id: user.id, role: user.role }, data: { role } });
    if (count === 0) return (await tx.db.user.findUnique({ where: { id: user.id } })) ?? user;
    const details = { role, before: user.role, by: "identity provider" };
    await audit.record(tx, { action: "user.update", target: user.id, details });
    return { ...user, role };
  });
}

async function clientsOf(door: TenantContext): Promise<readonly ProviderClient[]> {
  const { clients } = door.accounts.identities;
  const installation = clients.filter(({ provider }) => includesTenant(provider.tenants, door.tenant.id));
  return [...(await identityProviders.clients(door)), ...installation];
}

/** @throws BAD_USER_INPUT for an address at which a code would reach somebody else. */
function returnAddress({ accounts }: TenantContext, given: string | undefined): string {
  const own = accounts.publicUrl();
  const address = given ?? `${own}/account/sign-in`;
  const allowed = [new URL(own).origin, ...accounts.identities.returnOrigins];
  const parsed = address.length <= RETURN_LENGTH_MAX && URL.canParse(address) ? new URL(address) : undefined;
  const isOurs = parsed && /^https?:$/.test(parsed.protocol) && allowed.includes(parsed.origin);
  if (!isOurs || parsed.username !== "" || parsed.password !== "")
    throw badInput({ path: "redirect", message: "is not at an address that browsers may be sent back to" });
  return parsed.href;
}

async function limit({ accounts, ip }: TenantContext, allowance: Allowance): Promise<void> {
  const { isWithin, resetSeconds } = await accounts.limits.take(allowance, networkOf(ip), 1);
  if (isWithin) return;
  throw new AppError("RATE_LIMITED", "Too many attempts; please wait a minute", { retryAfterSeconds: resetSeconds });
}

function placeOf({ tenant }: TenantContext, browser: string): string {
  return `outside_state ${tenant.id} ${sha256(browser)}`;
}

function wrongCode(): AppError {
  return new AppError("UNAUTHENTICATED", "The code is unknown, was used already, or has expired");
}

function staleState(): AppError {
  return badInput({
    path: "state",
    message: "This sign-in was not begun in this browser, was used already, or has expired. Please begin again.",
  });
}
