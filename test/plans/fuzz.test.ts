import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { isInterfaceType, isObjectType, parse, TypeInfo, visit, visitWithTypeInfo } from "graphql";
import { buildAtriumSchema } from "../../src/resolvers/index.ts";
import { ask, questionFor } from "./support/compare.ts";
import type { Verdict } from "./support/compare.ts";
import { randomDocument } from "./support/documents.ts";
import { randomFrom } from "./support/random.ts";
import { openStage } from "./support/stage.ts";
import type { Stage } from "./support/stage.ts";

const OPERATIONS = Number(process.env["FUZZ_OPERATIONS"] ?? 10_000);
const SEED = Number(process.env["FUZZ_SEED"] ?? 20261123);
const SENDS = 20; // of one document: its calls get a plan at the second sight, and run with other values from then on
const DOCUMENTS_AT_ONCE = 2;
const FAULTS_MAX = 3; // more would not be read
const PATIENCE_MS = 1_800_000; // some two minutes on two idle cores

const schema = buildAtriumSchema();
let stage: Stage;
const verdicts: Verdict[] = [];
const asked = new Set<string>();
beforeAll(async () => {
  stage = await openStage(schema);
}, PATIENCE_MS);
afterAll(() => stage.close());

/** The fields that a document asks for, as `Type.field`. */
function fieldsIn(text: string): readonly string[] {
  const found: string[] = [];
  const info = new TypeInfo(schema);
  const Field = (): void => void found.push(`${String(info.getParentType())}.${info.getFieldDef()?.name ?? ""}`);
  visit(parse(text), visitWithTypeInfo(info, { Field }));
  return found;
}

/** One document, sent by callers of both tenants in turn with values of their own. */
async function askAll(seed: number): Promise<readonly Verdict[]> {
  const random = randomFrom(seed);
  const document = randomDocument(random, schema, random.pick(stage.callers).stock);
  for (const field of fieldsIn(document.text)) asked.add(field);
  return Promise.all(
    Array.from({ length: SENDS }, (_, index) => {
      const caller = stage.callers[index % stage.callers.length] ?? random.pick(stage.callers);
      return ask(questionFor(random, document, caller));
    }),
  );
}

describe(`of ${OPERATIONS} random operations of two tenants (FUZZ_SEED=${SEED})`, () => {
  test(
    "each answers the same on the fast path and without it, and shows nothing of the other tenant, and ends in no exception",
    async () => {
      const documents = Math.ceil(OPERATIONS / SENDS);
      const faults: string[] = [];
      let next = 0;
      async function work(): Promise<void> {
        while (next < documents && faults.length < FAULTS_MAX) {
          const found = await askAll(SEED + (next += 1));
          verdicts.push(...found);
          faults.push(...found.flatMap(({ fault }) => fault ?? []));
        }
      }
      await Promise.all(Array.from({ length: DOCUMENTS_AT_ONCE }, work));

      expect(faults.slice(0, FAULTS_MAX)).toEqual([]);
    },
    PATIENCE_MS,
  );

  test("half have data, and the others are refused, as wrong or as forbidden", () => {
    const codes = new Set(verdicts.flatMap((verdict) => verdict.codes));

    expect(verdicts.filter(({ hasData }) => hasData).length).toBeGreaterThan(verdicts.length / 2);
    expect([...codes]).toEqual(expect.arrayContaining(["BAD_USER_INPUT", "FORBIDDEN"]));
  });

  test("nearly every field that can be read is asked for", () => {
    const fields = Object.values(schema.getTypeMap())
      .filter((type) => isObjectType(type) || isInterfaceType(type))
      .filter(({ name }) => !/^__|^Mutation$|Payload$/.test(name))
      .flatMap((type) => Object.keys(type.getFields()).map((field) => `${type.name}.${field}`));

    expect(fields.filter((field) => asked.has(field)).length).toBeGreaterThan(fields.length * 0.9);
  });

  test("most of what they read comes by a plan, and without the fast path nothing does", () => {
    const { taken, passed } = stage.fast.app.context.clients.plans.counts();

    expect(taken).toBeGreaterThan(passed);
    expect(stage.plain.app.context.clients.plans.counts()).toMatchObject({ taken: 0, compiled: 0 });
  });
});
