import { describe, expect, test } from "@jest/globals";
import { serverAddress, withoutSecrets } from "../../src/services/integrations/secrets.ts";

describe("what is shown of stored JSON", () => {
  test.each([
    ...["credentials", "oauth_credentials", "CREDENTIALS_ENCRYPTED", "token", "tokens", "refreshToken", "access_token"],
    ...[
      "password",
      "Passwd",
      "passphrase",
      "client_secret",
      "clientSecret",
      "secrets",
      "api_key",
      "apiKey",
      "X-API-Key",
    ],
    ...["private-key", "privateKeyPem", "accessKeyId", "signing_key", "encryptionKey", "Authorization", "bearer"],
    ...["Set-Cookie", "signature", "auth", "key", "pass", "pwd", "pin", "otp", "jwt", "sig"],
  ])("has nothing that is named %s", (name) => {
    expect(withoutSecrets({ [name]: "canary", kept: [{ [name]: { deep: "canary" } }] })).toEqual({ kept: [{}] });
  });

  test.each([
    ...["server_url", "name", "selected_tools", "available_tools", "oauth_required", "oauth_user_emails", "client_id"],
    ...["scopes", "author", "keyboard", "passenger", "description", "timezone"],
  ])("has what is named %s", (name) => {
    expect(withoutSecrets({ [name]: ["shown", 1, true, null] })).toEqual({ [name]: ["shown", 1, true, null] });
  });

  test.each([
    ["https://ada:canary@example.com/a", "https://example.com/a"],
    ["https://example.com/a?access_token=canary&b=1&api_key=canary", "https://example.com/a?b=1"],
    ["https://example.com/#access_token=canary", "https://example.com/"],
    ["https://example.com/#/room", "https://example.com/#/room"],
    ["imap://canary@example.com", "imap://example.com"],
    ["https://[canary", ""],
    ["see https://example.com", "see https://example.com"],
    ["plain text", "plain text"],
  ])("has the address %s as %s", (stored, shown) => {
    expect(withoutSecrets([stored])).toEqual([shown]);
  });
});

test.each([
  ["https://example.com/mcp", "https://example.com/mcp"],
  ["http://ada:canary@localhost:8080/mcp?token=canary", "http://localhost:8080/mcp"],
  ["file:///etc/passwd", null],
  ["gAAAAABcanary", null],
  ["", null],
  [null, null],
  [7, null],
])("the address of a server that is stored as %s is %s", (stored, address) => {
  expect(serverAddress(stored)).toBe(address);
});
