import {
  Arg,
  Args,
  Ctx,
  Field,
  FieldResolver,
  InputType,
  Int,
  Mutation,
  ObjectType,
  Query,
  registerEnumType,
  Resolver,
  Root,
} from "type-graphql";
import type { NotificationRow, SessionRow } from "../context/rows.ts";
import type { TenantContext } from "../context/tenant-context.ts";
import * as notifications from "../services/notifications.ts";
import type { NotificationType, Urgency } from "../services/notifications.ts";
import * as sessions from "../services/sessions.ts";
import { connectionOf, PageArguments } from "./connection.ts";
import { objectOf } from "./metadata.ts";
import { Node } from "./node.ts";
import { DateTime, EntityId, JSONObject } from "./scalars.ts";
import { Session } from "./sessions.ts";

registerEnumType(notifications.NOTIFICATION_TYPES, {
  name: "NotificationType",
  description: "What a notification is about.",
  valuesConfig: {
    CONTRADICTION: { description: "What was just learned contradicts what was known." },
    EMAIL_RECEIVED: { description: "An e-mail has come in." },
    CALENDAR_EVENT_STARTING: { description: "A calendar event starts soon." },
    TASK: { description: "Background work wants attention." },
    TODO: { description: "Something is to be done." },
    SERVICE_HEALTH: { description: "A service has failed or recovered." },
    OTHER: { description: "Anything else." },
  },
});

registerEnumType(notifications.URGENCIES, {
  name: "Urgency",
  description: "How much something presses.",
  valuesConfig: {
    HIGH: { description: "Now." },
    MEDIUM: { description: "Soon." },
    LOW: { description: "Whenever there is time." },
  },
});

@ObjectType({ implements: Node, description: "Something a person should know.", simpleResolvers: true })
class Notification extends Node {
  @Field(() => Boolean, { description: "Whether somebody has read it." })
  read!: boolean;

  @Field(() => DateTime, { nullable: true, description: "When it was read; null before that." })
  readAt!: Date | null;

  @Field(() => DateTime, { description: "When it was made." })
  createdAt!: Date;
}

const NotificationConnection = connectionOf(() => Notification, "Notification");

@InputType({ description: "Which notifications are meant; what is left out does not restrict them." })
class NotificationFilter {
  @Field(() => Boolean, { nullable: true, description: "Only those that were read, or only those that were not." })
  read?: boolean | null;

  @Field(() => [notifications.URGENCIES], { nullable: true, description: "Only those that press so much." })
  urgency?: Urgency[] | null;

  @Field(() => [notifications.NOTIFICATION_TYPES], { nullable: true, description: "Only those about this." })
  type?: NotificationType[] | null;

  @Field(() => EntityId, { nullable: true, description: "Only those of this session; none when it does not exist." })
  sessionId?: string | null;
}

@ObjectType({ description: "A notification as it stands after the change.", simpleResolvers: true })
class NotificationPayload {
  @Field(() => Notification, { description: "The notification." })
  notification!: NotificationRow;
}

@ObjectType({ description: "What was marked as read.", simpleResolvers: true })
class MarkNotificationsReadPayload {
  @Field(() => Int, { description: "How many notifications were unread until now." })
  count!: number;
}

@ObjectType({ description: "What was deleted.", simpleResolvers: true })
class DeleteNotificationsPayload {
  @Field(() => [EntityId], { description: "Ids of the notifications that are gone; unknown ones are left out." })
  deletedIds!: readonly string[];
}

@Resolver(() => Notification)
export class NotificationResolver {
  @FieldResolver(() => notifications.NOTIFICATION_TYPES, { description: "What it is about." })
  type(@Root() notification: NotificationRow): NotificationType {
    return notifications.typeOf(notification);
  }

  @FieldResolver(() => notifications.URGENCIES, { description: "How much it presses." })
  urgency(@Root() notification: NotificationRow): Urgency {
    return notifications.urgencyOf(notification);
  }

  @FieldResolver(() => JSONObject, { description: "What there is to know; its shape depends on the type." })
  content(@Root() notification: NotificationRow): object {
    return objectOf(notification.content);
  }

  @FieldResolver(() => Session, {
    nullable: true,
    description: "The session it belongs to; null when it belongs to none.",
  })
  session(@Root() notification: NotificationRow, @Ctx() ctx: TenantContext) {
    return notification.sessionId === null ? null : sessions.find(ctx, notification.sessionId);
  }

  @Query(() => NotificationConnection, {
    description: "The tenant's notifications, newest first.",
  })
  notifications(
    @Args(() => PageArguments) page: PageArguments,
    @Arg("filter", () => NotificationFilter, { nullable: true, description: "Only some of them." })
    filter: NotificationFilter | null | undefined,
    @Ctx() ctx: TenantContext,
  ) {
    return notifications.list(ctx, page, filter ?? {});
  }

  @Query(() => Notification, {
    nullable: true,
    description: "One notification; null when there is none.",
  })
  notification(
    @Arg("id", () => EntityId, { description: "The notification's id." }) id: string,
    @Ctx() ctx: TenantContext,
  ) {
    return notifications.find(ctx, id);
  }

  @Query(() => Int, { description: "How many notifications nobody has read yet." })
  unreadNotificationCount(
    @Arg("filter", () => NotificationFilter, { nullable: true, description: "Count only some of them." })
    filter: NotificationFilter | null | undefined,
    @Ctx() ctx: TenantContext,
  ) {
    return notifications.countUnread(ctx, filter ?? {});
  }

  @Mutation(() => NotificationPayload, {
    description: "Mark a notification as read; one that was read before keeps its time.",
  })
  async markNotificationRead(
    @Arg("id", () => EntityId, { description: "The notification that was read." }) id: string,
    @Ctx() ctx: TenantContext,
  ) {
    return { notification: await notifications.markRead(ctx, id) };
  }

  @Mutation(() => MarkNotificationsReadPayload, {
    description: "Mark all notifications, or all that match, as read.",
  })
  async markAllNotificationsRead(
    @Arg("filter", () => NotificationFilter, { nullable: true, description: "Only some of them." })
    filter: NotificationFilter | null | undefined,
    @Ctx() ctx: TenantContext,
  ) {
    return { count: await notifications.markAllRead(ctx, filter ?? {}) };
  }

  @Mutation(() => DeleteNotificationsPayload, {
    description: "Delete notifications for good, at most 100 at once.",
  })
  async deleteNotifications(
    @Arg("ids", () => [EntityId], { description: "The notifications to delete." }) ids: string[],
    @Ctx() ctx: TenantContext,
  ) {
    return { deletedIds: await notifications.remove(ctx, ids) };
  }
}

@Resolver(() => Session)
export class SessionNotificationsResolver {
  @FieldResolver(() => NotificationConnection, {
    description: "Notifications of this session, newest first.",
  })
  notifications(
    @Root() session: SessionRow,
    @Args(() => PageArguments) page: PageArguments,
    @Arg("filter", () => NotificationFilter, { nullable: true, description: "Only some of them." })
    filter: NotificationFilter | null | undefined,
    @Ctx() ctx: TenantContext,
  ) {
    return notifications.pageOfSession(ctx, session.id, page, filter ?? {});
  }
}
