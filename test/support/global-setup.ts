import { deploy } from "../../src/migrate/migrate.ts";
import { prepareResults } from "./isolation-results.ts";
import { startTestPostgres } from "./postgres.ts";
import { shareCluster, stopAfterwards } from "./shared-cluster.ts";

/** Once for all test files: one PostgreSQL, and in it the migrated database from which each file's own is cloned. */
export default async function globalSetup(): Promise<void> {
  prepareResults();
  const postgres = await startTestPostgres();
  stopAfterwards(() => postgres.stop());
  shareCluster(postgres);
  await deploy(postgres.ownerUrl, { gatewayRole: new URL(postgres.gatewayUrl).username });
}
