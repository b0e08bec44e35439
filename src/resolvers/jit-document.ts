import {
  getDirectiveValues,
  getNamedType,
  GraphQLIncludeDirective,
  GraphQLSkipDirective,
  isCompositeType,
  isEnumType,
  isInterfaceType,
  isObjectType,
  Kind,
  visit,
} from "graphql";
import type {
  ArgumentNode,
  DocumentNode,
  FieldNode,
  FragmentDefinitionNode,
  GraphQLField,
  GraphQLInputType,
  GraphQLNamedType,
  GraphQLSchema,
  NamedTypeNode,
  OperationDefinitionNode,
  SelectionNode,
  SelectionSetNode,
  ValueNode,
  VariableDefinitionNode,
} from "graphql";
import { fragmentsOf } from "./selections.ts";
import type { Operation } from "./selections.ts";

/** A literal argument that GraphQL.js turns into a value at each execution, under the name of a variable. */
export interface HoistedLiteral {
  readonly name: string;
  readonly value: ValueNode;
  readonly type: GraphQLInputType;
}

export interface PlainOperation {
  /** One operation without fragments spread by name, conditions, or literals that need more than copying. */
  readonly document: DocumentNode;
  readonly hoisted: readonly HoistedLiteral[];
}

// Written as they stand by graphql-jit. Everything else it would turn into text and back: a date would arrive as a string.
const COPIED_KINDS: ReadonlySet<string> = new Set([Kind.VARIABLE, Kind.NULL]);
const SELECTIONS_MAX = 300; // after fragments are copied; compiling takes time that every other request waits for
const COPIED_SCALARS: ReadonlySet<string> = new Set(["Int", "Float", "String", "Boolean"]);

/** The names of the variables that switch parts of an operation on and off. */
export function switchesOf(document: DocumentNode): string[] {
  const names = new Set<string>();
  visit(document, {
    Directive({ arguments: given = [] }) {
      for (const { value } of given) if (value.kind === Kind.VARIABLE) names.add(value.name.value);
    },
  });
  return [...names];
}

/**
 * Rewrites an operation into what graphql-jit executes exactly as GraphQL.js does. Conditions are decided with these variables, since the
 * compiler joins the conditions of a fragment's uses; fragments are copied into each place, since it keeps notes on their nodes; values of
 * variables and literals are left to GraphQL.js, since it has its own idea of ID, dates and JSON.
 *
 * @param passedOn name of a scalar that takes any value as it is.
 * @returns undefined for what is not worth it or cannot be compiled: it goes the normal way.
 */
export function plainOperation(
  schema: GraphQLSchema,
  { document, operation }: Operation,
  variables: Readonly<Record<string, unknown>>,
  passedOn: string,
): PlainOperation | undefined {
  const rewriter = new Rewriter(schema, fragmentsOf(document), variables);
  const root = schema.getRootType(operation.operation);
  const selectionSet = root ? rewriter.selections(operation.selectionSet, root, new Set()) : undefined;
  if (!selectionSet) return undefined;
  const declared = (operation.variableDefinitions ?? []).map(({ variable }) => variable.name.value);
  const names = [...declared, ...rewriter.hoisted.map(({ name }) => name)];
  const plain: OperationDefinitionNode = {
    ...operation,
    directives: [],
    variableDefinitions: names.map((name) => variableOf(name, passedOn)),
    selectionSet,
  };
  return { document: { kind: Kind.DOCUMENT, definitions: [plain] }, hoisted: rewriter.hoisted };
}

class Rewriter {
  readonly hoisted: HoistedLiteral[] = [];
  readonly #schema: GraphQLSchema;
  readonly #fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  readonly #variables: Readonly<Record<string, unknown>>;
  #selectionsSeen = 0;

  constructor(
    schema: GraphQLSchema,
    fragments: ReadonlyMap<string, FragmentDefinitionNode>,
    variables: Readonly<Record<string, unknown>>,
  ) {
    this.#schema = schema;
    this.#fragments = fragments;
    this.#variables = variables;
  }

  /** Undefined when nothing is left (graphql-jit does not know empty selections), or when it is too much. */
  selections(set: SelectionSetNode, parent: GraphQLNamedType, spread: Set<string>): SelectionSetNode | undefined {
    const kept: SelectionNode[] = [];
    this.#selectionsSeen += set.selections.length;
    if (this.#selectionsSeen > SELECTIONS_MAX) return undefined;
    for (const selection of set.selections) {
      if (!this.#isIncluded(selection)) continue;
      const rewritten = this.#selection(selection, parent, spread);
      if (rewritten === undefined) return undefined;
      if (rewritten !== null) kept.push(rewritten);
    }
    return kept.length === 0 ? undefined : { ...set, selections: kept };
  }

  /** Null for a fragment that was spread in this selection already. */
  #selection(
    selection: SelectionNode,
    parent: GraphQLNamedType,
    spread: Set<string>,
  ): SelectionNode | null | undefined {
    if (selection.kind === Kind.FIELD) return this.#field(selection, parent);
    if (selection.kind === Kind.INLINE_FRAGMENT) {
      return this.#inline(selection.typeCondition, selection.selectionSet, parent, spread);
    }
    const name = selection.name.value;
    if (spread.has(name)) return null;
    spread.add(name);
    const fragment = this.#fragments.get(name);
    return fragment && this.#inline(fragment.typeCondition, fragment.selectionSet, parent, spread);
  }

  #inline(
    condition: NamedTypeNode | undefined,
    set: SelectionSetNode,
    parent: GraphQLNamedType,
    spread: Set<string>,
  ): SelectionNode | undefined {
    const type = condition ? this.#schema.getType(condition.name.value) : parent;
    const selectionSet = type && this.selections(set, type, spread);
    return selectionSet && { kind: Kind.INLINE_FRAGMENT, selectionSet, ...(condition && { typeCondition: condition }) };
  }

  #field(node: FieldNode, parent: GraphQLNamedType): FieldNode | undefined {
    if (node.name.value === "__typename") return { ...node, directives: [] };
    const field = isObjectType(parent) || isInterfaceType(parent) ? parent.getFields()[node.name.value] : undefined;
    if (!field) return undefined;
    const type = getNamedType(field.type);
    const given = (node.arguments ?? []).map((argument) => this.#argument(argument, field));
    const plain = { ...node, directives: [], arguments: given };
    if (!node.selectionSet || !isCompositeType(type)) return plain;
    const selectionSet = this.selections(node.selectionSet, type, new Set());
    return selectionSet && { ...plain, selectionSet };
  }

  #argument(argument: ArgumentNode, field: GraphQLField<unknown, unknown>): ArgumentNode {
    const type = field.args.find(({ name }) => name === argument.name.value)?.type;
    if (!type || COPIED_KINDS.has(argument.value.kind) || isCopied(type, argument.value)) return argument;
    const name = `__literal${this.hoisted.length}`;
    this.hoisted.push({ name, value: argument.value, type });
    return { ...argument, value: { kind: Kind.VARIABLE, name: { kind: Kind.NAME, value: name } } };
  }

  #isIncluded(node: SelectionNode): boolean {
    if (!node.directives || node.directives.length === 0) return true;
    const skip = getDirectiveValues(GraphQLSkipDirective, node, this.#variables);
    const include = getDirectiveValues(GraphQLIncludeDirective, node, this.#variables);
    return skip?.["if"] !== true && include?.["if"] !== false;
  }
}

function isCopied(type: GraphQLInputType, { kind }: ValueNode): boolean {
  if (kind === Kind.LIST || kind === Kind.OBJECT || String(type).startsWith("[")) return false;
  const named = getNamedType(type);
  return COPIED_SCALARS.has(named.name) || isEnumType(named);
}

function variableOf(name: string, type: string): VariableDefinitionNode {
  return {
    kind: Kind.VARIABLE_DEFINITION,
    variable: { kind: Kind.VARIABLE, name: { kind: Kind.NAME, value: name } },
    type: { kind: Kind.NAMED_TYPE, name: { kind: Kind.NAME, value: type } },
  };
}
