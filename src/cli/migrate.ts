import { joinDatabase, throwAwayDatabase } from "../embedded/database.ts";
import { check, deploy, draft, resolve, status } from "../migrate/migrate.ts";
import type { CommandContext } from "./command.ts";
import { roleOf, UsageError } from "./command.ts";

const USAGE = "atrium migrate deploy | status | draft <name> | check | resolve <step> applied|rolled-back";

const STATES = ["pending", "failed", "edited", "unknown"] as const;

/** `atrium migrate …`: Prisma Migrate's own engine, without its download. */
export async function runMigrate(args: readonly string[], { config, print }: CommandContext): Promise<number> {
  const [action = "", name, outcome] = args;
  switch (action) {
    case "deploy":
      return usingDatabase(async (database) => {
        const applied = await deploy(database.ownerUrl, {
          gatewayRole: roleOf(database.gatewayUrl),
          onProgress: print,
        });
        print(applied.length === 0 ? "Nothing to apply: the database is current." : `Applied ${applied.length} steps.`);
        return 0;
      });
    case "status":
      return usingDatabase(async (database) => {
        const found = await status(database.ownerUrl);
        const lines = STATES.flatMap((state) => found[state].map((step) => `${state.padEnd(8)} ${step}`));
        for (const line of lines) print(line);
        if (lines.length === 0) print("The database is current.");
        return lines.length === 0 ? 0 : 1;
      });
    case "resolve":
      if (name === undefined || (outcome !== "applied" && outcome !== "rolled-back")) throw new UsageError(USAGE);
      return usingDatabase(async (database) => {
        await resolve(database.ownerUrl, name, outcome);
        print(`${name} counts as ${outcome}.`);
        return 0;
      });
    case "check":
      return replaying(async (ownerUrl) => {
        const differences = await check(ownerUrl);
        for (const line of differences) print(line);
        print(
          differences.length === 0
            ? "Models and migrations agree."
            : "Models and migrations disagree: what is missing stands above.",
        );
        return differences.length === 0 ? 0 : 1;
      });
    case "draft":
      if (name === undefined) throw new UsageError(USAGE);
      return replaying(async (ownerUrl) => {
        const folder = await draft(ownerUrl, name);
        print(
          folder === undefined
            ? "Nothing to do: models and migrations agree."
            : `Wrote ${folder}. Read it before you apply it.`,
        );
        return 0;
      });
    default:
      throw new UsageError(USAGE);
  }

  async function usingDatabase(
    work: (database: { gatewayUrl: string; ownerUrl: string }) => Promise<number>,
  ): Promise<number> {
    const database = await joinDatabase(config, print);
    try {
      return await work(database);
    } finally {
      await database.close();
    }
  }

  /** Check and draft look at no data, only at what the steps make: any PostgreSQL will do. */
  async function replaying(work: (ownerUrl: string) => Promise<number>): Promise<number> {
    if (config.database) return work(config.database.ownerUrl);
    const database = await throwAwayDatabase(print);
    try {
      return await work(database.ownerUrl);
    } finally {
      await database.close();
    }
  }
}
