import { afterAll, beforeEach, describe, expect, test } from "@jest/globals";
import { mkdirSync, mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { hashOf, isFresh, markFresh, runNode } from "../../scripts/freshness.js";

const folder = mkdtempSync(path.join(tmpdir(), "atrium-freshness-"));
const input = path.join(folder, "in");
const output = path.join(folder, "out");

beforeEach(() => {
  rmSync(input, { recursive: true, force: true });
  rmSync(output, { recursive: true, force: true });
  mkdirSync(path.join(input, "deep"), { recursive: true });
  mkdirSync(output);
  writeFileSync(path.join(input, "a.ts"), "a");
  writeFileSync(path.join(input, "deep/b.ts"), "b");
});

afterAll(() => rmSync(folder, { recursive: true }));

describe("what was generated", () => {
  test("is stale until it is marked, and fresh afterwards", () => {
    expect(isFresh(output, hashOf([input]))).toBe(false);

    markFresh(output, hashOf([input]));

    expect(isFresh(output, hashOf([input]))).toBe(true);
  });

  test("stays fresh when only the times of files change, as after a clone", () => {
    markFresh(output, hashOf([input]));
    utimesSync(path.join(input, "a.ts"), new Date(0), new Date(0));

    expect(isFresh(output, hashOf([input]))).toBe(true);
  });

  test.each([
    ["a file changes", () => writeFileSync(path.join(input, "deep/b.ts"), "c")],
    ["a file is added", () => writeFileSync(path.join(input, "c.ts"), "")],
    ["a file goes away", () => rmSync(path.join(input, "a.ts"))],
    ["a file gets another name", () => renameSync(path.join(input, "a.ts"), path.join(input, "z.ts"))],
    [
      "contents move between files",
      () => {
        writeFileSync(path.join(input, "a.ts"), "b");
        writeFileSync(path.join(input, "deep/b.ts"), "a");
      },
    ],
  ])("is stale when %s", (_what, change) => {
    markFresh(output, hashOf([input]));
    change();

    expect(isFresh(output, hashOf([input]))).toBe(false);
  });

  test("a step that fails says what its program printed", () => {
    const failing = "console.log('said'); console.error('complained'); process.exit(3)";

    expect(() => runNode(["-e", failing])).toThrow(/failed\.\nsaid\ncomplained/);
  });
});
