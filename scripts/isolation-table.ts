// Writes what the isolation suite found, test/generated/isolation.json, into docs/security.md.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { format, resolveConfig } from "prettier";
import { z } from "zod";
import { root } from "./freshness.js";

const RESULTS = path.join(root, "test/generated/isolation.json");
const DOCUMENT = path.join(root, "docs/security.md");
const BEGIN = "<!-- isolation: begin, written by `npm run isolation:table` -->";
const END = "<!-- isolation: end -->";

const table = z.strictObject({ title: z.string(), columns: z.array(z.string()), rows: z.array(z.array(z.string())) });
const results = z.strictObject({ tables: z.array(table) });

/** One Markdown table, with its title above it. */
function tableOf({ title, columns, rows }: z.infer<typeof table>): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [`**${title}**`, "", line(columns), line(columns.map(() => "---")), ...rows.map(line)].join("\n");
}

if (!existsSync(RESULTS)) throw new Error("There are no results yet: run `npm test -- test/isolation` first.");
const { tables } = results.parse(JSON.parse(readFileSync(RESULTS, "utf8")));
const document = readFileSync(DOCUMENT, "utf8");
const [before, rest = ""] = document.split(BEGIN);
const [, after] = rest.split(END);
if (before === undefined || after === undefined)
  throw new Error(`${DOCUMENT} has lost its markers ${BEGIN} and ${END}`);

const text = `${before}${BEGIN}\n\n${tables.map(tableOf).join("\n\n")}\n\n${END}${after}`;
const style = await resolveConfig(DOCUMENT);
writeFileSync(DOCUMENT, await format(text, { ...style, filepath: DOCUMENT }));
