import { adopt } from "../../../src/migrate/adopt/adopt.ts";
import { GATEWAY_ROLE } from "./database.ts";

// Runs an adoption and kills itself, as kill -9 would, at the moment whose name begins with the second argument.
const [, , url = "", moment = ""] = process.argv;

await adopt(url, {
  gatewayRole: GATEWAY_ROLE,
  batchRows: 20,
  onProgress: ({ phase, message, rowsDone }) => {
    if (`${phase}: ${message}, ${rowsDone} rows`.startsWith(moment)) process.kill(process.pid, "SIGKILL");
  },
});
