import { hash } from "node:crypto";
import { z } from "zod";
import { contextLoader } from "../context/loaders.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { badInput } from "../errors.ts";

export const PAGE_SIZE_DEFAULT = 20;
export const PAGE_SIZE_MAX = 100;
// The years 1 to 9999, which PostgreSQL and RFC 3339 both can write.
const INSTANT_MIN = Date.parse("0001-01-01T00:00:00Z");
const INSTANT_MAX = Date.parse("9999-12-31T23:59:59.999Z");
const LIST_TAG_LENGTH = 12; // enough to tell lists apart; a cursor is a place, not a permission

/** What a client asks of a list: forward with first/after or backward with last/before, never both. */
export interface PageArgs {
  readonly first?: number | null | undefined;
  readonly after?: string | null | undefined;
  readonly last?: number | null | undefined;
  readonly before?: string | null | undefined;
}

export interface Page<Row> {
  readonly edges: readonly { readonly cursor: string; readonly node: Row }[];
  readonly nodes: readonly Row[];
  readonly pageInfo: {
    readonly hasNextPage: boolean;
    readonly hasPreviousPage: boolean;
    readonly startCursor: string | null;
    readonly endCursor: string | null;
  };
  /** Counted only when somebody asks. */
  readonly count: () => Promise<number>;
}

/** The order of a list: one field, then the id, both in one direction. The field has an index and is never null. */
export interface ListOrder<Field extends string = string> {
  readonly field: Field;
  readonly direction: "asc" | "desc";
}

/** What to read for one page, in Prisma's words: one row more than the page holds, to know whether there is more. */
export interface Window {
  readonly where: object;
  readonly orderBy: object[];
  readonly take: number;
}

/** A list that can be paged: who it belongs to decides which cursors it takes. */
export interface ListIdentity {
  /** Unique among all lists, with the parent's id where there is one: `messages/<session id>`. */
  readonly list: string;
  readonly order: ListOrder;
  /** The platform's own list: its cursors belong to no tenant, because whoever pages it may name one, another or none. */
  readonly isPlatforms?: boolean;
}

const sortValue = z.union([z.string(), z.number()]);
// Any UUID that PostgreSQL holds: the predecessor's clients chose ids, not all of which have a version.
const cursorContent = z.tuple([z.string(), sortValue, z.guid()]);

interface Place {
  readonly value: string | number;
  readonly id: string;
}

/** A checked wish for a page: direction of travel, size, and the place to go on from. */
export interface PagePlan {
  readonly size: number;
  readonly isBackward: boolean;
  readonly beyond: Place | undefined;
}

/**
 * Checks the arguments of a list.
 *
 * @throws BAD_USER_INPUT for a size outside 1 to 100 (0 is an empty page), both directions at once, or a cursor of another list, order or tenant.
 */
export function planPage(ctx: TenantContext, identity: ListIdentity, args: PageArgs): PagePlan {
  const { first, after, last, before } = args;
  const isForward = first != null || after != null;
  const isBackward = last != null || before != null;
  if (isForward && isBackward)
    throw badInput({ path: "first", message: "page forward with first and after, or backward with last and before" });
  const size = (isBackward ? last : first) ?? PAGE_SIZE_DEFAULT;
  if (size < 0 || size > PAGE_SIZE_MAX) {
    throw badInput({ path: isBackward ? "last" : "first", message: `is not between 0 and ${PAGE_SIZE_MAX}` });
  }
  const cursor = isBackward ? before : after;
  const beyond =
    cursor == null ? undefined : readCursor(listTag(ctx, identity), identity, cursor, isBackward ? "before" : "after");
  return { size, isBackward, beyond };
}

/** The rows to read for a plan, as keyset: the cost of a page does not grow with its depth, and inserts do not shift it. */
function windowOf(order: ListOrder, plan: PagePlan): Window {
  const direction = plan.isBackward ? opposite(order.direction) : order.direction;
  const orderBy = [{ [order.field]: direction }, { id: direction }];
  const take = plan.size + 1;
  if (!plan.beyond) return { where: {}, orderBy, take };
  const [strict, orEqual] = direction === "asc" ? ["gt", "gte"] : ["lt", "lte"];
  const value = isInstant(order) ? new Date(plan.beyond.value) : plan.beyond.value;
  // field ≤ x AND (field < x OR id < y): the first part is what the index can use.
  const where = {
    AND: [
      { [order.field]: { [orEqual]: value } },
      { OR: [{ [order.field]: { [strict]: value } }, { id: { [strict]: plan.beyond.id } }] },
    ],
  };
  return { where, orderBy, take };
}

/** Makes the page of what a window read. */
export function pageFrom<Row extends { readonly id: string }>(
  ctx: TenantContext,
  identity: ListIdentity,
  plan: PagePlan,
  read: readonly Row[],
  count: () => Promise<number>,
): Page<Row> {
  const hasMore = read.length > plan.size;
  const kept = read.slice(0, plan.size);
  const nodes = plan.isBackward ? kept.reverse() : kept;
  let tag: string | undefined;
  const cursorOf = (node: Row): string => writeCursor((tag ??= listTag(ctx, identity)), identity.order, node);
  // Cursors are written for those who ask: most clients read nodes alone.
  return {
    nodes,
    get edges() {
      return nodes.map((node) => ({ cursor: cursorOf(node), node }));
    },
    pageInfo: {
      hasNextPage: plan.isBackward ? plan.beyond !== undefined : hasMore,
      hasPreviousPage: plan.isBackward ? hasMore : plan.beyond !== undefined,
      get startCursor() {
        return nodes[0] ? cursorOf(nodes[0]) : null;
      },
      get endCursor() {
        const last = nodes.at(-1);
        return last ? cursorOf(last) : null;
      },
    },
    count,
  };
}

/** One page of a list of the tenant: plans, reads, and wraps it. */
export async function pageOf<Row extends { readonly id: string }>(
  ctx: TenantContext,
  identity: ListIdentity,
  args: PageArgs,
  source: { readonly read: (window: Window) => Promise<readonly Row[]>; readonly count: () => Promise<number> },
): Promise<Page<Row>> {
  const plan = planPage(ctx, identity, args);
  const rows = plan.size === 0 ? [] : await source.read(windowOf(identity.order, plan));
  return pageFrom(ctx, identity, plan, rows, source.count);
}

interface PageLoaderDefinition<Row, Filter> {
  /** Name of the list; the parent's id is added. */
  readonly list: string;
  readonly order: ListOrder;
  /** One statement for all parents: the window applies to each of them. */
  readonly read: (
    ctx: TenantContext,
    parentIds: readonly string[],
    filter: Filter,
    window: Window,
  ) => Promise<ReadonlyMap<string, readonly Row[]>>;
  /** One statement for all parents; a parent without rows may be left out. */
  readonly count: (
    ctx: TenantContext,
    parentIds: readonly string[],
    filter: Filter,
  ) => Promise<ReadonlyMap<string, number>>;
}

/**
 * A list below each of several parents. All parents asked for in one tick with the same arguments are read by one statement,
 * and counted by another one if the client asks for counts.
 */
export function definePageLoader<Row extends { readonly id: string }, Filter = undefined>(
  definition: PageLoaderDefinition<Row, Filter>,
) {
  return async function loadPage(
    ctx: TenantContext,
    parentId: string,
    filter: Filter,
    args: PageArgs,
  ): Promise<Page<Row>> {
    const identity = { list: `${definition.list}/${parentId}`, order: definition.order };
    const plan = planPage(ctx, identity, args);
    const pages = contextLoader<readonly Row[]>(
      ctx,
      definition.read,
      JSON.stringify([filter, plan]),
      async (parentIds) => definition.read(ctx, parentIds, filter, windowOf(definition.order, plan)),
    );
    const counts = contextLoader<number>(ctx, definition.count, JSON.stringify(filter ?? null), async (parentIds) =>
      definition.count(ctx, parentIds, filter),
    );
    const rows = plan.size === 0 ? [] : ((await pages.load(parentId)) ?? []);
    return pageFrom(ctx, identity, plan, rows, async () => (await counts.load(parentId)) ?? 0);
  };
}

function listTag(ctx: TenantContext, { list, order, isPlatforms = false }: ListIdentity): string {
  const text = [isPlatforms ? "platform" : ctx.tenant.id, list, order.field, order.direction].join("\n");
  return hash("sha256", text, "base64url").slice(0, LIST_TAG_LENGTH);
}

function writeCursor(tag: string, order: ListOrder, row: { readonly id: string }): string {
  const value: unknown = Reflect.get(row, order.field);
  const place = [tag, value instanceof Date ? value.getTime() : value, row.id];
  return Buffer.from(JSON.stringify(place)).toString("base64url");
}

function readCursor(tag: string, identity: ListIdentity, cursor: string, path: string): Place {
  const content = cursorContent.safeParse(parseJson(Buffer.from(cursor, "base64url").toString()));
  const isRightKind = content.success && typeof content.data[1] === (isInstant(identity.order) ? "number" : "string");
  // A cursor of another tenant, of another list and pure nonsense get one answer.
  if (!content.success || !isRightKind || content.data[0] !== tag || !isSane(content.data[1])) {
    throw badInput({ path, message: "is not a cursor of this list" });
  }
  return { value: content.data[1], id: content.data[2] };
}

function isSane(value: string | number): boolean {
  return typeof value === "string" ? !value.includes("\0") : value >= INSTANT_MIN && value <= INSTANT_MAX;
}

function isInstant(order: ListOrder): boolean {
  return order.field.endsWith("At");
}

function opposite(direction: "asc" | "desc"): "asc" | "desc" {
  return direction === "asc" ? "desc" : "asc";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
