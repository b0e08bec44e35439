/** Whether the system refused a call for the reason `code`, such as EEXIST. */
export function isSystemError(error: unknown, code: string): boolean {
  return typeof error === "object" && error !== null && "code" in error && error.code === code;
}
