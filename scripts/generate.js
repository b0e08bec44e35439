// Makes what tests and checks need and Git does not hold: the Prisma client, and types of the tests' operations.
import path from "node:path";
import { generateClient } from "./build.js";
import { hashOf, isFresh, markFresh, prepare, root, runNode } from "./freshness.js";

prepare(generateClient);
prepare(generateOperations);

/** @param {(line: string) => void} say told before work that takes seconds */
function generateOperations(say) {
  const output = path.join(root, "test/generated/operations");
  const inputs = hashOf(["schema.graphql", "test/operations", "codegen.yml", "scripts/codegen.ts", "package.json"]);
  if (isFresh(output, inputs)) return;
  say("Generating the types of the tests' operations …");
  runNode(["--import", "tsx", "scripts/codegen.ts"]);
  markFresh(output, inputs);
}
