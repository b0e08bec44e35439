import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/embedded/postgres.ts";
import type { PostgresBinaries } from "../../src/embedded/postgres-binaries.ts";

// The oldest version that is supported, as Debian installs it; `.ci/run` runs the suite on it once more.
const OLDEST: PostgresBinaries = { folder: "/usr/lib/postgresql/15/bin", initdbFlags: ["--locale=C.UTF-8"] };

/**
 * Starts a PostgreSQL of its own in a temporary folder, which `stop` removes. Fast, and nothing of it survives a crash.
 *
 * @param version "15" for Debian's, anything else for the packaged one.
 */
export async function startTestPostgres(version = process.env["ATRIUM_TEST_POSTGRES"]): Promise<EmbeddedPostgres> {
  const folder = temporaryFolder();
  const postgres = await startEmbeddedPostgres({
    dataDir: folder,
    durable: false,
    ...(version === "15" && { binaries: OLDEST }),
  });
  return {
    ...postgres,
    stop: async () => {
      await postgres.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A new folder that the user who runs PostgreSQL may pass when the tests run as root. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), "atrium-test-"));
  chmodSync(folder, 0o711);
  return folder;
}
