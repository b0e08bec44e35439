import { createHash } from "node:crypto";
import type pg from "pg";
import { z } from "zod";
import { tenantPool } from "./tenant-pool.ts";

const BATCH = 2_000; // events of up to some kilobytes each, and well within the time that a statement may take

/** A place in a tenant's audit trail: how many events it has, and the hash of the last one, which stands for all of them. */
export interface ChainHead {
  readonly position: number;
  /** In hexadecimal digits; empty for a trail without events. */
  readonly hash: string;
}

const position = z.coerce.number();
const headRow = z.object({
  position: position.nullable(),
  hash: z.instanceof(Uint8Array).nullable(),
  last_position: position.nullable(),
  last_hash: z.instanceof(Uint8Array).nullable(),
});
const linkRow = z.object({
  position,
  event_id: z.string(),
  hash: z.instanceof(Uint8Array),
  text: z.string().nullable(),
});
const eventRow = z.object({ id: z.string(), is_linked: z.boolean() });

// The events are read under row-level security, and what is hashed is put together here, not by a function of the database: whoever owns
// the database could have replaced that. What is hashed is told in the step …_audit_chain.
const LINKS = `SELECT l.position, l.event_id, l.hash, e.text FROM atrium.audit_links($2, $3) AS l
  LEFT JOIN LATERAL (
    SELECT jsonb_build_array(a.id, a.tenant_id, a.action, a.actor, a.target, a.ip, a.request_id, a.details,
      extract(epoch FROM a.created_at)::text)::text AS text
    FROM public.audit_events AS a WHERE a.tenant_id = $1 AND a.id = l.event_id LIMIT 1
  ) AS e ON true ORDER BY l.position`;
const EVENTS = `WITH batch AS (SELECT id FROM public.audit_events WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3)
  SELECT b.id, l.id IS NOT NULL AS is_linked FROM batch AS b
  LEFT JOIN atrium.linked_audit_events(ARRAY(SELECT id FROM batch)) AS l (id) ON l.id = b.id ORDER BY b.id`;

/**
 * Computes every hash of a tenant's audit trail again, and looks for events that have none. Events that are added meanwhile do no harm.
 *
 * Each link is judged by the one before it as it is stored, so that one changed event is one problem, at its own place.
 *
 * @param anchor a head that was kept outside of the database: finds a trail that was cut off or written anew, hashes and all.
 * @param report told of each problem, with the event and its position.
 * @returns the head as it was when the work began. Memory does not grow with the trail; one statement for each 2,000 links, and one for each 2,000 events.
 */
export async function verifyChain(
  pool: pg.Pool,
  tenantId: string,
  anchor: ChainHead | undefined,
  report: (problem: string) => void,
): Promise<ChainHead> {
  const tenant = tenantPool(pool, tenantId);
  const head = await readHead(tenant, report);
  await verifyLinks(tenant, tenantId, { head, anchor }, report);
  await findUnlinked(tenant, tenantId, report);
  return head;
}

async function readHead(tenant: pg.Pool, report: (problem: string) => void): Promise<ChainHead> {
  const { rows } = await tenant.query({ text: "SELECT * FROM atrium.audit_head()", values: [] });
  const found = headRow.parse(rows[0]);
  const head = { position: found.position ?? 0, hash: hex(found.hash) };
  const last = { position: found.last_position ?? 0, hash: hex(found.last_hash) };
  if (last.position < head.position) report(`the end was cut off: ${range(last.position + 1, head.position)} missing`);
  else if (last.position > head.position)
    report(`${range(head.position + 1, last.position)} beyond the end of the chain`);
  else if (last.hash !== head.hash) report(`the end of the chain and link ${head.position} disagree`);
  return head;
}

async function verifyLinks(
  tenant: pg.Pool,
  tenantId: string,
  { head, anchor }: { readonly head: ChainHead; readonly anchor: ChainHead | undefined },
  report: (problem: string) => void,
): Promise<void> {
  let before: { readonly position: number; readonly hash: Uint8Array } = { position: 0, hash: new Uint8Array() };
  for (;;) {
    const { rows } = await tenant.query({ text: LINKS, values: [tenantId, before.position, BATCH] });
    for (const row of rows) {
      const link = linkRow.parse(row);
      const isNext = link.position === before.position + 1;
      const where = `at position ${link.position}`;
      if (!isNext) report(`${range(before.position + 1, link.position - 1)} missing`);
      if (link.text === null) report(`event ${link.event_id} ${where} was removed`);
      else if (isNext && !hashOf(before.hash, link.text).equals(link.hash))
        report(`event ${link.event_id} ${where} was changed, or it stood elsewhere`);
      if (link.position === anchor?.position && hex(link.hash) !== anchor.hash)
        report(`event ${link.event_id} ${where} is not the one that was anchored: the trail was written anew`);
      before = link;
    }
    if (rows.length < BATCH) break;
  }
  if (anchor && Math.max(head.position, before.position) < anchor.position)
    report(`the trail ends at position ${before.position}, but had ${anchor.position} events when it was anchored`);
}

async function findUnlinked(tenant: pg.Pool, tenantId: string, report: (problem: string) => void): Promise<void> {
  let after: string | null = null;
  for (;;) {
    const answer: pg.QueryResult = await tenant.query({ text: EVENTS, values: [tenantId, after, BATCH] });
    for (const row of answer.rows) {
      const event = eventRow.parse(row);
      if (!event.is_linked) report(`event ${event.id} is in no chain: it was inserted, or its link was removed`);
      after = event.id;
    }
    if (answer.rows.length < BATCH) return;
  }
}

function hashOf(before: Uint8Array, text: string): Buffer {
  return createHash("sha256").update(before).update(text).digest();
}

function hex(bytes: Uint8Array | null): string {
  return bytes === null ? "" : Buffer.from(bytes).toString("hex");
}

function range(from: number, to: number): string {
  return from === to ? `link ${from} is` : `links ${from} to ${to} are`;
}
