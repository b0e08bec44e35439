import { connect, createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { z } from "zod";

/** The way from the gateway to the database, which can be cut and mended: makes "away" as long as the test looks at it. */
export interface Line {
  readonly through: (url: string) => string;
  readonly cut: () => Promise<void>;
  readonly mend: () => Promise<void>;
}

/** Opens a way to a port of this machine. */
export async function openLine(target: number): Promise<Line> {
  const sockets = new Set<Socket>();
  const join = (from: Socket): void => {
    const to = connect(target, "127.0.0.1");
    for (const [one, other] of [
      [from, to],
      [to, from],
    ] as const) {
      sockets.add(one);
      one.on("error", () => undefined);
      one.on("close", () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  };
  const server: Server = createServer(join);
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  await listen(0);
  const address = z.object({ port: z.number() }).parse(server.address());
  return {
    through(url) {
      const changed = new URL(url);
      changed.port = String(address.port);
      return changed.toString();
    },
    cut() {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      return closed;
    },
    mend: () => listen(address.port),
  };
}
