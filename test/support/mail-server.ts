import { SMTPServer } from "smtp-server";
import { readMail } from "./mailbox.ts";
import type { ReceivedMail } from "./mailbox.ts";

/** A mail server, and what it was given. */
interface TestMailServer {
  readonly received: ReceivedMail[];
  readonly close: () => Promise<void>;
}

/** A real mail server on this machine. @param refuses an address that nobody has there. */
export async function startMailServer(port: number, refuses?: string): Promise<TestMailServer> {
  const received: ReceivedMail[] = [];
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ["STARTTLS", "AUTH"],
    onRcptTo({ address }, _session, done) {
      done(address === refuses ? Object.assign(new Error("No such user"), { responseCode: 550 }) : null);
    },
    onData(stream, _session, done) {
      const parts: Buffer[] = [];
      stream.on("data", (part: Buffer) => parts.push(part));
      stream.on(
        "end",
        () =>
          void readMail(Buffer.concat(parts))
            .then((mail) => received.push(mail))
            .then(() => done()),
      );
    },
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    received,
    close: async () => {
      await new Promise<void>((resolve) => {
        server.close(resolve);
      });
    },
  };
}
