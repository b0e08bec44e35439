import { readFileSync } from "node:fs";
import path from "node:path";
import { parseEnv } from "node:util";
import { z } from "zod";

type Environment = Readonly<Record<string, string | undefined>>;

const PLATFORM_KEY_LENGTH_MIN = 16; // shorter ones can be guessed by somebody patient
const MASTER_KEY_LENGTH_MIN = 32; // 256 bits, should every character be worth a byte

const onOff = z.enum(["on", "off"]).transform((value) => value === "on");
const postgresUrl = z
  .string()
  .regex(/^postgres(ql)?:\/\/[^/]+\/.+/, "is not a postgresql:// address with a database name");
const wholeNumber = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d+$/, "is not a whole number")
    .transform(Number)
    .refine((value) => value >= min && value <= max, `is not between ${min} and ${max}`);
const webAddress = z
  .string()
  .regex(/^https?:\/\/[^/]+/, "is not an http:// or https:// address")
  .transform((value) => value.replace(/\/+$/, ""));
const list = z
  .string()
  .default("")
  .transform((value) =>
    value
      .split(",")
      .map((entry) => entry.trim())
      .filter(Boolean),
  );
const switchedOffInProduction = (production: boolean) => onOff.default(!production);

const claims = z
  .strictObject({
    /** Whose word for a tenant is its id here. */
    tenant: z.string().min(1),
    user: z.string().min(1),
    email: z.string().min(1),
    emailVerified: z.string().min(1),
    name: z.string().min(1),
    role: z.string().min(1),
  })
  .partial();

const trustedIssuer = z
  .strictObject({
    /** As it stands in the tokens' `iss`; its metadata are at /.well-known/openid-configuration below it. */
    issuer: z.url(),
    /** What an access token must be meant for. */
    audience: z.string().min(1),
    /** For sign-in in the browser; access tokens alone need neither. */
    clientId: z.string().min(1).optional(),
    clientSecret: z.string().min(1).optional(),
    name: z.string().min(1).optional(),
    /** The tenants it may speak for: ids, or "*" for every one. */
    tenants: z.union([z.literal("*"), z.array(z.uuid().transform((id) => id.toLowerCase())).min(1)]),
    claims: claims.default({}),
    /** The issuer's word for a role, and ours. */
    roles: z.record(z.string(), z.enum(["owner", "admin", "user", "viewer"])).default({}),
    /** What becomes of people whom the tenant does not know: refused, linked by a verified address, or added. */
    unknownPeople: z.enum(["refuse", "link", "create"]).default("refuse"),
    defaultRole: z.enum(["admin", "user", "viewer"]).default("user"),
    /** Addresses outside of these domains are refused; an empty list restricts nothing. */
    emailDomains: z.array(z.string().min(1)).default([]),
  })
  .readonly();

/** An identity provider that the whole installation trusts, as OIDC_ISSUERS names it. */
export type TrustedIssuer = z.infer<typeof trustedIssuer>;

/** OIDC_ISSUERS: a JSON list of issuers. */
const trustedIssuers = z
  .string()
  .transform((text, context) => {
    try {
      const parsed: unknown = JSON.parse(text);
      return parsed;
    } catch {
      context.addIssue({ code: "custom", message: "is not JSON" });
      return z.NEVER;
    }
  })
  .pipe(z.array(trustedIssuer));

function settingsOf(production: boolean) {
  return z.object({
    HOST: z.string().min(1).default("127.0.0.1"),
    PORT: wholeNumber(0, 65_535).default(4000),
    PROCESSES: wholeNumber(1, 64).default(1),
    DATA_DIR: z.string().min(1).default(".data"),
    DATABASE_URL: postgresUrl.optional(),
    DATABASE_OWNER_URL: postgresUrl.optional(),
    DATABASE_LISTEN_URL: postgresUrl.optional(),
    DATABASE_POOL_MAX: wholeNumber(1, 1000).default(20),
    PREPARED_STATEMENTS: onOff.default(true),
    FAST_PATH: onOff.default(true),
    PLATFORM_ADMIN_KEY: z
      .string()
      .min(PLATFORM_KEY_LENGTH_MIN, `is shorter than ${PLATFORM_KEY_LENGTH_MIN} characters`)
      .optional(),
    MASTER_KEY: z.string().min(MASTER_KEY_LENGTH_MIN, `is shorter than ${MASTER_KEY_LENGTH_MIN} characters`).optional(),
    DEFAULT_TENANT: switchedOffInProduction(production),
    TRUST_TENANT_HEADER: switchedOffInProduction(production),
    SAMPLE_DATA: switchedOffInProduction(production),
    INTROSPECTION: z.enum(["on", "members", "off"]).default(production ? "members" : "on"),
    TRUSTED_DOCUMENTS: z.enum(["off", "log", "enforce"]).default("off"),
    TRUSTED_DOCUMENTS_FILES: list,
    CORS_ORIGINS: list,
    TRUSTED_PROXIES: list,
    PUBLIC_URL: webAddress.optional(),
    SMTP_URL: z
      .string()
      .regex(/^smtps?:\/\/[^/]+/, "is not an smtp:// or smtps:// address")
      .optional(),
    MAIL_FROM: z.string().min(3).default("Atrium <no-reply@localhost>"),
    TOKEN_ISSUER: z.string().min(1).optional(),
    TOKEN_AUDIENCE: z.string().min(1).default("atrium"),
    OIDC_ISSUERS: trustedIssuers.default([]),
    REDIS_URL: z
      .string()
      .regex(/^rediss?:\/\/[^/]+/, "is not a redis:// or rediss:// address")
      .optional(),
    RATE_LIMIT_FAILURE: z.enum(["open", "closed"]).default("open"),
    ALLOW_PRIVATE_ADDRESSES: switchedOffInProduction(production),
    OPEN_ACCESS_DEPRECATED: onOff.default(false),
    METRICS_TENANTS: onOff.default(false),
    LOG_LEVEL: z.enum(["debug", "info", "warn", "error", "silent"]).default("info"),
  });
}

/** How the gateway is run; frozen, made once at the start, passed down. */
export interface Config {
  readonly production: boolean;
  readonly host: string;
  readonly port: number;
  /** How many processes serve. */
  readonly processes: number;
  readonly dataDir: string;
  /** Undefined means the embedded PostgreSQL. Both addresses are given, or neither. */
  readonly database: { readonly gatewayUrl: string; readonly ownerUrl: string } | undefined;
  /** Where notices of revocation are heard; undefined means: at the gateway's own address. */
  readonly databaseListenUrl: string | undefined;
  readonly databasePoolMax: number;
  /** Off for PgBouncer before 1.21 in transaction mode, which loses named statements. */
  readonly preparedStatements: boolean;
  /** Whether statements that Prisma has written once are run without it. */
  readonly fastPath: boolean;
  /** Undefined means: made on the first start and kept in the data folder. */
  readonly platformAdminKey: string | undefined;
  readonly masterKey: string | undefined;
  readonly defaultTenant: boolean;
  readonly trustTenantHeader: boolean;
  readonly sampleData: boolean;
  readonly introspection: "on" | "members" | "off";
  /** What becomes of operations that come as text and are in no file: executed, executed and logged, or refused. */
  readonly trustedDocuments: "off" | "log" | "enforce";
  /** The files that hold the documents that are trusted, as absolute paths. */
  readonly trustedDocumentsFiles: readonly string[];
  readonly corsOrigins: readonly string[];
  /** Addresses, or ranges of them, whose word about the caller's address (X-Forwarded-For) is taken. */
  readonly trustedProxies: readonly string[];
  /** Where browsers reach the gateway; undefined means: where it listens. Without a slash at its end. */
  readonly publicUrl: string | undefined;
  /** Undefined means: mail is written to the folder outbox in the data folder. */
  readonly smtpUrl: string | undefined;
  readonly mailFrom: string;
  /** `iss` of the gateway's own tokens; undefined means: publicUrl, or "atrium" without one. */
  readonly tokenIssuer: string | undefined;
  readonly tokenAudience: string;
  /** Identity providers that the whole installation trusts. */
  readonly oidcIssuers: readonly TrustedIssuer[];
  /** Undefined means: limits are counted in PostgreSQL. */
  readonly redisUrl: string | undefined;
  /** Whether requests pass or are refused while limits cannot be counted. */
  readonly rateLimitFailure: "open" | "closed";
  /** Whether addresses that tenants name may lie in private networks. */
  readonly allowPrivateAddresses: boolean;
  /** Whether requests without a credential are told that this way will end. */
  readonly openAccessDeprecated: boolean;
  /** Whether /metrics names tenants. */
  readonly metricsTenants: boolean;
  readonly logLevel: "debug" | "info" | "warn" | "error" | "silent";
}

/** Wrong settings; `problems` has one line for each. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  constructor(readonly problems: readonly string[]) {
    super(problems.join("\n"));
  }
}

/** The names of all settings, for the test that compares them with .env.example. */
export function settingNames(): readonly string[] {
  return ["NODE_ENV", ...Object.keys(settingsOf(false).shape)];
}

/** The process's environment on top of the .env file beside it; the only reader of process.env. */
export function readEnvironment(): Environment {
  return { ...readDotEnv(path.resolve(".env")), ...process.env };
}

/**
 * Turns the environment into settings.
 *
 * @throws ConfigError naming every problem at once.
 */
export function readConfig(environment: Environment): Config {
  const production = environment["NODE_ENV"] === "production";
  const given = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ""),
  );
  const parsed = settingsOf(production).safeParse(given);
  const problems = parsed.success ? [] : parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`);
  if (given["NODE_ENV"] !== undefined && !["production", "development", "test"].includes(given["NODE_ENV"])) {
    problems.push("NODE_ENV is not one of production, development, test");
  }
  if ((given["DATABASE_URL"] === undefined) !== (given["DATABASE_OWNER_URL"] === undefined)) {
    problems.push("DATABASE_URL and DATABASE_OWNER_URL are given together, or neither");
  }
  if (given["DATABASE_LISTEN_URL"] !== undefined && given["DATABASE_URL"] === undefined) {
    problems.push("DATABASE_LISTEN_URL is another way to the database of DATABASE_URL, which is not given");
  }
  if (given["TRUSTED_DOCUMENTS"] === "enforce" && given["TRUSTED_DOCUMENTS_FILES"] === undefined)
    problems.push("TRUSTED_DOCUMENTS_FILES is required when TRUSTED_DOCUMENTS is enforce");
  if (production && given["MASTER_KEY"] === undefined)
    problems.push("MASTER_KEY is required when NODE_ENV is production");
  if (!parsed.success || problems.length > 0) throw new ConfigError(problems);
  const settings = parsed.data;
  const { DATABASE_URL: gatewayUrl, DATABASE_OWNER_URL: ownerUrl } = settings;
  return Object.freeze({
    production,
    host: settings.HOST,
    port: settings.PORT,
    processes: settings.PROCESSES,
    dataDir: path.resolve(settings.DATA_DIR),
    database: gatewayUrl !== undefined && ownerUrl !== undefined ? { gatewayUrl, ownerUrl } : undefined,
    databaseListenUrl: settings.DATABASE_LISTEN_URL,
    databasePoolMax: settings.DATABASE_POOL_MAX,
    preparedStatements: settings.PREPARED_STATEMENTS,
    fastPath: settings.FAST_PATH,
    platformAdminKey: settings.PLATFORM_ADMIN_KEY,
    masterKey: settings.MASTER_KEY,
    defaultTenant: settings.DEFAULT_TENANT,
    trustTenantHeader: settings.TRUST_TENANT_HEADER,
    sampleData: settings.SAMPLE_DATA,
    introspection: settings.INTROSPECTION,
    trustedDocuments: settings.TRUSTED_DOCUMENTS,
    trustedDocumentsFiles: settings.TRUSTED_DOCUMENTS_FILES.map((file) => path.resolve(file)),
    corsOrigins: settings.CORS_ORIGINS,
    trustedProxies: settings.TRUSTED_PROXIES,
    publicUrl: settings.PUBLIC_URL,
    smtpUrl: settings.SMTP_URL,
    mailFrom: settings.MAIL_FROM,
    tokenIssuer: settings.TOKEN_ISSUER,
    tokenAudience: settings.TOKEN_AUDIENCE,
    oidcIssuers: settings.OIDC_ISSUERS,
    redisUrl: settings.REDIS_URL,
    rateLimitFailure: settings.RATE_LIMIT_FAILURE,
    allowPrivateAddresses: settings.ALLOW_PRIVATE_ADDRESSES,
    openAccessDeprecated: settings.OPEN_ACCESS_DEPRECATED,
    metricsTenants: settings.METRICS_TENANTS,
    logLevel: settings.LOG_LEVEL,
  });
}

function readDotEnv(file: string): Environment {
  try {
    return parseEnv(readFileSync(file, "utf8"));
  } catch (error) {
    // Without a .env file everything comes from the environment, which is the normal case in production.
    if (typeof error === "object" && error !== null && "code" in error && error.code === "ENOENT") return {};
    throw error;
  }
}
