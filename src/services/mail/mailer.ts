import type { Letter } from "./letters.ts";

/** A letter with whom it goes to. */
export interface OutgoingMail extends Letter {
  readonly to: string;
}

/** What brings mail on its way. */
export interface Mailer {
  /**
   * @throws Undeliverable when trying again is of no use; anything else when it may help.
   * Ends within SEND_WITHIN_MS, or when the signal says so.
   */
  readonly send: (mail: OutgoingMail, signal: AbortSignal) => Promise<void>;
}

/** The address was refused for good. */
export class Undeliverable extends Error {
  override readonly name = "Undeliverable";
}
