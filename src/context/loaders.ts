import DataLoader from "dataloader";

/**
 * The loaders of one context, by the definition they belong to and its variant. They are made when first asked for, and live and die with
 * the context, so they cannot mix tenants.
 */
export type Loaders = Map<object, Map<string, DataLoader<string, unknown>>>;

interface HasLoaders {
  readonly loaders: Loaders;
}

export interface Loader<Value> {
  readonly load: (key: string) => Promise<Value | null>;
}

export function newLoaders(): Loaders {
  return new Map();
}

/**
 * A read that collects the keys asked for in one tick and answers them with one call of `batch`.
 *
 * @returns a function that gives the loader of a context; a key that `batch` leaves out loads as null.
 */
export function defineLoader<Context extends HasLoaders, Value>(
  batch: (ctx: Context, keys: readonly string[]) => Promise<ReadonlyMap<string, Value>>,
): (ctx: Context) => Loader<Value> {
  return (ctx) => contextLoader(ctx, batch, "", (keys) => batch(ctx, keys));
}

/** The context's loader for one definition and variant (its arguments, say); `batch` must be the same for the same variant. */
export function contextLoader<Value>(
  ctx: HasLoaders,
  definition: object,
  variant: string,
  batch: (keys: readonly string[]) => Promise<ReadonlyMap<string, Value>>,
): Loader<Value> {
  const variants = ctx.loaders.get(definition) ?? new Map<string, DataLoader<string, unknown>>();
  ctx.loaders.set(definition, variants);
  const loader =
    variants.get(variant) ??
    new DataLoader<string, unknown>(async (keys) => {
      const found = await batch(keys);
      return keys.map((key) => found.get(key) ?? null);
    });
  variants.set(variant, loader);
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- the map holds loaders of every kind; this one was made by this very definition
  return { load: (key) => loader.load(key) as Promise<Value | null> };
}
