import { createServer } from "node:http";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";
import type {} from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { jsonPgSmartTags } from "postgraphile/utils";
import { pool, tenantOf } from "./database.ts";
import { settings } from "./settings.ts";

// PostGraphile 5 as its documentation has it, with the tenant as a setting of each transaction. Its own adaptor for pg waits for BEGIN, for
// the setting, for the statement and for COMMIT in turn; everything else is as in the other servers.

// The keys of the tables carry the tenant. That ids are unique by themselves has to be told.
const tags = jsonPgSmartTags({
  version: 1,
  config: { class: { "public.sessions": { tags: { unique: "id" } }, "public.messages": { tags: { unique: "id" } } } },
});

const instance = postgraphile({
  extends: [PostGraphileAmberPreset],
  plugins: [tags],
  pgServices: [makePgService({ pool, schemas: ["public", "bench"] })],
  grafast: {
    async context(request) {
      const tenantId = await tenantOf(request.node?.req.headers["x-api-key"]);
      return { pgSettings: { "app.tenant_id": tenantId } };
    },
  },
  grafserv: { graphqlPath: "/graphql", graphiql: false, watch: false },
});
const server = createServer();
await instance.createServ(grafserv).addTo(server);
server.listen(settings.port, "127.0.0.1");
