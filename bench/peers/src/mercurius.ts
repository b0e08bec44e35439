import { fastify } from "fastify";
import mercurius from "mercurius";
import { tenantOf } from "./database.ts";
import { loadMessages, makeSchema } from "./schema.ts";
import type { Caller, MessageArguments, SessionRow } from "./schema.ts";
import { settings } from "./settings.ts";

// mercurius as its documentation has it: compiled queries from the first execution on, loaders without a cache of their own.

interface Question {
  readonly obj: SessionRow;
  readonly params: MessageArguments;
}

const server = fastify();
await server.register(mercurius, {
  schema: makeSchema(),
  jit: 1,
  context: async (request): Promise<Caller> => ({ tenantId: await tenantOf(request.headers["x-api-key"]) }),
});
server.graphql.defineLoaders({
  Session: {
    messages: {
      loader: async (questions: Question[], context: Caller) =>
        loadMessages(
          context.tenantId,
          questions.map(({ obj, params }) => ({ sessionId: obj.id, args: params })),
        ),
      opts: { cache: false },
    },
  },
});
await server.listen({ host: "127.0.0.1", port: settings.port });
