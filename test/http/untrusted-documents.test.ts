import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { createHash } from "node:crypto";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { GENERATED_FILE, generatedDocument, post } from "../support/documents.ts";
import { codesOf, sendTo } from "../support/send.ts";
import { until } from "../support/until.ts";

const CANARY = "canary-71c2-contents-of-a-tenant";
const LIST = generatedDocument("ListSessions");

const apps = new Map<string, TestApp>();
beforeAll(async () => {
  for (const mode of ["off", "log", "enforce"])
    apps.set(mode, await startApp({ TRUSTED_DOCUMENTS: mode, TRUSTED_DOCUMENTS_FILES: GENERATED_FILE }));
});
afterAll(() => Promise.all([...apps.values()].map((app) => app.close())));

function appIn(mode: string): TestApp {
  const app = apps.get(mode);
  if (!app) throw new Error(`no app in mode ${mode}`);
  return app;
}

async function metric(app: TestApp, document: string, sent: string): Promise<number> {
  const text = await (await fetch(`${app.app.url}/metrics`)).text();
  const [, value = "0"] =
    new RegExp(`^atrium_documents_total\\{document="${document}",sent="${sent}"\\} (\\d+)`, "m").exec(text) ?? [];
  return Number(value);
}

/** The line of one request; its answer may be there before the line. */
async function lineOf(app: TestApp, id: string): Promise<Record<string, unknown>> {
  const find = () => app.logs.find(({ requestId, msg }) => requestId === id && msg === "request");
  await until(() => find() !== undefined);
  return find() ?? {};
}

describe("documents that are in no file", () => {
  test("are executed and counted where nothing has to be trusted, and not logged", async () => {
    const app = appIn("off");
    const { send } = await app.newTenant();
    const before = await metric(app, "free", "text");

    expect(
      codesOf(await send("query Free { sessions { totalCount } }", {}, { "X-Request-ID": "request-free" })),
    ).toEqual([]);
    expect(await metric(app, "free", "text")).toBe(before + 1);
    expect(await lineOf(app, "request-free")).not.toHaveProperty("documentHash");
  });

  test("are executed, counted and logged by hash and name with mode log, and trusted ones are not logged", async () => {
    const app = appIn("log");
    const { key } = await app.newTenant();
    const send = sendTo(app.url, { "X-API-Key": key });
    const query = "query Free($name: String) { sessions(filter: { search: $name }) { totalCount } }";
    const hash = createHash("sha256").update(query).digest("hex");
    const before = await metric(app, "free", "text");

    expect(codesOf(await send(query, { name: CANARY }, { "X-Request-ID": "request-free" }))).toEqual([]);
    await send(LIST.text, {}, { "X-Request-ID": "request-trusted" });
    const extensions = { persistedQuery: { version: 1, sha256Hash: hash } };
    for (const [body, id] of [
      [{ query, extensions }, "request-kept"],
      [{ extensions }, "request-by-hash"],
      [{ documentId: "f".repeat(64) }, "request-unknown"],
      [{ documentId: CANARY }, "request-contents"],
    ] as const)
      await post(app.url, body, { "X-API-Key": key, "X-Request-ID": id });

    expect(await lineOf(app, "request-free")).toMatchObject({
      document: "free",
      documentHash: hash,
      operation: "Free",
    });
    expect(await lineOf(app, "request-by-hash")).toMatchObject({
      document: "free",
      documentHash: hash,
      operation: "Free",
    });
    expect(await lineOf(app, "request-unknown")).toMatchObject({ document: "unknown", documentHash: "f".repeat(64) });
    for (const id of ["request-trusted", "request-contents"])
      expect(await lineOf(app, id)).not.toHaveProperty("documentHash");
    expect(JSON.stringify(app.logs)).not.toContain(CANARY);
    expect(await metric(app, "free", "text")).toBe(before + 2);
    expect(await metric(app, "free", "id")).toBe(1);
    expect(await metric(app, "unknown", "id")).toBe(2);
  });

  test("that are refused are counted, and logged by their hash", async () => {
    const app = appIn("enforce");
    const { send } = await app.newTenant();
    const before = await metric(app, "refused", "text");
    const texts = ["query Refused { sessions { totalCount } }", "{ __schema { description } sessions { totalCount } }"];

    for (const [index, text] of texts.entries()) {
      await send(text, {}, { "X-Request-ID": `request-refused-${index}` });
      expect(await lineOf(app, `request-refused-${index}`)).toMatchObject({
        document: "refused",
        documentHash: createHash("sha256").update(text).digest("hex"),
        codes: ["BAD_USER_INPUT"],
      });
    }
    expect(await metric(app, "refused", "text")).toBe(before + 2);
  });
});
