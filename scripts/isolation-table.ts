// Writes what the isolation suite found, test/generated/isolation.json, into docs/security.md.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { format, resolveConfig } from "prettier";
import { root } from "./freshness.js";
import { readResults } from "./isolation-results.js";

const DOCUMENT = path.join(root, "docs/security.md");
const BEGIN = "<!-- isolation: begin, written by `npm run isolation:table` -->";
const END = "<!-- isolation: end -->";

/** One Markdown table, with its title above it. */
function tableOf({ title, columns, rows }: ReturnType<typeof readResults>[number]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [`**${title}**`, "", line(columns), line(columns.map(() => "---")), ...rows.map(line)].join("\n");
}

const document = readFileSync(DOCUMENT, "utf8");
const [before, rest = ""] = document.split(BEGIN);
const [, after] = rest.split(END);
if (before === undefined || after === undefined)
  throw new Error(`${DOCUMENT} has lost its markers ${BEGIN} and ${END}`);

const text = `${before}${BEGIN}\n\n${readResults().map(tableOf).join("\n\n")}\n\n${END}${after}`;
const style = await resolveConfig(DOCUMENT);
writeFileSync(DOCUMENT, await format(text, { ...style, filepath: DOCUMENT }));
