import { describe, expect, test } from "@jest/globals";
import { ConfigError, readConfig } from "../../src/config.ts";

const MASTER_KEY = "m".repeat(32);

function problemsOf(environment: Readonly<Record<string, string>>): readonly string[] {
  try {
    readConfig(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

describe("settings", () => {
  test("need none for a local start, which lets everybody in and shows the schema", () => {
    expect(readConfig({})).toMatchObject({
      production: false,
      host: "127.0.0.1",
      port: 4000,
      database: undefined,
      defaultTenant: true,
      trustTenantHeader: true,
      sampleData: true,
      introspection: "on",
    });
  });

  test("of a production start let nobody in without a credential, unless they say so", () => {
    const closed = readConfig({ NODE_ENV: "production", MASTER_KEY });
    const opened = readConfig({ NODE_ENV: "production", MASTER_KEY, DEFAULT_TENANT: "on" });

    expect(closed).toMatchObject({
      defaultTenant: false,
      trustTenantHeader: false,
      sampleData: false,
      introspection: "members",
    });
    expect(opened.defaultTenant).toBe(true);
  });

  test("that are wrong are all named at once, a line each", () => {
    const problems = problemsOf({
      NODE_ENV: "production",
      PORT: "70000",
      DATABASE_URL: "mysql://localhost/x",
      PLATFORM_ADMIN_KEY: "short",
      DEFAULT_TENANT: "yes",
      INTROSPECTION: "sometimes",
    });

    expect(problems).toEqual([
      expect.stringContaining("PORT "),
      expect.stringContaining("DATABASE_URL "),
      expect.stringContaining("PLATFORM_ADMIN_KEY "),
      expect.stringContaining("DEFAULT_TENANT "),
      expect.stringContaining("INTROSPECTION "),
      "DATABASE_URL and DATABASE_OWNER_URL are given together, or neither",
      "MASTER_KEY is required when NODE_ENV is production",
    ]);
    expect(problems.filter((problem) => problem.includes("\n"))).toEqual([]);
  });

  test("that are empty count as not given", () => {
    expect(readConfig({ PORT: "", DATABASE_URL: "", PLATFORM_ADMIN_KEY: "" })).toEqual(readConfig({}));
  });
});
