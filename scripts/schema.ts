import { CriticalityLevel, diff } from "@graphql-inspector/core";
import { buildSchema, type GraphQLSchema, lexicographicSortSchema, printSchema } from "graphql";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { buildAtriumSchema } from "../src/resolvers/index.ts";
import { NOT_YET } from "../test/contract/not-yet.ts";
import { disagreements } from "./contract.ts";
import { root } from "./freshness.js";

const SCHEMA_FILE = path.join(root, "schema.graphql");
const CONTRACT_FILE = path.join(root, "test/contract/contract.graphql");
const HEADER = "# Printed from src/resolvers by `npm run schema:print`; changes are made there.\n\n";

type Command = (schema: GraphQLSchema) => Promise<string[]> | string[];

const commands: Readonly<Record<string, Command>> = { print, check, breaking };

/** Writes schema.graphql from the code. */
function print(schema: GraphQLSchema): string[] {
  writeFileSync(SCHEMA_FILE, textOf(schema));
  return [];
}

/** Problems: schema.graphql is not what the code says, or the code is not what the contract says. */
async function check(schema: GraphQLSchema): Promise<string[]> {
  const isCurrent = existsSync(SCHEMA_FILE) && readFileSync(SCHEMA_FILE, "utf8") === textOf(schema);
  for (const change of await breaking(schema)) console.log(`Breaking against main: ${change}`);
  return [
    ...(isCurrent
      ? []
      : ["schema.graphql is not what the code prints: run `npm run schema:print` and review the difference."]),
    ...disagreements(schema, buildSchema(readFileSync(CONTRACT_FILE, "utf8")), NOT_YET),
  ];
}

/** What clients written for the schema on main would break on. Nothing when main has no schema, or there is no Git. */
async function breaking(schema: GraphQLSchema): Promise<string[]> {
  const published = schemaOnMain();
  if (published === undefined) return [];
  const changes = await diff(buildSchema(published), schema);
  return changes
    .filter(({ criticality }) => criticality.level === CriticalityLevel.Breaking)
    .map(({ message }) => message);
}

function schemaOnMain(): string | undefined {
  try {
    return execFileSync("git", ["show", "main:schema.graphql"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
  } catch {
    // A source archive, a shallow clone of a branch, or a main before its first schema: nothing to compare with.
    return undefined;
  }
}

function textOf(schema: GraphQLSchema): string {
  return `${HEADER}${printSchema(lexicographicSortSchema(schema))}\n`;
}

const command = commands[process.argv[2] ?? ""];
if (command === undefined) {
  console.error(`usage: schema.ts ${Object.keys(commands).join(" | ")}`);
  process.exitCode = 2;
} else {
  const problems = await command(buildAtriumSchema());
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
}
