import { createTransport } from "nodemailer";
import { Undeliverable } from "./mailer.ts";
import type { Mailer } from "./mailer.ts";
import { messageOf } from "./message.ts";

const CONNECT_MS = 10_000;
const GREETING_MS = 10_000;
const SILENCE_MS = 15_000; // a server that checks for spam while we wait takes seconds

/**
 * Sends by SMTP. `smtps://` speaks TLS from the start; `smtp://` changes over to it where the server offers that, and
 * `?requireTLS=true` behind the address makes it a condition.
 */
export function openSmtpMailer({ url, from }: { readonly url: string; readonly from: string }): Mailer {
  const transport = createTransport({
    url,
    connectionTimeout: CONNECT_MS,
    dnsTimeout: CONNECT_MS,
    greetingTimeout: GREETING_MS,
    socketTimeout: SILENCE_MS,
  });
  return {
    async send(mail, signal) {
      try {
        await transport.sendMail({ ...messageOf(mail, from), signal });
      } catch (error) {
        if (isRefusedForGood(error)) throw new Undeliverable("the server refused the address", { cause: error });
        throw error;
      }
    },
  };
}

/** RFC 5321 §4.2.1: 5yz is final. About the address alone; a refused sign-in is for the operator to put right. */
function isRefusedForGood(error: unknown): boolean {
  if (!(error instanceof Error) || Reflect.get(error, "code") !== "EENVELOPE") return false;
  const status: unknown = Reflect.get(error, "responseCode");
  return typeof status === "number" && status >= 500;
}
