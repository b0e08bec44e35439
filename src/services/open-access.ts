import { requireScope, SCOPES } from "../context/permissions.ts";
import type { OpenAccessRow } from "../context/rows.ts";
import { TENANT_SOURCES } from "../context/tenant-context.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { wordOf } from "./stored-words.ts";

/** The ways to a tenant's rows that need no credential. The GraphQL name is the key, the stored word the value. */
export const OPEN_WAYS = { DEFAULT: "default", HEADER: "header" } as const;
export type OpenWay = (typeof OPEN_WAYS)[keyof typeof OPEN_WAYS];

const CLIENT_LENGTH_MAX = 100; // as in prisma/models/usage.prisma
const UNPRINTABLE = /[^\x20-\x7e]/g;
const PRODUCT = /^[^\s/]+/; // RFC 9110, 10.1.5: product = token ["/" version]
const UNKNOWN = "unknown";

/** How a client calls itself, as far as it can be printed: by its own word, else as what it is built with, else `unknown`. */
export function clientOf(said: {
  readonly name?: string | undefined;
  readonly userAgent?: string | undefined;
}): string {
  const product = PRODUCT.exec(printable(said.userAgent))?.[0];
  return (printable(said.name) || product || UNKNOWN).slice(0, CLIENT_LENGTH_MAX);
}

/** By which way somebody without a credential came to a tenant's rows; null for everybody who showed one. */
export function wayOf(ctx: Pick<TenantContext, "actor" | "source">): OpenWay | null {
  if (ctx.actor.kind !== "anonymous") return null;
  return ctx.source === TENANT_SOURCES.DEFAULT ? OPEN_WAYS.DEFAULT : OPEN_WAYS.HEADER;
}

/** Counts a request that came without a credential; written within seconds. */
export function note(ctx: Pick<TenantContext, "meter" | "clock">, client: string, via: OpenWay): void {
  ctx.meter.addOpen(client, via, ctx.clock.now());
}

/**
 * The clients that came to the tenant's rows without a credential, latest first. At most 101 by each way: the first hundred, and `others`.
 *
 * @throws FORBIDDEN without TENANT_ADMIN.
 */
export async function list(ctx: TenantContext): Promise<OpenAccessRow[]> {
  requireScope(ctx, SCOPES.TENANT_ADMIN);
  await ctx.meter.settle();
  return ctx.db.openAccess.findMany({ orderBy: [{ lastSeenAt: "desc" }, { id: "desc" }] });
}

/** What a stored way reads as. */
export function viaOf(row: Pick<OpenAccessRow, "via">): OpenWay {
  return wordOf(OPEN_WAYS, row.via, OPEN_WAYS.HEADER);
}

function printable(text: string | undefined): string {
  return (text ?? "").replaceAll(UNPRINTABLE, "").trim();
}
