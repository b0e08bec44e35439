// Run by `npm test`, which adds --experimental-vm-modules: tests and sources are ES modules, as in production.
// The global set-up alone is loaded as CommonJS by Jest: there, import packages statically or by name, not by URL.
/** @type {import("jest").Config} */
export default {
  testEnvironment: "node",
  roots: ["<rootDir>/test"],
  testMatch: ["**/*.test.ts"],
  extensionsToTreatAsEsm: [".ts"],
  transform: {
    "^.+\\.ts$": [
      "@swc/jest",
      {
        jsc: {
          target: "es2022",
          parser: { syntax: "typescript", decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: false, useDefineForClassFields: false },
        },
        module: { type: "es6" },
        sourceMaps: "inline",
      },
    ],
  },
  globalSetup: "<rootDir>/test/support/global-setup.ts",
  globalTeardown: "<rootDir>/test/support/global-teardown.ts",
  setupFilesAfterEnv: ["<rootDir>/test/support/silence.ts"],
  // Modules of a test file stay in memory when it is over; a hundred files with Prisma and two WebAssembly modules each came to 4 GB.
  workerIdleMemoryLimit: "1500MB",
  maxWorkers: "100%", // tests wait for PostgreSQL as much as they compute
  testTimeout: 60_000, // ten times what the slowest takes on two idle cores: a busy machine is no failure
};
