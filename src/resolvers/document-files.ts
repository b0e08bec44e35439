import { parse, specifiedRules, validate } from "graphql";
import type { GraphQLSchema } from "graphql";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { z } from "zod";
import { ConfigError } from "../config.ts";
import { LIMITS, limitRules } from "./limits.ts";

/** The documents that the operator trusts. */
export interface TrustedDocuments {
  /** Texts by their ids, which have the form that `documentKey` gives them. */
  readonly byKey: ReadonlyMap<string, string>;
  readonly texts: ReadonlySet<string>;
}

/** One document of a file, under the id by which clients ask for it. */
type Entry = readonly [id: string, text: string];

const SHA256_PREFIX = "sha256:";
/** What an id that names its document by content looks like; all others are names that somebody chose. */
const HASHES = [
  { form: /^[0-9a-f]{64}$/, algorithm: "sha256" },
  { form: /^[0-9a-f]{40}$/, algorithm: "sha1" },
] as const;

/** persisted-documents.json of GraphQL Code Generator, or the manifest of Apollo's tools. */
const documentFile: z.ZodType<readonly Entry[]> = z.union([
  z.record(z.string(), z.string()).transform((texts) => Object.entries(texts)),
  z
    .object({
      format: z.literal("apollo-persisted-query-manifest"),
      operations: z.array(z.object({ id: z.string(), body: z.string() })),
    })
    .transform(({ operations }) => operations.map(({ id, body }): Entry => [id, body])),
]);

/** An id without the prefix that GraphQL over HTTP gives to a SHA-256, and that other clients leave out. */
export function documentKey(id: string): string {
  return id.startsWith(SHA256_PREFIX) ? id.slice(SHA256_PREFIX.length) : id;
}

/** The id of a text by its content, without a prefix. */
export function hashOf(text: string, algorithm: "sha256" | "sha1" = "sha256"): string {
  return createHash(algorithm).update(text).digest("hex");
}

/**
 * Reads files of trusted documents. Each text must be one that the gateway would execute, and a text whose id is a hash must have it.
 *
 * @throws ConfigError with a line for each problem, naming the file and the id.
 */
export function readTrustedDocuments(files: readonly string[], schema: GraphQLSchema): TrustedDocuments {
  const byKey = new Map<string, string>();
  const problems: string[] = [];
  for (const file of files) {
    const entries = entriesOf(file);
    if (typeof entries === "string") problems.push(`${file} ${entries}`);
    else {
      for (const [id, text] of entries) {
        const key = documentKey(id);
        const problem = problemOf(key, text, byKey.get(key), schema);
        if (problem !== undefined) problems.push(`${file}: ${id}: ${problem}`);
        byKey.set(key, text);
      }
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return { byKey, texts: new Set(byKey.values()) };
}

/** What a file holds, or what is wrong with it. */
function entriesOf(file: string): readonly Entry[] | string {
  try {
    const parsed = documentFile.safeParse(JSON.parse(readFileSync(file, "utf8")));
    return parsed.success ? parsed.data : "is no object of texts by their hashes, as persisted-documents.json is";
  } catch (error) {
    return `cannot be read: ${messageOf(error)}`;
  }
}

function problemOf(key: string, text: string, other: string | undefined, schema: GraphQLSchema): string | undefined {
  if (other !== undefined && other !== text) return "has two texts";
  const hash = HASHES.find(({ form }) => form.test(key));
  if (hash && hashOf(text, hash.algorithm) !== key) return `is not the ${hash.algorithm} of its text`;
  try {
    const document = parse(text, { maxTokens: LIMITS.tokens });
    return validate(schema, document, [...specifiedRules, ...limitRules()])[0]?.message;
  } catch (error) {
    return messageOf(error);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
