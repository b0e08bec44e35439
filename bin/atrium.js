#!/usr/bin/env node
import { build } from "../scripts/build.js";
import { prepare } from "../scripts/freshness.js";

prepare(build);
await import(new URL("../dist/cli.js", import.meta.url).href);
