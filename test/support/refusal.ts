import { z } from "zod";

const refusalBody = z.object({
  errors: z.array(
    z.object({ message: z.string(), extensions: z.object({ code: z.string(), requestId: z.string() }).loose() }),
  ),
});

export interface Refusal {
  readonly status: number;
  readonly message: string;
  readonly code: string;
  readonly requestId: string;
  readonly extensions: Readonly<Record<string, unknown>>;
}

/** The first error of an answer, in the one shape that all of them must have, whoever gave it. */
export async function refusalOf(response: Response): Promise<Refusal> {
  const [error] = refusalBody.parse(await response.json()).errors;
  if (!error) throw new Error("an answer with an empty list of errors");
  const { code, requestId } = error.extensions;
  return { status: response.status, message: error.message, code, requestId, extensions: error.extensions };
}
