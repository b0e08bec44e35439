import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of package.json. */
export const root = fileURLToPath(new URL("..", import.meta.url));

const NODE_MIN = [20, 19]; // the oldest one that package.json names

const STAMP = ".inputs"; // beside what was made: a hash of all that it was made from

/**
 * Whether a folder of generated files was made from exactly these inputs. Contents are compared, because the times of
 * files say nothing after a clone or a change of branch.
 *
 * @param {string} output
 * @param {string} inputs a result of hashOf
 */
export function isFresh(output, inputs) {
  const stamp = path.join(output, STAMP);
  return existsSync(stamp) && readFileSync(stamp, "utf8") === inputs;
}

/**
 * Notes what a folder was made from. Called last, so that an interrupted run is done again.
 *
 * @param {string} output
 * @param {string} inputs a result of hashOf
 */
export function markFresh(output, inputs) {
  writeFileSync(path.join(output, STAMP), inputs);
}

/**
 * A hash of the names and contents of files.
 *
 * @param {string[]} inputs files and folders, relative to the root
 */
export function hashOf(inputs) {
  const hash = createHash("sha256");
  for (const file of inputs.flatMap((input) => filesOf(path.resolve(root, input)))) {
    hash
      .update(`${path.relative(root, file)}\0`)
      .update(readFileSync(file))
      .update("\0");
  }
  return hash.digest("hex");
}

/**
 * Runs a Node program in the project's folder and waits. Its output is shown only if it fails.
 *
 * @param {string[]} args
 * @param {Record<string, string>} [environment] added to that of this process
 * @throws Error with all that the program printed, when it does not exit with 0.
 */
export function runNode(args, environment = {}) {
  const result = spawnSync(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...environment },
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  if (result.status === 0) return;
  const command = args.map((arg) => path.relative(root, path.resolve(root, arg))).join(" ");
  throw new Error(`${command} failed.\n${result.stdout}${result.stderr}`, result.error ? { cause: result.error } : {});
}

/**
 * Does a step of preparation; a failure is printed without a stack, and ends the process with 1.
 *
 * @param {(say: (line: string) => void) => void} step receives a function that shows a line of progress, on standard
 *   error, where it is not taken for a command's result.
 */
export function prepare(step) {
  try {
    requireNode();
    step((line) => process.stderr.write(`${line}\n`));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
}

/** Says so, instead of failing at the first thing that an old Node lacks: npm only warns. */
function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const [majorMin = 0, minorMin = 0] = NODE_MIN;
  if (major > majorMin || (major === majorMin && minor >= minorMin)) return;
  throw new Error(`Atrium needs Node ${NODE_MIN.join(".")} or later; this is ${process.version}.`);
}

/**
 * @param {string} start a file or a folder
 * @returns {string[]} in the same order everywhere
 */
function filesOf(start) {
  if (!statSync(start).isDirectory()) return [start];
  return readdirSync(start)
    .sort()
    .flatMap((name) => filesOf(path.join(start, name)));
}
