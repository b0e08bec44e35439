// Run as a process of its own by postgres.test.ts, which kills it: starts PostgreSQL in the folder named, says so, and waits.
import { startEmbeddedPostgres } from "../../src/embedded/postgres.ts";

const [dataDir = ""] = process.argv.slice(2);
const { superuserUrl } = await startEmbeddedPostgres({ dataDir, durable: false });
// When the test process ends, however it does, so does this one.
process.stdin.resume().once("end", () => process.exit());
process.stdout.write(`${superuserUrl}\n`);
