import { afterAll, describe, expect, test } from "@jest/globals";
import { createHash } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { openApp } from "../../src/app.ts";
import { ConfigError, readConfig } from "../../src/config.ts";
import { MASTER_KEY, PLATFORM_KEY, startApp } from "../support/app.ts";
import { generatedDocument, post } from "../support/documents.ts";
import { temporaryFolder } from "../support/postgres.ts";

const CREATE = generatedDocument("CreateSession");
const LIST = generatedDocument("ListSessions");

const folder = temporaryFolder();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("a start with trusted documents", () => {
  /** What a start with these files says that is wrong; it never comes to the database. */
  async function problemsWith(files: Readonly<Record<string, unknown>>): Promise<readonly string[]> {
    const paths = Object.entries(files).map(([name, content]) => {
      const file = path.join(folder, name);
      if (content !== null) writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
      return file;
    });
    const config = readConfig({ TRUSTED_DOCUMENTS_FILES: paths.join(","), LOG_LEVEL: "silent" });
    const options = { config, gatewayUrl: "postgresql://nobody@127.0.0.1:1/none", platformAdminKey: PLATFORM_KEY };
    const failure: unknown = await openApp({ ...options, masterKey: MASTER_KEY }).catch((error: unknown) => error);
    if (!(failure instanceof ConfigError))
      throw new Error("it started, or failed for another reason", { cause: failure });
    return failure.problems.map((problem) => problem.replaceAll(`${folder}${path.sep}`, ""));
  }

  const hash = createHash("sha256").update(LIST.text).digest("hex");
  const sha1 = createHash("sha1").update(LIST.text).digest("hex");

  test.each([
    [
      "a text that its hash is not of",
      { [`sha256:${hash}`]: CREATE.text },
      `sha256:${hash}: is not the sha256 of its text`,
    ],
    ["the same without a prefix", { [hash]: CREATE.text }, `${hash}: is not the sha256 of its text`],
    ["the same of SHA-1", { [sha1]: CREATE.text }, `${sha1}: is not the sha1 of its text`],
    ["no GraphQL", { broken: "query {" }, "broken: Syntax Error: Expected Name, found <EOF>."],
    ["a field that is gone", { gone: "{ goneField }" }, 'gone: Cannot query field "goneField" on type "Query".'],
    [
      "more than an operation may ask for",
      { deep: `{ sessions ${"{ nodes { messages ".repeat(6)} { totalCount } ${"} }".repeat(6)} }` },
      "deep: Query depth limit of 12 exceeded",
    ],
    ["one id for two texts", { [hash]: LIST.text, [`sha256:${hash}`]: CREATE.text }, `sha256:${hash}: has two texts`],
  ])("is refused by a file with %s, naming file and id", async (_what, content, problem) => {
    const problems = await problemsWith({ "documents.json": content });

    expect(problems.some((each) => each.startsWith(`documents.json: ${problem}`))).toBe(true);
  });

  test("is refused by a file that is not there, is no JSON, or has another form, with all of them named", async () => {
    const problems = await problemsWith({
      "missing.json": null,
      "text.json": "no JSON",
      "list.json": [LIST.text],
      "bad.json": { a: 1 },
    });

    expect(problems).toEqual([
      expect.stringMatching(/^missing\.json cannot be read: .*ENOENT/),
      expect.stringMatching(/^text\.json cannot be read: /),
      expect.stringMatching(/^list\.json is no object of texts/),
      expect.stringMatching(/^bad\.json is no object of texts/),
    ]);
    expect(() => readConfig({ TRUSTED_DOCUMENTS: "enforce" })).toThrow("TRUSTED_DOCUMENTS_FILES is required");
  });

  test("takes ids by SHA-1, ids that somebody chose, and the manifest of Apollo's tools", async () => {
    const [bySha1, manifest] = [path.join(folder, "sha1.json"), path.join(folder, "manifest.json")];
    writeFileSync(bySha1, JSON.stringify({ [sha1]: LIST.text, "list/sessions": LIST.text }));
    const operations = [{ id: hash, name: "ListSessions", type: "query", body: LIST.text }];
    writeFileSync(manifest, JSON.stringify({ format: "apollo-persisted-query-manifest", version: 1, operations }));
    const app = await startApp({ TRUSTED_DOCUMENTS_FILES: `${bySha1},${manifest}` });
    const { key } = await app.newTenant();
    const answers = [];
    for (const documentId of [sha1, "list/sessions", hash])
      answers.push((await post(app.url, { documentId }, { "X-API-Key": key })).body);
    await app.close();

    for (const answer of answers) expect(answer).toMatchObject({ data: { sessions: { totalCount: 0 } } });
  });
});
