import js from "@eslint/js";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

// Every rule is an error, or it is not in the file. docs/conventions.md §7 gives the reasons.

const readsEnvironment = {
  object: "process",
  property: "env",
  message: "Only src/config.ts reads the environment; the rest receives a Config.",
};
const seesAllTenants = { property: "rootDb", message: "The unscoped client is for src/context only." };
const goesAroundServices = {
  selector: "MemberExpression[object.name=/^(ctx|context|tx)$/][property.name='db']",
  message: "Permissions are checked in services: an edge calls a service, never the database.",
};

export default defineConfig(
  // The peers of the benchmark have packages and a compiler of their own.
  globalIgnores(["dist/", "coverage/", "src/context/generated/", "test/generated/", "bench/peers/"]),
  { linterOptions: { reportUnusedDisableDirectives: "error", reportUnusedInlineConfigs: "error" } },
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  { languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } } },
  {
    name: "house",
    rules: {
      "@typescript-eslint/consistent-type-assertions": ["error", { assertionStyle: "never" }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/consistent-type-exports": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { allowDefaultCaseForExhaustiveSwitch: false }],
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-non-null-assertion": "error",
      "@typescript-eslint/only-throw-error": "error",
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      // An async function without await turns what it throws into a rejection, which its callers count on.
      "@typescript-eslint/require-await": "off",
      // Numbers in messages are plain to read; what would print "[object Object]" stays forbidden.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      // GraphQL's object types and inputs are classes of decorated fields, and nothing else.
      "@typescript-eslint/no-extraneous-class": ["error", { allowWithDecorator: true }],
      "func-style": ["error", "declaration", { allowArrowFunctions: true }],
      "max-lines": ["error", { max: 399 }],
      "no-console": "error",
      "no-restricted-properties": ["error", readsEnvironment, seesAllTenants],
      "no-warning-comments": ["error", { terms: ["todo", "fixme", "xxx"] }],
      // `== null` is how an input of GraphQL is asked whether it is absent or null.
      eqeqeq: ["error", "always", { null: "ignore" }],
    },
  },
  {
    name: "edges go through services",
    files: ["src/resolvers/**", "src/http/**", "src/jobs/**"],
    rules: { "no-restricted-syntax": ["error", goesAroundServices] },
  },
  {
    name: "the reader of the environment",
    files: ["src/config.ts"],
    rules: { "no-restricted-properties": ["error", seesAllTenants] },
  },
  {
    name: "where the unscoped client lives",
    files: ["src/context/**"],
    rules: { "no-restricted-properties": ["error", readsEnvironment] },
  },
  {
    name: "what a person runs and reads",
    files: ["src/cli.ts", "scripts/**", "bench/**"],
    rules: { "no-console": "off", "no-restricted-properties": "off" },
  },
  {
    name: "what sets the environment of the tests and of Prisma's own tools",
    files: ["test/support/**", "test/**/*.test.ts", "prisma.config.ts"],
    rules: { "no-restricted-properties": "off" },
  },
  {
    name: "Node's names, which the compiler knows but the rule for plain JavaScript does not",
    files: ["**/*.{js,mjs,cjs}"],
    languageOptions: { globals: { console: "readonly", module: "writable", process: "readonly", URL: "readonly" } },
  },
  {
    name: "plain JavaScript outside the compiler's configuration",
    files: ["**/*.cjs", "prisma/generator/*.mjs", "public/**/*.js"],
    extends: [tseslint.configs.disableTypeChecked],
  },
  {
    name: "what browsers run",
    files: ["public/**/*.js"],
    languageOptions: {
      globals: Object.fromEntries(
        ["document", "fetch", "FormData", "history", "location", "navigator", "URLSearchParams"].map((name) => [
          name,
          "readonly",
        ]),
      ),
    },
  },
);
