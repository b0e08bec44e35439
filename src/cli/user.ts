import type { AppContext } from "../context/app-context.ts";
import * as users from "../services/users.ts";
import type { UserRole } from "../services/users.ts";
import { readWords, UsageError } from "./command.ts";
import { actForTenant } from "./operator.ts";

const USAGE =
  "atrium user create <e-mail address> --tenant <id> [--name <name>] [--role owner|admin|user|viewer] [--invite] [--password-stdin]";
const INPUT_BYTES_MAX = 10_000; // more than any password has: a wrong file is refused instead of read to its end

const OPTIONS = {
  tenant: { type: "string" },
  name: { type: "string" },
  role: { type: "string" },
  invite: { type: "boolean" },
  "password-stdin": { type: "boolean" },
} as const;
type Print = (line: string) => void;
/** Where a password comes from: never from the arguments, which every user of the machine can read. */
type Input = AsyncIterable<Buffer | string>;

/**
 * `atrium user …`: people of a tenant without GraphQL.
 *
 * @returns the exit code.
 * @throws UsageError when the words are not understood; AppError when the work is refused.
 */
export async function runUserCommand(
  args: readonly string[],
  app: AppContext,
  print: Print,
  input: Input = process.stdin,
): Promise<number> {
  const [action, ...rest] = args;
  const { subject, options } = readWords(rest, OPTIONS, USAGE);
  if (action !== "create" || subject === undefined || options.tenant === undefined) throw new UsageError(USAGE);
  const role = roleIn(options.role);
  const ctx = await actForTenant(app, options.tenant);
  const isInvited = options.invite === true;
  const password = options["password-stdin"] === true ? await firstLine(input) : undefined;
  const { name } = options;
  const user = await users.create(ctx, { email: subject, name, role, password, sendInvitation: isInvited });
  print(`Added ${user.email}, id ${user.id}, ${users.roleOf(user)} of ${ctx.tenant.name}.`);
  if (isInvited) print("The invitation goes out within a minute of a running gateway.");
  else if (password === undefined) print("There is no password yet: --invite or --password-stdin gives a way in.");
  return 0;
}

function roleIn(word = "user"): UserRole {
  const role = Object.values(users.USER_ROLES).find((known) => known === word.toLowerCase());
  if (role === undefined) throw new UsageError(`There is no role ${word}. ${USAGE}`);
  return role;
}

async function firstLine(input: Input): Promise<string> {
  let bytes = Buffer.alloc(0);
  for await (const part of input) {
    bytes = Buffer.concat([bytes, typeof part === "string" ? Buffer.from(part) : part]);
    if (bytes.includes("\n") || bytes.length > INPUT_BYTES_MAX) break;
  }
  const [line = ""] = bytes.toString().split(/\r?\n/);
  if (line === "" || bytes.length > INPUT_BYTES_MAX)
    throw new UsageError(`There is no password on standard input. ${USAGE}`);
  return line;
}
