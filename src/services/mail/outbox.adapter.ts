import { mkdir, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { createTransport } from "nodemailer";
import { newRequestId } from "../../context/crypto.ts";
import type { Mailer } from "./mailer.ts";
import { messageOf } from "./message.ts";

const OWNER_ONLY = 0o600; // the mails hold tokens
const OWNER_ONLY_FOLDER = 0o700;

/**
 * Writes each mail into a file that any mail reader opens, for installations without a mail server. Names sort by time; a file appears
 * whole or not at all.
 */
export function openOutbox(options: {
  readonly folder: string;
  readonly from: string;
  readonly now: () => Date;
}): Mailer {
  const transport = createTransport({ streamTransport: true, buffer: true, newline: "windows" });
  let written = 0; // keeps the order of mails of one millisecond
  return {
    async send(mail) {
      const date = options.now();
      const { message } = await transport.sendMail({ ...messageOf(mail, options.from), date });
      written += 1;
      const time = date.toISOString().replaceAll(/[-:.]/g, "");
      const order = String(written).padStart(6, "0");
      const file = path.join(options.folder, `${time}-${order}-${newRequestId()}.eml`);
      await mkdir(options.folder, { recursive: true, mode: OWNER_ONLY_FOLDER });
      await writeFile(`${file}.part`, message, { mode: OWNER_ONLY, flag: "wx" });
      await rename(`${file}.part`, file);
    },
  };
}
