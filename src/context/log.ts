import { pino } from "pino";
import type { Logger } from "pino";
import type { Config } from "../config.ts";

export type { Logger } from "pino";

/** JSON on standard error, one event a line. What could hold a secret is cut out here as well, should a caller ever pass it. */
export function openLog(config: Pick<Config, "logLevel">, destination: NodeJS.WritableStream = process.stderr): Logger {
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
