import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import {
  DeleteFileDocument,
  ListFilesDocument,
  PreviewFileDocument,
  ReadFileDocument,
} from "../generated/operations/graphql.ts";
import { startApp } from "../support/app.ts";
import type { TestApp } from "../support/app.ts";
import { codesOf, dataOf } from "../support/send.ts";
import { anId } from "../support/tenants.ts";

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const FILE = { filename: "plan.pdf", filepath: "uploads/plan.pdf" };

describe("reading files", () => {
  test("one shows all that is known of it", async () => {
    const acme = await app.newTenant();
    const user = await acme.db.user.create({ data: { email: "eve@example.com" } });
    const { id: sessionId } = await acme.db.session.create({ data: { name: "Trip" } });
    const sha256 = "ab".repeat(32);
    const { id } = await acme.db.file.create({
      data: {
        ...FILE,
        sessionId,
        userId: user.id,
        mimeType: "application/pdf",
        size: 5_000_000_000n,
        sha256,
        status: "failed",
        error: "Unreadable",
        metadata: { pages: 3 },
        textContent: "Rome",
        uploadedAt: new Date("2024-01-02T03:04:05.678Z"),
      },
    });

    expect(dataOf(await acme.send(ReadFileDocument, { id }))).toEqual({
      file: {
        id,
        filename: "plan.pdf",
        mimeType: "application/pdf",
        size: 5_000_000_000,
        sha256,
        status: "FAILED",
        error: "Unreadable",
        metadata: { pages: 3 },
        uploadedAt: "2024-01-02T03:04:05.678Z",
        session: { name: "Trip" },
        user: { email: "eve@example.com" },
        textPreview: "Rome",
      },
    });
  });

  test("one of the predecessor shows what there is", async () => {
    const acme = await app.newTenant();
    const { id } = await acme.db.file.create({ data: { ...FILE, status: "new" } });

    expect(dataOf(await acme.send(ReadFileDocument, { id }))).toMatchObject({
      file: { mimeType: null, size: null, status: "READY", metadata: {}, session: null, user: null, textPreview: null },
    });
  });

  test("a preview is cut between characters, at 300 when nothing is said", async () => {
    const acme = await app.newTenant();
    const { id } = await acme.db.file.create({ data: { ...FILE, textContent: "🦉a".repeat(20_000) } });
    const preview = async (variables: { length?: number | null }) =>
      dataOf(await acme.send(PreviewFileDocument, { id, ...variables })).file?.textPreview;

    expect(await preview({})).toBe("🦉a".repeat(150));
    expect(await preview({ length: null })).toBe("🦉a".repeat(150));
    expect(await preview({ length: 3 })).toBe("🦉a🦉");
    expect(await preview({ length: 0 })).toBe("");
    expect(await preview({ length: 10_000 })).toBe("🦉a".repeat(5_000));
    for (const length of [-1, 10_001]) {
      expect(codesOf(await acme.send(PreviewFileDocument, { id, length }))).toEqual(["BAD_USER_INPUT"]);
    }
  });

  test("a list is newest first, and shows one session's files when a session is named", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const { id: sessionId } = await acme.db.session.create({ data: { name: "a" } });
    for (const [index, owner] of [sessionId, null, sessionId].entries()) {
      await acme.db.file.create({
        data: { ...FILE, sessionId: owner, filename: String(index), uploadedAt: new Date(index) },
      });
    }

    expect(dataOf(await acme.send(ListFilesDocument))).toEqual({
      files: { totalCount: 3, nodes: [{ filename: "2" }, { filename: "1" }, { filename: "0" }] },
    });
    const ofSession = { totalCount: 2, nodes: [{ filename: "2" }, { filename: "0" }] };
    expect(dataOf(await acme.send(ListFilesDocument, { sessionId }))).toEqual({ files: ofSession });
    expect(
      dataOf(
        await acme.send("query ($id: ID!) { session(id: $id) { files { totalCount nodes { filename } } } }", {
          id: sessionId,
        }),
      ),
    ).toEqual({ session: { files: ofSession } });
    const foreign = await globex.send(ListFilesDocument, { sessionId });
    expect(foreign.comparable).toBe((await globex.send(ListFilesDocument, { sessionId: anId() })).comparable);
  });
});

test("what is read below a session is what is read by itself, to the millisecond and the byte", async () => {
  const acme = await app.newTenant();
  const { id: sessionId } = await acme.db.session.create({ data: { name: "a" } });
  const { id } = await acme.db.file.create({
    data: { ...FILE, sessionId, size: 8_000_000_000_001n, metadata: { a: [0.1, null, "é"] }, uploadedAt: new Date(1) },
  });
  const fields = "id size metadata uploadedAt sha256 filename";

  const { file } = dataOf(await acme.send(`{ file(id: "${id}") { ${fields} } }`));
  const below = dataOf(await acme.send(`{ session(id: "${sessionId}") { files { nodes { ${fields} } } } }`));

  expect(file).toMatchObject({ size: 8_000_000_000_001, uploadedAt: "1970-01-01T00:00:00.001Z" });
  expect(below).toEqual({ session: { files: { nodes: [file] } } });
});

describe("deleting a file", () => {
  test("removes it and leaves a trace in the audit trail; a second time it is not found", async () => {
    const acme = await app.newTenant();
    const { id } = await acme.db.file.create({ data: FILE });

    expect(dataOf(await acme.send(DeleteFileDocument, { id }))).toEqual({ deleteFile: { deletedId: id } });
    expect(await acme.db.file.count()).toBe(0);
    expect(await acme.db.auditEvent.findMany()).toMatchObject([{ action: "file.delete", target: id }]);
    expect(codesOf(await acme.send(DeleteFileDocument, { id }))).toEqual(["NOT_FOUND"]);
  });
});

describe("who may see and do what", () => {
  test("another tenant's file is answered like a missing one", async () => {
    const acme = await app.newTenant();
    const globex = await app.newTenant();
    const { id } = await acme.db.file.create({ data: FILE });

    for (const document of [ReadFileDocument, PreviewFileDocument, DeleteFileDocument].map(String)) {
      const foreign = await globex.send(document, { id });
      expect(foreign.comparable).toBe((await globex.send(document, { id: anId() })).comparable);
    }
    expect(await acme.db.file.count()).toBe(1);
  });

  test("reading needs FILES_READ, and deleting FILES_WRITE", async () => {
    const acme = await app.newTenant();
    const { id: sessionId } = await acme.db.session.create({ data: { name: "a" } });
    const { id } = await acme.db.file.create({ data: { ...FILE, sessionId } });
    const reader = await acme.withScopes("FILES_READ");
    const other = await acme.withScopes("SESSIONS_READ", "SESSIONS_WRITE");

    expect(codesOf(await reader(PreviewFileDocument, { id }))).toEqual([]);
    for (const document of [PreviewFileDocument, ListFilesDocument, DeleteFileDocument].map(String)) {
      expect(codesOf(await other(document, { id }))).toEqual(["FORBIDDEN"]);
    }
    expect(codesOf(await other("{ sessions { nodes { files { totalCount } } } }"))).toEqual(["FORBIDDEN"]);
    expect(codesOf(await reader(DeleteFileDocument, { id }))).toEqual(["FORBIDDEN"]);
    expect(codesOf(await reader(ReadFileDocument, { id }))).toEqual(["FORBIDDEN"]);
    expect(await acme.db.file.count()).toBe(1);
  });
});
