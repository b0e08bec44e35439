import { LRUCache } from "lru-cache";
import { OTHERS } from "./tenant-counts.ts";

/** As many as /metrics shows, and some that may become busier. A tenant that falls out begins anew, which Prometheus takes for a restart. */
const TENANTS_MAX = 1_000;
const CLIENTS_MAX = 50;

/** What this process has counted since its start, for /metrics; of a bounded number of tenants and clients. */
export interface Totals {
  readonly add: (tenantId: string, metric: string, amount: number) => void;
  readonly addOpen: (client: string, via: string) => void;
  /** The tenants that used most of a metric, busiest first, with all of their metrics. */
  readonly busiest: (
    metric: string,
    most: number,
  ) => { readonly tenantId: string; readonly metric: string; readonly total: number }[];
  /** Requests without a credential by client; those of clients beyond the first 50 are under `others`. */
  readonly open: () => { readonly client: string; readonly via: string; readonly total: number }[];
}

export function openTotals(): Totals {
  const tenants = new LRUCache<string, Map<string, number>>({ max: TENANTS_MAX });
  const names = new Set<string>();
  const open = new Map<string, { readonly client: string; readonly via: string; readonly total: number }>();

  return {
    add(tenantId, metric, amount) {
      const known = tenants.get(tenantId) ?? new Map<string, number>();
      known.set(metric, (known.get(metric) ?? 0) + amount);
      tenants.set(tenantId, known);
    },
    addOpen(name, via) {
      if (names.size < CLIENTS_MAX) names.add(name);
      const client = names.has(name) ? name : OTHERS;
      const key = JSON.stringify([client, via]);
      open.set(key, { client, via, total: (open.get(key)?.total ?? 0) + 1 });
    },
    busiest(metric, most) {
      const sorted = [...tenants].toSorted(([, a], [, b]) => (b.get(metric) ?? 0) - (a.get(metric) ?? 0));
      return sorted
        .slice(0, most)
        .flatMap(([tenantId, known]) => [...known].map(([name, total]) => ({ tenantId, metric: name, total })));
    },
    open: () => [...open.values()],
  };
}
