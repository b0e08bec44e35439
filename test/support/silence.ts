// A test that writes to the console fails: what it prints is either a fault or should have been an expectation.
import { afterEach, expect } from "@jest/globals";
import { formatWithOptions } from "node:util";

const written: string[] = [];

for (const method of ["debug", "error", "info", "log", "trace", "warn"] as const) {
  Reflect.set(globalThis.console, method, (...parts: unknown[]) => {
    written.push(`console.${method}: ${formatWithOptions({ colors: false }, ...parts)}`);
  });
}

afterEach(() => {
  expect(written.splice(0)).toEqual([]);
});
