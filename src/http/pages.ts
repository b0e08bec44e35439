import type { FastifyInstance, FastifyRequest } from "fastify";
import { createHash } from "node:crypto";
import { ruruHTML } from "ruru/server";
import { getStaticFile } from "ruru/static";
import type { Config } from "../config.ts";
import type { AppContext } from "../context/app-context.ts";
import { AppError } from "../errors.ts";
import { resolve } from "./exchange.ts";
import { isFromHere } from "./health.ts";

const STATIC_PATH = "/playground/static/";
const OWN_NAME = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/i;
const FIRST_QUERY = `# The tenant comes with the key in the request headers below.
query FirstLook {
  tenantContext {
    source
    tenant {
      name
    }
  }
  sessions(first: 3) {
    totalCount
    nodes {
      name
      messages(last: 2) {
        nodes {
          role
          content
        }
      }
    }
  }
}
`;

export interface PageParts {
  readonly app: AppContext;
  readonly introspection: Config["introspection"];
  readonly schemaText: string;
  /** A key of a sample tenant, filled in for somebody at this machine. Only a local start has one. */
  readonly sampleKey?: string | undefined;
}

/** The explorer at /playground, wholly from this process, and the schema as text at /schema.graphql. */
export function mountPages(server: FastifyInstance, parts: PageParts): void {
  const withKey = page(parts.sampleKey);
  const withoutKey = page(undefined);

  server.get("/playground", async (request, reply) => {
    const { html, policy } = isFromHere(request) && isOwnName(request.headers.host) ? withKey : withoutKey;
    return reply
      .header("Content-Security-Policy", policy)
      .header("Cache-Control", "no-store")
      .type("text/html; charset=utf-8")
      .send(html);
  });

  server.get(`${STATIC_PATH}*`, async (request, reply) => {
    const file = await getStaticFile({
      staticPath: STATIC_PATH,
      urlPath: request.url.split("?")[0] ?? "",
      acceptEncoding: request.headers["accept-encoding"],
      disallowDevAssets: true,
    });
    if (!file) throw new AppError("NOT_FOUND", "There is nothing at this address");
    return reply.headers(file.headers).send(file.content);
  });

  server.get("/schema.graphql", async (request, reply) => {
    await mustSeeSchema(parts, request);
    return reply.type("text/plain; charset=utf-8").header("Cache-Control", "private, no-store").send(parts.schemaText);
  });
}

/** Whether a browser knows this machine by a name of its own: any other name may be of a page that had it point here, and would read the key. */
function isOwnName(host: string | undefined): boolean {
  return host !== undefined && OWN_NAME.test(host);
}

/** Whoever may introspect may read it. @throws NOT_FOUND where nobody may; UNAUTHENTICATED without a credential. */
async function mustSeeSchema({ app, introspection }: PageParts, request: FastifyRequest): Promise<void> {
  if (introspection === "off") throw new AppError("NOT_FOUND", "There is nothing at this address");
  if (introspection === "on") return;
  const { actor } = await resolve(app, request);
  if (actor.kind === "anonymous") throw new AppError("UNAUTHENTICATED", "A credential is required");
}

/** The page, and the policy under which a browser runs this very page and nothing else. */
function page(sampleKey: string | undefined): { readonly html: string; readonly policy: string } {
  const settings = {
    defaultQuery: FIRST_QUERY,
    ...(sampleKey !== undefined && { defaultHeaders: JSON.stringify({ "X-API-Key": sampleKey }, null, 2) }),
  };
  // In a script, "<" could begin a tag that ends it.
  const text = JSON.stringify(settings).replaceAll("<", "\\u003c");
  const html = ruruHTML({
    staticPath: STATIC_PATH,
    endpoint: "/graphql",
    htmlParts: {
      // Without an icon of its own, a browser asks for one that is not there.
      titleTag: `<title>Atrium playground</title><link rel="icon" href="data:," />`,
      configScript: (own) => `${own}<script>Object.assign(RURU_CONFIG, ${text});</script>`,
    },
  });
  const inline = [...html.matchAll(/<script(?: type="module")?>([^]*?)<\/script>/g)].map(([, text = ""]) =>
    hashOf(text),
  );
  const policy = [
    "default-src 'none'",
    `script-src 'self' ${inline.join(" ")}`,
    // Its editor makes style elements and attributes while it runs.
    "style-src 'self' 'unsafe-inline'",
    "connect-src 'self'",
    "font-src 'self' data:",
    "img-src 'self' data:",
    "worker-src 'self' blob:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  return { html, policy: policy.join("; ") };
}

function hashOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}
