import { LRUCache } from "lru-cache";
import type pg from "pg";
import { PLANNED } from "./answers.ts";
import type { Result } from "./answers.ts";
import { shapeOf } from "./call-shape.ts";
import type { CallShape } from "./call-shape.ts";
import { compile, statementOf } from "./compile.ts";
import type { Call, Plan, Writing } from "./compile.ts";
import { openRecorder } from "./recording.ts";
import { loadParser } from "./tenancy-proof.ts";

/** Sends one statement inside the tenant's transaction; rows come as lists of columns. */
type Send = (statement: pg.QueryArrayConfig) => Promise<Result>;

/** Runs one call with its own values, for one tenant. */
type PlannedCall = (send: Send, tenantId: string) => Promise<unknown>;

/** How calls went since the process began. */
interface PlanCounts {
  /** Calls that ran by a plan. */
  readonly taken: number;
  /** Calls that Prisma ran. */
  readonly passed: number;
  /** Kinds of calls for which a plan was made. */
  readonly compiled: number;
  /** Kinds of calls for which none can be made. */
  readonly refused: number;
}

/** The fast path: statements that Prisma has written, run without it. */
export interface Plans {
  /** How to run a call without Prisma; undefined for what Prisma has to run. */
  readonly find: (call: Call) => PlannedCall | undefined;
  readonly counts: () => PlanCounts;
  /** Waits until every kind of call that was seen often enough has a plan, or is known to have none. */
  readonly settled: () => Promise<void>;
}

// The tenant in whose name statements are written; nobody can have it, because version 0 is none.
const NO_TENANT = "00000000-0000-0000-8000-0000000a7215";
const SHAPES_MAX = 2_000; // some 5 kB each
const COMPILED_AT_SIGHT = 2; // writing and proving cost some twenty calls: a call that never comes again is not worth it
const WAITING_MAX = 50; // somebody who makes up new kinds of calls does not keep the process busy with them

interface Sight {
  seen: number;
  isDecided: boolean;
  plan: Plan | undefined;
  /** Kept with its plan, and looked up once: a name costs a hash. */
  name: string;
}

/**
 * Plans for the calls of all tenants' clients, made while Prisma still runs them.
 *
 * @param writerOver makes the calls of a scoped client, of that tenant and over that pool: what its extension does not bind gets no plan.
 * @param nameOf names statements by their text, so that each connection prepares a text once; "" for no name.
 */
export function openPlans(
  writerOver: (pool: pg.Pool, tenantId: string) => Writing["write"],
  nameOf: (statement: { readonly sql: string }) => string,
): Plans {
  const recorder = openRecorder();
  const writing: Writing = { write: writerOver(recorder.pool, NO_TENANT), recorder, tenantId: NO_TENANT };
  const sights = new LRUCache<string, Sight>({ max: SHAPES_MAX });
  const counts = { taken: 0, passed: 0, compiled: 0, refused: 0 };
  let waiting = 0;
  let compiling = Promise.resolve();

  function sightOf({ key }: CallShape): Sight {
    const sight = sights.get(key) ?? { seen: 0, isDecided: false, plan: undefined, name: "" };
    if (sight.seen === 0) sights.set(key, sight);
    sight.seen += 1;
    return sight;
  }

  async function decide(sight: Sight, shape: CallShape, call: Call): Promise<void> {
    // What cannot be understood is no error: Prisma runs it as before.
    sight.plan = await loadParser()
      .then(() => compile(writing, shape.kinds, call))
      .catch(() => undefined);
    sight.name = sight.plan ? nameOf({ sql: sight.plan.template.text }) : "";
    counts[sight.plan ? "compiled" : "refused"] += 1;
    waiting -= 1;
  }

  function decideLater(sight: Sight, shape: CallShape, call: Call): void {
    sight.isDecided = true;
    waiting += 1;
    // One at a time: what one call writes must not be taken for another's.
    compiling = compiling.then(() => decide(sight, shape, call));
  }

  function find(call: Call): PlannedCall | undefined {
    const shape = PLANNED[call.operation] ? shapeOf(call.model, call.operation, call.args) : undefined;
    const sight = shape && sightOf(shape);
    if (!shape || !sight?.plan) {
      counts.passed += 1;
      if (shape && sight && !sight.isDecided && sight.seen >= COMPILED_AT_SIGHT && waiting < WAITING_MAX)
        decideLater(sight, shape, call);
      return undefined;
    }
    counts.taken += 1;
    const { plan, name } = sight;
    return async (send, tenantId) => {
      const statement = statementOf(plan, tenantId, shape.values);
      return plan.answer(await send(name === "" ? statement : { ...statement, name }));
    };
  }

  return {
    find,
    counts: () => ({ ...counts }),
    async settled() {
      await compiling;
    },
  };
}
