import { newApiKey } from "../context/crypto.ts";
import { defineLoader } from "../context/loaders.ts";
import { requireScope, SCOPES, storedScopes } from "../context/permissions.ts";
import type { Scope } from "../context/permissions.ts";
import type { ApiKeyRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError, notFound, quotaExceeded } from "../errors.ts";
import * as audit from "./audit.ts";
import { Problems } from "./checks.ts";
import { pageOf } from "./paging.ts";
import type { Page, PageArgs } from "./paging.ts";
import { write } from "./writes.ts";

const KEY_NAME_LENGTH_MAX = 255; // as in prisma/models/api-keys.prisma
const KEY_DAYS_MAX = 3_650;
// Far more than anybody administers by hand; a loop that makes keys ends here.
const ACTIVE_KEYS_MAX = 1_000;
const ROTATION_OVERLAP_HOURS = 24; // time to hand the new key to everybody who uses the old one

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const ORDER = { field: "createdAt", direction: "desc" } as const;
const LEGACY_PREFIX = "kn_";
const ROTATED = "api_key.rotate";

/** A key that was just made, with its text, which nobody can see again. */
export interface IssuedKey {
  readonly apiKey: ApiKeyRow;
  readonly key: string;
}

export interface NewKeyInput {
  readonly name?: string | null | undefined;
  readonly scopes: readonly Scope[];
  readonly expiresInDays?: number | null | undefined;
}

/** The tenant's keys, newest first. */
export async function list(
  ctx: TenantContext,
  page: PageArgs,
  filter: { readonly activeOnly?: boolean | null | undefined },
): Promise<Page<ApiKeyRow>> {
  requireScope(ctx, SCOPES.TENANT_ADMIN);
  const where = filter.activeOnly === true ? works(ctx) : {};
  return pageOf(ctx, { list: "apiKeys", order: ORDER }, page, {
    read: (window) =>
      ctx.db.apiKey.findMany({ where: { AND: [where, window.where] }, orderBy: window.orderBy, take: window.take }),
    count: () => ctx.db.apiKey.count({ where }),
  });
}

/** The key that this request came with; null for whoever came without one. Needs no scope: a key may know itself. */
export async function current(ctx: TenantContext): Promise<ApiKeyRow | null> {
  return ctx.actor.kind === "apiKey" ? keysById(ctx).load(ctx.actor.apiKeyId) : null;
}

/** A key by its id; null when there is none. */
export async function find(ctx: TenantContext, id: string): Promise<ApiKeyRow | null> {
  requireScope(ctx, SCOPES.TENANT_ADMIN);
  return keysById(ctx).load(id);
}

const keysById = defineLoader<TenantContext, ApiKeyRow>(async (ctx, ids) => {
  const rows = await ctx.db.apiKey.findMany({ where: { id: { in: [...ids] } } });
  return new Map(rows.map((row) => [row.id, row]));
});

/** Whether a key works at this moment: neither revoked nor expired. */
export function isActive(ctx: TenantContext, key: ApiKeyRow): boolean {
  return key.active && (key.expiresAt === null || key.expiresAt > ctx.clock.now());
}

/** The same as a condition. */
function works(ctx: TenantContext) {
  return { active: true, OR: [{ expiresAt: null }, { expiresAt: { gt: ctx.clock.now() } }] };
}

/** How the key's text begins. The predecessor kept no beginnings, but all of its keys began alike. */
export function prefixOf(key: ApiKeyRow): string {
  return key.prefix ?? LEGACY_PREFIX;
}

/**
 * Makes a key. Its text is in the answer and nowhere else; the database has a hash of it.
 *
 * @param input.expiresInDays 1 to KEY_DAYS_MAX; without it the key does not expire.
 * @throws BAD_USER_INPUT for a name or a number of days out of bounds, or without any scope.
 * @throws FORBIDDEN for a scope that the actor does not have: nobody hands on more than they hold.
 * @throws QUOTA_EXCEEDED when the tenant has ACTIVE_KEYS_MAX active keys.
 */
export async function create(ctx: TenantContext, input: NewKeyInput): Promise<IssuedKey> {
  requireScope(ctx, SCOPES.TENANT_ADMIN);
  const problems = new Problems()
    .text("input.name", input.name, 1, KEY_NAME_LENGTH_MAX)
    .within("input.expiresInDays", input.expiresInDays, 1, KEY_DAYS_MAX);
  if (input.scopes.length === 0) problems.add("input.scopes", "is empty; a key needs at least one scope");
  problems.throwIfAny();
  const scopes = [...new Set(input.scopes)];
  requireOwnScopes(ctx, scopes);
  const days = input.expiresInDays ?? null;
  const expiresAt = days === null ? null : new Date(ctx.clock.now().getTime() + days * DAY_MS);
  return write(ctx, async (tx) => {
    const issued = await issue(tx, { name: input.name ?? null, scopes, expiresAt });
    await audit.record(tx, {
      action: "api_key.create",
      target: issued.apiKey.id,
      details: { prefix: issued.apiKey.prefix, scopes, expiresAt: expiresAt?.toISOString() ?? null },
    });
    return issued;
  });
}

/**
 * Makes a successor with the same name, scopes and expiry. The old key goes on working for ROTATION_OVERLAP_HOURS, or until its own
 * expiry if that is sooner.
 *
 * @throws NOT_FOUND when there is no such key; CONFLICT when it is revoked, expired or was rotated before.
 * @throws FORBIDDEN when the key has a scope that the actor does not have: the answer shows the successor's text.
 * @throws QUOTA_EXCEEDED as create: the old key is active for a while.
 */
export async function rotate(ctx: TenantContext, id: string): Promise<IssuedKey> {
  requireScope(ctx, SCOPES.TENANT_ADMIN);
  return write(ctx, async (tx) => {
    const old = await mustFind(tx, id);
    const scopes = storedScopes(old.scopes);
    requireOwnScopes(tx, scopes);
    if (!isActive(tx, old)) throw new AppError("CONFLICT", "The API key is revoked or has expired");
    const overlapEnd = new Date(tx.clock.now().getTime() + ROTATION_OVERLAP_HOURS * HOUR_MS);
    const expiresAt = old.expiresAt !== null && old.expiresAt < overlapEnd ? old.expiresAt : overlapEnd;
    const unchanged = { id, active: true, expiresAt: old.expiresAt };
    const { count } = await tx.db.apiKey.updateMany({ where: unchanged, data: { expiresAt } });
    if (count === 0) throw rotatedAlready(); // by somebody else, since it was read
    // Its expiry is the end of the overlap, which a second successor would inherit. Asked once the row is held: a key that ends sooner
    // keeps its expiry, so that nothing but this tells of somebody who rotated it at the same time.
    const rotations = await tx.db.auditEvent.count({ where: { action: ROTATED, target: id } });
    if (rotations > 0) throw rotatedAlready();
    const issued = await issue(tx, { name: old.name, scopes, expiresAt: old.expiresAt });
    await audit.record(tx, {
      action: ROTATED,
      target: id,
      details: { successor: issued.apiKey.id, prefix: issued.apiKey.prefix, oldExpiresAt: expiresAt.toISOString() },
    });
    return issued;
  });
}

/**
 * Ends a key for good, within a second in every process. Revoking it again changes nothing.
 *
 * @throws NOT_FOUND when there is no such key.
 */
export async function revoke(ctx: TenantContext, id: string): Promise<ApiKeyRow> {
  requireScope(ctx, SCOPES.TENANT_ADMIN);
  return write(ctx, async (tx) => {
    const { count } = await tx.db.apiKey.updateMany({ where: { id, active: true }, data: { active: false } });
    const key = await mustFind(tx, id);
    if (count > 0) await audit.record(tx, { action: "api_key.revoke", target: id, details: { prefix: key.prefix } });
    return key;
  });
}

async function mustFind(ctx: TenantContext, id: string): Promise<ApiKeyRow> {
  const key = await ctx.db.apiKey.findUnique({ where: { id } });
  if (!key) throw notFound("API key");
  return key;
}

async function issue(
  tx: TenantContext,
  key: { readonly name: string | null; readonly scopes: readonly Scope[]; readonly expiresAt: Date | null },
): Promise<IssuedKey> {
  const active = await tx.db.apiKey.count({ where: works(tx) });
  if (active >= ACTIVE_KEYS_MAX) throw quotaExceeded("active API keys", ACTIVE_KEYS_MAX);
  const { text, hash, prefix } = newApiKey();
  const apiKey = await tx.db.apiKey.create({ data: { ...key, scopes: [...key.scopes], keyHash: hash, prefix } });
  return { apiKey, key: text };
}

function requireOwnScopes(ctx: TenantContext, scopes: readonly Scope[]): void {
  const beyond = scopes.filter((scope) => !ctx.actor.scopes.has(scope));
  if (beyond.length === 0) return;
  const names = beyond.map((scope) => scope.toUpperCase()).join(", ");
  throw new AppError("FORBIDDEN", `A key cannot get more than the scopes of who makes it; beyond yours: ${names}`);
}

function rotatedAlready(): AppError {
  return new AppError("CONFLICT", "The API key was rotated already; rotate its successor, or make a new key");
}
