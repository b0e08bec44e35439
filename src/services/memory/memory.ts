// The door of memory: what is remembered for a session, of a session, and for good.
export { archiveSession } from "./archive.ts";
export * as longTerm from "./long-term.ts";
export * as mediumTerm from "./medium-term.ts";
export * as shortTerm from "./short-term.ts";
export type { MemoryKind } from "./long-term.ts";
