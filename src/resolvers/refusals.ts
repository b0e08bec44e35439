import type { GraphQLRequestContext } from "@apollo/server";
import { OperationTypeNode } from "graphql";
import type { TenantContext } from "../context/tenant-context.ts";
import type { ErrorCode } from "../errors.ts";
import * as audit from "../services/audit.ts";
import type { ErrorReport } from "./errors.ts";
import { rootFieldsOf } from "./selections.ts";
import type { Operation } from "./selections.ts";

// A credential that is not one is refused before there is an operation; input that is wrong is no refusal.
const REFUSALS = new Set<ErrorCode>(["FORBIDDEN", "TENANT_MISMATCH"]);
const TYPES = {
  [OperationTypeNode.QUERY]: "Query",
  [OperationTypeNode.MUTATION]: "Mutation",
  [OperationTypeNode.SUBSCRIPTION]: "Subscription",
} as const;

/** Tells the audit trail what this caller may not do: each operation once, by the schema's name, which no client chooses. */
export function noteRefusals(
  { contextValue: ctx, document, operation }: GraphQLRequestContext<TenantContext>,
  reports: readonly ErrorReport[],
): void {
  const asked = document && operation ? { document, operation } : undefined;
  const refused = new Map<string, Record<string, string>>();
  for (const { code, formatted } of reports) {
    if (!REFUSALS.has(code)) continue;
    const name = asked && nameOf(asked, formatted.path?.[0]);
    refused.set(`${code} ${name}`, { ...(name !== undefined && { operation: name }), code });
  }
  for (const details of refused.values()) audit.refused(ctx, { action: audit.ACCESS_REFUSED, details });
}

/** The root field behind a key of the answer, which may be an alias. */
function nameOf(asked: Operation, key: string | number | undefined): string | undefined {
  const field = rootFieldsOf(asked).find(({ alias, name }) => (alias ?? name).value === key);
  return field && `${TYPES[asked.operation.operation]}.${field.name.value}`;
}
