import { ApolloClient, HttpLink, InMemoryCache } from "@apollo/client/core";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { parse } from "graphql";
import type { DocumentNode } from "graphql";
import { readFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";

/** What GraphQL Code Generator has written for the operations in test/operations: the file that an operator names. */
export const GENERATED_FILE = path.resolve(import.meta.dirname, "../generated/operations/persisted-documents.json");

/** A document of that file. */
export interface PersistedDocument {
  /** As the file has it: `sha256:` and the hash. */
  readonly id: string;
  readonly text: string;
}

/** The generated document whose one operation has this name. */
export function generatedDocument(name: string): PersistedDocument {
  const texts = z.record(z.string(), z.string()).parse(JSON.parse(readFileSync(GENERATED_FILE, "utf8")));
  const found = Object.entries(texts).find(([, text]) => new RegExp(`^(query|mutation) ${name}\\b`).test(text));
  if (!found) throw new Error(`${GENERATED_FILE} has no ${name}`);
  return { id: found[0], text: found[1] };
}

export interface RecordingClient {
  readonly client: ApolloClient;
  /** What it sent so far. */
  readonly sent: readonly { readonly method: string; readonly query: unknown; readonly hash: unknown }[];
}

interface HashOptions {
  readonly sha256?: (text: string) => string;
  readonly useGETForHashedQueries?: boolean;
}

const sentBody = z.object({
  query: z.string().optional(),
  extensions: z.object({ persistedQuery: z.object({ sha256Hash: z.string() }) }),
});

/** The document as generated code has it for clients that take it parsed: with its hash beside it. */
export function parsedDocument({ id, text }: PersistedDocument): DocumentNode {
  return { ...parse(text), ...{ __meta__: { hash: id } } };
}

const parsedWithHash = z.object({ __meta__: z.object({ hash: z.string() }) });

/** Apollo's own client, which sends hashes first: those that the documents carry, or else those that `sha256` makes of their texts. */
export function apolloClient(
  url: string,
  key: string,
  { sha256, useGETForHashedQueries = false }: HashOptions = {},
): RecordingClient {
  const sent: RecordingClient["sent"][number][] = [];
  const http = new HttpLink({
    uri: url,
    headers: { "X-API-Key": key, "Apollo-Require-Preflight": "true" },
    async fetch(address, init) {
      const request = new Request(address, init);
      sent.push({ method: request.method, ...(await sentIn(request.clone())) });
      return fetch(request);
    },
  });
  const persisted = new PersistedQueryLink({
    useGETForHashedQueries,
    ...(sha256 ? { sha256 } : { generateHash: (document) => parsedWithHash.parse(document).__meta__.hash }),
  });
  return { client: new ApolloClient({ link: persisted.concat(http), cache: new InMemoryCache() }), sent };
}

async function sentIn(request: Request): Promise<{ readonly query: unknown; readonly hash: unknown }> {
  const body: unknown =
    request.method === "POST" ? await request.json() : parametersOf(new URL(request.url).searchParams);
  const { query, extensions } = sentBody.parse(body);
  return { query, hash: extensions.persistedQuery.sha256Hash };
}

function parametersOf(search: URLSearchParams): unknown {
  const extensions: unknown = JSON.parse(search.get("extensions") ?? "null");
  return { query: search.get("query") ?? undefined, extensions };
}

/** Sends a body to /graphql as it is. */
export async function post(
  url: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number; readonly text: string; readonly body: unknown }> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  return {
    status: response.status,
    text: text.replaceAll(/"requestId":"[^"]*"/g, '"requestId":""'),
    body: JSON.parse(text),
  };
}
