import type { TokenPurpose } from "../one-time-tokens.ts";

/** What mail there is: the token that it carries, if any, and the page where the token is taken. */
export const MAIL_KINDS = {
  invitation: { purpose: "invitation", page: "welcome" },
  verification: { purpose: "verification", page: "verify" },
  password_reset: { purpose: "reset", page: "reset" },
  password_changed: { purpose: null, page: null },
  email_changed: { purpose: null, page: null },
} as const satisfies Record<string, { purpose: TokenPurpose | null; page: string | null }>;
export type MailKind = keyof typeof MAIL_KINDS;

export function isMailKind(word: string): word is MailKind {
  return Object.hasOwn(MAIL_KINDS, word);
}

/** What a letter is about. */
export interface Occasion {
  /** What the person is called; null when nobody knows. */
  readonly name: string | null;
  readonly tenantName: string;
  /** Empty for the kinds that carry no token. */
  readonly token: string;
  /** Where browsers reach the gateway, without a slash at the end. */
  readonly publicUrl: string;
}

/** What stands in a mail, twice: for readers of plain text, and for those that show HTML. */
export interface Letter {
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

interface Words {
  readonly subject: string;
  readonly opening: string;
  /** What the link does; none for mail that only tells something. */
  readonly action?: string;
  readonly closing: string;
}

const NAME_LENGTH_MAX = 80; // what comes from people must not fill the mail with text of their own
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu;
const LINKISH = /[<>"]|:\/\//g;
const DOT_IN_WORD = /\.(?=\S)/g; // "evil.example" is made a link by many mail readers

/** Writes a letter. Names are data of people: they end up in one line, shortened, escaped, and without links. */
export function write(kind: MailKind, occasion: Occasion): Letter {
  const words = wordsOf(kind, tame(occasion.tenantName));
  const name = tame((occasion.name ?? "").replaceAll(DOT_IN_WORD, ". "));
  const greeting = name === "" ? "Hello," : `Hello ${name},`;
  const { page } = MAIL_KINDS[kind];
  // The token is behind the #: browsers send that part to nobody, so that no log and no proxy holds it.
  const link = page === null ? undefined : `${occasion.publicUrl}/account/${page}#token=${occasion.token}`;
  const paragraphs = [greeting, words.opening];
  const text = [...paragraphs, ...(link === undefined ? [] : linkAsText(words, link, occasion.token)), words.closing];
  const html = [
    ...paragraphs.map(paragraph),
    ...(link === undefined ? [] : linkAsHtml(words, link, occasion.token)),
    paragraph(words.closing),
  ];
  return {
    subject: words.subject,
    text: `${text.join("\n\n")}\n`,
    html: `<!doctype html>\n<html lang="en"><body>\n${html.join("\n")}\n</body></html>\n`,
  };
}

function wordsOf(kind: MailKind, tenant: string): Words {
  switch (kind) {
    case "invitation":
      return {
        subject: `Invitation to ${tenant}`,
        opening: `you are invited to ${tenant}. Choose a password, and you are in.`,
        action: "Choose a password",
        closing:
          "The link works once, for seven days. If you did not expect this mail, nothing happens unless you use it.",
      };
    case "verification":
      return {
        subject: `Confirm your e-mail address for ${tenant}`,
        opening: `please confirm that this is your e-mail address at ${tenant}.`,
        action: "Confirm the address",
        closing: "The link works once, for a day. If this is not about you, nothing happens unless you use it.",
      };
    case "password_reset":
      return {
        subject: `A new password for ${tenant}`,
        opening: `somebody, probably you, asked for a new password at ${tenant}.`,
        action: "Choose a new password",
        closing: "The link works once, for an hour. If it was not you, nothing happens unless you use it.",
      };
    case "password_changed":
      return {
        subject: `Your password for ${tenant} was changed`,
        opening: `your password at ${tenant} was changed, and your other devices were signed out.`,
        closing: "If it was not you, ask for a new password at once, and tell an administrator.",
      };
    case "email_changed":
      return {
        subject: `Your e-mail address for ${tenant} was changed`,
        opening: `you are known at ${tenant} by another e-mail address from now on; this one no longer belongs to your account.`,
        closing: "If you did not expect this, tell an administrator.",
      };
  }
}

function linkAsText({ action = "" }: Words, link: string, token: string): string[] {
  return [`${action}:\n${link}`, `Where a code is asked for, it is this:\n${token}`];
}

function linkAsHtml({ action = "" }: Words, link: string, token: string): string[] {
  return [
    `<p><a href="${escape(link)}">${escape(action)}</a></p>`,
    `<p>Where a code is asked for, it is this:<br><code>${escape(token)}</code></p>`,
  ];
}

function paragraph(text: string): string {
  return `<p>${escape(text)}</p>`;
}

/** A name as it may stand in a mail: one line, of a bounded length, with nothing in it that a mail reader would turn into a link. */
function tame(name: string): string {
  const line = name.replaceAll(UNPRINTABLE, " ").replaceAll(LINKISH, " ").replaceAll(/\s+/g, " ").trim();
  const characters = Array.from(line);
  return characters.length <= NAME_LENGTH_MAX ? line : `${characters.slice(0, NAME_LENGTH_MAX - 1).join("")}…`;
}

function escape(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}
