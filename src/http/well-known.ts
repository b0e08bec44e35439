import type { FastifyInstance } from "fastify";
import type { AppContext } from "../context/app-context.ts";

const KEPT_SECONDS = 300; // half of how long a key is published before it signs: context/tokens.ts

/** The keys by which anybody can verify access tokens of this installation, pages of other origins included: they are no secret. */
export function mountWellKnown(server: FastifyInstance, { accounts }: AppContext): void {
  server.get("/.well-known/jwks.json", async (_request, reply) =>
    reply
      .header("Access-Control-Allow-Origin", "*")
      .header("Cross-Origin-Resource-Policy", "cross-origin")
      .header("Cache-Control", `public, max-age=${KEPT_SECONDS}`)
      .type("application/jwk-set+json")
      .send(JSON.stringify(await accounts.tokens.publicKeys())),
  );
}
