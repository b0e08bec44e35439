import { randomUUID } from "node:crypto";
import pg from "pg";
import { sharedCluster } from "./shared-cluster.ts";

export interface TestDatabase {
  readonly ownerUrl: string;
  readonly gatewayUrl: string;
  readonly superuserUrl: string;
  drop(): Promise<void>;
}

/** A fresh, migrated database, cloned from the template: takes some 50 ms. The default tenant is its only row. */
export async function newDatabase(): Promise<TestDatabase> {
  return createFrom(new URL(sharedCluster().ownerUrl).pathname.slice(1));
}

/** A fresh database without any table, for tests of migrations. */
export async function newEmptyDatabase(): Promise<TestDatabase> {
  return createFrom("template0");
}

async function createFrom(template: string): Promise<TestDatabase> {
  const cluster = sharedCluster();
  const name = `test_${randomUUID().replaceAll("-", "")}`;
  const owner = new URL(cluster.ownerUrl).username;
  await asSuperuser(`CREATE DATABASE ${name} OWNER ${owner} TEMPLATE ${template}`);
  return {
    ownerUrl: withDatabase(cluster.ownerUrl, name),
    gatewayUrl: withDatabase(cluster.gatewayUrl, name),
    superuserUrl: withDatabase(cluster.superuserUrl, name),
    drop: () => asSuperuser(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.toString();
}

async function asSuperuser(statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: withDatabase(sharedCluster().superuserUrl, "postgres") });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
