const ADDRESS_LENGTH_MAX = 255; // as in prisma/models/users.prisma
// As the HTML standard has it for <input type="email">, and GraphQL's scalar: no quotes, commas or line breaks that a mail's head could
// take for more than one address.
const ADDRESS =
  /^[a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/i;

/** Whether mail can be sent to a text at all. What more there is to an address, only a mail can tell. */
export function isMailAddress(text: string): boolean {
  return text.length <= ADDRESS_LENGTH_MAX && ADDRESS.test(text);
}
