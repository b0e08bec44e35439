// What the migrations make and the models cannot say. Prisma's language has no ON DELETE SET NULL for some columns of a key, and
// its SetNull would clear tenant_id as well; so these models say NoAction, and the SQL clears user_id alone. Nothing else may differ.
const SET_NULL_ON_USER: readonly { table: string; constraint: string }[] = [
  { table: "sessions", constraint: "fk_sessions_user_id" },
  { table: "files", constraint: "fk_files_user_id" },
  { table: "integrations", constraint: "fk_integrations_user_id_users" },
  { table: "memory_long", constraint: "fk_memory_long_user_id" },
  { table: "notifications", constraint: "fk_notifications_user_id" },
  { table: "tasks", constraint: "fk_tasks_user_id" },
];

/**
 * The statements by which the models still differ from the migrations, without those that are accepted.
 *
 * @param script the SQL by which the engine would bring the migrations' result to the models.
 */
export function unacceptedDifferences(script: string): string[] {
  const accepted = new Set(
    SET_NULL_ON_USER.flatMap(({ table, constraint }) => [
      `ALTER TABLE "${table}" DROP CONSTRAINT "${constraint}";`,
      `ALTER TABLE "${table}" ADD CONSTRAINT "${constraint}" FOREIGN KEY ("tenant_id", "user_id") REFERENCES "users"("tenant_id", "id") ON DELETE NO ACTION ON UPDATE NO ACTION;`,
    ]),
  );
  return script
    .split(/^-- .*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "" && !accepted.has(statement));
}
