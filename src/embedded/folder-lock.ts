import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { processIdentity } from "./processes.ts";
import { isSystemError } from "./system-error.ts";

const LOCK = "atrium.lock";

interface Holder {
  readonly pid: number;
  readonly started: string;
}

/** Somebody else works on the data folder; the message names the folder and their process id. */
export class FolderInUseError extends Error {
  override readonly name = "FolderInUseError";
}

/**
 * Takes the data folder for this process. A lock whose process has ended is taken over, also when another process has its id by now.
 *
 * @returns the function that gives the folder back.
 * @throws FolderInUseError when a living process holds it.
 */
export function lockFolder(folder: string): () => void {
  const lock = path.join(folder, LOCK);
  const mine = `${lock}.${process.pid}`;
  const started = processIdentity(process.pid) ?? "unknown";
  writeFileSync(mine, JSON.stringify({ pid: process.pid, started }));
  try {
    while (!tryLink(mine, lock)) {
      const holder = readHolder(lock);
      if (holder !== undefined && processIdentity(holder.pid) === holder.started) {
        throw new FolderInUseError(
          `The data folder ${folder} is in use by the Atrium with process id ${holder.pid}. Stop that one, or set DATA_DIR to another folder.`,
        );
      }
      removeStale(lock, `${mine}.stale`, holder);
    }
  } finally {
    rmSync(mine, { force: true });
  }
  return () => {
    if (readHolder(lock)?.pid === process.pid) rmSync(lock, { force: true });
  };
}

/** A link either comes into being whole or not at all, so no two processes can both have the lock. */
function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (isSystemError(error, "EEXIST")) return false;
    throw error;
  }
}

function removeStale(lock: string, aside: string, stale: Holder | undefined): void {
  try {
    renameSync(lock, aside);
  } catch {
    return; // another start was quicker; the next attempt sees whose lock it is
  }
  // Between reading and renaming, another start may have replaced the stale lock: then it was theirs, and goes back.
  const moved = readHolder(aside);
  if (moved?.pid !== stale?.pid || moved?.started !== stale?.started) tryLink(aside, lock);
  rmSync(aside, { force: true });
}

function readHolder(lock: string): Holder | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(lock, "utf8"));
    if (typeof value !== "object" || value === null || !("pid" in value) || !("started" in value)) return undefined;
    return typeof value.pid === "number" && typeof value.started === "string"
      ? { pid: value.pid, started: value.started }
      : undefined;
  } catch {
    return undefined; // gone, or never written whole
  }
}
