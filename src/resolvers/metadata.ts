/** The JSON object of a column; empty where the predecessor left NULL or something that is no object. */
export function objectOf(json: unknown): object {
  return typeof json === "object" && json !== null && !Array.isArray(json) ? json : {};
}
