import { LRUCache } from "lru-cache";
import { translateDatabaseError } from "./database-errors.ts";

const TTL_MS = 10_000; // a bound for the day on which notices are lost unnoticed; revocation itself does not wait for it
const ENTRIES_MAX = 30_000;

interface Answer<Value> {
  readonly value: Value;
  /** Whose it is; undefined for what is nobody's or several tenants', which any notice makes forgotten. */
  readonly tenantId: string | undefined;
}

/** Answers of look-ups that come before a tenant's context, kept for seconds. */
export interface LookupCaches {
  readonly cached: <Value>(kind: string, key: string, read: () => Promise<Answer<Value>>) => Promise<Value>;
  /** Forgets one tenant's answers and those that are nobody's; everything where no tenant is named. */
  readonly forget: (tenantId: string | undefined) => void;
  /** While off, nothing is kept: notices of revocation do not arrive. */
  readonly setCaching: (isOn: boolean) => void;
}

export function openCaches(): LookupCaches {
  const answers = new LRUCache<string, Answer<unknown>>({ max: ENTRIES_MAX, ttl: TTL_MS });
  let isCaching = false;
  // A look-up that began before something was revoked must not store its answer after it.
  let generation = 0;

  function forget(tenantId: string | undefined): void {
    generation += 1;
    if (tenantId === undefined) answers.clear();
    else
      for (const [key, { tenantId: owner }] of answers)
        if (owner === undefined || owner === tenantId) answers.delete(key);
  }

  async function cached<Value>(kind: string, key: string, read: () => Promise<Answer<Value>>): Promise<Value> {
    const place = `${kind} ${key}`;
    const known = isCaching ? answers.get(place) : undefined;
    // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- the map holds answers of every kind; this one was stored under this very kind
    if (known) return known.value as Value;
    const readIn = generation;
    const answer = await read().catch(translateDatabaseError);
    if (isCaching && readIn === generation) answers.set(place, answer);
    return answer.value;
  }

  return {
    cached,
    forget,
    setCaching(isOn) {
      isCaching = isOn;
      forget(undefined);
    },
  };
}
