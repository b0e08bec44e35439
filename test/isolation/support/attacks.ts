import { materialOf } from "./material.ts";
import type { Owner } from "./material.ts";
import { ATTACKER, describe, VICTIM } from "./world.ts";

/**
 * What an attack is after, which decides which walls can see it:
 * a row of somebody else (read, change, delete, infer), a new row for somebody else, a reference to somebody else's row or a collision with
 * it, a row moved from one tenant to another.
 */
export type Aim = "row" | "insert" | "reference" | "move";

/** One call of Prisma's client, made by the attacker. */
export interface Attack {
  readonly model: string;
  readonly operation: string;
  readonly what: string;
  readonly aim: Aim;
  readonly args: unknown;
}

type Args = Readonly<Record<string, unknown>>;
type Draft = readonly [what: string, aim: Aim, args: (target: Owner) => Args];

/** Every way in which one operation of one model is attacked. */
export function attacksOn(model: string, operation: string): Attack[] {
  const drafts = ATTACKS_BY_OPERATION[operation];
  if (!drafts) throw new Error(`${operation} has no attacks: add them to test/isolation/support/attacks.ts`);
  return drafts(speakOf(model)).map(([what, aim, args]) => ({ model, operation, what, aim, args: args(VICTIM) }));
}

/** How one model is spoken of in Prisma's words. */
function speakOf(model: string) {
  const { uniques, relations, scalars, hasId } = describe(model);
  const [key] = uniques;
  if (!key) throw new Error(`${model} has no key that contains the tenant`);
  const keyField = hasId ? "id" : "sessionId";
  const idOf = ({ ids }: Owner): string | undefined => (hasId ? ids[model] : ids["Session"]);
  const short = (owner: Owner): Args => ({ [keyField]: idOf(owner) });
  const keyIn = (name: string, owner: Owner): Args =>
    describe(name).hasId
      ? { tenantId_id: { tenantId: owner.tenantId, id: owner.ids[name] } }
      : { tenantId_sessionId: { tenantId: owner.tenantId, sessionId: owner.ids["Session"] } };
  const { row, change, naturalKey } = materialOf(model);
  return {
    keyField,
    idOf,
    naturalKey,
    /** The look-up as services write it. */
    short,
    /** The look-up as Prisma's own client takes it, tenant and all. */
    full: (owner: Owner) => keyIn(model, owner),
    keyIn,
    change,
    fresh: (owner: Owner) => row(owner, "new"),
    seeded: (owner: Owner) => row(owner, "seed"),
    hasId,
    lists: Object.entries(relations).filter(([, relation]) => relation.isList),
    parents: Object.entries(relations).filter(
      ([name, relation]) => !relation.isList && scalars.includes(`${name}Id`) && name !== "tenant",
    ),
  };
}
type Speech = ReturnType<typeof speakOf>;

function byKey({ short, full }: Speech, more: Args = {}): Draft[] {
  return [
    ["by the full key", "row", (target) => ({ where: full(target), ...more })],
    ["by the short key", "row", (target) => ({ where: short(target), ...more })],
    [
      "by the short key and the tenant",
      "row",
      (target) => ({ where: { ...short(target), tenantId: target.tenantId }, ...more }),
    ],
    [
      "by the own key, beside the victim's",
      "row",
      (target) => ({ where: { ...full(ATTACKER), OR: [short(target)] }, ...more }),
    ],
  ];
}

/** Conditions that reach further than one's own rows. */
function filters({ short, lists, parents, keyIn }: Speech, more: Args = {}): Draft[] {
  return [
    ["everything", "row", () => ({ where: {}, ...more })],
    ["no condition", "row", () => ({ ...more })],
    ["undefined", "row", () => ({ where: undefined, ...more })],
    ["by id", "row", (target) => ({ where: short(target), ...more })],
    ["by ids", "row", (target) => ({ where: { OR: [short(target), short(ATTACKER)] }, ...more })],
    ["by tenant", "row", (target) => ({ where: { tenantId: target.tenantId }, ...more })],
    ["by any tenant but one's own", "row", () => ({ where: { NOT: { tenantId: ATTACKER.tenantId } }, ...more })],
    ["all but one's own", "row", () => ({ where: { NOT: short(ATTACKER) }, ...more })],
    [
      "by tenant, hidden in AND and OR",
      "row",
      (target) => ({ where: { AND: [{ OR: [{ tenantId: target.tenantId }, {}] }] }, ...more }),
    ],
    ["by the tenant relation", "row", (target) => ({ where: { tenant: { id: target.tenantId } }, ...more })],
    ...parents.flatMap(([name, { model }]): Draft[] => [
      [`by ${name}Id`, "row", (target) => ({ where: { [`${name}Id`]: target.ids[model] }, ...more })],
      [`by ${name}`, "row", (target) => ({ where: { [name]: { is: { id: target.ids[model] } } }, ...more })],
      [`by ${name} that is not`, "row", () => ({ where: { [name]: { isNot: null } }, ...more })],
    ]),
    ...lists.flatMap(([name, { model }]): Draft[] =>
      ["some", "none", "every"].map((quantifier): Draft => {
        const field = Object.keys(keyIn(model, ATTACKER)).includes("tenantId_id") ? "id" : "sessionId";
        const id = (target: Owner) => (field === "id" ? target.ids[model] : target.ids["Session"]);
        return [
          `by ${quantifier} of ${name}`,
          "row",
          (target) => ({ where: { [name]: { [quantifier]: { [field]: id(target) } } }, ...more }),
        ];
      }),
    ),
  ];
}

function lists(speech: Speech): Draft[] {
  const { full, short, keyField } = speech;
  return [
    ...filters(speech),
    [
      "from the victim's place on, full",
      "row",
      (target) => ({ cursor: full(target), take: 5, orderBy: { [keyField]: "asc" } }),
    ],
    [
      "from the victim's place on, short",
      "row",
      (target) => ({ cursor: short(target), take: 5, orderBy: { [keyField]: "asc" } }),
    ],
    [
      "backwards from the victim's place",
      "row",
      (target) => ({ cursor: short(target), take: -5, skip: 1, orderBy: { [keyField]: "asc" } }),
    ],
    ["distinct", "row", () => ({ distinct: ["tenantId"], orderBy: { [keyField]: "desc" } })],
    [
      "the tenant and all below it",
      "row",
      () => ({ include: { tenant: { include: { sessions: true, users: true } } } }),
    ],
    ...shapes(speech).map(([what, shape]): Draft => [what, "row", () => shape]),
  ];
}

/** What may hang on a row. */
function shapes({ lists: own, parents, keyField }: Speech): (readonly [string, Args])[] {
  return [
    ...own.flatMap(([name]) => [
      [`with ${name}`, { include: { [name]: true } }] as const,
      [`with ${name}, read by itself`, { include: { [name]: true }, relationLoadStrategy: "query" }] as const,
      [
        `with ${name} of everybody`,
        { select: { [keyField]: true, [name]: { where: { NOT: { tenantId: ATTACKER.tenantId } } } } },
      ] as const,
      [`with the number of ${name}`, { select: { _count: { select: { [name]: true } } } }] as const,
    ]),
    ...parents.flatMap(([name]) => [
      [`with ${name}`, { include: { [name]: true } }] as const,
      [`with what hangs on ${name}`, { include: { [name]: { include: { tenant: true } } } }] as const,
    ]),
  ];
}

function aggregates({ short, keyField, seeded }: Speech): Draft[] {
  const [text] = Object.entries(seeded(ATTACKER)).flatMap(([field, value]) =>
    value === ATTACKER.canary ? [field] : [],
  );
  const all = { _count: { _all: true }, ...(text !== undefined && { _max: { [text]: true } }) };
  return [
    ["of everything", "row", () => all],
    ["by id", "row", (target) => ({ where: short(target), ...all })],
    ["by tenant", "row", (target) => ({ where: { tenantId: target.tenantId }, ...all })],
    [
      "from the victim's place on",
      "row",
      (target) => ({ cursor: short(target), orderBy: { [keyField]: "asc" }, ...all }),
    ],
  ];
}

function news({ fresh, seeded, naturalKey, parents, keyIn, hasId, idOf }: Speech, wrap: (data: Args) => Args): Draft[] {
  return [
    ["for the victim", "insert", (target) => wrap({ ...fresh(ATTACKER), tenantId: target.tenantId })],
    [
      "for the victim, with its references",
      "insert",
      (target) => wrap({ ...fresh(target), tenantId: target.tenantId }),
    ],
    [
      "for the victim, by the relation",
      "insert",
      (target) => wrap({ ...fresh(ATTACKER), tenant: { connect: { id: target.tenantId } } }),
    ],
    ...(naturalKey.length > 0
      ? [
          [
            "with the victim's natural key",
            "reference",
            (target: Owner) => wrap({ ...fresh(ATTACKER), ...only(naturalKey, seeded(target)) }),
          ] as const,
        ]
      : []),
    ...(hasId
      ? [
          [
            "with the victim's id",
            "reference",
            (target: Owner) => wrap({ ...fresh(ATTACKER), id: idOf(target) }),
          ] as const,
        ]
      : []),
    ...parents.flatMap(([name, { model }]): Draft[] => [
      [
        `with the victim's ${name}`,
        "reference",
        (target) => wrap({ ...fresh(ATTACKER), [`${name}Id`]: target.ids[model] }),
      ],
      [
        `connected to the victim's ${name}`,
        "insert",
        (target) => wrap({ ...without(fresh(ATTACKER), `${name}Id`), [name]: { connect: keyIn(model, target) } }),
      ],
    ]),
  ];
}

function changes(speech: Speech, byOwnKey: (data: Args) => Args): Draft[] {
  const { parents, lists: below, keyIn, hasId, idOf } = speech;
  return [
    ["given to the victim", "move", (target) => byOwnKey({ tenantId: target.tenantId })],
    [
      "given to the victim, by the relation",
      "move",
      (target) => byOwnKey({ tenant: { connect: { id: target.tenantId } } }),
    ],
    ...(hasId
      ? [["renamed to the victim's id", "reference", (target: Owner) => byOwnKey({ id: idOf(target) })] as const]
      : []),
    ...parents.flatMap(([name, { model }]): Draft[] => [
      [`pointed at the victim's ${name}`, "reference", (target) => byOwnKey({ [`${name}Id`]: target.ids[model] })],
      [
        `connected to the victim's ${name}`,
        "move",
        (target) => byOwnKey({ [name]: { connect: keyIn(model, target) } }),
      ],
    ]),
    ...below.flatMap(([name, { model }]): Draft[] => [
      [`taking the victim's ${name}`, "move", (target) => byOwnKey({ [name]: { connect: keyIn(model, target) } })],
      [
        `deleting ${name} below`,
        "row",
        (target) => byOwnKey({ [name]: { deleteMany: { tenantId: target.tenantId } } }),
      ],
    ]),
  ];
}

function updatesOfMany(speech: Speech): Draft[] {
  const { change, short } = speech;
  return [
    ...filters(speech, { data: change }),
    ["stolen", "move", (target) => ({ where: short(target), data: { tenantId: ATTACKER.tenantId } })],
    ...changes(speech, (data) => ({ where: short(ATTACKER), data })),
  ];
}

const one = (data: Args): Args => ({ data });
const many = (data: Args): Args => ({ data: [data] });

const ATTACKS_BY_OPERATION: Readonly<Record<string, (speech: Speech) => readonly Draft[]>> = {
  findUnique: (speech) => byKey(speech),
  findUniqueOrThrow: (speech) => byKey(speech),
  findFirst: lists,
  // Differs from findFirst in how it says that there is nothing.
  findFirstOrThrow: (speech) => filters(speech).slice(0, 8),
  findMany: lists,
  count: (speech) => [...filters(speech), ["selected", "row", () => ({ select: { _all: true } })]],
  aggregate: aggregates,
  groupBy: (speech) => [
    ["by key", "row", () => ({ by: [speech.keyField] })],
    ["by tenant", "row", () => ({ by: ["tenantId"], _count: true })],
    ["by key, of the victim", "row", (target) => ({ by: [speech.keyField], where: speech.short(target) })],
    [
      "having the victim's tenant",
      "row",
      (target) => ({ by: ["tenantId"], having: { tenantId: { equals: target.tenantId } } }),
    ],
  ],
  create: (speech) => news(speech, one),
  createMany: (speech) => news(speech, many),
  createManyAndReturn: (speech) => news(speech, many),
  update: (speech) => [
    ...byKey(speech, { data: speech.change }),
    ["stolen", "move", (target) => ({ where: speech.full(target), data: { tenantId: ATTACKER.tenantId } })],
    ...changes(speech, (data) => ({ where: speech.full(ATTACKER), data })),
    ...changes(speech, (data) => ({ where: speech.short(ATTACKER), data })),
  ],
  updateMany: updatesOfMany,
  updateManyAndReturn: updatesOfMany,
  upsert: (speech) => [
    ...byKey(speech, { create: speech.fresh(ATTACKER), update: speech.change }),
    ...news(speech, (create) => ({ where: speech.short(ATTACKER), create, update: {} })),
    ...changes(speech, (update) => ({ where: speech.full(ATTACKER), create: speech.fresh(ATTACKER), update })),
    ...changes(speech, (update) => ({ where: speech.short(ATTACKER), create: speech.fresh(ATTACKER), update })),
  ],
  delete: (speech) => byKey(speech),
  deleteMany: (speech) => filters(speech),
};

/** The operations that have attacks; a test compares them with Prisma's own. */
export const ATTACKED_OPERATIONS = Object.keys(ATTACKS_BY_OPERATION);

function without(row: Args, field: string): Args {
  return Object.fromEntries(Object.entries(row).filter(([name]) => name !== field));
}

function only(fields: readonly string[], row: Args): Args {
  return Object.fromEntries(Object.entries(row).filter(([name]) => fields.includes(name)));
}
