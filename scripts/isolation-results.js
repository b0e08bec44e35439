import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { root } from "./freshness.js";

/** Where the isolation suite writes what it found. */
export const RESULTS_FILE = path.join(root, "test/generated/isolation.json");

const table = z.strictObject({ title: z.string(), columns: z.array(z.string()), rows: z.array(z.array(z.string())) });
const results = z.strictObject({ tables: z.array(table) });

/**
 * What the isolation suite found, as tables of text.
 *
 * @throws Error when the suite has not run yet.
 */
export function readResults() {
  if (!existsSync(RESULTS_FILE)) throw new Error("There are no results yet: run `npm test -- test/isolation` first.");
  return results.parse(JSON.parse(readFileSync(RESULTS_FILE, "utf8"))).tables;
}
