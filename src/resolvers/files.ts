import {
  Arg,
  Args,
  Ctx,
  Field,
  FieldResolver,
  Int,
  Mutation,
  ObjectType,
  Query,
  registerEnumType,
  Resolver,
  Root,
} from "type-graphql";
import type { SessionRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import * as files from "../services/files.ts";
import type { FileFacts } from "../services/files.ts";
import * as sessions from "../services/sessions.ts";
import * as users from "../services/users.ts";
import { connectionOf, PageArguments } from "./connection.ts";
import { objectOf } from "./metadata.ts";
import { Node } from "./node.ts";
import { BigIntScalar, DateTime, EntityId, JSONObject } from "./scalars.ts";
import { Session } from "./sessions.ts";
import { User } from "./users.ts";

const PREVIEW_LENGTH_DEFAULT = 300;

registerEnumType(files.FILE_STATUSES, {
  name: "FileStatus",
  description: "How far a file has come.",
  valuesConfig: {
    AWAITING_UPLOAD: { description: "Announced; its bytes are not here yet." },
    PROCESSING: { description: "Here; its text is being taken out." },
    READY: { description: "Ready for use." },
    FAILED: { description: "Not usable; the error says why." },
  },
});

@ObjectType({ implements: Node, description: "A file that somebody gave to the assistant.", simpleResolvers: true })
class File extends Node {
  @Field(() => String, { description: "The file's name as it was given, at most 255 characters." })
  filename!: string;

  @Field(() => String, { nullable: true, description: "Media type, like `application/pdf`; null when unknown." })
  mimeType!: string | null;

  @Field(() => BigIntScalar, { nullable: true, description: "Size in bytes; null when unknown." })
  size!: bigint | null;

  @Field(() => String, { nullable: true, description: "SHA-256 of the bytes in hexadecimal; null when unknown." })
  sha256!: string | null;

  @Field(() => String, { nullable: true, description: "Why the file is not usable; null unless it failed." })
  error!: string | null;

  @Field(() => DateTime, { description: "When the file was given." })
  uploadedAt!: Date;
}

const FileConnection = connectionOf(() => File, "File");

@ObjectType({ description: "What was deleted.", simpleResolvers: true })
class DeleteFilePayload {
  @Field(() => EntityId, { description: "Id of the file that is deleted." })
  deletedId!: string;
}

@Resolver(() => File)
export class FileResolver {
  @FieldResolver(() => files.FILE_STATUSES, { description: "How far the file has come." })
  status(@Root() file: FileFacts): files.FileStatus {
    return files.statusOf(file);
  }

  @FieldResolver(() => JSONObject, { description: "What the format tells: pages, paragraphs, sheets, lines." })
  metadata(@Root() file: FileFacts): object {
    return objectOf(file.metadata);
  }

  @FieldResolver(() => String, {
    nullable: true,
    description: "The beginning of the text that was found in the file; null when there is none.",
  })
  textPreview(
    @Root() file: FileFacts,
    @Arg("length", () => Int, {
      nullable: true,
      defaultValue: PREVIEW_LENGTH_DEFAULT,
      description: "How many characters, 0 to 10,000.",
    })
    length: number | null,
    @Ctx() ctx: TenantContext,
  ) {
    return files.textPreview(ctx, file.id, length ?? PREVIEW_LENGTH_DEFAULT);
  }

  @FieldResolver(() => Session, {
    nullable: true,
    description: "The session it was given in, if any.",
  })
  session(@Root() file: FileFacts, @Ctx() ctx: TenantContext) {
    return file.sessionId === null ? null : sessions.find(ctx, file.sessionId);
  }

  @FieldResolver(() => User, {
    nullable: true,
    description: "Whose file it is; null when it belongs to the tenant as a whole.",
  })
  user(@Root() file: FileFacts, @Ctx() ctx: TenantContext) {
    return file.userId === null ? null : users.byId(ctx).load(file.userId);
  }

  @Query(() => FileConnection, { description: "The tenant's files, newest first." })
  files(
    @Args(() => PageArguments) page: PageArguments,
    @Arg("sessionId", () => EntityId, { nullable: true, description: "Only files of this session." })
    sessionId: string | null | undefined,
    @Ctx() ctx: TenantContext,
  ) {
    return files.list(ctx, page, { sessionId });
  }

  @Query(() => File, { nullable: true, description: "One file; null when there is none." })
  file(@Arg("id", () => EntityId, { description: "The file's id." }) id: string, @Ctx() ctx: TenantContext) {
    return files.find(ctx, id);
  }

  @Mutation(() => DeleteFilePayload, {
    description: "Delete a file with the text taken out of it.",
  })
  async deleteFile(
    @Arg("id", () => EntityId, { description: "The file to delete." }) id: string,
    @Ctx() ctx: TenantContext,
  ) {
    await files.remove(ctx, id);
    return { deletedId: id };
  }
}

@Resolver(() => Session)
export class SessionFilesResolver {
  @FieldResolver(() => FileConnection, { description: "Files given in the session, newest first." })
  files(@Root() session: SessionRow, @Args(() => PageArguments) page: PageArguments, @Ctx() ctx: TenantContext) {
    return files.pageOfSession(ctx, session.id, page);
  }
}
