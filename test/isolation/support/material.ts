/** Whose rows: the ids that a row of each model has, and a text that stands in every row of its owner. */
export interface Owner {
  readonly tenantId: string;
  readonly canary: string;
  readonly ids: Readonly<Record<string, string>>;
}

interface Material {
  /**
   * A row of this owner, without tenant and id.
   *
   * @param mark tells natural keys apart: two rows of one owner with different marks never collide.
   */
  readonly row: (owner: Owner, mark: string) => Readonly<Record<string, unknown>>;
  /** What an attacker would write over a row. */
  readonly change: Readonly<Record<string, unknown>>;
  /** The fields that a tenant chooses and that are unique within it, beside the id. */
  readonly naturalKey: readonly string[];
}

const at = new Date("2026-01-02T03:04:05.678Z");
const later = new Date("2099-01-02T03:04:05.678Z");

/** What the suite attacks each model with. A model without an entry fails the suite: write the entry before anything else. */
export const MATERIAL: Readonly<Record<string, Material>> = {
  User: {
    row: ({ canary }, mark) => ({
      email: `${mark}@${canary}.example`,
      name: canary,
      passwordHash: canary,
      metadata: { canary },
    }),
    change: { name: "taken" },
    naturalKey: ["email"],
  },
  ApiKey: {
    row: ({ canary }, mark) => ({
      name: canary,
      // Not in naturalKey: whether a hash is taken may be learned, because it is one of 256 random bits that nobody chooses.
      keyHash: `${mark} ${canary}`,
      prefix: canary,
      scopes: [canary],
    }),
    change: { active: false },
    naturalKey: [],
  },
  Session: {
    row: ({ canary, ids }) => ({ userId: ids["User"], name: canary, title: canary, metadata: { canary } }),
    change: { name: "taken" },
    naturalKey: [],
  },
  Message: {
    row: ({ canary, ids }) => ({ sessionId: ids["Session"], role: "user", content: canary, metadata: { canary } }),
    change: { content: "taken" },
    naturalKey: [],
  },
  File: {
    row: ({ canary, ids }) => ({
      sessionId: ids["Session"],
      userId: ids["User"],
      filename: canary,
      filepath: canary,
      textContent: canary,
    }),
    change: { filename: "taken" },
    naturalKey: [],
  },
  MemoryShort: {
    row: ({ canary, ids }) => ({ sessionId: ids["Session"], contextData: { canary }, expiresAt: later }),
    change: { expiresAt: at },
    naturalKey: ["sessionId"],
  },
  MemoryMedium: {
    row: ({ canary, ids }) => ({ sessionId: ids["Session"], content: canary }),
    change: { content: "taken" },
    naturalKey: [],
  },
  MemoryLong: {
    row: ({ canary, ids }) => ({ userId: ids["User"], content: canary, learnedFromSessions: [ids["Session"]] }),
    change: { content: "taken" },
    naturalKey: [],
  },
  Integration: {
    row: ({ canary, ids }) => ({
      userId: ids["User"],
      provider: "google",
      serviceType: "email",
      purpose: "user_email",
      name: canary,
      credentialsEncrypted: canary,
    }),
    change: { enabled: false },
    naturalKey: [],
  },
  Notification: {
    row: ({ canary, ids }) => ({
      userId: ids["User"],
      sessionId: ids["Session"],
      type: "todo",
      urgency: "low",
      content: { canary },
    }),
    change: { read: true },
    naturalKey: [],
  },
  Task: {
    row: ({ canary, ids }) => ({
      userId: ids["User"],
      sessionId: ids["Session"],
      type: "index",
      payload: { canary },
    }),
    change: { status: "taken" },
    naturalKey: [],
  },
  AuditEvent: {
    row: ({ canary }) => ({ action: "session.create", actor: canary, details: { canary } }),
    change: { actor: "taken" },
    naturalKey: [],
  },
  IdempotencyKey: {
    row: ({ canary }, mark) => ({
      operation: "createSession",
      keyHash: `${mark} ${canary}`.padEnd(64, "0"),
      inputHash: "0".repeat(64),
      answer: { canary },
    }),
    change: { operation: "taken" },
    naturalKey: ["operation", "keyHash"],
  },
  SignIn: {
    row: ({ canary, ids }) => ({ userId: ids["User"], method: "password", ip: canary, expiresAt: later }),
    change: { endReason: "taken" },
    naturalKey: [],
  },
  RefreshToken: {
    row: ({ canary, ids }, mark) => ({
      signInId: ids["SignIn"],
      tokenHash: `${mark} ${canary}`.padEnd(64, "0"),
      expiresAt: later,
    }),
    change: { usedAt: at },
    naturalKey: ["tokenHash"],
  },
  OneTimeToken: {
    row: ({ canary, ids }, mark) => ({
      userId: ids["User"],
      purpose: "reset",
      tokenHash: `${mark} ${canary}`.padEnd(64, "0"),
      data: { canary },
      expiresAt: later,
    }),
    change: { purpose: "taken" },
    naturalKey: ["tokenHash"],
  },
  Mail: {
    // Not due for a long time: nobody sends it while it is attacked.
    row: ({ canary, ids }) => ({
      userId: ids["User"],
      kind: "invitation",
      email: `${canary}@example.org`,
      nextAttemptAt: later,
    }),
    change: { kind: "taken" },
    naturalKey: [],
  },
  IdentityProvider: {
    row: ({ canary }, mark) => ({
      name: canary,
      issuer: `https://${canary}.example`,
      clientId: mark,
      clientSecretSealed: canary,
      audience: canary,
    }),
    change: { name: "taken" },
    naturalKey: ["issuer", "clientId"],
  },
  OutsideIdentity: {
    row: ({ canary, ids }, mark) => ({ userId: ids["User"], issuer: `https://${canary}.example`, subject: mark }),
    change: { subject: "taken" },
    naturalKey: ["issuer", "subject"],
  },
  UsageCount: {
    row: (_owner, mark) => ({
      metric: "requests",
      hour: mark === "seed" ? at : later,
      value: 42,
    }),
    change: { value: 0 },
    naturalKey: ["metric", "hour"],
  },
  OpenAccess: {
    row: ({ canary }, mark) => ({
      client: `${mark} ${canary}`,
      via: "default",
      requests: 42,
      firstSeenAt: at,
      lastSeenAt: at,
    }),
    change: { requests: 0 },
    naturalKey: ["client", "via"],
  },
};

/** The material of a model. @throws for a model that has none. */
export function materialOf(model: string): Material {
  const material = MATERIAL[model];
  if (!material) throw new Error(`${model} has no attack material: add it to test/isolation/support/material.ts`);
  return material;
}
