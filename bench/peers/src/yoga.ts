import { createServer } from "node:http";
import { useGraphQlJit } from "@envelop/graphql-jit";
import DataLoader from "dataloader";
import { createYoga } from "graphql-yoga";
import { tenantOf } from "./database.ts";
import { loadMessages, makeSchema } from "./schema.ts";
import type { Caller, MessageArguments, MessagePage } from "./schema.ts";
import { settings } from "./settings.ts";

// GraphQL Yoga with compiled queries and a DataLoader, on Node's own HTTP server.

interface Question {
  readonly sessionId: string;
  readonly args: MessageArguments;
}

interface Context extends Caller {
  readonly messages: DataLoader<Question, MessagePage>;
}

const yoga = createYoga<object, Context>({
  schema: makeSchema<Context>((session, args, { messages }) => messages.load({ sessionId: session.id, args })),
  async context({ request }) {
    const tenantId = await tenantOf(request.headers.get("x-api-key") ?? undefined);
    return {
      tenantId,
      messages: new DataLoader((questions) => loadMessages(tenantId, questions), { cache: false }),
    };
  },
  plugins: [useGraphQlJit()],
  graphiql: false,
  landingPage: false,
  logging: false,
});
createServer((request, response) => void yoga(request, response)).listen(settings.port, "127.0.0.1");
