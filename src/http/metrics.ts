import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { AppContext } from "../context/app-context.ts";

/** What became of a request. A client's mistake is not our error. */
export type Outcome = "ok" | "client_error" | "unavailable" | "server_error";

export interface Metrics {
  /** One request was answered. */
  readonly answered: (route: string, outcome: Outcome, seconds: number) => void;
  /** Where a request's tenant came from, and whether it showed a credential: tells who still relies on the switches of a local start. */
  readonly resolved: AppContext["onResolved"];
  /** Adds what is read from the running app at each look. */
  readonly observe: (app: AppContext) => void;
  /** Everything in Prometheus' text format. */
  readonly text: () => Promise<{ readonly body: string; readonly contentType: string }>;
}

const DURATION_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** The process's counts, under names that begin with `atrium_`. No label holds a tenant, an id or a name that a client chooses: their number is unbounded. */
export function openMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: "atrium_requests_total",
    help: "Requests answered, by route and outcome.",
    labelNames: ["route", "outcome"],
    registers,
  });
  const durations = new Histogram({
    name: "atrium_request_duration_seconds",
    help: "Time from the request's headers to the end of the answer.",
    labelNames: ["route"],
    buckets: DURATION_BUCKETS_S,
    registers,
  });
  const resolutions = new Counter({
    name: "atrium_tenant_resolutions_total",
    help: "Requests by where their tenant came from, and whether they showed a credential.",
    labelNames: ["source", "credential"],
    registers,
  });
  return {
    answered(route, outcome, seconds) {
      requests.inc({ route, outcome });
      durations.observe({ route }, seconds);
    },
    resolved: (source, hasCredential) => resolutions.inc({ source, credential: hasCredential ? "yes" : "no" }),
    observe: (app) => observe(registers, app),
    text: async () => ({ body: await registry.metrics(), contentType: registry.contentType }),
  };
}

function observe(registers: Registry[], app: AppContext): void {
  new Counter({
    name: "atrium_statements_total",
    help: "SQL statements that tenants' clients sent.",
    registers,
    collect() {
      this.reset();
      this.inc(app.statements.count);
    },
  });
  new Gauge({
    name: "atrium_pool_connections",
    help: "Database connections of this process, by what they do; waiting counts requests for one.",
    labelNames: ["state"],
    registers,
    collect() {
      const { totalCount, idleCount, waitingCount } = app.pool;
      this.set({ state: "busy" }, totalCount - idleCount);
      this.set({ state: "idle" }, idleCount);
      this.set({ state: "waiting" }, waitingCount);
    },
  });
}
