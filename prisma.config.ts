import { defineConfig } from "prisma/config";

// `prisma generate` looks for a schema engine that it never runs, and would download one. Any existing file satisfies it.
// Whoever wants the stock `prisma migrate` sets PRISMA_NATIVE_ENGINE=1 and lets the CLI download its own.
if (!process.env.PRISMA_NATIVE_ENGINE) process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= process.execPath;

export default defineConfig({
  schema: "prisma",
  migrations: { path: "prisma/migrations" },
});
