import { parseArgs } from "node:util";
import { z } from "zod";

const QUERY_NAMES = ["Q1", "Q2", "Q3", "Q4", "Q5"] as const;
export type QueryName = (typeof QUERY_NAMES)[number];

const positive = (usual: string) => z.coerce.number().positive().default(Number(usual));
const listOf = <Name extends string>(names: readonly Name[]) =>
  z
    .string()
    .default(names.join(","))
    .transform((value) => value.split(",").map((name) => name.trim()))
    .pipe(z.array(z.enum(names)).min(1));

/** How a comparison is run. */
export interface CompareOptions {
  /** Starts of each server's process, over which medians are taken. */
  readonly starts: number;
  /** How often the order A B C … C B A is gone through in a start. */
  readonly rounds: number;
  /** How long a counted run sends, in seconds. */
  readonly seconds: number;
  readonly queries: readonly QueryName[];
  readonly servers: readonly string[];
  /** Whether the larger data set is measured: many tenants, and many sessions in some of them. */
  readonly big: boolean;
}

/**
 * Reads the arguments of `npm run bench -- compare`.
 *
 * @throws Error that says what is wrong with them.
 */
export function readOptions(args: readonly string[], serverNames: readonly string[]): CompareOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      starts: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      only: { type: "string" },
      servers: { type: "string" },
      big: { type: "boolean", default: false },
    },
  });
  const parsed = z
    .object({
      starts: positive("3"),
      rounds: positive("1"),
      seconds: positive("2"),
      only: listOf(QUERY_NAMES),
      servers: listOf(serverNames),
      big: z.boolean(),
    })
    .safeParse(values);
  if (!parsed.success) {
    throw new Error(parsed.error.issues.map((issue) => `--${issue.path.join(".")}: ${issue.message}`).join("\n"));
  }
  const { only: queries, ...rest } = parsed.data;
  return { ...rest, queries };
}
