import { describe, expect, test } from "@jest/globals";
import { AppError } from "../../src/errors.ts";
import { Problems } from "../../src/services/checks.ts";
import * as passwords from "../../src/services/passwords.ts";

const ABOUT = ["alice@example.com", "Alice Liddell", "Acme Corp"];

function isAccepted(password: string): boolean {
  const problems = new Problems();
  passwords.addProblems(problems, "input.password", password, ABOUT);
  try {
    problems.throwIfAny();
    return true;
  } catch {
    return false;
  }
}

function reasonOf({ reason }: PromiseRejectedResult): unknown {
  return reason;
}

describe("a new password is refused when", () => {
  test.each([
    ["it has 11 characters", "x9$kLm2#Qp7"],
    ["it has 1,025 characters", "correct horse ".repeat(74).slice(0, 1_025)],
    ["it is common", "password1234"],
    ["it is common, with signs for letters", "P@ssw0rd1234"],
    ["it is a pattern of the keyboard", "qwertyuiop123456"],
    ["it repeats one word", "letmeinletmein"],
    ["it is the address", "alice@example.com"],
    ["it is made of the name", "AliceLiddell1"],
    ["it is made of the tenant's name", "acme-corp-2026"],
    ["it holds a NUL character", "correct horse\0battery"],
  ])("%s", (_why, password) => {
    expect(isAccepted(password)).toBe(false);
  });
});

test.each(["correct horse battery staple", "x9$kLm2#Qp7z", "Kein-Weg-führt-zurück", "海は広いな大きいな月がのぼる"])(
  "%s is a password",
  (password) => {
    expect(isAccepted(password)).toBe(true);
  },
);

test("no text keeps the process busy while it is judged", () => {
  const hostile = ["p4ssw0rd", "a1", "4a8@", "/\\/\\", "1 2 3 ", "11/11/", "(_)|_|"].map((part) => part.repeat(200));
  isAccepted("the dictionaries are read once");

  const start = performance.now();
  for (const password of hostile) isAccepted(password.slice(0, 1_024));

  // zxcvbn alone takes minutes for one of them; a busy machine is no failure.
  expect(performance.now() - start).toBeLessThan(20_000);
}, 300_000);

test("a hash is argon2id with OWASP's parameters, and only its password opens it", async () => {
  const hash = await passwords.hash("correct horse battery staple");

  expect(hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  expect(await passwords.verify(hash, "correct horse battery staple")).toBe(true);
  expect(await passwords.verify(hash, "correct horse battery stapl")).toBe(false);
  expect(passwords.isOutdated(hash)).toBe(false);
});

test("letters that a keyboard composes in another way are the same password", async () => {
  const hash = await passwords.hash("Kein-Weg-fu\u0308hrt");

  expect(await passwords.verify(hash, "Kein-Weg-f\u00fchrt")).toBe(true);
});

test.each([null, "", "nonsense", `$2b$12$${"a".repeat(53)}`, "$argon2id$v=19$m=19456,t=2,p=1$", "\0"])(
  "nothing is the password of a hash that is none: %j",
  async (stored) => {
    expect(await passwords.verify(stored, "")).toBe(false);
    expect(await passwords.verify(stored, "correct horse battery staple")).toBe(false);
  },
);

test("a text longer than any password is refused without being computed", async () => {
  expect(await passwords.verify(await passwords.hash("correct horse"), "x".repeat(10_000_000))).toBe(false);
});

test("a thousand at once wait in a bounded queue, and whoever finds it full is told when to come again", async () => {
  const outcomes = await Promise.allSettled(Array.from({ length: 1_000 }, () => passwords.verify(null, "x")));

  const refusals = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [reasonOf(outcome)] : []));
  expect(refusals).toHaveLength(1_000 - 102);
  expect(refusals.every((error) => error instanceof AppError && error.code === "RATE_LIMITED")).toBe(true);
  expect(refusals[0]).toHaveProperty("retryAfterSeconds", 1);
  expect(await passwords.verify(null, "x")).toBe(false);
});

test("a flood of one tenant's passwords neither turns another's away nor makes it wait for all of them", async () => {
  let done = 0;
  const flood = Array.from({ length: 102 }, async () => {
    await passwords.verify(null, "x", "a tenant that floods");
    done += 1;
  });

  expect(await passwords.verify(null, "x", "another tenant")).toBe(false);
  expect(done).toBeLessThan(20);
  await Promise.all(flood);
});
