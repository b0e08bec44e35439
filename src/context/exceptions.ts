const CHAIN_MAX = 4;
const MESSAGE_MAX = 300;
const FRAMES_MAX = 12;

/** An exception as the log may hold it. */
export interface DescribedException {
  readonly name: string;
  readonly code?: string;
  readonly message: string;
  readonly frames?: readonly string[];
  readonly cause?: DescribedException;
}

/**
 * What the log says of an exception: name, code, the first line of its message, where it was thrown, and the same of its causes. Other
 * properties stay out: a driver's error carries the row, the parameters or the address it failed on.
 */
export function describeException(error: unknown, depth = 0): DescribedException {
  if (!(error instanceof Error)) return { name: typeof error, message: "not an Error" };
  const code: unknown = Reflect.get(error, "code");
  const frames = (error.stack ?? "").split("\n").filter((line) => line.startsWith("    at "));
  return {
    name: error.name,
    ...(typeof code === "string" && { code }),
    message: (error.message.trim().split("\n")[0] ?? "").slice(0, MESSAGE_MAX),
    frames: frames.slice(0, FRAMES_MAX).map((line) => line.trim()),
    ...(error.cause !== undefined && depth < CHAIN_MAX && { cause: describeException(error.cause, depth + 1) }),
  };
}
