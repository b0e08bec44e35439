import { LRUCache } from "lru-cache";

/** The documents that clients had the gateway keep (automatic persisted queries). */
export interface PersistedQueries {
  readonly find: (tenantId: string, key: string) => string | undefined;
  readonly keep: (tenantId: string, key: string, text: string) => void;
}

// In characters. An application has some hundred documents of one or two thousand; its build has longer ones in a file.
const TEXT_MAX = 20_000;
const TENANT_MAX = 500_000;
const ALL_MAX = 50_000_000; // 50 MB: JavaScript keeps most texts in one byte a character

/**
 * Keeps documents of each tenant apart: whether a hash is known would tell one tenant what another one asks for. A tenant that has more of
 * them than there is room for loses its own oldest ones; only where all tenants' are too many, those of the tenant go that came last long ago.
 */
export function openPersistedQueries(): PersistedQueries {
  const tenants = new LRUCache<string, LRUCache<string, string>>({
    maxSize: ALL_MAX,
    sizeCalculation: ({ calculatedSize }) => Math.max(1, calculatedSize),
  });
  return {
    find: (tenantId, key) => tenants.get(tenantId)?.get(key),
    keep(tenantId, key, text) {
      if (text.length > TEXT_MAX) return;
      const own =
        tenants.get(tenantId) ??
        new LRUCache<string, string>({ maxSize: TENANT_MAX, sizeCalculation: (kept) => Math.max(1, kept.length) });
      own.set(key, text);
      // Taken out first: the size of what is there already is not looked at again.
      tenants.delete(tenantId);
      tenants.set(tenantId, own);
    },
  };
}
