// Plain JavaScript, because it runs before anything is compiled, and without development dependencies.
import { existsSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { hashOf, isFresh, markFresh, prepare, root, runNode } from "./freshness.js";

const require = createRequire(import.meta.url);
const GENERATED = path.join(root, "src/context/generated");

/**
 * Makes the Prisma client in src/context/generated, unless it was made from exactly these models.
 *
 * @param {(line: string) => void} say told before work that takes seconds
 */
export function generateClient(say) {
  const inputs = hashOf([
    "prisma/schema.prisma",
    "prisma/models",
    "prisma/generator",
    "prisma.config.ts",
    "package.json",
  ]);
  if (isFresh(GENERATED, inputs)) return;
  say("Generating the database client …");
  // Checkpoint asks Prisma's servers for news of newer versions: a build talks to nobody.
  runNode([require.resolve("prisma/build/index.js"), "generate", "--no-hints"], { CHECKPOINT_DISABLE: "1" });
  markFresh(GENERATED, inputs);
}

/**
 * Compiles src to dist, unless dist was made from exactly these sources. Types are not checked here: that is
 * `npm run check:types`, and somebody who only runs the server need not wait for it. An installation without sources
 * uses the dist that it was shipped with.
 *
 * @param {(line: string) => void} say told before work that takes seconds
 */
export function build(say) {
  if (!existsSync(path.join(root, "src"))) return;
  generateClient(say);
  const output = path.join(root, "dist");
  const inputs = hashOf(["src", "tsconfig.json", "tsconfig.build.json", "package.json"]);
  if (isFresh(output, inputs)) return;
  say("Compiling …");
  // Made aside and moved into place whole, so that an interrupted build, or two at the same time, leave no mixture.
  const aside = path.join(root, `dist.${process.pid}`);
  try {
    runNode([require.resolve("typescript/bin/tsc"), "-p", "tsconfig.build.json", "--noCheck", "--outDir", aside]);
    markFresh(aside, inputs);
    rmSync(output, { recursive: true, force: true });
    renameSync(aside, output);
  } catch (error) {
    // Somebody else who built the same at the same time was faster: theirs is as good.
    if (!isFresh(output, inputs)) throw error;
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) prepare(build);
