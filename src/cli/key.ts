import type { AppContext } from "../context/app-context.ts";
import { ALL_SCOPES } from "../context/permissions.ts";
import type { Scope } from "../context/permissions.ts";
import { notFound } from "../errors.ts";
import * as apiKeys from "../services/api-keys.ts";
import { isId } from "../services/checks.ts";
import { readWords, UsageError } from "./command.ts";
import { actForTenant } from "./operator.ts";

const USAGE =
  "atrium key create --tenant <id> --scopes all|<scope>,… [--name <name>] [--expires-in-days <days>] | revoke <key id> --tenant <id>";

const OPTIONS = {
  tenant: { type: "string" },
  name: { type: "string" },
  scopes: { type: "string" },
  "expires-in-days": { type: "string" },
} as const;
type Options = ReturnType<typeof readWords<typeof OPTIONS>>["options"];
type Print = (line: string) => void;

/**
 * `atrium key …`: keys of a tenant without GraphQL.
 *
 * @returns the exit code.
 * @throws UsageError when the words are not understood; AppError when the work is refused.
 */
export async function runKeyCommand(args: readonly string[], app: AppContext, print: Print): Promise<number> {
  const [action = "", ...rest] = args;
  const { subject, options } = readWords(rest, OPTIONS, USAGE);
  switch (action) {
    case "create":
      if (subject !== undefined) throw new UsageError(USAGE);
      return create(app, options, print);
    case "revoke":
      return revoke(app, required(subject), options, print);
    default:
      throw new UsageError(USAGE);
  }
}

function required(value: string | undefined): string {
  if (value === undefined) throw new UsageError(USAGE);
  return value;
}

async function create(app: AppContext, options: Options, print: Print): Promise<number> {
  // No scope by default: a key that may do everything should be somebody's decision.
  const scopes = scopesIn(required(options.scopes));
  const days = options["expires-in-days"];
  if (days !== undefined && !/^\d+$/.test(days)) throw new UsageError(`${days} is not a number of days. ${USAGE}`);
  const ctx = await actForTenant(app, required(options.tenant));
  const { apiKey, key } = await apiKeys.create(ctx, {
    name: options.name,
    scopes,
    expiresInDays: days === undefined ? undefined : Number(days),
  });
  print(`Made key ${apiKey.id} of ${ctx.tenant.name}, ${expiryOf(apiKey.expiresAt)}. Its text is shown this once:`);
  print(key);
  return 0;
}

async function revoke(app: AppContext, id: string, options: Options, print: Print): Promise<number> {
  const ctx = await actForTenant(app, required(options.tenant));
  if (!isId(id)) throw notFound("API key");
  await apiKeys.revoke(ctx, id.toLowerCase());
  print(`Key ${id} of ${ctx.tenant.name} is revoked.`);
  return 0;
}

function scopesIn(text: string): Scope[] {
  if (text.toLowerCase() === "all") return [...ALL_SCOPES];
  return text.split(",").map((word) => {
    const scope = ALL_SCOPES.find((known) => known === word.trim().toLowerCase());
    if (scope === undefined) {
      throw new UsageError(`There is no scope ${word}; there are ${ALL_SCOPES.join(", ")}.\n${USAGE}`);
    }
    return scope;
  });
}

function expiryOf(expiresAt: Date | null): string {
  return expiresAt === null ? "which does not expire" : `which expires ${expiresAt.toISOString()}`;
}
