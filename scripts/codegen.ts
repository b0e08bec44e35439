// Drives GraphQL Code Generator by codegen.yml. Its own command line would do the same, but brings 300 packages,
// some of which refuse Node 20.
import { preset } from "@graphql-codegen/client-preset";
import { codegen } from "@graphql-codegen/core";
import { buildASTSchema, parse } from "graphql";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { root } from "./freshness.js";

const EVERY_OPERATION_BELOW = "/**/*.graphql"; // the one pattern that is understood here

const target = z.strictObject({
  preset: z.literal("client"),
  presetConfig: z.record(z.string(), z.unknown()).default({}),
  config: z.record(z.string(), z.unknown()).default({}),
});

const configuration = z.strictObject({
  schema: z.string(),
  documents: z
    .string()
    .endsWith(EVERY_OPERATION_BELOW)
    .transform((pattern) => pattern.slice(0, -EVERY_OPERATION_BELOW.length)),
  generates: z.record(z.string().endsWith("/"), target),
});

/** Writes what codegen.yml asks for, over whatever an earlier run left. */
async function generate(): Promise<void> {
  const { schema: schemaFile, documents: folder, generates } = configuration.parse(parseYaml(read("codegen.yml")));
  const schema = parse(read(schemaFile));
  const schemaAst = buildASTSchema(schema);
  const documents = readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".graphql"))
    .sort()
    .map((file) => path.join(folder, file))
    .map((location) => ({ location, document: parse(read(location)), rawSDL: read(location) }));

  for (const [baseOutputDir, { presetConfig, config }] of Object.entries(generates)) {
    rmSync(path.join(root, baseOutputDir), { recursive: true, force: true });
    const common = { baseOutputDir, schema, schemaAst, documents, plugins: [], pluginMap: {}, pluginContext: {} };
    const files = await preset.buildGeneratesSection({ ...common, presetConfig, config, documentTransforms: [] });
    for (const file of files) {
      const content = await codegen(file);
      const absolute = path.join(root, file.filename);
      mkdirSync(path.dirname(absolute), { recursive: true });
      writeFileSync(absolute, content);
    }
  }
}

function read(file: string): string {
  return readFileSync(path.join(root, file), "utf8");
}

await generate();
