import "reflect-metadata";
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { PrismaPg } from "@prisma/adapter-pg";
import {
  Arg,
  buildSchema,
  Ctx,
  Field,
  FieldResolver,
  ID,
  InputType,
  Int,
  Mutation,
  ObjectType,
  Query,
  registerEnumType,
  Resolver,
  Root,
} from "type-graphql";
import { tenantOf } from "./database.ts";
import { PrismaClient } from "./generated/client.ts";
import { settings } from "./settings.ts";

// Apollo, type-graphql and Prisma as their first pages show them, and row-level security as Prisma's documentation has it: an extension
// made for each request. A list in a list is one statement for each of its parents.

const prisma = new PrismaClient({
  adapter: new PrismaPg({ connectionString: settings.databaseUrl, max: settings.poolMax }),
});

const SESSION_STATUSES = { ACTIVE: "active", ARCHIVED: "archived", DELETED: "deleted" };
const MESSAGE_ROLES = { USER: "user", ASSISTANT: "assistant", SYSTEM: "system", TOOL: "tool" };
registerEnumType(SESSION_STATUSES, { name: "SessionStatus" });
registerEnumType(MESSAGE_ROLES, { name: "MessageRole" });

function forTenant(tenantId: string) {
  return prisma.$extends({
    query: {
      $allModels: {
        async $allOperations({ args, query }) {
          const [, result] = await prisma.$transaction([
            prisma.$executeRaw`SELECT set_config('app.tenant_id', ${tenantId}, TRUE)`,
            query(args),
          ]);
          return result;
        },
      },
    },
  });
}

interface Context {
  readonly tenantId: string;
  readonly db: ReturnType<typeof forTenant>;
}

@ObjectType()
class Message {
  @Field(() => ID)
  id!: string;

  @Field(() => MESSAGE_ROLES)
  role!: string;

  @Field(() => String)
  content!: string;

  @Field(() => Date)
  createdAt!: Date;
}

@ObjectType()
class MessageConnection {
  @Field(() => [Message])
  nodes!: Message[];
}

@ObjectType()
class Session {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  name!: string;

  @Field(() => SESSION_STATUSES)
  status!: string;

  @Field(() => Date)
  createdAt!: Date;
}

@ObjectType()
class SessionConnection {
  @Field(() => [Session])
  nodes!: Session[];
}

@InputType()
class CreateMessageInput {
  @Field(() => ID)
  sessionId!: string;

  @Field(() => MESSAGE_ROLES, { defaultValue: MESSAGE_ROLES.USER })
  role!: string;

  @Field(() => String)
  content!: string;
}

@ObjectType()
class MessagePayload {
  @Field(() => Message)
  message!: Message;
}

@Resolver(() => Session)
class SessionResolver {
  @Query(() => SessionConnection)
  async sessions(@Ctx() { db }: Context, @Arg("first", () => Int) first: number): Promise<SessionConnection> {
    const nodes = await db.session.findMany({
      where: { status: { not: SESSION_STATUSES.DELETED } },
      orderBy: [{ updatedAt: "desc" }, { id: "desc" }],
      take: first,
    });
    return { nodes };
  }

  @Query(() => Session, { nullable: true })
  async session(@Ctx() { db }: Context, @Arg("id", () => ID) id: string): Promise<Session | null> {
    return db.session.findFirst({ where: { id } });
  }

  @FieldResolver(() => MessageConnection)
  async messages(
    @Ctx() { db }: Context,
    @Root() session: Session,
    @Arg("first", () => Int, { nullable: true }) first?: number,
    @Arg("last", () => Int, { nullable: true }) last?: number,
  ): Promise<MessageConnection> {
    const isLast = typeof last === "number";
    const direction = isLast ? "desc" : "asc";
    const nodes = await db.message.findMany({
      where: { sessionId: session.id },
      orderBy: [{ createdAt: direction }, { id: direction }],
      take: last ?? first ?? 20,
    });
    return { nodes: isLast ? nodes.reverse() : nodes };
  }

  @Mutation(() => MessagePayload)
  async createMessage(
    @Ctx() { tenantId }: Context,
    @Arg("input", () => CreateMessageInput) { sessionId, role, content }: CreateMessageInput,
  ): Promise<MessagePayload> {
    const now = new Date();
    const message = await prisma.$transaction(async (tx) => {
      await tx.$executeRaw`SELECT set_config('app.tenant_id', ${tenantId}, TRUE)`;
      const { count } = await tx.session.updateMany({
        where: { id: sessionId, status: { notIn: [SESSION_STATUSES.ARCHIVED, SESSION_STATUSES.DELETED] } },
        data: { updatedAt: now },
      });
      if (count === 0) throw new Error("the session is missing or closed");
      return tx.message.create({ data: { sessionId, role, content, metadata: {}, createdAt: now } });
    });
    return { message };
  }
}

const server = new ApolloServer<Context>({
  schema: await buildSchema({ resolvers: [SessionResolver], validate: false }),
});
await startStandaloneServer(server, {
  listen: { host: "127.0.0.1", port: settings.port },
  async context({ req }) {
    const tenantId = await tenantOf(req.headers["x-api-key"]);
    return { tenantId, db: forTenant(tenantId) };
  },
});
