import { ArgsType, Field, Int, ObjectType, Root } from "type-graphql";
import type { ClassType } from "type-graphql";
import type { Page } from "../services/paging.ts";

@ArgsType()
export class PageArguments {
  @Field(() => Int, { nullable: true, description: "How many from the start; 20 when nothing is said, at most 100." })
  first?: number | null;

  @Field(() => String, { nullable: true, description: "Go on behind this cursor." })
  after?: string | null;

  @Field(() => Int, { nullable: true, description: "How many from the end, at most 100." })
  last?: number | null;

  @Field(() => String, { nullable: true, description: "Go back from this cursor." })
  before?: string | null;
}

@ObjectType({ description: "Where a page lies in its list.", simpleResolvers: true })
export class PageInfo {
  @Field(() => Boolean, { description: "Whether there is more behind this page." })
  hasNextPage!: boolean;

  @Field(() => Boolean, { description: "Whether there is more in front of this page." })
  hasPreviousPage!: boolean;

  @Field(() => String, { nullable: true, description: "Cursor of the first edge; null on an empty page." })
  startCursor!: string | null;

  @Field(() => String, { nullable: true, description: "Cursor of the last edge; null on an empty page." })
  endCursor!: string | null;
}

/** The connection and edge types of a node type, named after it. A service's `Page` is returned as it is. */
export function connectionOf<Node extends object>(node: () => ClassType<Node> | object, name: string) {
  @ObjectType(`${name}Edge`, { description: `One ${name} in a list, with its place.`, simpleResolvers: true })
  class Edge {
    @Field(() => String, { description: "The place of this node, opaque." })
    cursor!: string;

    @Field(node, { description: "The node itself." })
    node!: Node;
  }

  @ObjectType(`${name}Connection`, { description: `A page of a list of ${name}.` })
  class Connection {
    @Field(() => [Edge], { simple: true, description: "The page's nodes with their cursors." })
    edges!: Edge[];

    @Field(() => [node()], { simple: true, description: "The page's nodes." })
    nodes!: Node[];

    @Field(() => PageInfo, { simple: true, description: "Where the page lies." })
    pageInfo!: PageInfo;

    @Field(() => Int, { description: "How many nodes the whole list has; counted only when asked for." })
    totalCount(@Root() page: Page<unknown>): Promise<number> {
      return page.count();
    }
  }
  return Connection;
}
