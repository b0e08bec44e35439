import type { ApolloServerPlugin, GraphQLRequest, GraphQLRequestContext } from "@apollo/server";
import { GraphQLError } from "graphql";
import { z } from "zod";
import type { Config } from "../config.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import { AppError, badInput } from "../errors.ts";
import { documentKey, hashOf } from "./document-files.ts";
import type { TrustedDocuments } from "./document-files.ts";
import { beforeExecution, documentNotFound } from "./errors.ts";
import { openPersistedQueries } from "./persisted-queries.ts";
import { asksOnlyForMeta } from "./selections.ts";
import type { Operation } from "./selections.ts";

/** What became of the document that a request asked to execute; every word but the hash is one of a few. */
export interface DocumentOutcome {
  /** `trusted` is in the operator's files, `free` is not; `unknown` is an id without a text, `refused` a text that must be trusted. */
  readonly document: "trusted" | "free" | "unknown" | "refused";
  readonly sentAs: "text" | "id";
  /** Of what is not in the files, where the operator wants to know: the hash of the text, or the id, if that is a hash. */
  readonly hash: string | undefined;
}

export interface DocumentOptions {
  readonly mode: Config["trustedDocuments"];
  readonly trusted: TrustedDocuments;
  /** Whose persisted queries a caller may use; undefined for somebody without a tenant, who has none. */
  readonly tenantIdOf: (ctx: TenantContext) => string | undefined;
  readonly maySeeSchema: (ctx: TenantContext) => boolean;
}

type RequestContext = GraphQLRequestContext<TenantContext>;

/** Finds the text of an operation, by its id where that is all that was sent, and says which texts may be executed. */
export interface Documents {
  readonly plugin: ApolloServerPlugin<TenantContext>;
  /** Why there is nothing to execute, from the beginning of the request on. */
  readonly refusalOf: (request: RequestContext) => GraphQLError | undefined;
  /** @throws BAD_USER_INPUT for a text that was let through as one about the schema alone, and is not. */
  readonly check: (request: RequestContext, asked: Operation) => void;
  readonly outcomeOf: (request: RequestContext) => DocumentOutcome | undefined;
}

/** The document that a request names: by text, by id, or by both for the gateway to keep. */
interface Named {
  readonly text?: string | undefined;
  readonly id?: string | undefined;
}

const LOOKS_AT_SCHEMA = /\b__(?:schema|type)\b/;
const SIGN_OF_LIFE = /^\s*(?:query\s*)?\{\s*__typename\s*\}\s*$/;
const HASH = /^(?:[0-9a-f]{64}|[0-9a-f]{40})$/;

const persistedQuery = z.object({ version: z.literal(1), sha256Hash: z.string().min(1) });

/**
 * Trusted documents and automatic persisted queries. What is refused here is not parsed: Apollo finds no query in the request, and
 * `refusalOf` has the reason. Everything else is executed as if its text had been sent, under the same limits and permissions.
 */
export function openDocuments({ mode, trusted, tenantIdOf, maySeeSchema }: DocumentOptions): Documents {
  const persisted = openPersistedQueries();
  const refusals = new WeakMap<RequestContext, GraphQLError>();
  const outcomes = new WeakMap<RequestContext, DocumentOutcome>();
  const toKeep = new WeakMap<RequestContext, { readonly key: string; readonly text: string }>();
  const aboutSchemaAlone = new WeakSet<RequestContext>();

  function note(request: RequestContext, outcome: Omit<DocumentOutcome, "hash">, hash: () => string | undefined): void {
    const isWatched = mode !== "off" && outcome.document !== "trusted";
    outcomes.set(request, { ...outcome, hash: isWatched ? hash() : undefined });
  }

  /** For whom texts are kept that a client has brought; for nobody where texts must be trusted. */
  function keeperOf({ contextValue: ctx }: RequestContext): string | undefined {
    return mode === "enforce" ? undefined : tenantIdOf(ctx);
  }

  function findPersisted(request: RequestContext, key: string): string | undefined {
    const tenantId = keeperOf(request);
    return tenantId === undefined ? undefined : persisted.find(tenantId, key);
  }

  /** @returns the text. @throws GraphQLError in the words that make a client send it. */
  function byId(request: RequestContext, id: string): string {
    const key = documentKey(id);
    const isTrusted = trusted.byKey.has(key);
    const text = trusted.byKey.get(key) ?? findPersisted(request, key);
    const document = text === undefined ? "unknown" : isTrusted || trusted.texts.has(text) ? "trusted" : "free";
    note(request, { document, sentAs: "id" }, () => (HASH.test(key) ? key : undefined));
    if (text === undefined) throw documentNotFound();
    return text;
  }

  /** @throws BAD_USER_INPUT for a text that has to be trusted, or is not what its id says. */
  function byText(request: RequestContext, text: string, id: string | undefined): string {
    const isTrusted = trusted.texts.has(text);
    const mayRun = isTrusted || mode !== "enforce" || mayBeFree(request, text);
    const document = isTrusted ? "trusted" : mayRun ? "free" : "refused";
    note(request, { document, sentAs: "text" }, () => hashOf(text));
    if (!mayRun) throw beforeExecution(untrusted());
    if (id === undefined) return text;
    const key = documentKey(id);
    if (hashOf(text) !== key)
      throw beforeExecution(
        badInput({ path: "extensions.persistedQuery.sha256Hash", message: "is not that of query" }),
      );
    toKeep.set(request, { key, text });
    return text;
  }

  function mayBeFree(request: RequestContext, text: string): boolean {
    const { contextValue: ctx } = request;
    if (ctx.actor.kind === "platform" || SIGN_OF_LIFE.test(text)) return true;
    const mayBe = LOOKS_AT_SCHEMA.test(text) && maySeeSchema(ctx);
    if (mayBe) aboutSchemaAlone.add(request);
    return mayBe;
  }

  async function requestDidStart(context: RequestContext) {
    const { request } = context;
    try {
      const { text, id } = nameIn(request);
      if (text !== undefined) request.query = byText(context, text, id);
      else if (id !== undefined) request.query = byId(context, id);
    } catch (error) {
      if (!(error instanceof GraphQLError)) throw error;
      refusals.set(context, error);
      delete request.query;
    }
    // It has been answered; Apollo has no store of its own.
    if (request.extensions) request.extensions = { ...request.extensions, persistedQuery: undefined };
    return { responseForOperation };
  }

  /** Here because what comes so far was validated, priced and paid for. */
  async function responseForOperation(request: RequestContext): Promise<null> {
    const kept = toKeep.get(request);
    const tenantId = keeperOf(request);
    if (kept && tenantId !== undefined) persisted.keep(tenantId, kept.key, kept.text);
    return null;
  }

  return {
    plugin: { requestDidStart },
    refusalOf: (request) => refusals.get(request),
    check(request, asked) {
      if (!aboutSchemaAlone.has(request) || asksOnlyForMeta(asked)) return;
      const known = outcomes.get(request);
      if (known) outcomes.set(request, { ...known, document: "refused" });
      throw beforeExecution(untrusted());
    },
    outcomeOf: (request) => outcomes.get(request),
  };
}

/** @throws BAD_USER_INPUT when a request says in two ways, or in none that is understood, what it wants. */
function nameIn({ query, extensions, http }: GraphQLRequest): Named {
  const text = query === "" ? undefined : query;
  const documentId = documentIdIn(http);
  const extension: unknown = extensions?.["persistedQuery"];
  if (documentId == null && extension == null) return { text };
  if (documentId == null) {
    const parsed = persistedQuery.safeParse(extension);
    if (parsed.success) return { text, id: parsed.data.sha256Hash };
    const message = "is not { version: 1, sha256Hash: <text> }";
    throw beforeExecution(badInput({ path: "extensions.persistedQuery", message }));
  }
  if (typeof documentId === "string" && documentId !== "" && text === undefined && extension == null)
    return { id: documentId };
  const message = "is not one text, or comes together with query or extensions.persistedQuery";
  throw beforeExecution(badInput({ path: "documentId", message }));
}

/** The `documentId` of GraphQL over HTTP, of which Apollo knows nothing. */
function documentIdIn(http: GraphQLRequest["http"]): unknown {
  if (http?.method === "GET") {
    const values = new URLSearchParams(http.search).getAll("documentId");
    return values.length > 1 ? values : values[0];
  }
  const body = http?.body;
  return typeof body === "object" && body !== null && "documentId" in body ? body.documentId : undefined;
}

function untrusted(): AppError {
  const message =
    "Only trusted documents are executed here, and this text is none: the operator's files of trusted documents do not have it";
  return new AppError("BAD_USER_INPUT", message, { fields: [{ path: "query", message }] });
}
