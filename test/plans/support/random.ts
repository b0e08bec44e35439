/** Chance that can be had again: the same seed gives the same choices in the same order. */
export interface Random {
  /** A whole number from 0 to below `limit`. */
  readonly below: (limit: number) => number;
  /** True in this share of cases, 0 to 1. */
  readonly chance: (share: number) => boolean;
  /** One of a list. @throws Error for an empty one. */
  readonly pick: <Item>(list: readonly Item[]) => Item;
}

/** @param seed any whole number. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  // Mulberry32: a period of 2^32, which no run comes near.
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    below,
    chance: (share) => next() < share,
    pick(list) {
      const [item] = list.slice(below(list.length));
      if (item === undefined) throw new Error("there is nothing to choose from");
      return item;
    },
  };
}
