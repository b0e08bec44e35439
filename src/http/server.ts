import fastifyApollo, { fastifyApolloDrainPlugin } from "@as-integrations/fastify";
import { fastify } from "fastify";
import type { FastifyRequest } from "fastify";
import type { GraphQLSchema } from "graphql";
import type { AppContext } from "../context/app-context.ts";
import { newRequestId } from "../context/crypto.ts";
import { resolveRequest } from "../context/request.ts";
import { openApollo } from "../resolvers/server.ts";

export interface HttpServer {
  readonly url: string;
  readonly close: () => Promise<void>;
}

export interface HttpOptions {
  readonly host: string;
  readonly port: number;
}

/** The HTTP edge. */
export async function openHttpServer(
  app: AppContext,
  schema: GraphQLSchema,
  options: HttpOptions,
): Promise<HttpServer> {
  const server = fastify({ genReqId: newRequestId });
  const apollo = openApollo(schema);
  apollo.addPlugin(fastifyApolloDrainPlugin(server));
  await apollo.start();
  await server.register(fastifyApollo(apollo), {
    path: "/graphql",
    context: (request: FastifyRequest) =>
      resolveRequest(
        app,
        {
          tenantId: headerValues(request, "x-tenant-id"),
          apiKey: headerValues(request, "x-api-key"),
          authorization: headerValues(request, "authorization"),
        },
        { requestId: request.id, ip: request.ip, log: app.log, clock: app.clock },
      ),
  });
  const address = await server.listen({ host: options.host, port: options.port });
  return { url: address, close: () => server.close() };
}

/** All values of a header, as sent: Node would join or drop the repeated ones. */
function headerValues(request: FastifyRequest, name: string): string[] {
  const raw = request.raw.rawHeaders;
  return raw.flatMap((text, index) => (index % 2 === 0 && text.toLowerCase() === name ? [raw[index + 1] ?? ""] : []));
}
