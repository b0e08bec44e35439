import { AggregatorRegistry, collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { AppContext } from "../context/app-context.ts";
import { USAGE_METRICS } from "../services/usage.ts";

/** What became of a request. A client's mistake is not our error. */
export type Outcome = "ok" | "client_error" | "unavailable" | "server_error";

export interface Metrics {
  /** One request was answered. */
  readonly answered: (route: string, outcome: Outcome, seconds: number) => void;
  /** One document was asked for: what became of it, and whether its text or its id was sent. */
  readonly documentAsked: (document: string, sentAs: string) => void;
  /** Where a request's tenant came from, and whether it showed a credential: tells who still relies on the switches of a local start. */
  readonly resolved: AppContext["onResolved"];
  /** Adds what is read from the running app at each look. */
  readonly observe: (app: AppContext) => void;
  /** Everything in Prometheus' text format. */
  readonly text: () => Promise<{ readonly body: string; readonly contentType: string }>;
}

/** The other processes that serve beside this one. */
export interface Siblings {
  /** Says what this process answers when another one asks. */
  readonly answer: (counts: () => Promise<unknown>) => void;
  /** The counts of all processes that answer in time, of this one, too. */
  readonly ask: () => Promise<readonly unknown[]>;
}

const TENANTS_NAMED_MAX = 50;
const DURATION_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/**
 * The counts of this process, or of all that serve beside each other, under names that begin with `atrium_`. No label holds an id or a name that a client chooses, because their number is
 * unbounded, but for the first 50 clients without a credential, and 50 tenants where the operator asks for them.
 */
export function openMetrics({
  namesTenants,
  siblings,
}: {
  readonly namesTenants: boolean;
  readonly siblings?: Siblings | undefined;
}): Metrics {
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
  const documents = new Counter({
    name: "atrium_documents_total",
    help: "GraphQL documents asked for, by whether they are trusted and whether their text or their id was sent.",
    labelNames: ["document", "sent"],
    registers,
  });
  siblings?.answer(() => registry.getMetricsAsJSON());
  return {
    answered(route, outcome, seconds) {
      requests.inc({ route, outcome });
      durations.observe({ route }, seconds);
    },
    documentAsked: (document, sent) => documents.inc({ document, sent }),
    resolved: (source, hasCredential) => resolutions.inc({ source, credential: hasCredential ? "yes" : "no" }),
    observe(app) {
      observe(registers, app);
      observePlans(registers, app);
      observeLimits(registers, app);
      observeMeters(registers, app);
      if (namesTenants) observeTenants(registers, app);
    },
    text: async () => ({
      body: siblings ? await sumOf(await siblings.ask()) : await registry.metrics(),
      contentType: registry.contentType,
    }),
  };
}

/** A scrape reaches one process, and never knows which: it gets the sum of all, or what no sum can say (an average, the largest). */
async function sumOf(counts: readonly unknown[]): Promise<string> {
  const found = counts.filter((each) => typeof each === "object" && each !== null);
  return AggregatorRegistry.aggregate(found).metrics();
}

/** The fast path: what went by it, and what had to go the normal way. */
function observePlans(registers: Registry[], { clients }: AppContext): void {
  new Counter({
    name: "atrium_calls_total",
    help: "Calls of tenants' clients, by whether a plan ran them or Prisma.",
    labelNames: ["by"],
    registers,
    collect() {
      const { taken, passed } = clients.plans.counts();
      this.reset();
      this.inc({ by: "plan" }, taken);
      this.inc({ by: "prisma" }, passed);
    },
  });
  new Counter({
    name: "atrium_plans_total",
    help: "Kinds of calls for which a plan was made, and for which none can be made.",
    labelNames: ["outcome"],
    registers,
    collect() {
      const { compiled, refused } = clients.plans.counts();
      this.reset();
      this.inc({ outcome: "made" }, compiled);
      this.inc({ outcome: "refused" }, refused);
    },
  });
}

function observe(registers: Registry[], app: AppContext): void {
  new Gauge({
    name: "atrium_processes",
    help: "Processes whose counts these are.",
    registers,
    collect() {
      this.set(1);
    },
  });
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
      this.set({ state: "waiting" }, waitingCount + app.fairPool.counts().waiting);
    },
  });
  new Gauge({
    name: "atrium_revocations_unheard",
    help: "1 while notices of revocation do not arrive, so that nothing is cached.",
    registers,
    aggregator: "max",
    collect() {
      this.set(app.isHearingRevocations() ? 0 : 1);
    },
  });
  new Gauge({
    name: "atrium_executions",
    help: "GraphQL requests that are executed, and that wait for their tenant's turn.",
    labelNames: ["state"],
    registers,
    collect() {
      const { running, waiting } = app.fairShare.counts();
      this.set({ state: "running" }, running);
      this.set({ state: "waiting" }, waiting);
    },
  });
  new Counter({
    name: "atrium_executions_refused_total",
    help: "GraphQL requests that were sent away: full where too many of one tenant were under way, late where no turn came in time.",
    labelNames: ["reason"],
    registers,
    collect() {
      const { full, late } = app.fairShare.counts();
      this.reset();
      this.inc({ reason: "full" }, full);
      this.inc({ reason: "late" }, late);
    },
  });
}

function observeLimits(registers: Registry[], { accounts: { limits } }: AppContext): void {
  new Counter({
    name: "atrium_rate_limited_total",
    help: "What was refused because a limit of a time was reached, by limit.",
    labelNames: ["limit"],
    registers,
    collect() {
      this.reset();
      for (const [limit, count] of limits.refusals) this.inc({ limit }, count);
    },
  });
  new Gauge({
    name: "atrium_rate_limit_store_away",
    help: "1 while the store of limits does not answer.",
    registers,
    aggregator: "max",
    collect() {
      this.set(limits.isAway() ? 1 : 0);
    },
  });
}

function observeMeters(registers: Registry[], { meters }: AppContext): void {
  new Counter({
    name: "atrium_open_access_requests_total",
    help: "Requests to tenants' data without a credential, by way and client; clients beyond the first 50 are others.",
    labelNames: ["via", "client"],
    registers,
    collect() {
      this.reset();
      for (const { via, client, total } of meters.totals.open()) this.inc({ via, client }, total);
    },
  });
  new Gauge({
    name: "atrium_usage_unflushed",
    help: "Counts of usage that are not in the database yet.",
    registers,
    collect() {
      this.set(meters.state().waiting);
    },
  });
  new Counter({
    name: "atrium_usage_flush_failures_total",
    help: "Writes of usage that failed; what they held is written later.",
    registers,
    collect() {
      this.reset();
      this.inc(meters.state().failures);
    },
  });
  new Counter({
    name: "atrium_usage_lost_total",
    help: "Counts of usage that found no room in memory while the database was away.",
    registers,
    collect() {
      this.reset();
      this.inc(meters.state().lost);
    },
  });
}

function observeTenants(registers: Registry[], { meters }: AppContext): void {
  new Counter({
    name: "atrium_tenant_usage_total",
    help: "What tenants used, counted by this process; of the 50 that sent most requests.",
    labelNames: ["tenant", "metric"],
    registers,
    collect() {
      this.reset();
      for (const { tenantId: tenant, metric, total } of meters.totals.busiest(
        USAGE_METRICS.REQUESTS,
        TENANTS_NAMED_MAX,
      ))
        this.inc({ tenant, metric }, total);
    },
  });
}
