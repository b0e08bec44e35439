import { Kind, OperationTypeNode, visit } from "graphql";
import type {
  DocumentNode,
  FieldNode,
  FragmentDefinitionNode,
  OperationDefinitionNode,
  SelectionSetNode,
} from "graphql";
import { OPERATIONS } from "../context/permissions.ts";

/** One operation with the document that holds its fragments. */
export interface Operation {
  readonly document: DocumentNode;
  readonly operation: OperationDefinitionNode;
}

const introspects = new WeakMap<DocumentNode, boolean>();

/** The fragments of a document, by name. */
export function fragmentsOf(document: DocumentNode): ReadonlyMap<string, FragmentDefinitionNode> {
  return new Map(
    document.definitions.flatMap((node) => (node.kind === Kind.FRAGMENT_DEFINITION ? [[node.name.value, node]] : [])),
  );
}

/** The fields an operation begins with, through its fragments; a field selected twice counts twice, a fragment spread twice once. */
export function rootFieldsOf({ document, operation }: Operation): FieldNode[] {
  const fragments = fragmentsOf(document);
  const spread = new Set<string>();
  const fields: FieldNode[] = [];
  function collect({ selections }: SelectionSetNode): void {
    for (const selection of selections) {
      if (selection.kind === Kind.FIELD) fields.push(selection);
      else if (selection.kind === Kind.INLINE_FRAGMENT) collect(selection.selectionSet);
      else if (!spread.has(selection.name.value)) {
        spread.add(selection.name.value);
        const fragment = fragments.get(selection.name.value);
        if (fragment) collect(fragment.selectionSet);
      }
    }
  }
  collect(operation.selectionSet);
  return fields;
}

/** Whether an operation asks only for `__typename`, `__schema` and `__type`, which belong to no tenant. */
export function asksOnlyForMeta(operation: Operation): boolean {
  return rootFieldsOf(operation).every((field) => field.name.value.startsWith("__"));
}

/** Whether an operation asks for nothing but to sign in, which is how one gets a credential. */
export function asksOnlyAtTheDoor(operation: Operation): boolean {
  return (
    operation.operation.operation === OperationTypeNode.MUTATION &&
    rootFieldsOf(operation).every(
      ({ name: { value } }) => value === "__typename" || OPERATIONS[`Mutation.${value}`]?.kind === "door",
    )
  );
}

/** Whether any operation of a document looks at the schema; `__typename` does not. */
export function looksAtSchema(document: DocumentNode): boolean {
  const known = introspects.get(document);
  if (known !== undefined) return known;
  let looks = false;
  visit(document, {
    Field({ name }) {
      looks ||= name.value === "__schema" || name.value === "__type";
    },
  });
  introspects.set(document, looks);
  return looks;
}
