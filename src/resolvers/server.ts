import { ApolloServer, HeaderMap } from "@apollo/server";
import type { ApolloServerPlugin, GraphQLRequestContext, GraphQLResponse } from "@apollo/server";
import {
  ApolloServerPluginCacheControlDisabled,
  ApolloServerPluginInlineTraceDisabled,
  ApolloServerPluginLandingPageDisabled,
  ApolloServerPluginSchemaReportingDisabled,
  ApolloServerPluginUsageReportingDisabled,
} from "@apollo/server/plugin/disabled";
import { GraphQLError } from "graphql";
import type { GraphQLFormattedError, GraphQLSchema } from "graphql";
import { describeException } from "../context/exceptions.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError } from "../errors.ts";
import type { ErrorCode } from "../errors.ts";
import { beforeExecution, isOperationFault, reportError } from "./errors.ts";
import type { ErrorReport } from "./errors.ts";
import { compiledExecution } from "./jit.ts";
import { limitCost, LIMITS, limitRules, openPricing } from "./limits.ts";
import { noteRefusals } from "./refusals.ts";
import { asksOnlyAtTheDoor, asksOnlyForMeta, looksAtSchema } from "./selections.ts";
import type { Operation } from "./selections.ts";
import { openDocuments } from "./trusted-documents.ts";
import type { DocumentOptions, DocumentOutcome, Documents } from "./trusted-documents.ts";

export type { TrustedDocuments } from "./document-files.ts";
export type GraphqlServer = ApolloServer<TenantContext>;

/** What became of one operation, for the log line and the metrics. Holds no contents. */
interface OperationOutcome {
  readonly name: string | undefined;
  readonly kind: string | undefined;
  readonly codes: readonly ErrorCode[];
  /** Whether it asked for nothing but a way to sign in. */
  readonly isAtDoor: boolean;
  /** Undefined for a request that names no document. */
  readonly document: DocumentOutcome | undefined;
}

export interface GraphqlOptions {
  readonly introspection: "on" | "members" | "off";
  /** Why this caller may ask for nothing that belongs to a tenant; undefined for everybody who has one. */
  readonly refusalOf: (ctx: TenantContext) => AppError | undefined;
  readonly onOperation: (ctx: TenantContext, outcome: OperationOutcome) => void;
  /** Takes the price of an operation from what its caller may spend. @throws RATE_LIMITED, UNAVAILABLE. */
  readonly charge: (ctx: TenantContext, cost: number) => Promise<void>;
  /** Which documents are trusted, and whether others are executed; without it, all are, and none is trusted. */
  readonly documents?: Omit<DocumentOptions, "maySeeSchema"> | undefined;
  /** Off for the test that compares both ways; compiled operations are faster. */
  readonly compiles?: boolean;
}

const GRAPHQL_RESPONSE = "application/graphql-response+json";
const COST_ONLY_HEADER = "x-cost-only";
const FREE_DOCUMENTS = {
  mode: "off",
  trusted: { byKey: new Map<string, string>(), texts: new Set<string>() },
  tenantIdOf: () => undefined,
} as const;

/** The prices of operations that are under way. */
type Prices = WeakMap<GraphQLRequestContext<TenantContext>, number>;

/** Apollo Server over the schema, with every limit and the one format of errors. */
export function openApollo(schema: GraphQLSchema, options: GraphqlOptions): GraphqlServer {
  const prices: Prices = new WeakMap();
  const documents = openDocuments({
    ...(options.documents ?? FREE_DOCUMENTS),
    maySeeSchema: (ctx) => maySeeSchema(ctx, options.introspection),
  });
  return new ApolloServer<TenantContext>({
    schema,
    // Decided per caller by the gate below: a document that was validated once is not validated again for the next one.
    introspection: true,
    csrfPrevention: true,
    allowBatchedHttpRequests: false,
    // Its store would be one for all tenants.
    persistedQueries: false,
    includeStacktraceInErrorResponses: false,
    stopOnTerminationSignals: false,
    parseOptions: { maxTokens: LIMITS.tokens },
    maxRecursiveSelections: LIMITS.selections,
    validationRules: limitRules(),
    // The reports below are made of the errors themselves, once the caller is known.
    formatError: (formatted, error) => keepOriginal(formatted, error),
    plugins: [
      // On by default, and wraps every resolver: half as much again for a page of sessions.
      ApolloServerPluginCacheControlDisabled(),
      ApolloServerPluginLandingPageDisabled(),
      ApolloServerPluginInlineTraceDisabled(),
      ApolloServerPluginSchemaReportingDisabled(),
      ApolloServerPluginUsageReportingDisabled(),
      gate(schema, options, prices, documents),
      documents.plugin,
      ...(options.compiles === false ? [] : [compiledExecution(schema)]),
      reporting(options, prices, documents),
    ],
  });
}

/** The view of an error that Apollo met outside of any operation: a body that is no request, a header that is missing. */
export function reportOutside(formatted: GraphQLFormattedError, requestId: string): ErrorReport {
  return reportError(new GraphQLError(formatted.message, formatted), requestId, true);
}

// Apollo hands its own copies of errors on; these lead back to what was thrown.
const originals = new WeakMap<object, GraphQLError>();

function keepOriginal(formatted: GraphQLFormattedError, error: unknown): GraphQLFormattedError {
  if (error instanceof GraphQLError) originals.set(formatted, error);
  return formatted;
}

/** Whether a caller may look at the schema, and read suggestions that are taken from it. */
function maySeeSchema(ctx: TenantContext, introspection: GraphqlOptions["introspection"]): boolean {
  return introspection === "on" || (introspection === "members" && ctx.actor.kind !== "anonymous");
}

/**
 * Between validation and execution: who may look at the schema, who has no tenant to ask about, and what it costs. Whoever asks for the
 * price alone gets no more than that, of an operation that is too costly to be executed as well.
 */
function gate(
  schema: GraphQLSchema,
  options: GraphqlOptions,
  prices: Prices,
  documents: Documents,
): ApolloServerPlugin<TenantContext> {
  const priceOf = openPricing(schema);

  async function didResolveOperation(request: GraphQLRequestContext<TenantContext>): Promise<void> {
    const { document, operation, contextValue: ctx } = request;
    if (!document || !operation) return;
    const asked: Operation = { document, operation };
    const refusal = options.refusalOf(ctx);
    if (refusal && !asksOnlyForMeta(asked) && !asksOnlyAtTheDoor(asked)) throw beforeExecution(refusal);
    documents.check(request, asked);
    if (looksAtSchema(document) && !maySeeSchema(ctx, options.introspection)) {
      const how = options.introspection === "off" ? "is switched off" : "needs a credential";
      throw beforeExecution(new AppError("FORBIDDEN", `Introspection ${how}`));
    }
    const cost = priceOf(asked, request.request.variables ?? {});
    if (cost === undefined) return;
    prices.set(request, cost);
    if (asksForPriceAlone(request)) return;
    limitCost(cost);
    await options.charge(ctx, cost).catch((error: unknown) => {
      throw error instanceof AppError ? beforeExecution(error) : error;
    });
  }

  async function responseForOperation(request: GraphQLRequestContext<TenantContext>): Promise<GraphQLResponse | null> {
    if (!asksForPriceAlone(request) || !prices.has(request)) return null;
    const http = { status: undefined, headers: new HeaderMap() };
    return { http, body: { kind: "single", singleResult: { data: null } } };
  }

  return { requestDidStart: async () => ({ didResolveOperation, responseForOperation }) };
}

function asksForPriceAlone({ request }: GraphQLRequestContext<TenantContext>): boolean {
  return request.http?.headers.get(COST_ONLY_HEADER) === "true";
}

/** The last thing before an answer leaves: errors get their code and the request id, exceptions are logged, the status is set. */
function reporting(options: GraphqlOptions, prices: Prices, documents: Documents): ApolloServerPlugin<TenantContext> {
  async function willSendResponse(request: GraphQLRequestContext<TenantContext>): Promise<void> {
    const { contextValue: ctx, response, document, operation } = request;
    if (response.body?.kind !== "single") return;
    const { singleResult } = response.body;
    const errors = errorsOf(request, options.refusalOf(ctx), documents.refusalOf(request));
    const reports = errors.map((error) => reportError(error, ctx.requestId, !maySeeSchema(ctx, options.introspection)));
    for (const { code, cause } of reports) logCause(ctx, code, cause);
    noteRefusals(request, reports);
    if (reports.length > 0) singleResult.errors = reports.map(({ formatted }) => formatted);
    const cost = prices.get(request);
    if (cost !== undefined) singleResult.extensions = { ...singleResult.extensions, cost };
    const status = statusOf(request, errors);
    if (status !== undefined) response.http.status = status;
    options.onOperation(ctx, {
      name: operation?.name?.value,
      kind: operation?.operation,
      codes: [...new Set(reports.map(({ code }) => code))],
      isAtDoor: document !== undefined && operation !== undefined && asksOnlyAtTheDoor({ document, operation }),
      document: documents.outcomeOf(request),
    });
  }

  return {
    requestDidStart: async () => ({ willSendResponse }),
    // A plugin that throws is our own fault: Apollo answers for it, and tells nobody else.
    async unexpectedErrorProcessingRequest({ requestContext: { contextValue: ctx }, error }) {
      logCause(ctx, "INTERNAL_SERVER_ERROR", error);
    },
  };
}

/** The errors as they were thrown. */
function errorsOf(
  { response, document, operation }: GraphQLRequestContext<TenantContext>,
  refusal: AppError | undefined,
  refusedDocument: GraphQLError | undefined,
): GraphQLError[] {
  const sent = response.body?.kind === "single" ? (response.body.singleResult.errors ?? []) : [];
  // To a caller without a tenant, too: an operation of the door may come by its id, and nothing here depends on what it says.
  if (refusedDocument) return [refusedDocument];
  // A caller without a tenant learns nothing from what is wrong with the document.
  if (refusal && sent.length > 0 && !(document && operation && asksOnlyAtTheDoor({ document, operation })))
    return [beforeExecution(refusal)];
  return sent.map((error) =>
    error instanceof GraphQLError ? error : (originals.get(error) ?? new GraphQLError(error.message, error)),
  );
}

/**
 * The status of a request that was refused before execution. Clients that only take `application/json` get 200 for a well-formed request
 * whose operation is wrong, as the specification of GraphQL over HTTP says: for them, another status is a fault of some proxy.
 */
function statusOf(
  { request, response }: GraphQLRequestContext<TenantContext>,
  errors: readonly GraphQLError[],
): number | undefined {
  const [first] = errors;
  if (!first || (response.body?.kind === "single" && response.body.singleResult.data !== undefined)) return undefined;
  if (first.originalError instanceof AppError) return first.originalError.status;
  const takesOnlyJson = !(request.http?.headers.get("accept") ?? "").includes(GRAPHQL_RESPONSE);
  return takesOnlyJson && errors.every(isOperationFault) ? 200 : undefined;
}

function logCause(ctx: TenantContext, code: ErrorCode, cause: unknown): void {
  if (cause === undefined) return;
  const about = { requestId: ctx.requestId, code, cause: describeException(cause) };
  if (code === "UNAVAILABLE") ctx.log.warn(about, "database away");
  else ctx.log.error(about, "unexpected exception");
}
