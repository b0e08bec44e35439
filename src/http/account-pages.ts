import { readFileSync } from "node:fs";
import type { FastifyInstance } from "fastify";

const PAGES = ["sign-in", "forgot", "reset", "welcome", "verify"]; // links in mails lead here: services/mail
const FOLDER = new URL("../../public/account/", import.meta.url); // the same way from src and from dist
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** The pages where people sign in, and where links in mails lead: static files that speak GraphQL like every other client. */
export function mountAccountPages(server: FastifyInstance): void {
  const html = read("account.html");
  const files = [
    { name: "account.js", type: "text/javascript", text: read("account.js") },
    { name: "account.css", type: "text/css", text: read("account.css") },
  ];
  for (const page of PAGES) {
    server.get(`/account/${page}`, (_request, reply) =>
      reply
        .header("Content-Security-Policy", POLICY)
        .header("Cache-Control", "no-store")
        .type("text/html; charset=utf-8")
        .send(html),
    );
  }
  for (const { name, type, text } of files) {
    server.get(`/account/static/${name}`, (_request, reply) =>
      reply.header("Cache-Control", "no-cache").type(`${type}; charset=utf-8`).send(text),
    );
  }
}

function read(name: string): string {
  return readFileSync(new URL(name, FOLDER), "utf8");
}
