import { chmodSync, existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Config } from "../config.ts";
import { newSecret } from "../context/crypto.ts";
import { isSystemError } from "./system-error.ts";

/** What the installation keeps to itself. */
export interface Secrets {
  /** The platform administrator's key. */
  readonly platformAdminKey: string;
  /** A random text of 32 characters or more; what wraps the tenants' data keys is derived from it. */
  readonly masterKey: string;
}

/** The secrets from the settings; those not set are made on the first start and kept in the data folder, readable by their owner alone. */
export function readOrMakeSecrets(config: Pick<Config, "dataDir" | "platformAdminKey" | "masterKey">): Secrets {
  return {
    platformAdminKey: config.platformAdminKey ?? readOrMake(config.dataDir, "platform-admin.key"),
    masterKey: config.masterKey ?? readOrMake(config.dataDir, "master.key"),
  };
}

function readOrMake(dataDir: string, name: string): string {
  const file = path.join(dataDir, name);
  if (!existsSync(file)) {
    mkdirSync(dataDir, { recursive: true, mode: 0o711 });
    keepIfFirst(file, `${newSecret()}\n`);
  }
  chmodSync(file, 0o600);
  const secret = readFileSync(file, "utf8").trim();
  if (secret === "") throw new Error(`${file} is empty. Put its content back, or remove it to have a new secret made.`);
  return secret;
}

/** A link comes into being whole or not at all, and never takes another one's place: of two first starts at once, both read the same secret. */
function keepIfFirst(file: string, content: string): void {
  const aside = `${file}.${process.pid}`;
  writeFileSync(aside, content, { mode: 0o600 });
  try {
    linkSync(aside, file);
  } catch (error) {
    if (!isSystemError(error, "EEXIST")) throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}
