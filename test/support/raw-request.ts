import { request } from "node:http";

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** Sends headers exactly as given, repeated ones too, which fetch would join. */
export async function rawPost(
  url: string,
  headers: readonly (readonly [string, string])[],
  body: string,
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const flat = [...headers, ["Content-Length", String(Buffer.byteLength(body))] as const].flat();
    const outgoing = request(url, { method: "POST", headers: ["Host", new URL(url).host, ...flat] }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("end", () =>
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          text: Buffer.concat(chunks).toString(),
        }),
      );
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}
