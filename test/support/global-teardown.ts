import { showResults } from "./isolation-results.ts";
import { stopShared } from "./shared-cluster.ts";

export default async function globalTeardown(): Promise<void> {
  await stopShared();
  showResults();
}
