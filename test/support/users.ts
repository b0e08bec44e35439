import { dataOf } from "./send.ts";
import type { Answer, Sender } from "./send.ts";
import { anId } from "./tenants.ts";

const USER = "id email name role active emailVerified timezone metadata lastLoginAt";

/** A person as the operations below show them. */
type User = Readonly<Record<"id" | "email" | "role" | "timezone", string>> & {
  readonly name: string | null;
  readonly active: boolean;
  readonly emailVerified: boolean;
  readonly metadata: object;
};
/** What a mutation is given. */
export type Input = Readonly<Record<string, unknown>>;

/** Any of the mutations of people. */
export function mutate(send: Sender, mutation: "createUser" | "updateUser" | "updateProfile", input: Input) {
  const type = `${mutation.charAt(0).toUpperCase()}${mutation.slice(1)}Input!`;
  return send<{ done: { user: User } }>(
    `mutation ($input: ${type}) { done: ${mutation}(input: $input) { user { ${USER} } } }`,
    { input },
  );
}

export const create = (send: Sender, input: Input) => mutate(send, "createUser", input);
export const update = (send: Sender, input: Input) => mutate(send, "updateUser", input);
export const resend = (send: Sender, userId: string) =>
  send("mutation ($userId: ID!) { resendInvitation(userId: $userId) }", { userId });
export const userOf = (answer: Answer<{ done: { user: User } }>): User => dataOf(answer).done.user;
export const anAddress = (): string => `${anId()}@example.com`;
