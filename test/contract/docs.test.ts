import { describe, expect, test } from "@jest/globals";
import { buildSchema, isScalarType, isSpecifiedScalarType } from "graphql";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { settingNames } from "../../src/config.ts";
import { makeSampleData } from "../../src/embedded/sample-data.ts";
import { ERROR_CODES } from "../../src/errors.ts";
import { LIMITS } from "../../src/resolvers/limits.ts";
import { startApp } from "../support/app.ts";

const root = path.resolve(import.meta.dirname, "../..");
const documents = [
  ...["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"],
  ...readdirSync(path.join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".md"))
    .map((file) => path.join("docs", file)),
];

const names = z.record(z.string(), z.string());
const manifest = z
  .object({ scripts: names, dependencies: names, devDependencies: names, overrides: names })
  .parse(JSON.parse(read("package.json")));

function read(file: string): string {
  return readFileSync(path.join(root, file), "utf8");
}

/** The cells of all table rows below a heading, head row and rule left out; marks of code are taken away. */
function tableBelow(document: string, heading: string): string[][] {
  const section = read(document)
    .split(/^#+ /m)
    .find((part) => part.startsWith(heading));
  if (section === undefined) throw new Error(`${document} has no heading "${heading}"`);
  const lines = section.split("\n").filter((line) => line.startsWith("|"));
  return lines.slice(2).map((line) => {
    const cells = line.split(/(?<!\\)\|/).slice(1, -1);
    return cells.map((cell) => cell.replaceAll("`", "").replaceAll("\\|", "|").trim());
  });
}

function firstColumn(document: string, heading: string): string[] {
  return tableBelow(document, heading)
    .flatMap(([first = ""]) => first.split(", "))
    .sort();
}

describe("the documents", () => {
  test("every error code is explained with its status and whether to try again", () => {
    const documented = tableBelow("docs/api.md", "Errors").map(([code, status, again]) => [code, status, again]);
    const defined = Object.entries(ERROR_CODES).map(([code, { status, retry }]) => [
      code,
      String(status),
      retry ? "later" : "no",
    ]);

    expect(documented).toEqual(defined);
  });

  test("every limit of an operation is named with its number", () => {
    const documented = tableBelow("docs/api.md", "Limits").map(([name, most = ""]) => [
      name,
      Number(most.replace(",", "")),
    ]);

    expect(documented).toEqual(Object.entries(LIMITS));
  });

  test("every setting is explained, and is in .env.example with nothing switched on", () => {
    const example = [...read(".env.example").matchAll(/^(#? ?)([A-Z][A-Z_]+)=/gm)];

    expect(firstColumn("docs/operations.md", "Settings")).toEqual([...settingNames()].sort());
    expect(example.map(([, , name]) => name).sort()).toEqual([...settingNames()].sort());
    expect(example.every(([, mark]) => mark === "# ")).toBe(true);
  });

  test("every direct dependency has its line, and every one that is held back its reason", () => {
    expect(firstColumn("docs/dependencies.md", "At run time")).toEqual(Object.keys(manifest.dependencies).sort());
    expect(firstColumn("docs/dependencies.md", "For development")).toEqual(
      Object.keys(manifest.devDependencies).sort(),
    );
    expect(firstColumn("docs/dependencies.md", "Held back")).toEqual(Object.keys(manifest.overrides).sort());
  });

  test("versions of dependencies are exact", () => {
    const versions = Object.values({ ...manifest.dependencies, ...manifest.devDependencies, ...manifest.overrides });

    expect(versions.filter((version) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([]);
  });

  test("every scalar of the schema is explained, and has its type in codegen.yml", () => {
    const scalars = Object.values(buildSchema(read("schema.graphql")).getTypeMap())
      .filter((type) => isScalarType(type) && !isSpecifiedScalarType(type))
      .map(({ name }) => name)
      .sort();
    const codegen = z
      .object({ generates: z.record(z.string(), z.object({ config: z.object({ scalars: names }) })) })
      .parse(parseYaml(read("codegen.yml")));

    expect(firstColumn("docs/api.md", "Scalars")).toEqual(scalars);
    for (const { config } of Object.values(codegen.generates))
      expect(Object.keys(config.scalars).sort()).toEqual(scalars);
  });

  test.each(documents)("%s: links lead to files that exist", (document) => {
    const targets = [...read(document).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, target = ""]) => target);
    const local = targets.filter((target) => !/^[a-z]+:/.test(target));

    expect(local.filter((target) => !existsSync(path.resolve(root, path.dirname(document), target)))).toEqual([]);
  });

  test.each(documents)("%s: operations that it shows are the files that it names", (document) => {
    const shown = [...read(document).matchAll(/<!-- (test\/operations\/\S+) -->\n+```graphql\n([^]*?)```/g)];
    const named = [...read(document).matchAll(/<!-- test\/operations\//g)];

    expect(shown).toHaveLength(named.length);
    for (const [, file = "", text] of shown) expect(text).toBe(read(file));
  });

  test.each(documents)("%s: scripts and paths that it names exist", (document) => {
    const text = read(document);
    const scripts = [...text.matchAll(/npm run ([a-z:]+)/g)].map(([, script = ""]) => script);
    const paths = [...text.matchAll(/`((?:src|test|scripts|prisma|bin|docs)\/[\w./-]+)`/g)].map(
      ([, file = ""]) => file,
    );

    expect(scripts.filter((script) => !(script in manifest.scripts))).toEqual([]);
    expect(
      paths.filter((file) => !/^(src\/context|test)\/generated/.test(file) && !existsSync(path.join(root, file))),
    ).toEqual([]);
  });

  test("commands that documents name are those that help lists, with the words that it lists", () => {
    const help = execFileSync(process.execPath, ["bin/atrium.js", "--help"], { cwd: root, encoding: "utf8" });
    const lines = help.split("\n").map((line) => line.trim());
    const named = documents.flatMap((document) => [...read(document).matchAll(/npx atrium ([a-z]+)(?: ([a-z]+\b))?/g)]);

    const unknown = named.filter(
      ([, command = "", word]) =>
        !lines.some((line) => line.startsWith(`${command} `) && (!word || line.includes(word))),
    );
    expect(unknown.map(([text]) => text)).toEqual([]);
    expect(named.length).toBeGreaterThan(5);
  });

  test("the query of the README answers what the README shows", async () => {
    const [, query = ""] = /```graphql\n([^]*?)```/.exec(read("README.md")) ?? [];
    const [, answer = ""] = /```json\n([^]*?)```/.exec(read("README.md")) ?? [];
    const dataDir = mkdtempSync(path.join(tmpdir(), "atrium-docs-"));
    const app = await startApp();
    try {
      const [sample] = await makeSampleData(app.app.context, dataDir);
      const headers = { "Content-Type": "application/json", "X-API-Key": sample?.key ?? "" };
      const response = await fetch(app.url, { method: "POST", headers, body: JSON.stringify({ query }) });

      expect(await response.json()).toEqual(JSON.parse(answer));
    } finally {
      await app.close();
      rmSync(dataDir, { recursive: true });
    }
  });

  test("every metric is explained, and none that is not there", async () => {
    const app = await startApp({ METRICS_TENANTS: "on" });
    const text = await (await fetch(`${app.app.url}/metrics`)).text();
    await app.close();
    const given = [...text.matchAll(/^# HELP (atrium_\w+) /gm)].map(([, name]) => name);
    const explained = firstColumn("docs/operations.md", "Observing").filter((name) => name.startsWith("atrium_"));

    expect(explained).toEqual(given.sort());
  });

  test("the first screen of the README has the two commands, and all of it fits on two", () => {
    const lines = read("README.md").split("\n");
    const first = lines.slice(0, 40).join("\n");

    expect(first).toContain("npm install && npm start");
    expect(first).toContain("npm install && npm test");
    expect(lines.length).toBeLessThanOrEqual(90);
  });
});

describe("the house", () => {
  test("a rule that is switched off says why", () => {
    const sources = ["src", "test", "scripts", "bench", "bin"]
      .flatMap((folder) =>
        readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" }).map((file) =>
          path.join(folder, file),
        ),
      )
      .filter((file) => /\.(ts|js)$/.test(file) && !/generated|node_modules/.test(file));
    const mark = ["eslint", "disable"].join("-");
    const silent = sources.flatMap((file) => {
      const lines = read(file).split("\n");
      return lines
        .filter((line) => line.includes(mark) && !/ -- \S/.test(line))
        .map((line) => `${file}: ${line.trim()}`);
    });

    expect(silent).toEqual([]);
  });
});
