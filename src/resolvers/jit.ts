import { HeaderMap } from "@apollo/server";
import type { ApolloServerPlugin, GraphQLRequestContext, GraphQLResponse } from "@apollo/server";
import {
  getVariableValues,
  GraphQLError,
  GraphQLScalarType,
  GraphQLSchema,
  Kind,
  OperationTypeNode,
  valueFromAST,
} from "graphql";
import type { ExecutionResult, OperationDefinitionNode } from "graphql";
import { compileQuery, isCompiledQuery } from "graphql-jit";
import type { CompiledQuery } from "graphql-jit";
import { LRUCache } from "lru-cache";
import type { TenantContext } from "../context/tenant-context.ts";
import { plainOperation, switchesOf } from "./jit-document.ts";
import type { HoistedLiteral } from "./jit-document.ts";
import { looksAtSchema } from "./selections.ts";
import type { Operation } from "./selections.ts";

const COMPILED_MAX = 500; // some 50 kB each
// Compiling costs as much as executing some twenty times: an operation that never comes again is not worth it.
const COMPILED_AT_SIGHT = 2;
// What is compiled keeps its literals: without this, 500 documents of 13 MB would stay in memory.
const SOURCE_MAX = 20_000;
const PASSED_ON = "AtriumPassedOn";

interface Compiled {
  readonly query: CompiledQuery["query"];
  readonly hoisted: readonly HoistedLiteral[];
}

interface Sightings {
  readonly id: number;
  readonly switches: readonly string[];
  count: number;
}

type Execute = (operation: Operation, ctx: TenantContext, variables: Variables) => Promise<ExecutionResult> | undefined;
type Variables = Readonly<Record<string, unknown>>;

/** Executes compiled queries in place of Apollo's way, with the same answers; what it cannot do goes Apollo's way. */
export function compiledExecution(schema: GraphQLSchema): ApolloServerPlugin<TenantContext> {
  const execute = openExecution(schema);

  function start(...what: Parameters<Execute>): ReturnType<Execute> {
    try {
      return execute(...what);
    } catch {
      // Nothing has run yet, and GraphQL.js needs none of this.
      return undefined;
    }
  }

  async function responseForOperation(request: GraphQLRequestContext<TenantContext>): Promise<GraphQLResponse | null> {
    const { document, operation, contextValue: ctx } = request;
    // Of several mutations, GraphQL.js runs none behind a failed one; graphql-jit runs them all.
    if (!document || operation?.operation !== OperationTypeNode.QUERY || looksAtSchema(document)) return null;
    const execution = start({ document, operation }, ctx, request.request.variables ?? {});
    if (!execution) return null;
    const http = { status: undefined, headers: new HeaderMap() };
    try {
      const { data, errors } = await execution;
      return { http, body: { kind: "single", singleResult: errors ? { errors, data } : { data } } };
    } catch (error) {
      // Nothing may leave this hook as an exception, or the answer would be a bare 500. It is not executed again.
      const originalError = error instanceof Error ? error : new Error("a compiled operation threw no error");
      const errors = [new GraphQLError("compiled execution failed", { originalError })];
      return { http: { ...http, status: 500 }, body: { kind: "single", singleResult: { errors } } };
    }
  }

  return { requestDidStart: async () => ({ responseForOperation }) };
}

/** @returns a function that starts a compiled execution, or returns undefined for what goes the normal way. */
function openExecution(schema: GraphQLSchema): Execute {
  const compiled = new LRUCache<string, Compiled | { readonly query: undefined }>({ max: COMPILED_MAX });
  const sightings = new WeakMap<OperationDefinitionNode, Sightings>();
  const passing = withPassedOnScalar(schema);
  let operations = 0;

  function sight({ document, operation }: Operation): Sightings {
    const known = sightings.get(operation) ?? { id: (operations += 1), switches: switchesOf(document), count: 0 };
    known.count += 1;
    sightings.set(operation, known);
    return known;
  }

  function compiledFor(operation: Operation, seen: Sightings, variables: Variables): Compiled | undefined {
    const key = JSON.stringify([seen.id, ...seen.switches.map((name) => variables[name])]);
    const known = compiled.get(key) ?? compile(schema, passing, operation, variables) ?? { query: undefined };
    compiled.set(key, known);
    return known.query ? known : undefined;
  }

  return (operation, ctx, given) => {
    if ((operation.document.loc?.end ?? Infinity) > SOURCE_MAX) return undefined;
    const seen = sight(operation);
    if (seen.count < COMPILED_AT_SIGHT) return undefined;
    const { coerced } = getVariableValues(schema, operation.operation.variableDefinitions ?? [], given);
    // Wrong variables: nothing has run, and GraphQL.js finds the words.
    const found = coerced && compiledFor(operation, seen, coerced);
    const values = found && valuesFor(found, coerced);
    return values && run(found, ctx, values);
  };
}

function compile(
  schema: GraphQLSchema,
  passing: GraphQLSchema,
  operation: Operation,
  variables: Variables,
): Compiled | undefined {
  const plain = plainOperation(schema, operation, variables, PASSED_ON);
  if (!plain) return undefined;
  const result = compileQuery(passing, plain.document, operation.operation.name?.value ?? "", {
    disablingCapturingStackErrors: true,
  });
  return isCompiledQuery(result) ? { query: result.query, hoisted: plain.hoisted } : undefined;
}

/** The variables with the literals that were taken out of the document; undefined when one cannot be turned into a value. */
function valuesFor({ hoisted }: Compiled, coerced: Variables): Record<string, unknown> | undefined {
  const values: Record<string, unknown> = { ...coerced };
  for (const { name, value, type } of hoisted) {
    values[name] = valueFromAST(value, type, coerced);
    if (values[name] === undefined) return undefined;
  }
  return values;
}

async function run({ query }: Compiled, ctx: TenantContext, values: Record<string, unknown>): Promise<ExecutionResult> {
  const { data, errors } = await query(undefined, ctx, values);
  return errors && errors.length > 0 ? { errors: errors.map(realError), data: data ?? null } : { data: data ?? null };
}

/** graphql-jit's errors only look like GraphQL's: no extensions, no nodes, and a constructor of their own. */
function realError(error: GraphQLError): GraphQLError {
  const { path, originalError, locations } = error;
  const real = new GraphQLError(error.message, { path: path ?? null, originalError: originalError ?? null });
  return Object.defineProperty(real, "locations", { value: locations, enumerable: true });
}

/** The same schema with one scalar more, for variables whose values GraphQL.js has made already. */
function withPassedOnScalar(schema: GraphQLSchema): GraphQLSchema {
  const config = schema.toConfig();
  const scalar = new GraphQLScalarType<unknown>({
    name: PASSED_ON,
    parseValue: (value) => value,
    parseLiteral: (node) => (node.kind === Kind.NULL ? null : undefined),
  });
  return new GraphQLSchema({ ...config, types: [...config.types, scalar], assumeValid: true });
}
