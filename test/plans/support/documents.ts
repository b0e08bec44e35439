import { getNamedType, isInterfaceType, isLeafType, isObjectType, isRequiredArgument, parse, validate } from "graphql";
import type { GraphQLField, GraphQLInterfaceType, GraphQLObjectType, GraphQLSchema } from "graphql";
import { callsOf } from "./arguments.ts";
import type { Variable } from "./arguments.ts";
import type { Random } from "./random.ts";
import type { Stock } from "./values.ts";

/** A valid operation, and what its variables are. */
export interface RandomDocument {
  readonly text: string;
  readonly variables: readonly Variable[];
}

type Composite = GraphQLObjectType | GraphQLInterfaceType;

interface Fragment {
  readonly name: string;
  readonly type: string;
  readonly depth: number;
  readonly text: string;
}

/**
 * What is not asked for: an answer that takes time differs from one moment to the next, and the report on the walls is made ten times a
 * minute at most, with tenants of its own.
 */
const LEFT_OUT = ["ServiceHealth.latencyMs", "Query.isolationReport"];

const ALIASES_MAX = 12; // of the 15 that one operation may have
const DIRECTIVES_MAX = 15; // of 25
const DEPTH_MAX = 7; // a list within a list within a list has six levels below its root field
const ATTEMPTS_MAX = 200;

/**
 * Makes a valid query out of the schema: several root fields, fragments of every kind, aliases, conditions, variables and literals, lists
 * within lists. Whatever the rules of validation refuse is thrown away, and another one is made.
 *
 * @param stock where literals come from.
 */
export function randomDocument(random: Random, schema: GraphQLSchema, stock: Stock): RandomDocument {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const made = draft(random, schema, stock);
    if (validate(schema, parse(made.text)).length === 0) return made;
  }
  throw new Error("no valid operation came about");
}

function draft(random: Random, schema: GraphQLSchema, stock: Stock): RandomDocument {
  const calls = callsOf(random, stock);
  const fragments: Fragment[] = [];
  /** What the plain name of a field with arguments stands for: the same everywhere, so that selections can be merged. */
  const plain = new Map<string, string>();
  let aliases = 0;
  let directives = 0;

  function condition(): string {
    if (directives >= DIRECTIVES_MAX || !random.chance(0.08)) return "";
    directives += 1;
    const one = ` @${random.pick(["include", "skip"])}(if: ${calls.condition()})`;
    if (directives >= DIRECTIVES_MAX || !random.chance(0.1)) return one;
    directives += 1;
    return one.includes("@include") ? `${one} @skip(if: ${calls.condition()})` : one;
  }

  function alias(): string {
    aliases += 1;
    return `a${aliases}: `;
  }

  function call(parent: Composite, field: GraphQLField<unknown, unknown>, lists: number): string {
    const mayAlias = aliases < ALIASES_MAX;
    if (field.args.length === 0) return `${mayAlias && random.chance(0.04) ? alias() : ""}${field.name}`;
    const place = `${parent.name}.${field.name}`;
    const known = plain.get(place);
    if (known !== undefined && (!mayAlias || random.chance(0.3))) return known;
    const made = `${field.name}${calls.args(place, field.args, lists)}`;
    if (known === undefined && !random.chance(0.2)) {
      plain.set(place, made);
      return made;
    }
    if (mayAlias) return `${alias()}${made}`;
    plain.set(place, made);
    return made;
  }

  function fieldOf(
    parent: Composite,
    field: GraphQLField<unknown, unknown>,
    depth: number,
    lists: number,
  ): string | undefined {
    const type = getNamedType(field.type);
    if (isLeafType(type)) return `${call(parent, field, lists)}${condition()}`;
    if (!(isObjectType(type) || isInterfaceType(type)) || depth >= DEPTH_MAX) return undefined;
    const isList = field.args.some(({ name }) => name === "first" || name === "ids");
    return `${call(parent, field, lists)}${condition()} ${selection(type, depth + 1, isList ? lists + 1 : lists)}`;
  }

  function selection(type: Composite, depth: number, lists: number): string {
    const parts = plainSelections(type, depth, lists);
    if (isInterfaceType(type)) parts.push(...byType(type, depth, lists));
    if (random.chance(0.1)) parts.push(`... ${condition()} ${block(plainSelections(type, depth, lists))}`);
    if (random.chance(0.15)) parts.push(`...${spread(type, depth, lists)}${condition()}`);
    if (isObjectType(type) && type.getInterfaces().length > 0 && random.chance(0.1)) {
      const above = random.pick(type.getInterfaces());
      parts.push(`... on ${above.name}${condition()} ${block(plainSelections(above, depth, lists))}`);
    }
    return block(parts);
  }

  function plainSelections(type: Composite, depth: number, lists: number): string[] {
    const fields = Object.values(type.getFields()).filter(({ name }) => !LEFT_OUT.includes(`${type.name}.${name}`));
    const leaves = fields.filter(
      (field) => isLeafType(getNamedType(field.type)) && !field.args.some(isRequiredArgument),
    );
    const others = fields.filter((field) => !isLeafType(getNamedType(field.type)));
    // A connection has little but what its nodes are.
    const share = /(Connection|Edge)$/.test(type.name) ? 0.7 : 0.5 / Math.max(1, others.length);
    const chosen = [
      ...leaves.filter(() => random.chance(4 / (leaves.length + 3))),
      ...others.filter(() => random.chance(share)),
    ];
    const parts = chosen.flatMap((field) => fieldOf(type, field, depth, lists) ?? []);
    return random.chance(0.1) ? [...parts, "__typename"] : parts;
  }

  function byType(type: GraphQLInterfaceType, depth: number, lists: number): string[] {
    const possible = schema.getPossibleTypes(type);
    const count = random.below(4);
    return ["__typename", ...Array.from({ length: count }, () => random.pick(possible))].map((one) => {
      if (typeof one === "string") return one;
      if (random.chance(0.3)) return `...${spread(one, depth, lists)}`;
      return `... on ${one.name}${condition()} ${block(plainSelections(one, depth, lists))}`;
    });
  }

  /** The name of a fragment of this type: one that is there already, or a new one. */
  function spread(type: Composite, depth: number, lists: number): string {
    const fitting = fragments.filter((known) => known.type === type.name && known.depth >= depth);
    if (fitting.length > 0 && random.chance(0.6)) return random.pick(fitting).name;
    const text = block(plainSelections(type, depth, lists));
    const name = `F${fragments.length + 1}`;
    fragments.push({ name, type: type.name, depth, text: `fragment ${name} on ${type.name} ${text}` });
    return name;
  }

  const root = schema.getQueryType();
  if (!root) throw new Error("the schema has no queries");
  const asked = Array.from({ length: 1 + random.below(3) }, () => random.pick(weighted(root)));
  const fields = asked.flatMap((field) => fieldOf(root, field, 0, 0) ?? []);
  if (random.chance(0.1)) fields.push(`... on Query ${block(plainSelections(root, DEPTH_MAX, 0))}`);
  const text = [
    `${random.chance(0.5) ? "query" : "query Asked"}${calls.declarations()} ${block(fields)}`,
    ...fragments.map((fragment) => fragment.text),
  ].join("\n");
  return { text, variables: calls.variables() };
}

function block(parts: readonly string[]): string {
  return `{ ${parts.length === 0 ? "__typename" : parts.join(" ")} }`;
}

/** The fields that a query begins with: what reads rows of a tenant more often than the rest. */
function weighted(root: GraphQLObjectType): GraphQLField<unknown, unknown>[] {
  const fields = Object.values(root.getFields()).filter(({ name }) => !LEFT_OUT.includes(`Query.${name}`));
  return fields.flatMap((field) => {
    const isOfRows = field.args.some(({ name }) => /^(first|ids?)$/.test(name)) && !/^tenant/.test(field.name);
    return isOfRows ? [field, field, field, field, field] : [field];
  });
}
