import type { TenantClient, TenantDb } from "../context/tenant-client.ts";

const HOUR_MS = 3_600_000;
/** The same address in both tenants, and so two people. */
export const SAMPLE_OWNER = "ada@example.com";

/** A turn of a conversation; `{tenant}` stands for the tenant's name, by which one sees whose data an answer shows. */
type Turn = readonly [role: "user" | "assistant", content: string];

const CONVERSATIONS: readonly { readonly name: string; readonly title: string; readonly turns: readonly Turn[] }[] = [
  {
    name: "Trip to Lisbon",
    title: "Two days with the suppliers",
    turns: [
      ["user", "Who from {tenant} travels to Lisbon in March?"],
      ["assistant", "Ada and Bob travel for {tenant}, from the 3rd to the 5th of March."],
      ["user", "Which hotel do they stay at?"],
      ["assistant", "{tenant} has two rooms at the Hotel Mondego, booked until the 5th."],
    ],
  },
  {
    name: "Quarterly report",
    title: "Numbers for the board",
    turns: [
      ["user", "Summarise the third quarter of {tenant} in one sentence."],
      ["assistant", "{tenant} grew by a tenth, and half of that came from returning customers."],
    ],
  },
  {
    name: "Weekly planning",
    title: "What has to be done by Friday",
    turns: [
      ["user", "What is still open at {tenant} this week?"],
      ["assistant", "Two things at {tenant}: the offer to the museum, and the new price list."],
      ["user", "Remind me of the offer on Thursday."],
      ["assistant", "You will hear of the offer of {tenant} on Thursday at nine."],
    ],
  },
];

const NOTIFICATIONS = [
  {
    type: "email_received",
    urgency: "high",
    content: { title: "The museum asks for an offer", from: "office@museum.example" },
  },
  { type: "calendar_event_starting", urgency: "medium", content: { title: "Planning starts in ten minutes" } },
  { type: "todo", urgency: "low", content: { title: "Update the price list" } },
];

const INTEGRATIONS = [
  { provider: "google", serviceType: "calendar", purpose: "user_calendar", name: "Calendar", account: SAMPLE_OWNER },
  { provider: "google", serviceType: "email", purpose: "user_email", name: "Mailbox", account: SAMPLE_OWNER },
  {
    provider: "mcp",
    serviceType: "mcp_server",
    purpose: "mcp_server",
    name: "Tools",
    metadata: { server_url: "https://tools.example.com/mcp" },
  },
];

const MEMORIES = [
  { content: "Ada prefers trains to planes.", kind: "preference", importanceScore: 0.7 },
  { content: "{tenant} closes its books on the last Friday of a quarter.", kind: "fact", importanceScore: 0.8 },
];

/**
 * Fills a sample tenant that is still empty: people, conversations, notifications, integrations and memories that are the same in every
 * sample tenant but for its name in the texts. All in one transaction.
 *
 * @param now the newest of it; the rest is older, an hour at a time.
 */
export async function fillSampleTenant(
  tenant: TenantClient,
  { name, passwordHash }: { readonly name: string; readonly passwordHash: string | null },
  now: Date,
): Promise<void> {
  await tenant.transact(async (db) => {
    if ((await db.session.findFirst({ select: { id: true } })) !== null) return;
    const say = (text: string): string => text.replaceAll("{tenant}", name);
    const { id: userId } = await db.user.create({
      data: { email: SAMPLE_OWNER, name: "Ada", role: "owner", emailVerified: true, passwordHash },
      select: { id: true },
    });
    await db.user.create({ data: { email: "bob@example.com", name: "Bob" }, select: { id: true } });
    const sessionIds: string[] = [];
    for (const [index, conversation] of CONVERSATIONS.entries()) {
      const begun = new Date(now.getTime() - (CONVERSATIONS.length - index) * 24 * HOUR_MS);
      sessionIds.push(
        await converse(db, userId, begun, {
          ...conversation,
          turns: conversation.turns.map(([role, text]) => [role, say(text)]),
        }),
      );
    }
    await db.notification.createMany({
      data: NOTIFICATIONS.map((notification, index) => ({
        ...notification,
        sessionId: sessionIds.at(-1) ?? null,
        createdAt: new Date(now.getTime() - (index + 1) * HOUR_MS),
      })),
    });
    await db.integration.createMany({
      data: INTEGRATIONS.map((integration) => ({ ...integration, userId })),
    });
    await db.memoryLong.createMany({
      data: MEMORIES.map((memory) => ({
        ...memory,
        content: say(memory.content),
        learnedFromSessions: sessionIds.slice(0, 1),
      })),
    });
  });
}

async function converse(
  db: TenantDb,
  userId: string,
  begun: Date,
  { name, title, turns }: (typeof CONVERSATIONS)[number],
): Promise<string> {
  const at = (turn: number): Date => new Date(begun.getTime() + turn * 60_000);
  const { id } = await db.session.create({
    data: { name, title, userId, createdAt: begun, updatedAt: at(turns.length) },
    select: { id: true },
  });
  await db.message.createMany({
    data: turns.map(([role, content], index) => ({ sessionId: id, role, content, createdAt: at(index + 1) })),
  });
  return id;
}
