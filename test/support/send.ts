/** What came back for one operation. */
export interface Answer<Data = Record<string, unknown>> {
  readonly status: number;
  readonly headers: Headers;
  readonly data: Data | null | undefined;
  readonly errors:
    | readonly {
        readonly message: string;
        readonly path?: readonly (string | number)[];
        readonly extensions: Record<string, unknown>;
      }[]
    | undefined;
  readonly extensions: Record<string, unknown> | undefined;
  /** The body with every request id taken out: what must be equal, byte for byte, where two answers must not differ. */
  readonly comparable: string;
}

/** An operation as text, with the types of its result and variables. */
interface TypedDocument<Data, Variables> {
  toString(): string;
  __apiType?: (variables: Variables) => Data;
}

export interface Sender {
  /** Sends an operation and never throws for GraphQL errors. */
  <Data = Record<string, unknown>, Variables = Record<string, unknown>>(
    document: TypedDocument<Data, Variables> | string,
    variables?: Variables,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Answer<Data>>;
}

/** A client of the gateway under some headers. */
export function sendTo(url: string, identity: Readonly<Record<string, string>>): Sender {
  return async (document, variables, headers = {}) => {
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...identity, ...headers },
      body: JSON.stringify({ query: String(document), variables }),
    });
    const text = await response.text();
    // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- a test says what it expects, and fails when it gets something else
    const body = JSON.parse(text) as Pick<Answer<never>, "data" | "errors" | "extensions">;
    const comparable = `${response.status} ${text.replaceAll(/"requestId":"[^"]*"/g, '"requestId":""')}`;
    return {
      status: response.status,
      headers: response.headers,
      data: body.data,
      errors: body.errors,
      extensions: body.extensions,
      comparable,
    };
  };
}

/** The codes of an answer's errors, in order; empty when there are none. */
export function codesOf(answer: Answer<unknown>): unknown[] {
  return (answer.errors ?? []).map((error) => error.extensions["code"]);
}

/** The data of an answer that must have no errors. */
export function dataOf<Data>(answer: Answer<Data>): Data {
  if (answer.errors || answer.data == null) throw new Error(`expected data, got ${JSON.stringify(answer.errors)}`);
  return answer.data;
}
