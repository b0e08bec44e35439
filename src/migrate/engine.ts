import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { bindMigrationAwareSqlAdapterFactory } from "@prisma/driver-adapter-utils";
import type { SchemaEngine } from "@prisma/schema-engine-wasm/schema_engine_bg";
import { migrationConnections } from "./connection.ts";
import { readModels } from "./files.ts";

// TypeScript knows WebAssembly from the browser's library only, which has no place in this project.
declare const WebAssembly: {
  instantiate(
    binary: Uint8Array,
    imports: Record<string, Record<string, unknown>>,
  ): Promise<{ instance: { exports: Record<string, unknown> } }>;
};

const GLUE = "@prisma/schema-engine-wasm/schema_engine_bg";

interface EngineModule {
  readonly SchemaEngine: typeof SchemaEngine;
  readonly __wbg_set_wasm: (exports: unknown) => void;
}

let loading: Promise<EngineModule> | undefined;
let panic: string | undefined;

/**
 * Runs Prisma's own schema engine, in WebAssembly, on the database at `ownerUrl`; connections are closed when `work` ends.
 * The package is internal to Prisma: its version is pinned to the commit of the Prisma release, and only this folder knows it.
 */
export async function withEngine<T>(ownerUrl: string, work: (engine: SchemaEngine) => Promise<T>): Promise<T> {
  const { SchemaEngine } = await (loading ??= loadEngine());
  const connections = migrationConnections(ownerUrl);
  const models = readModels().map(({ path: file, content }): [string, string] => [file, content]);
  const adapters = bindMigrationAwareSqlAdapterFactory(connections);
  try {
    const engine = await SchemaEngine.new({ datamodels: models }, () => undefined, adapters);
    try {
      return await work(engine);
    } finally {
      engine.free();
    }
  } catch (error) {
    throw readable(error, connections.scriptError);
  } finally {
    await connections.close();
  }
}

/** The package's own entry imports WebAssembly as a module, which Node 20 cannot do: the same two parts are put together by hand. */
async function loadEngine(): Promise<EngineModule> {
  const glue = await import("@prisma/schema-engine-wasm/schema_engine_bg");
  const folder = path.dirname(createRequire(import.meta.url).resolve(GLUE));
  const binary = readFileSync(path.join(folder, "schema_engine_bg.wasm"));
  Object.assign(globalThis, { PRISMA_WASM_PANIC_REGISTRY: { set_message: (message: string) => (panic = message) } });
  const imports: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(glue)) {
    // The engine leaves its time-out for the advisory lock pending, which would keep the process alive for ten seconds.
    const isTimer = name.startsWith("__wbg_setTimeout_");
    imports[name] = isTimer
      ? (callback: () => void, milliseconds: number) => setTimeout(callback, milliseconds).unref()
      : value;
  }
  const { instance } = await WebAssembly.instantiate(binary, { "./schema_engine_bg.js": imports });
  glue.__wbg_set_wasm(instance.exports);
  const start = instance.exports["__wbindgen_start"];
  if (typeof start !== "function")
    throw new Error(`${GLUE} has no start function: its version does not fit this code.`);
  Reflect.apply(start, undefined, []);
  return glue;
}

function readable(error: unknown, scriptError: string | undefined): unknown {
  if (panic !== undefined) {
    const message = panic;
    panic = undefined;
    return new Error(`Prisma's schema engine failed: ${message}`, { cause: error });
  }
  return scriptError === undefined ? error : new Error(scriptError, { cause: error });
}
