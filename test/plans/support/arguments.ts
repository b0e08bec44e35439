import {
  GraphQLBoolean,
  GraphQLNonNull,
  isInputObjectType,
  isListType,
  isNonNullType,
  isRequiredArgument,
} from "graphql";
import type { GraphQLArgument, GraphQLInputType } from "graphql";
import type { Random } from "./random.ts";
import { literalOf, valueFor, within } from "./values.ts";
import type { Place, Stock } from "./values.ts";

/** A variable of an operation, and what is known for making values of it. */
export interface Variable {
  readonly name: string;
  readonly type: GraphQLInputType;
  readonly place: Place;
  /** May be left out: it can be null, or has a default. */
  readonly isOptional: boolean;
}

/** Writes the arguments of one operation, partly as variables. */
export interface Calls {
  /** The arguments of a field in parentheses; empty when it gets none. */
  readonly args: (field: string, args: readonly GraphQLArgument[], lists: number) => string;
  /** Something for `@include` or `@skip` to depend on. */
  readonly condition: () => string;
  /** The variables as the operation declares them; empty when there are none. */
  readonly declarations: () => string;
  readonly variables: () => readonly Variable[];
}

const PAGE = ["first", "after", "last", "before"];
const SIZES_MAX = [12, 4, 2, 2]; // by how many lists stand around
const CONDITIONS_MAX = 3;
const CONDITION: Place = { field: "", path: "if", sizeMax: 0 };

/** @param stock where literals come from. */
export function callsOf(random: Random, stock: Stock): Calls {
  const conditions: string[] = [];
  const declared: { readonly variable: Variable; readonly text: string }[] = [];

  function declare(type: GraphQLInputType, place: Place): string {
    const name = `v${declared.length + 1}`;
    const hasDefault = random.chance(0.2);
    const fallback = hasDefault ? valueFor(random, type, place, stock) : undefined;
    // A default that is null does not go with a type that is not; one that is wrong is refused by validation.
    const byDefault = fallback == null ? "" : ` = ${literalOf(type, fallback)}`;
    const isOptional = byDefault !== "" || !isNonNullType(type);
    declared.push({
      variable: { name, type, place, isOptional },
      text: `$${name}: ${String(type)}${byDefault}`,
    });
    return `$${name}`;
  }

  /** A variable, a literal, or a literal with variables within. */
  function written(type: GraphQLInputType, place: Place): string {
    if (random.chance(0.5)) return declare(type, place);
    const inner = isNonNullType(type) ? type.ofType : type;
    if (isInputObjectType(inner)) {
      const fields = Object.values(inner.getFields()).filter(
        (field) => isNonNullType(field.type) || random.chance(0.4),
      );
      return `{ ${fields.map((field) => `${field.name}: ${written(field.type, within(place, field.name))}`).join(", ")} }`;
    }
    if (isListType(inner) && random.chance(0.3)) {
      const items = Array.from({ length: 1 + random.below(2) }, () => written(inner.ofType, place));
      return `[${items.join(", ")}]`;
    }
    return literalOf(type, valueFor(random, type, place, stock));
  }

  function chosen(args: readonly GraphQLArgument[], lists: number): readonly GraphQLArgument[] {
    const page = pageOf(lists);
    return args.filter((argument) => {
      if (PAGE.includes(argument.name)) return page.includes(argument.name);
      return isRequiredArgument(argument) || random.chance(0.35);
    });
  }

  function pageOf(lists: number): readonly string[] {
    const luck = random.below(100);
    // Within a list, a cursor fits one parent at most; and pages of the default size would cost too much.
    const isInner = lists > 0;
    if (luck < (isInner ? 2 : 15)) return [];
    if (luck < (isInner ? 70 : 50)) return ["first"];
    if (luck < (isInner ? 90 : 62)) return ["last"];
    if (luck < (isInner ? 94 : 80)) return ["first", "after"];
    if (luck < (isInner ? 97 : 94)) return ["last", "before"];
    return random.pick([["after"], ["before"], ["first", "last"], ["first", "before"], PAGE]);
  }

  return {
    args(field, args, lists) {
      const sizeMax = SIZES_MAX[Math.min(lists, SIZES_MAX.length - 1)] ?? 0;
      const given = chosen(args, lists).map((argument) => {
        const isSize = argument.name === "first" || argument.name === "last";
        const place = { field, path: argument.name, sizeMax: isSize ? sizeMax : 400 };
        return `${argument.name}: ${written(argument.type, place)}`;
      });
      return given.length === 0 ? "" : `(${given.join(", ")})`;
    },
    condition() {
      if (random.chance(0.3)) return String(random.chance(0.5));
      // A few, each in several places: an operation is compiled anew for every combination of them.
      if (conditions.length === CONDITIONS_MAX) return random.pick(conditions);
      const made = declare(new GraphQLNonNull(GraphQLBoolean), CONDITION);
      conditions.push(made);
      return made;
    },
    declarations: () => (declared.length === 0 ? "" : `(${declared.map(({ text }) => text).join(", ")})`),
    variables: () => declared.map(({ variable }) => variable),
  };
}

/** Values for the variables of an operation, as a client sends them: right in most cases, and some left out. */
export function valuesOf(random: Random, variables: readonly Variable[], stock: Stock): Record<string, unknown> {
  const given = variables.filter(({ isOptional }) => !random.chance(isOptional ? 0.25 : 0.005));
  return Object.fromEntries(
    given.map(({ name, type, place }) => [
      name,
      random.chance(0.005) ? random.pick(["1", 1.5, true, {}, []]) : valueFor(random, type, place, stock),
    ]),
  );
}
