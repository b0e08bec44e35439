const PATIENCE_MS = 20_000;

/**
 * Waits for a condition, asking again and again; a busy machine is no failure.
 *
 * It lets what else there is happen in between: a condition that is answered from memory would otherwise keep the news away that it waits for.
 *
 * @throws Error when it does not come about in twenty seconds.
 */
export async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error("it did not come about");
    await new Promise((resolve) => setImmediate(resolve));
  }
}
