import { tmpdir } from "node:os";
import { mkdtempSync, rmSync } from "node:fs";
import path from "node:path";
import type { Config } from "../config.ts";
import { FolderInUseError } from "./folder-lock.ts";
import { findRunningPostgres, startEmbeddedPostgres } from "./postgres.ts";

/** The database that the settings name, or the embedded one, for as long as somebody needs it. */
export interface OpenDatabase {
  readonly gatewayUrl: string;
  readonly ownerUrl: string;
  readonly isEmbedded: boolean;
  /** Gives it back: stops what was started for the caller, and nothing else. */
  readonly close: () => Promise<void>;
}

type Progress = (line: string) => void;

/**
 * For the gateway itself.
 *
 * @throws FolderInUseError when another gateway works on the data folder.
 */
export async function openDatabase(
  config: Pick<Config, "database" | "dataDir">,
  onProgress: Progress,
): Promise<OpenDatabase> {
  if (config.database) return { ...config.database, isEmbedded: false, close: async () => undefined };
  const server = await startEmbeddedPostgres({ dataDir: config.dataDir, onProgress });
  return { gatewayUrl: server.gatewayUrl, ownerUrl: server.ownerUrl, isEmbedded: true, close: server.stop };
}

/** For commands: beside a running gateway they use its PostgreSQL, otherwise they start it for as long as they take. */
export async function joinDatabase(
  config: Pick<Config, "database" | "dataDir">,
  onProgress: Progress,
): Promise<OpenDatabase> {
  try {
    return await openDatabase(config, onProgress);
  } catch (error) {
    if (!(error instanceof FolderInUseError)) throw error;
    const running = findRunningPostgres(config.dataDir);
    return {
      gatewayUrl: running.gatewayUrl,
      ownerUrl: running.ownerUrl,
      isEmbedded: true,
      close: async () => undefined,
    };
  }
}

/** For checks that replay the migrations and need no data: an empty PostgreSQL that is gone afterwards. */
export async function throwAwayDatabase(onProgress: Progress): Promise<OpenDatabase> {
  const dataDir = mkdtempSync(path.join(tmpdir(), "atrium-check-"));
  const server = await startEmbeddedPostgres({ dataDir, onProgress, durable: false });
  async function close(): Promise<void> {
    await server.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
  return { gatewayUrl: server.gatewayUrl, ownerUrl: server.ownerUrl, isEmbedded: true, close };
}
