import ipaddr from "ipaddr.js";

const NETWORK_BYTES = 8; // of 16: what a provider gives to one customer at least (RFC 6177)

/** What a caller cannot change at will: an address of version 4, and the first half of one of version 6, of which everybody has 2^64. */
export function networkOf(ip: string | undefined): string {
  if (ip === undefined || !ipaddr.isValid(ip)) return "unknown";
  const address = ipaddr.process(ip);
  if (address.kind() === "ipv4") return address.toString();
  return `${address.toByteArray().slice(0, NETWORK_BYTES).join(".")}/64`;
}
