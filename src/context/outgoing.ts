import ipaddr from "ipaddr.js";
import type { LookupAddress, LookupOptions } from "node:dns";
import type { LookupFunction } from "node:net";
import { Agent, buildConnector, fetch as send } from "undici";
import type { Response as RawResponse } from "undici";
import { openLookUps } from "./look-ups.ts";

const CONNECT_TIMEOUT_MS = 3_000;
const TOTAL_TIMEOUT_MS = 10_000; // a person waits behind most of these calls
const ANSWER_MAX_BYTES = 1_048_576; // metadata, keys and tokens are some kilobytes
const REDIRECTS_MAX = 3;
const REDIRECT_STATUSES = [301, 302, 303, 307, 308];
const STATUSES_WITHOUT_BODY = [204, 205, 304];
/** What may follow a redirect to another origin: nothing in which a credential could be. */
const HARMLESS_HEADERS = ["accept", "accept-language", "user-agent"];

/** Where clouds answer their own machines with credentials; not link-local, unlike most of its kind. */
const METADATA_SERVICES = ["fd00:ec2::254", "100.100.100.200"];
const PRIVATE_RANGES = ["loopback", "private", "uniqueLocal", "carrierGradeNat"];
const NAT64 = ipaddr.IPv6.parseCIDR("64:ff9b::/96"); // RFC 6052: an IPv4 address in its last 32 bits
/** Names for loopback (RFC 6761), which no server outside has to be asked about. */
const OWN_NAMES = /^(.*\.)?localhost\.?$/i;
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR("2000::/3"); // RFC 4291: whatever lies outside is no public host

/** A call to an address that is not allowed, that answered too much, or that led on too often. Its message names no address. */
export class OutgoingRefusal extends Error {
  override readonly name = "OutgoingRefusal";
}

/** What of `fetch`'s options is known here. */
interface OutgoingRequest {
  readonly method?: string | undefined;
  readonly headers?: Headers | Readonly<Record<string, string>> | undefined;
  readonly body?: string | URLSearchParams | Uint8Array | ArrayBuffer | ReadableStream | null | undefined;
  readonly redirect?: "follow" | "manual" | "error" | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Calls to addresses that somebody else named: a tenant, or a document that was fetched from such an address. */
export interface Outgoing {
  /**
   * `fetch` for such addresses. Follows at most three redirects, of GET and HEAD only; to another origin no header goes along that could
   * hold a credential; never from https to http. Time for the connection, the whole answer and its size are limited.
   *
   * @throws OutgoingRefusal for an address that is not allowed, at whichever step; TypeError as `fetch` does where the cause is the network.
   */
  readonly fetch: (address: string | URL, request?: OutgoingRequest) => Promise<Response>;
  /**
   * For connections of other protocols, as an option of `net.connect` and `tls.connect`: the look-up's answer is the address that is
   * connected to, so no second answer can slip in. Sockets do not ask it for literal addresses: `assertAllowed` comes first.
   */
  readonly lookup: LookupFunction;
  /** @throws OutgoingRefusal for a literal address that is not allowed, and for names of this machine where it is not; other names pass, their answers are looked at by `lookup`. */
  readonly assertAllowed: (host: string) => void;
  readonly close: () => Promise<void>;
}

export interface OutgoingOptions {
  /** Whether loopback and private networks may be reached. Link-local addresses and clouds' metadata never may. */
  readonly allowPrivateAddresses: boolean;
  readonly totalTimeoutMs?: number;
  readonly answerMaxBytes?: number;
  /** DNS servers instead of the machine's, as `address:port`, where only public addresses may be reached. */
  readonly dnsServers?: readonly string[];
}

/** Opens a pool of connections of its own, so that what it may reach is decided in one place. */
export function openOutgoing(options: OutgoingOptions): Outgoing {
  const { allowPrivateAddresses, totalTimeoutMs = TOTAL_TIMEOUT_MS, answerMaxBytes = ANSWER_MAX_BYTES } = options;

  const lookUp = openLookUps({ isPrivateAllowed: allowPrivateAddresses, servers: options.dnsServers });

  function assertAllowed(host: string): void {
    if (!allowPrivateAddresses && OWN_NAMES.test(host)) throw new OutgoingRefusal("The name is this machine's own");
    const literal = host.replace(/^\[(.*)\]$/, "$1");
    if (ipaddr.isValid(literal)) assertAddress(literal, allowPrivateAddresses);
  }

  const lookup: LookupFunction = (hostname, wanted, done) => {
    findAllowed(hostname, familyOf(wanted.family)).then(
      ([first, ...others]) => {
        if (wanted.all) done(null, [first, ...others]);
        else done(null, first.address, first.family);
      },
      (error: unknown) => done(asError(error), "", 0),
    );
  };

  async function findAllowed(name: string, family: number): Promise<[LookupAddress, ...LookupAddress[]]> {
    assertAllowed(name);
    const [first, ...others] = await lookUp(name, family);
    if (!first) throw new OutgoingRefusal("The name has no address");
    mustBeAllowed([first, ...others]);
    return [first, ...others];
  }

  /** Of several answers one is not allowed: which of them the socket takes is not ours to say, so all are refused. */
  function mustBeAllowed(found: readonly LookupAddress[]): void {
    for (const { address } of found) assertAddress(address, allowPrivateAddresses);
  }

  const connect = buildConnector({ timeout: CONNECT_TIMEOUT_MS, lookup });
  const agent = new Agent({
    connect(target, done) {
      const problem = problemOf(() => assertAllowed(target.hostname));
      if (problem) done(problem, null);
      else connect(target, checking(done));
    },
    headersTimeout: totalTimeoutMs,
    bodyTimeout: totalTimeoutMs,
  });

  /** Whatever look-ups and literals said: the address that the socket has is where the bytes would go. */
  function checking(done: buildConnector.Callback): buildConnector.Callback {
    return (...answer) => {
      const [, socket] = answer;
      const problem = socket ? problemOf(() => assertAddress(socket.remoteAddress ?? "", allowPrivateAddresses)) : null;
      if (problem) {
        socket?.destroy();
        done(problem, null);
      } else {
        done(...answer);
      }
    };
  }

  async function fetchOnce(address: URL, request: OutgoingRequest, signal: AbortSignal): Promise<RawResponse> {
    if (!/^https?:$/.test(address.protocol)) throw new OutgoingRefusal("Only http and https addresses are called");
    return send(address, {
      ...(request.method !== undefined && { method: request.method }),
      headers: [...new Headers(request.headers)],
      body: await bodyOf(request.body),
      redirect: "manual",
      signal,
      dispatcher: agent,
    }).catch(rethrowRefusal);
  }

  async function fetch(address: string | URL, request: OutgoingRequest = {}): Promise<Response> {
    const limit = AbortSignal.timeout(totalTimeoutMs);
    const signal = request.signal ? AbortSignal.any([limit, request.signal]) : limit;
    const mayBeRepeated = /^(GET|HEAD)$/i.test(request.method ?? "GET");
    let from = new URL(address);
    let current = request;
    for (let redirects = 0; ; redirects += 1) {
      const answer = await fetchOnce(from, current, signal);
      const location = REDIRECT_STATUSES.includes(answer.status) ? answer.headers.get("location") : null;
      if (location === null || request.redirect === "manual") return bounded(answer, answerMaxBytes);
      await answer.body?.cancel();
      if (request.redirect === "error" || !mayBeRepeated || redirects === REDIRECTS_MAX)
        throw new OutgoingRefusal("The answer is a redirect that is not followed");
      const to = new URL(location, from);
      if (from.protocol === "https:" && to.protocol !== "https:")
        throw new OutgoingRefusal("A redirect leads from https to http");
      if (to.origin !== from.origin) current = { ...current, headers: harmless(current.headers) };
      from = to;
    }
  }

  return { fetch, lookup, assertAllowed, close: () => agent.destroy() };
}

function assertAddress(text: string, allowPrivate: boolean): void {
  if (!ipaddr.isValid(text)) throw new OutgoingRefusal("The address is none");
  const address = embeddedIn(ipaddr.process(text));
  const range = address.range();
  const isPublic = range === "unicast" && (address instanceof ipaddr.IPv4 || address.match(GLOBAL_UNICAST));
  const isMetadata = METADATA_SERVICES.some((one) => ipaddr.process(one).toString() === address.toString());
  const isAllowed = isPublic || (allowPrivate && PRIVATE_RANGES.includes(range));
  if (isMetadata || !isAllowed) throw new OutgoingRefusal("The address is not in the public internet");
}

/** The address that a translating network connects to. `ipaddr.process` has done the same for IPv4-mapped ones. */
function embeddedIn(address: ipaddr.IPv4 | ipaddr.IPv6): ipaddr.IPv4 | ipaddr.IPv6 {
  if (address instanceof ipaddr.IPv4 || !address.match(NAT64)) return address;
  return new ipaddr.IPv4(address.toByteArray().slice(-4));
}

/** Read whole where it is a stream: what is sent to such addresses is small, and a stream could not be sent along a connection that is retried. */
async function bodyOf(body: OutgoingRequest["body"]) {
  if (body instanceof ReadableStream) return new Response(body).arrayBuffer();
  return body instanceof Uint8Array ? new Uint8Array(body) : body;
}

function harmless(headers: OutgoingRequest["headers"]): Record<string, string> {
  return Object.fromEntries([...new Headers(headers)].filter(([name]) => HARMLESS_HEADERS.includes(name)));
}

/** The answer in the runtime's own classes, with a body that fails once it is too large, unpacked as it is. */
function bounded(answer: RawResponse, maxBytes: number): Response {
  const { status, statusText, body } = answer;
  const headers = [...answer.headers];
  if (!body || STATUSES_WITHOUT_BODY.includes(status)) return new Response(null, { status, statusText, headers });
  async function* counted(chunks: AsyncIterable<Uint8Array<ArrayBuffer>>): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    let seen = 0;
    for await (const chunk of chunks) {
      seen += chunk.byteLength;
      if (seen > maxBytes) throw new OutgoingRefusal("The answer is too large");
      yield chunk;
    }
  }
  return new Response(ReadableStream.from(counted(body)), { status, statusText, headers });
}

/** `fetch` hides what the connection said behind a TypeError of its own. */
function rethrowRefusal(error: unknown): never {
  if (error instanceof Error && error.cause instanceof OutgoingRefusal) throw error.cause;
  throw error;
}

function problemOf(check: () => void): Error | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return asError(error);
  }
}

function familyOf(wanted: LookupOptions["family"]): number {
  return Number(String(wanted ?? 0).replace("IPv", ""));
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error("unknown");
}
