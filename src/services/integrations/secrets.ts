import type { Prisma } from "../../context/rows.ts";

// Names of keys and of parameters in addresses whose values nobody is to see, in whatever spelling: the predecessor kept credentials in
// plain text in the metadata, and users' tokens beside them.
const SECRET_NAME =
  /credential|token|passw(or)?d|passphrase|secret|bearer|authorization|cookie|signature|(api|access|private|auth|signing|encryption)[_-]?key|^(auth|key|pass|pwd|pin|otp|jwt|sig)$/i;
const ADDRESS = /^[a-z][a-z0-9+.-]*:\/\//i;

/** JSON with everything left out that is named like a secret, at any depth, and with addresses freed of credentials. */
export function withoutSecrets(value: Prisma.JsonValue): Prisma.JsonValue {
  if (typeof value === "string") return ADDRESS.test(value) ? addressWithoutSecrets(value) : value;
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(([name]) => !SECRET_NAME.test(name));
  return Object.fromEntries(kept.map(([name, inner]) => [name, inner === undefined ? null : withoutSecrets(inner)]));
}

/** An address without user name, password, and what is named like a secret in parameters and fragment; empty when it is no address at all. */
function addressWithoutSecrets(text: string): string {
  if (!URL.canParse(text)) return "";
  const url = new URL(text);
  url.username = "";
  url.password = "";
  const names = [...url.searchParams.keys()].filter((name) => SECRET_NAME.test(name));
  for (const name of names) url.searchParams.delete(name);
  if (SECRET_NAME.test(url.hash)) url.hash = "";
  return url.toString();
}

/** The address of a server without credentials; null when the text is none that HTTP can reach. */
export function serverAddress(text: unknown): string | null {
  if (typeof text !== "string" || !URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) return null;
  return addressWithoutSecrets(text);
}
