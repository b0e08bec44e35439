import type pg from "pg";
import { TENANT_OWNED_MODELS } from "../generated/tenancy/models.ts";
import type { ModelDescription } from "../generated/tenancy/models.ts";
import { answerOf, answerWithLists, PLANNED } from "./answers.ts";
import type { Answer } from "./answers.ts";
import { withValues } from "./call-shape.ts";
import type { ValueKind } from "./call-shape.ts";
import type { Recorder, WrittenStatement } from "./recording.ts";
import { joinBelow, samplesFor, templateOf, tenantParametersOf, usesAll } from "./template.ts";
import type { Samples, Template } from "./template.ts";
import { prove } from "./tenancy-proof.ts";

/** One call of the scoped client. */
export interface Call {
  readonly model: string;
  readonly operation: string;
  readonly args: unknown;
}

/** How all calls of one shape are run without Prisma. Holds no tenant and no value, only the places for them. */
export interface Plan {
  readonly template: Template;
  readonly answer: Answer;
}

/** Prisma as it writes statements for nobody. */
export interface Writing {
  /** Runs a call through a scoped client of `tenantId` whose connections are the recorder's. */
  readonly write: (model: string, operation: string, args: unknown) => Promise<unknown>;
  readonly recorder: Recorder;
  /** A tenant that does not exist. */
  readonly tenantId: string;
}

type Args = Readonly<Record<string, unknown>>;

interface ListBelow {
  readonly name: string;
  readonly modelName: string;
  readonly model: ModelDescription;
  readonly foreignKey: string;
  readonly args: Args;
}

/**
 * Makes the plan of a call: lets Prisma write it twice with samples in place of its values, finds where each parameter comes from, and proves
 * that the tenant is bound for every table.
 *
 * @returns undefined when no plan may be made: Prisma goes on running calls like this one.
 */
export async function compile(writing: Writing, kinds: readonly ValueKind[], call: Call): Promise<Plan | undefined> {
  const model = TENANT_OWNED_MODELS[call.model];
  if (!model) return undefined;
  const samples = [samplesFor(kinds, 0, writing.tenantId), samplesFor(kinds, 1, writing.tenantId)] as const;
  const first = await sample(writing, model, call, samples[0]);
  await anotherInstant();
  const second = await sample(writing, model, call, samples[1]);
  if (!first || !second) return undefined;
  const row = templateOf(kinds, [first.row, second.row], samples);
  if (!first.list || !second.list) return row && planOf(row, kinds, model, call);
  const list = templateOf(kinds, [first.list.statement, second.list.statement], samples);
  return row && list && planWithList(row, list, kinds, first.list.below);
}

function planOf(
  template: Template,
  kinds: readonly ValueKind[],
  model: ModelDescription,
  { operation, args }: Call,
): Plan | undefined {
  const proven = prove(template.text, tenantParametersOf(template));
  if (!proven || proven.kind !== PLANNED[operation] || !usesAll(template, kinds)) return undefined;
  const answer = answerOf(operation, model, fieldsOf(model, args), proven.columns);
  return answer && { template, answer };
}

function planWithList(
  row: Template,
  list: Template,
  kinds: readonly ValueKind[],
  { name, model, args }: ListBelow,
): Plan | undefined {
  const template = joinBelow(row, list);
  const below = prove(list.text, tenantParametersOf(list));
  if (!template || !below || !usesAll(template, kinds)) return undefined;
  if (prove(template.text, tenantParametersOf(template))?.kind !== "SelectStmt") return undefined;
  const answer = answerWithLists(name, model, fieldsOf(model, args), ["", ...below.columns]);
  return answer && { template, answer };
}

/** What Prisma writes for a call with these samples; undefined when it is anything but one statement for each of its parts. */
async function sample(
  { write, recorder }: Writing,
  model: ModelDescription,
  call: Call,
  samples: Samples,
): Promise<
  { row: WrittenStatement; list?: { statement: WrittenStatement; below: ListBelow } | undefined } | undefined
> {
  async function written(of: string, args: unknown): Promise<WrittenStatement | undefined> {
    const statements = await recorder.record(() => write(of, call.operation, args));
    return statements?.length === 1 ? statements[0] : undefined;
  }
  const args = asArgs(withValues(call.model, call.args, (_kind, place) => samples.values[place]));
  const select = args["select"] === undefined ? undefined : asArgs(args["select"]);
  const below = select && listBelow(model, select);
  if (!below) {
    const row = await written(call.model, args);
    return row && { row };
  }
  // The id alone: the list's columns follow it.
  const isPlain = call.operation === "findMany" && select["id"] === true && Object.keys(select).length === 2;
  if (!isPlain) return undefined;
  const row = await written(call.model, { ...args, select: { id: true } });
  const where = { AND: [{ [below.foreignKey]: samples.above }, below.args["where"] ?? {}] };
  const statement = await written(below.modelName, { ...below.args, where });
  return row && statement && { row, list: { statement, below } };
}

function listBelow(model: ModelDescription, select: Args): ListBelow | undefined {
  for (const [name, args] of Object.entries(select)) {
    const relation = model.relations[name];
    const below = relation && TENANT_OWNED_MODELS[relation.model];
    if (below && relation.foreignKey !== undefined)
      return { name, modelName: relation.model, model: below, foreignKey: relation.foreignKey, args: asArgs(args) };
  }
  return undefined;
}

/** The fields of each row that a call wants: those it selects, or all but those it leaves out. */
function fieldsOf(model: ModelDescription, args: unknown): string[] {
  const { select, omit } = asArgs(args);
  if (select !== undefined) return Object.keys(asArgs(select)).filter((field) => asArgs(select)[field] === true);
  const left = omit === undefined ? {} : asArgs(omit);
  return model.scalars.filter((field) => left[field] !== true);
}

function asArgs(value: unknown): Args {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

/** Waits until the clock shows another millisecond: a time that Prisma puts in by itself must differ between two recordings. */
async function anotherInstant(): Promise<void> {
  const before = Date.now();
  while (Date.now() === before) await new Promise((resolve) => setImmediate(resolve));
}

/** The statement of one call. `values` are those of its shape, in their order. */
export function statementOf(
  { template: { text, types, sources } }: Plan,
  tenantId: string,
  values: readonly unknown[],
): pg.QueryArrayConfig {
  const parameters = sources.map((source) => {
    switch (source.from) {
      case "tenant":
        return tenantId;
      case "call":
        return source.encode(values[source.place]);
      case "statement":
        return source.value;
      case "row above":
        throw new Error("nothing is above this row");
    }
  });
  return { text, values: parameters, rowMode: "array", ...(types && { types }) };
}
