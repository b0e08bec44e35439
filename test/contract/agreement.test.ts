import { describe, expect, test } from "@jest/globals";
import { buildSchema } from "graphql";
import { readFileSync } from "node:fs";
import { disagreements } from "../../scripts/contract.ts";
import { NOT_YET } from "./not-yet.ts";

const text = readFileSync(new URL("contract.graphql", import.meta.url), "utf8");
const contract = buildSchema(text);

describe("the schema and the contract", () => {
  test("the committed schema has all of the contract but what is listed as not yet", () => {
    const schema = buildSchema(readFileSync(new URL("../../schema.graphql", import.meta.url), "utf8"));

    expect(disagreements(schema, contract, NOT_YET)).toEqual([]);
  });

  test.each([
    [
      "a field that may be null",
      "  messageCount: Int!",
      "  messageCount: Int",
      "Session.messageCount is Int, but the contract has Int!.",
    ],
    ["a missing field", "  messageCount: Int!", "", "Session.messageCount is missing: the contract has Int!."],
    [
      "a missing enum value",
      "enum Plan { FREE PRO",
      "enum Plan { FREE",
      "Plan.PRO is missing: the contract has a value.",
    ],
    [
      "another default",
      "activeOnly: Boolean = true",
      "activeOnly: Boolean = false",
      "Query.apiKeys(activeOnly:) is Boolean = false, but the contract has Boolean = true.",
    ],
    [
      "a missing interface",
      "type Message implements Node",
      "type Message",
      "Message:Node is missing: the contract has implements Node.",
    ],
    ["a missing member of a union", "| RunFinished", "", "RunEvent.RunFinished is missing: the contract has a member."],
    [
      "a new required argument",
      "deleteFile(id: ID!)",
      "deleteFile(id: ID!, sure: Boolean!)",
      "Mutation.deleteFile(sure:) is required and not in the contract: clients do not send it.",
    ],
    [
      "a new required input field",
      "input UpdateUserInput { id: ID!",
      "input UpdateUserInput { id: ID! sure: Boolean!",
      "UpdateUserInput.sure is required and not in the contract: clients do not send it.",
    ],
  ])("%s is a disagreement", (_name, from, to, problem) => {
    expect(text).toContain(from);

    expect(disagreements(buildSchema(text.replace(from, to)), contract, [])).toEqual([problem]);
  });

  test("additions are no disagreement", () => {
    const more = `${text} type Extra { id: ID! } extend type Session { extra(first: Int): Extra } extend enum Plan { TRIAL }`;

    expect(disagreements(buildSchema(more), contract, [])).toEqual([]);
  });

  test("what is listed as not yet may not exist, and must be in the contract", () => {
    expect(disagreements(contract, contract, ["Query.session", "Query.nothing"])).toEqual([
      "Query.session exists: remove it from the list of what is not yet there.",
      "Query.nothing is listed as not yet, but the contract does not have it.",
    ]);
  });
});
