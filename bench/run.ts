import { existsSync } from "node:fs";

// Runs one benchmark, the comparison with other servers where none is named: npm run bench -- [name] [its arguments]

const [given = ""] = process.argv.slice(2);
const named = new URL(`./${given}.ts`, import.meta.url);
const isNamed = /^[a-z-]+$/.test(given) && existsSync(named);
// Each reads its own arguments as if it had been started by itself.
if (isNamed) process.argv.splice(2, 1);
await import((isNamed ? named : new URL("./compare.ts", import.meta.url)).href);
