import type { AppContext } from "../context/app-context.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import * as tenants from "../services/tenants.ts";
import { readWords, UsageError } from "./command.ts";
import { actForPlatform } from "./operator.ts";

const USAGE =
  "atrium tenant create <name> [--schema-name <name>] [--plan free|pro|enterprise] [--owner-email <address>] | list [--search <text>] | suspend <id> | resume <id>";
const PAGE_SIZE = 100;

const OPTIONS = {
  "schema-name": { type: "string" },
  plan: { type: "string" },
  "owner-email": { type: "string" },
  search: { type: "string" },
} as const;
type Options = ReturnType<typeof readWords<typeof OPTIONS>>["options"];
type Print = (line: string) => void;
type TenantRow = ReturnType<typeof tenants.own>;

/**
 * `atrium tenant …`: the operator's work on tenants without GraphQL.
 *
 * @returns the exit code.
 * @throws UsageError when the words are not understood; AppError when the work is refused.
 */
export async function runTenantCommand(args: readonly string[], app: AppContext, print: Print): Promise<number> {
  const [action = "", ...rest] = args;
  const { subject, options } = readWords(rest, OPTIONS, USAGE);
  const ctx = actForPlatform(app);
  switch (action) {
    case "create":
      return create(ctx, required(subject), options, print);
    case "list":
      if (subject !== undefined) throw new UsageError(USAGE);
      return list(ctx, options.search, print);
    case "suspend":
      return setActive(ctx, required(subject), false, print);
    case "resume":
      return setActive(ctx, required(subject), true, print);
    default:
      throw new UsageError(USAGE);
  }
}

function required(subject: string | undefined): string {
  if (subject === undefined) throw new UsageError(USAGE);
  return subject;
}

async function create(ctx: TenantContext, name: string, options: Options, print: Print): Promise<number> {
  const wanted = options.plan?.toLowerCase() ?? tenants.PLANS.FREE;
  const plan = Object.values(tenants.PLANS).find((known) => known === wanted);
  if (plan === undefined) throw new UsageError(`There is no plan ${wanted}. ${USAGE}`);
  const { tenant, apiKey } = await tenants.create(ctx, {
    name,
    schemaName: options["schema-name"],
    plan,
    isolation: tenants.ISOLATION_MODES.SHARED,
    ownerEmail: options["owner-email"],
  });
  print(`Made ${tenant.name}, id ${tenant.id}, schema name ${tenant.schemaName}.`);
  print("Its first API key may do everything in it, and is shown this once:");
  print(apiKey);
  return 0;
}

async function list(ctx: TenantContext, search: string | undefined, print: Print): Promise<number> {
  let after: string | null = null;
  for (;;) {
    const page: Awaited<ReturnType<typeof tenants.list>> = await tenants.list(
      ctx,
      { first: PAGE_SIZE, after },
      { search },
    );
    for (const tenant of page.nodes) print(describe(tenant));
    if (!page.pageInfo.hasNextPage) return 0;
    after = page.pageInfo.endCursor;
  }
}

/** One line, in columns that stay where they are: id, state, plan, schema name, name. */
function describe(tenant: TenantRow): string {
  const state = tenant.active ? "active" : "suspended";
  return [tenant.id, state.padEnd(9), tenants.planOf(tenant).padEnd(10), tenant.schemaName, tenant.name].join("  ");
}

async function setActive(ctx: TenantContext, id: string, active: boolean, print: Print): Promise<number> {
  const tenant = await tenants.update(ctx, id.toLowerCase(), { active });
  print(`${tenant.name} is ${tenant.active ? "active" : "suspended"}.`);
  return 0;
}
