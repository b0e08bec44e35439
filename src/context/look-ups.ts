import { promises as dns } from "node:dns";
import type { LookupAddress } from "node:dns";

/** Within a connection's three seconds (context/outgoing.ts). A question is asked twice, and waited for twice as long the second time. */
const QUESTION_MS = 800;
const QUESTIONS = 2;
const SYSTEM_MS = 2_500;
/** Of the four threads of the runtime, on which passwords are hashed, keys are used and files are read as well. */
const SYSTEM_AT_ONCE = 2;

/** Finds a name's addresses, at least one, in a limited time. `family` is 4 or 6; any other number means both. */
export type LookUp = (name: string, family: number) => Promise<LookupAddress[]>;

export interface LookUpOptions {
  /** Whether names count that only this machine or its network knows: those of its hosts file, and whatever else it is set up to ask. */
  readonly isPrivateAllowed: boolean;
  /** DNS servers instead of the machine's, as `address:port`. */
  readonly servers?: readonly string[] | undefined;
}

/**
 * Looks names up so that one whose servers never answer holds up nobody but who asked for it. The runtime's own look-up takes a thread for
 * as long as the machine likes to wait, so only names of the operator's network take that way, and few at a time.
 */
export function openLookUps({ isPrivateAllowed, servers }: LookUpOptions): LookUp {
  if (!isPrivateAllowed) return (name, family) => askDns(name, family, servers);
  const atOnce = limitedTo(SYSTEM_AT_ONCE, SYSTEM_MS);
  return (name, family) =>
    atOnce(() => dns.lookup(name, { all: true, family: family === 4 || family === 6 ? family : 0 }));
}

/** By DNS alone, which takes no thread. */
async function askDns(name: string, family: number, servers: LookUpOptions["servers"]): Promise<LookupAddress[]> {
  // A new one each time: it reads which servers there are now.
  const resolver = new dns.Resolver({ timeout: QUESTION_MS, tries: QUESTIONS });
  if (servers) resolver.setServers([...servers]);
  const answers = await Promise.allSettled([
    family === 6 ? [] : resolver.resolve4(name),
    family === 4 ? [] : resolver.resolve6(name),
  ]);
  const found = answers.flatMap((answer, index) =>
    answer.status === "fulfilled" ? answer.value.map((address) => ({ address, family: index === 0 ? 4 : 6 })) : [],
  );
  const failure = answers.find((answer) => answer.status === "rejected");
  if (found.length === 0 && failure) throw failure.reason;
  return found;
}

/**
 * Lets so much work run at once, and waits so many milliseconds for each, its turn included. Work that is no longer waited for keeps its
 * place until it ends: it still holds what there is too little of.
 *
 * @throws Error for work that has not ended in time.
 */
export function limitedTo(atOnce: number, withinMs: number): <Result>(work: () => Promise<Result>) => Promise<Result> {
  let free = atOnce;
  const waiting = new Set<() => void>();

  function leave(): void {
    const [next] = waiting;
    if (!next) free += 1;
    else {
      waiting.delete(next);
      next();
    }
  }

  return (work) =>
    new Promise((resolve, reject) => {
      const begin = (): void => void work().then(resolve, reject).finally(finish);
      const timer = setTimeout(() => {
        waiting.delete(begin);
        reject(new Error(`no answer in ${withinMs} ms`));
      }, withinMs);
      function finish(): void {
        clearTimeout(timer);
        leave();
      }
      if (free === 0) waiting.add(begin);
      else {
        free -= 1;
        begin();
      }
    });
}
