import { pino } from "pino";
import type { Logger } from "pino";
import type { Config } from "../config.ts";

export type { Logger } from "pino";

// A write for each line took a twentieth of a busy process. What a crash can lose is a tenth of a second.
const FLUSH_MS = 100;
const BUFFER_BYTES = 8_192;

/** JSON on standard error, one event a line. What could hold a secret is cut out here as well, should a caller ever pass it. */
export function openLog(
  config: Pick<Config, "logLevel">,
  destination: pino.DestinationStream = standardError(),
): Logger {
  return pino(
    {
      level: config.logLevel,
      base: undefined,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: [
          "authorization",
          "apiKey",
          "*.authorization",
          '*["x-api-key"]',
          "*.password",
          "*.token",
          "*.key",
          "*.content",
        ],
        remove: true,
      },
    },
    destination,
  );
}

/** Written in batches; what is left is written when the process ends. */
function standardError(): pino.DestinationStream {
  const { fd } = process.stderr;
  return pino.destination({ dest: fd, sync: false, minLength: BUFFER_BYTES, periodicFlush: FLUSH_MS });
}
