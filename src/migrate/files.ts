import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { MigrationList, SchemaContainer } from "@prisma/schema-engine-wasm/schema_engine_bg";

const LOCK_FILE = "migration_lock.toml";

/** The folder `prisma` of this package: two levels above both src/migrate and dist/migrate. */
function prismaFolder(): string {
  return fileURLToPath(new URL("../../prisma", import.meta.url));
}

export function migrationsFolder(): string {
  return path.join(prismaFolder(), "migrations");
}

/** The names of all steps, in the order in which they run. */
export function stepNames(folder = migrationsFolder()): readonly string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

/**
 * The steps as the engine wants them.
 *
 * @param until the last step to include; all of them when left out.
 * @throws Error when there is no step of that name.
 */
export function readSteps(folder = migrationsFolder(), until?: string): MigrationList {
  const names = stepNames(folder);
  if (until !== undefined && !names.includes(until)) throw new Error(`There is no step ${until} in ${folder}.`);
  return {
    baseDir: folder,
    lockfile: { path: LOCK_FILE, content: readFileSync(path.join(folder, LOCK_FILE), "utf8") },
    shadowDbInitScript: "",
    migrationDirectories: names
      .filter((name) => until === undefined || name <= until)
      .map((name) => ({
        path: name,
        migrationFile: {
          path: "migration.sql",
          content: { tag: "ok", value: readFileSync(path.join(folder, name, "migration.sql"), "utf8") },
        },
      })),
  };
}

/** Prisma's schema: the main file and one file for each domain. */
export function readModels(): SchemaContainer[] {
  const folder = prismaFolder();
  const models = readdirSync(path.join(folder, "models"))
    .filter((name) => name.endsWith(".prisma"))
    .sort();
  return ["schema.prisma", ...models.map((name) => path.join("models", name))].map((name) => {
    const file = path.join(folder, name);
    return { path: file, content: readFileSync(file, "utf8") };
  });
}
