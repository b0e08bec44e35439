/** Whether tests run on the fast path: ATRIUM_TEST_FAST_PATH=off takes it away, so that the same guarantees are seen without it. */
export function isFastPathOn(): boolean {
  return process.env["ATRIUM_TEST_FAST_PATH"] !== "off";
}
