import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { simpleParser } from "mailparser";

const PATIENCE_MS = 10_000; // mail goes out within milliseconds; a busy machine is no failure
const TOKEN = /^atr_m_\S+$/m;

/** A mail as its reader sees it. */
export interface ReceivedMail {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  readonly html: string;
  /** The token that stands alone on a line; empty in mail that carries none. */
  readonly token: string;
}

/** What the gateway has sent, where it writes mail into files. */
export interface Mailbox {
  readonly folder: string;
  /** Everything so far, oldest first. */
  readonly all: () => Promise<readonly ReceivedMail[]>;
  /** The newest mail to an address, once there are `count` of them. */
  readonly to: (address: string, count?: number) => Promise<ReceivedMail>;
}

/** Reads the outbox of a gateway by its data folder. */
export function mailboxIn(dataDir: string): Mailbox {
  const folder = path.join(dataDir, "outbox");

  async function all(): Promise<readonly ReceivedMail[]> {
    const files = (existsSync(folder) ? readdirSync(folder) : []).filter((name) => name.endsWith(".eml"));
    return Promise.all(files.toSorted().map((name) => readMail(readFileSync(path.join(folder, name)))));
  }

  return {
    folder,
    all,
    async to(address, count = 1) {
      const deadline = performance.now() + PATIENCE_MS;
      for (;;) {
        const theirs = (await all()).filter((mail) => mail.to === address);
        const newest = theirs.at(-1);
        if (newest && theirs.length >= count) return newest;
        if (performance.now() > deadline) throw new Error(`${theirs.length} mails to ${address} arrived, not ${count}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
  };
}

/** Opens a mail as a mail reader does. */
export async function readMail(content: Buffer): Promise<ReceivedMail> {
  const parsed = await simpleParser(content);
  const recipients = [parsed.to ?? []].flat().flatMap(({ value }) => value.map(({ address }) => address));
  const text = parsed.text ?? "";
  return {
    to: recipients.join(", "),
    subject: parsed.subject ?? "",
    text,
    html: parsed.html || "",
    token: TOKEN.exec(text)?.[0] ?? "",
  };
}
