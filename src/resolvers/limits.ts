import { maxAliasesRule } from "@escape.tech/graphql-armor-max-aliases";
import { maxDepthRule } from "@escape.tech/graphql-armor-max-depth";
import { maxDirectivesRule } from "@escape.tech/graphql-armor-max-directives";
import { getVariableValues } from "graphql";
import type { GraphQLError, GraphQLSchema, ValidationContext, ValidationRule } from "graphql";
import { getComplexity } from "graphql-query-complexity";
import type { ComplexityEstimator } from "graphql-query-complexity";
import { AppError } from "../errors.ts";
import { PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX } from "../services/paging.ts";
import { beforeExecution, tooComplex } from "./errors.ts";
import { rootFieldsOf } from "./selections.ts";
import type { Operation } from "./selections.ts";

/**
 * How much one operation may ask for: generous for what an application sends (a whole introspection has 184 tokens), far below what hurts.
 * Without them, 5,000 aliases, depth 200 and 2^26 selections through fragments were measured to run.
 */
export const LIMITS = {
  /** Bounds the work of parsing and validating, which grows with their square at worst. A text of 1 MB is one token. */
  tokens: 2_000,
  /** Levels of selection: `sessions { nodes { messages { nodes { id } } } }` has five. */
  depth: 12,
  /** Of all kinds, `__typename` included. */
  aliases: 15,
  directives: 25,
  rootFields: 20,
  /** Selections after fragments are spread out: 2^26 of them fit into a kilobyte. */
  selections: 5_000,
  /** A field costs 1, a list its size times what one of its nodes costs: a page of 100 with 20 children of 8 fields each costs 16,000. */
  cost: 20_000,
} as const;

const MUTATION_COST = 10; // a transaction with its audit event
const COSTS_KEPT = 1_000;

/** Validation rules for everything that a document shows without its variables. */
export function limitRules(): ValidationRule[] {
  const onReject = [reject];
  const common = { propagateOnRejection: false, onReject };
  return [
    maxDepthRule({ ...common, n: LIMITS.depth, flattenFragments: true, ignoreIntrospection: true }),
    maxAliasesRule({ ...common, n: LIMITS.aliases, allowList: [] }),
    maxDirectivesRule({ ...common, n: LIMITS.directives }),
    maxRootFieldsRule,
  ];
}

function reject(context: ValidationContext | null, error: GraphQLError): void {
  context?.reportError(tooComplex(error.message.replace(/^Syntax Error: /, "")));
}

function maxRootFieldsRule(context: ValidationContext): ReturnType<ValidationRule> {
  return {
    OperationDefinition(operation) {
      const { length } = rootFieldsOf({ document: context.getDocument(), operation });
      if (length > LIMITS.rootFields) {
        context.reportError(tooComplex(`Root fields limit of ${LIMITS.rootFields} exceeded, found ${length}.`));
      }
    },
  };
}

/**
 * Makes a function that tells the price of an operation with its variables: the same operation always has the same one. Prices are kept by
 * operation and by those variables that can change them, so that an operation that was seen before is priced without another walk.
 *
 * @returns (the function) undefined when the variables are not what the operation declares: its execution says so, and runs nothing.
 * @throws (the function) QUERY_TOO_COMPLEX for selections without bound; BAD_USER_INPUT for an argument that no execution would take.
 */
export function openPricing(schema: GraphQLSchema): (operation: Operation, variables: Variables) => number | undefined {
  const known = new WeakMap<Operation["operation"], Map<string, number>>();

  return (operation, variables) => {
    const costs = known.get(operation.operation) ?? new Map<string, number>();
    known.set(operation.operation, costs);
    const key = costKey(operation, variables);
    const kept = costs.get(key);
    if (kept !== undefined) return kept;
    const cost = compute(schema, operation, variables);
    if (costs.size >= COSTS_KEPT) costs.clear();
    if (cost !== undefined) costs.set(key, cost);
    return cost;
  };
}

/** @throws QUERY_TOO_COMPLEX when an operation of this price is too much at once. */
export function limitCost(cost: number): void {
  if (cost <= LIMITS.cost) return;
  const message = `The operation costs ${cost}, and at most ${LIMITS.cost} is allowed: ask for fewer nodes or fields.`;
  throw beforeExecution(new AppError("QUERY_TOO_COMPLEX", message));
}

type Variables = Readonly<Record<string, unknown>>;

/** Numbers and switches change a cost, and so do lengths of lists; texts and inputs do not. */
function costKey({ operation }: Operation, variables: Variables): string {
  const parts = (operation.variableDefinitions ?? []).map(({ variable }) => {
    const value = variables[variable.name.value];
    if (Array.isArray(value)) return `list of ${value.length}`;
    // Absent takes a default, null does not: they are two.
    return typeof value === "number" || typeof value === "boolean" || value === null ? value : typeof value;
  });
  return JSON.stringify(parts);
}

function compute(schema: GraphQLSchema, { document, operation }: Operation, variables: Variables): number | undefined {
  const coerced = getVariableValues(schema, operation.variableDefinitions ?? [], variables);
  if (coerced.errors) return undefined;
  try {
    return getComplexity({
      schema,
      query: document,
      variables,
      estimators: [estimate],
      maxQueryNodes: LIMITS.selections,
      ...(operation.name && { operationName: operation.name.value }),
    });
  } catch (error) {
    const message = error instanceof Error ? error.message : "cannot be estimated";
    const code = message.startsWith("Query exceeds") ? "QUERY_TOO_COMPLEX" : "BAD_USER_INPUT";
    throw beforeExecution(new AppError(code, message, { fields: [{ path: "query", message }] }));
  }
}

const estimate: ComplexityEstimator = ({ args, childComplexity, field, type }) => {
  const own = type.name === "Mutation" ? MUTATION_COST : 1;
  return own + childComplexity * sizeOf(args, field.args);
};

/** How many children a field can have: what `first` or `last` says, the number of ids given, or one. */
function sizeOf(args: Readonly<Record<string, unknown>>, known: readonly { readonly name: string }[]): number {
  if (Array.isArray(args["ids"])) return Math.max(1, args["ids"].length);
  if (!known.some(({ name }) => name === "first")) return 1;
  const asked = args["last"] ?? args["first"] ?? PAGE_SIZE_DEFAULT;
  // More than a list can give is refused by its service, with the message that belongs to it.
  return typeof asked === "number" ? Math.min(Math.max(asked, 1), PAGE_SIZE_MAX) : PAGE_SIZE_DEFAULT;
}
