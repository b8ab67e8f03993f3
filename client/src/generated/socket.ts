// Made by `npm run types` from the server's AsyncAPI document. Change the server, not this file.

export type AckFrame = {
  type: "ack";
  /** As the client sent it. */
  ref?: string | number;
  client_msg_id?: string;
  message_uuid: string;
  conversation_uuid: string;
  seq: number;
  created_at: string;
  duplicate: boolean;
};

export type AttachmentReady = {
  kind: "attachment.ready";
  conversation_uuid: string;
  seq: number;
  at: string;
  actor_id: number | null;
  data: AttachmentReadyData | HiddenData;
};

export type AttachmentReadyData = {
  message_uuid: string;
  attachment: Record<string, unknown> | null;
};

export type AuthenticateFrame = {
  type: "authenticate";
  /** Echoed in the answer. */
  ref?: string | number;
  /** An access token. */
  token: string;
};

export type AuthenticatedFrame = {
  type: "authenticated";
  /** As the client sent it. */
  ref?: string | number;
  token_expires_at: string;
};

export type ByeFrame = {
  type: "bye";
  code: string;
  close: 4401 | 4408 | 4410 | 4411 | 4412 | 4413 | 4429 | 4440 | 4503 | 4504 | 4506 | 4507;
  reconnect_in_ms?: number;
};

export type ConversationCreated = {
  kind: "conversation.created";
  conversation_uuid: string;
  seq: number;
  at: string;
  actor_id: number | null;
  data: ConversationData;
};

export type ConversationData = {
  uuid: string;
  kind: string;
  title: string;
  description: string;
  slow_mode_seconds?: number;
};

export type ConversationUpdated = {
  kind: "conversation.updated";
  conversation_uuid: string;
  seq: number;
  at: string;
  actor_id: number | null;
  data: ConversationData;
};

export type DeleteFrame = {
  type: "delete";
  /** Echoed in the answer. */
  ref?: string | number;
  /** The message. */
  message_uuid: string;
};

export type EditFrame = {
  type: "edit";
  /** Echoed in the answer. */
  ref?: string | number;
  /** The message. */
  message_uuid: string;
  /** 1 to 4,000 characters. */
  content: string;
};

export type ErrorFrame = {
  type: "error";
  /** As the client sent it. */
  ref?: string | number;
  /** As the client sent it. */
  client_msg_id?: string | number;
  code: "bad_frame" | "unknown_type" | "conversation_required" | "not_found" | "permission_denied" | "blocked" | "validation_error" | "too_long" | "throttled" | "idempotency_conflict" | "token_not_valid" | "temporarily_unavailable" | "internal";
  detail: string;
  retryable: boolean;
  retry_after_ms?: number;
  reason?: string;
};

export type EventsFrame = {
  type: "events";
  /** As the client sent it. */
  ref?: string | number;
  events: Array<MessageCreated | MessageEdited | MessageDeleted | ReactionAdded | ReactionRemoved | AttachmentReady | MemberJoined | MemberLeft | MemberRoleChanged | ConversationCreated | ConversationUpdated>;
};

export type GapFrame = {
  type: "gap";
  /** As the client sent it. */
  ref?: string | number;
  conversation_uuid: string;
  /** The first one missing. */
  from_seq: number;
  last_seq: number;
};

export type HelloFrame = {
  type: "hello";
  v: number;
  connection_id: string;
  session_id: string;
  user_id: number;
  epoch: string;
  server_time: string;
  heartbeat_interval_ms: number;
  token_expires_at: string;
  auth_time: string;
  amr: Array<string>;
  limits: {
    frame_bytes: number;
    content_chars: number;
    /** 0: no limit. */
    messages_per_10s: number;
  };
};

export type HiddenData = {
  message_uuid: string;
  hidden: true;
};

export type MarkAsSeenFrame = {
  type: "mark_as_seen";
  /** Echoed in the answer. */
  ref?: string | number;
  /** Absent only on a socket with a default conversation. */
  conversation_uuid?: string;
  /** Absent: the newest sent on this socket, else of all. */
  up_to_seq?: number | null;
};

export type MemberData = {
  user: Person | null;
  role: string | null;
};

export type MemberJoined = {
  kind: "member.joined";
  conversation_uuid: string;
  seq: number;
  at: string;
  actor_id: number | null;
  data: MemberData;
};

export type MemberLeft = {
  kind: "member.left";
  conversation_uuid: string;
  seq: number;
  at: string;
  actor_id: number | null;
  data: MemberData;
};

export type MemberRoleChanged = {
  kind: "member.role_changed";
  conversation_uuid: string;
  seq: number;
  at: string;
  actor_id: number | null;
  data: MemberData;
};

export type MessageCreated = {
  kind: "message.created";
  conversation_uuid: string;
  seq: number;
  at: string;
  actor_id: number | null;
  data: MessageData | HiddenData;
};

export type MessageData = {
  uuid: string;
  conversation_uuid: string;
  seq: number;
  sender: Person | null;
  content: string;
  client_msg_id: string | null;
  reply_to: ReplyTo | null;
  attachments: Array<Record<string, unknown>>;
  reactions: Array<ReactionCount>;
  mentions: Array<number>;
  created_at: string;
  edited_at: string | null;
  deleted_at: string | null;
};

export type MessageDeleted = {
  kind: "message.deleted";
  conversation_uuid: string;
  seq: number;
  at: string;
  actor_id: number | null;
  data: MessageData | HiddenData;
};

export type MessageEdited = {
  kind: "message.edited";
  conversation_uuid: string;
  seq: number;
  at: string;
  actor_id: number | null;
  data: MessageData | HiddenData;
};

export type MessageFrame = {
  type: "message";
  /** Echoed in the answer. */
  ref?: string | number;
  /** Absent only on a socket with a default conversation. */
  conversation_uuid?: string;
  /** 1 to 4,000 characters. */
  content?: string;
  /** Made when the person taps send; a repeat under it is harmless for ever. */
  client_msg_id?: string;
  /** A message of the same conversation. */
  reply_to?: string;
  /** Uploaded before. */
  attachments?: Array<string> | null;
};

export type Person = {
  id: number;
  username: string;
  first_name: string;
  last_name: string;
};

export type PingFrame = {
  type: "ping";
  /** Echoed in the answer. */
  ref?: string | number;
};

export type PongFrame = {
  type: "pong";
  /** As the client sent it. */
  ref?: string | number;
  server_time: string;
};

export type PresenceFrame = {
  type: "presence";
  /** Echoed in the answer. */
  ref?: string | number;
  /** People one shares a conversation with. */
  user_ids: Array<number>;
};

export type PresenceShownFrame = {
  type: "presence";
  /** As the client sent it. */
  ref?: string | number;
  users: Array<{
    user_id: number;
    online: boolean;
    last_seen_at: string | null;
  }>;
};

export type ReactFrame = {
  type: "react";
  /** Echoed in the answer. */
  ref?: string | number;
  /** The message. */
  message_uuid: string;
  /** One emoji. */
  emoji: string;
  /** Take it back. */
  remove?: boolean;
};

export type ReactionAdded = {
  kind: "reaction.added";
  conversation_uuid: string;
  seq: number;
  at: string;
  actor_id: number | null;
  data: ReactionData | HiddenData;
};

export type ReactionCount = {
  emoji: string;
  count: number;
};

export type ReactionData = {
  message_uuid: string;
  emoji: string;
  user_id: number;
};

export type ReactionRemoved = {
  kind: "reaction.removed";
  conversation_uuid: string;
  seq: number;
  at: string;
  actor_id: number | null;
  data: ReactionData | HiddenData;
};

export type ReceiptFrame = {
  type: "receipt";
  /** As the client sent it. */
  ref?: string | number;
  conversation_uuid: string;
  user_id: number;
  up_to_seq: number;
};

export type RemovedFrame = {
  type: "removed";
  conversation_uuid: string;
};

export type ReplyTo = {
  uuid: string;
  sender: Person | null;
  excerpt: string;
};

export type ResumeFrame = {
  type: "resume";
  /** Echoed in the answer. */
  ref?: string | number;
  /** From the `hello` of when the cursors were kept. */
  epoch: string;
  /** The last `seq` applied of each conversation. */
  cursors: Record<string, number>;
  /** More cursors follow in another frame. */
  more?: boolean;
};

export type ResumedFrame = {
  type: "resumed";
  /** As the client sent it. */
  ref?: string | number;
};

export type SyncFrame = {
  type: "sync";
  /** Echoed in the answer. */
  ref?: string | number;
  /** Absent only on a socket with a default conversation. */
  conversation_uuid?: string;
  /** The last `seq` applied. */
  after_seq: number;
};

export type TokenExpiringFrame = {
  type: "token_expiring";
  in_s: number;
};

export type TypingFrame = {
  type: "typing";
  /** Echoed in the answer. */
  ref?: string | number;
  /** Absent only on a socket with a default conversation. */
  conversation_uuid?: string;
  /** Typing, or no longer. */
  active: boolean;
};

export type TypingShownFrame = {
  type: "typing";
  conversation_uuid: string;
  user_id: number;
  active: boolean;
};
