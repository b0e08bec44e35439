import cookie from "@fastify/cookie";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { AppContext } from "../context/app-context.ts";
import { newSecret, sha256 } from "../context/crypto.ts";
import { AppError } from "../errors.ts";
import * as outsideSignIn from "../services/outside-sign-in.ts";
import { contextAtDoor, exchangeOf } from "./exchange.ts";

const COOKIE_SECONDS = 600; // as long as the state works
const COOKIE_MARK_LENGTH = 16;

/** What an address may carry; a parameter that is given twice is none. */
type Query = Readonly<Record<string, unknown>>;

/**
 * Signing in at an outside provider, by browser: /auth/start sends it there, /auth/callback/<issuer> receives it back. /auth/providers tells a
 * sign-in page what there is to choose from. No header decides anything here: a browser sends none when it follows a link.
 */
export async function mountOutsideSignIn(server: FastifyInstance, app: AppContext): Promise<void> {
  await server.register(async (routes) => {
    // For these routes alone: others have no cookies, and would pay for reading them.
    await routes.register(cookie);
    mountRoutes(routes, app);
  });
}

function mountRoutes(server: FastifyInstance, app: AppContext): void {
  server.get<{ Querystring: Query }>("/auth/providers", async (request, reply) => {
    const providers = await outsideSignIn.providers(contextAtDoor(app, request), text(request.query, "tenant") ?? "");
    return reply.header("Cache-Control", "no-store").send(providers);
  });

  server.get<{ Querystring: Query }>("/auth/start", (request, reply) =>
    orSay(request, reply, async () => {
      const browser = newSecret();
      const { address, state } = await outsideSignIn.start(contextAtDoor(app, request), {
        tenant: text(request.query, "tenant") ?? "",
        provider: text(request.query, "provider") ?? "",
        returnTo: text(request.query, "redirect"),
        browser,
      });
      return reply
        .setCookie(cookieName(app, state), browser, { ...cookieOptions(app), maxAge: COOKIE_SECONDS })
        .redirect(address.href);
    }),
  );

  server.get<{ Querystring: Query; Params: { readonly mark: string } }>("/auth/callback/:mark", (request, reply) =>
    orSay(request, reply, async () => {
      const query = new URLSearchParams(request.raw.url?.split("?")[1] ?? "");
      const name = cookieName(app, query.get("state") ?? "");
      const way = { mark: request.params.mark, query, browser: request.cookies[name] };
      const to = await outsideSignIn.finish(contextAtDoor(app, request), way);
      return reply.clearCookie(name, cookieOptions(app)).redirect(to.href);
    }),
  );
}

function text(query: Query, name: string): string | undefined {
  const value = query[name];
  return typeof value === "string" ? value : undefined;
}

/** One for each sign-in under way, so that two tabs do not spoil each other's. `__Host-` keeps neighbouring sites from planting one. */
function cookieName(app: AppContext, state: string): string {
  const mark = sha256(state).slice(0, COOKIE_MARK_LENGTH);
  return `${isSecure(app) ? "__Host-" : ""}atrium_sign_in_${mark}`;
}

/** Lax: the browser comes back by a link from the provider's site, and a strict cookie would stay away. */
function cookieOptions(app: AppContext) {
  return { path: "/", httpOnly: true, sameSite: "lax", secure: isSecure(app) } as const;
}

function isSecure({ accounts }: AppContext): boolean {
  return accounts.publicUrl().startsWith("https:");
}

/** People read what went wrong on a page, programs in the shape that all errors have. */
async function orSay(
  request: FastifyRequest,
  reply: FastifyReply,
  work: () => Promise<FastifyReply>,
): Promise<FastifyReply> {
  void reply.header("Cache-Control", "no-store").header("Referrer-Policy", "no-referrer");
  try {
    return await work();
  } catch (error) {
    const isForPeople = (request.headers.accept ?? "").includes("text/html");
    if (!(error instanceof AppError) || !isForPeople) throw error;
    exchangeOf(request).codes = [error.code];
    if (error.retryAfterSeconds !== undefined) void reply.header("Retry-After", String(error.retryAfterSeconds));
    const message = error.fields?.map((field) => field.message).join("; ") ?? error.message;
    return reply.code(error.status).type("text/html; charset=utf-8").send(pageOf(message));
  }
}

function pageOf(message: string): string {
  const safe = message.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const head = `<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Signing in</title>`;
  return `<!doctype html><html lang="en"><head>${head}</head><body><h1>You are not signed in</h1><p>${safe}</p></body></html>\n`;
}
