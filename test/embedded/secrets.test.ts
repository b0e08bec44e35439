import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { readOrMakeSecrets } from "../../src/embedded/secrets.ts";

let home: string;
let dataDir: string;
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), "atrium-secrets-"));
  dataDir = path.join(home, "data");
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const none = { platformAdminKey: undefined, masterKey: undefined };
const fileOf = (name: string) => path.join(dataDir, name);
const modeOf = (name: string) => statSync(fileOf(name)).mode & 0o777;

describe("the installation's secrets", () => {
  test("are made on the first start, hard to guess, readable by their owner alone, and the same at every later one", () => {
    const made = readOrMakeSecrets({ dataDir, ...none });

    expect(Buffer.from(made.masterKey, "base64")).toHaveLength(32);
    expect(made.platformAdminKey.length).toBeGreaterThanOrEqual(32);
    expect(made.platformAdminKey).not.toBe(made.masterKey);
    expect(readdirSync(dataDir).toSorted()).toEqual(["master.key", "platform-admin.key"]);
    expect([modeOf("master.key"), modeOf("platform-admin.key")]).toEqual([0o600, 0o600]);
    expect(readOrMakeSecrets({ dataDir, ...none })).toEqual(made);
  });

  test("that settings name are taken from there, and written nowhere", () => {
    const given = { platformAdminKey: "p".repeat(32), masterKey: Buffer.alloc(32, 1).toString("base64") };

    expect(readOrMakeSecrets({ dataDir, ...given })).toEqual(given);
    expect(readdirSync(home)).toEqual([]);
  });

  test("whose file others could read are closed to them again", () => {
    const made = readOrMakeSecrets({ dataDir, ...none });
    chmodSync(fileOf("platform-admin.key"), 0o644);

    expect(readOrMakeSecrets({ dataDir, ...none })).toEqual(made);
    expect(modeOf("platform-admin.key")).toBe(0o600);
  });

  test("whose file is empty stop the start: a secret that anybody could send is none", () => {
    readOrMakeSecrets({ dataDir, ...none });
    writeFileSync(fileOf("platform-admin.key"), "\n");

    expect(() => readOrMakeSecrets({ dataDir, ...none })).toThrow(`${fileOf("platform-admin.key")} is empty.`);
    expect(readFileSync(fileOf("platform-admin.key"), "utf8")).toBe("\n");
  });
});
