import { Field, InterfaceType } from "type-graphql";
import { EntityId } from "./scalars.ts";

/** A row on its way out through an interface, which must say which of the types it is. */
export interface Typed {
  readonly __typename: string;
}

@InterfaceType({ description: "Whatever has an id of its own.", resolveType: (value: Typed) => value.__typename })
export abstract class Node {
  @Field(() => EntityId, { description: "Unique within the tenant, opaque." })
  id!: string;
}
