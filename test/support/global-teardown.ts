import { stopShared } from "./shared-cluster.ts";

export default stopShared;
