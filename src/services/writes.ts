import { inTransaction } from "../context/tenant-context.ts";
import type { TenantContext } from "../context/tenant-context.ts";

/**
 * `inTransaction` for what changes rows. The caller's loaders forget what they have read: the mutations of one request run one after
 * another in one context, and each must see what those before it wrote.
 */
export async function write<Result>(ctx: TenantContext, work: (tx: TenantContext) => Promise<Result>): Promise<Result> {
  const result = await inTransaction(ctx, work);
  ctx.loaders.clear();
  return result;
}
