// Set-up and tear-down run in one process, the test files in others: what crosses over goes through the environment.
const VARIABLE = "ATRIUM_TEST_CLUSTER";

interface Addresses {
  readonly gatewayUrl: string;
  readonly ownerUrl: string;
  readonly superuserUrl: string;
}

declare global {
  var stopTestCluster: (() => Promise<void>) | undefined;
}

export function shareCluster({ gatewayUrl, ownerUrl, superuserUrl }: Addresses): void {
  process.env[VARIABLE] = [gatewayUrl, ownerUrl, superuserUrl].join(" ");
}

/** The addresses of the migrated template database. */
export function sharedCluster(): Addresses {
  const [gatewayUrl, ownerUrl, superuserUrl] = (process.env[VARIABLE] ?? "").split(" ");
  if (!gatewayUrl || !ownerUrl || !superuserUrl)
    throw new Error("Tests run through `npm test`, which starts their PostgreSQL.");
  return { gatewayUrl, ownerUrl, superuserUrl };
}

export function stopAfterwards(stop: () => Promise<void>): void {
  globalThis.stopTestCluster = stop;
}

export async function stopShared(): Promise<void> {
  await globalThis.stopTestCluster?.();
}
