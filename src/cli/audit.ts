import { readFile, rename, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import type { AppContext } from "../context/app-context.ts";
import { verifyChain } from "../context/audit-chain.ts";
import type { ChainHead } from "../context/audit-chain.ts";
import * as tenants from "../services/tenants.ts";
import { UsageError } from "./command.ts";
import { actForPlatform, actForTenant } from "./operator.ts";

const USAGE = "atrium audit verify [--tenant <id>] [--anchor <file>] [--write-anchor <file>]";
const PAGE_SIZE = 100;
const LINE_SHOWN_MAX = 80;
const PROBLEMS_SHOWN_MAX = 100; // of one tenant; whoever rewrote a trail of a million events made a million
const ANCHOR_LINE = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) (\d+) ([0-9a-f]{64})$/;
const ANCHOR_HEAD =
  "# Ends of audit trails: tenant, events, hash of the last one. Keep it where nobody who has the database can write.";

type Print = (line: string) => void;

/**
 * `atrium audit verify`: computes the chains of audit trails again, and prints a line for each tenant (how many events, the hash of the
 * last one) and one for each problem.
 *
 * @returns the exit code: 0 when nothing was changed, removed or inserted, 1 otherwise.
 * @throws UsageError when the words are not understood; an error when the anchor cannot be read.
 */
export async function runAuditCommand(args: readonly string[], app: AppContext, print: Print): Promise<number> {
  const [action, ...rest] = args;
  if (action !== "verify") throw new UsageError(USAGE);
  const { tenant, anchor, "write-anchor": target } = parse(rest);
  if (tenant !== undefined && target !== undefined)
    throw new UsageError(`An anchor is written of all tenants. ${USAGE}`);
  const anchors = anchor === undefined ? new Map<string, ChainHead>() : await readAnchors(anchor);
  const ids = tenant === undefined ? allTenants(app) : [(await actForTenant(app, tenant)).tenant.id];

  const heads = new Map<string, ChainHead>();
  let broken = 0;
  for await (const id of ids) {
    const { head, problems } = await verify(app, id, anchors.get(id), print);
    heads.set(id, head);
    if (problems > 0) broken += 1;
  }
  const gone = tenant === undefined ? [...anchors.keys()].filter((id) => !heads.has(id)) : [];
  for (const id of gone) print(`${id}  BROKEN  the tenant was there when it was anchored, and is gone`);

  print("");
  if (broken + gone.length > 0) {
    const kept = target === undefined ? "" : " No anchor was written.";
    print(`${broken + gone.length} of ${heads.size + gone.length} audit trails are not as they were written.${kept}`);
    return 1;
  }
  if (target !== undefined) await writeAnchors(target, heads);
  print(`${heads.size} ${heads.size === 1 ? "audit trail is" : "audit trails are"} as written.`);
  return 0;
}

interface Options {
  readonly tenant?: string | undefined;
  readonly anchor?: string | undefined;
  readonly "write-anchor"?: string | undefined;
}

function parse(args: readonly string[]): Options {
  try {
    const options = {
      tenant: { type: "string" },
      anchor: { type: "string" },
      "write-anchor": { type: "string" },
    } as const;
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : "Not understood"}\n${USAGE}`);
  }
}

/** Every tenant, suspended ones too. */
async function* allTenants(app: AppContext): AsyncGenerator<string> {
  const ctx = actForPlatform(app);
  let after: string | null = null;
  for (;;) {
    const page: Awaited<ReturnType<typeof tenants.list>> = await tenants.list(ctx, { first: PAGE_SIZE, after }, {});
    for (const { id } of page.nodes) yield id;
    if (!page.pageInfo.hasNextPage) return;
    after = page.pageInfo.endCursor;
  }
}

async function verify(
  { pool }: Pick<AppContext, "pool">,
  id: string,
  anchor: ChainHead | undefined,
  print: Print,
): Promise<{ readonly head: ChainHead; readonly problems: number }> {
  let problems = 0;
  const head = await verifyChain(pool, id, anchor, (problem) => {
    problems += 1;
    if (problems <= PROBLEMS_SHOWN_MAX) print(`${id}  BROKEN  ${problem}`);
  });
  if (problems > PROBLEMS_SHOWN_MAX) print(`${id}  BROKEN  and ${problems - PROBLEMS_SHOWN_MAX} more`);
  const state = problems === 0 ? "ok    " : "BROKEN";
  print(`${id}  ${state}  ${head.position} ${head.position === 1 ? "event" : "events"}  ${head.hash}`.trimEnd());
  return { head, problems };
}

async function readAnchors(file: string): Promise<Map<string, ChainHead>> {
  const lines = (await readFile(file, "utf8")).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const [, id, position, hash] = ANCHOR_LINE.exec(line) ?? [];
      if (id === undefined || position === undefined || hash === undefined)
        throw new Error(`${file} is no anchor: "${line.slice(0, LINE_SHOWN_MAX)}"`);
      return [id, { position: Number(position), hash }];
    }),
  );
}

/** Whole or not at all: half an anchor would let the tenants go unnoticed that it leaves out. */
async function writeAnchors(file: string, heads: ReadonlyMap<string, ChainHead>): Promise<void> {
  const lines = [...heads].flatMap(([id, { position, hash }]) => (position === 0 ? [] : [`${id} ${position} ${hash}`]));
  const draft = `${file}.${process.pid}`;
  await writeFile(draft, `${[ANCHOR_HEAD, ...lines].join("\n")}\n`, { mode: 0o600 });
  await rename(draft, file);
}
