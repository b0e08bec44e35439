import { build } from "./build.js";
import { prepare } from "./freshness.js";

prepare(build);

// In this very process: signals reach the server, and its exit code is ours, without anything in between.
await import(new URL("../dist/main.js", import.meta.url).href);
