import type { Attachment, Message, Person, Role, Timestamp, Uuid } from './types.js';

/** Echoed by the server in the answer. */
export type Ref = string | number;

/** The socket's frames: one JSON object each. */
export interface Hello {
  type: 'hello';
  v: number;
  connection_id: string;
  session_id: Uuid;
  user_id: number;
  epoch: string;
  server_time: Timestamp;
  heartbeat_interval_ms: number;
  token_expires_at: Timestamp;
  limits: { frame_bytes: number; content_chars: number; messages_per_10s: number };
}

export interface Ack {
  type: 'ack';
  ref?: Ref;
  client_msg_id?: Uuid;
  message_uuid: Uuid;
  conversation_uuid: Uuid;
  seq: number;
  created_at: Timestamp;
  duplicate: boolean;
}

interface EventBase<Kind extends string, Data> {
  conversation_uuid: Uuid;
  seq: number;
  kind: Kind;
  at: Timestamp;
  actor_id: number | null;
  data: Data;
}

export type ReactionData = { message_uuid: Uuid; emoji: string; user_id: number };
export type MemberData = { user: Person; role: Role };
export type ConversationData = { uuid: Uuid; kind: 'direct' | 'group'; title: string; description: string };

export type ChatEvent =
  | EventBase<'message.created' | 'message.edited' | 'message.deleted', Message>
  | EventBase<'reaction.added' | 'reaction.removed', ReactionData>
  | EventBase<'member.joined' | 'member.left' | 'member.role_changed', MemberData>
  | EventBase<'attachment.ready', { message_uuid: Uuid; attachment: Attachment }>
  | EventBase<'conversation.created' | 'conversation.updated', ConversationData>;

export interface Events {
  type: 'events';
  ref?: Ref;
  events: ChatEvent[];
}

export interface Gap {
  type: 'gap';
  ref?: Ref;
  conversation_uuid: Uuid;
  /** The first missing one. */
  from_seq: number;
  last_seq: number;
}

export interface Receipt {
  type: 'receipt';
  ref?: Ref;
  conversation_uuid: Uuid;
  user_id: number;
  up_to_seq: number;
}

export interface Typing {
  type: 'typing';
  conversation_uuid: Uuid;
  user_id: number;
  active: boolean;
}

export interface PresenceRow {
  user_id: number;
  online: boolean;
  last_seen_at: Timestamp | null;
}

export interface Presence {
  type: 'presence';
  ref?: Ref;
  users: PresenceRow[];
}

export type FrameErrorCode =
  | 'bad_frame'
  | 'unknown_type'
  | 'conversation_required'
  | 'not_found'
  | 'permission_denied'
  | 'blocked'
  | 'validation_error'
  | 'too_long'
  | 'throttled'
  | 'idempotency_conflict'
  | 'token_not_valid'
  | 'temporarily_unavailable'
  | 'internal';

export interface ErrorFrame {
  type: 'error';
  ref?: Ref;
  client_msg_id?: Uuid;
  code: FrameErrorCode;
  detail: string;
  retryable: boolean;
  retry_after_ms?: number;
}

export interface Bye {
  type: 'bye';
  code: string;
  close: number;
  reconnect_in_ms?: number;
}

export type ServerFrame =
  | Hello
  | Ack
  | Events
  | Gap
  | Receipt
  | Typing
  | Presence
  | ErrorFrame
  | Bye
  | { type: 'removed'; conversation_uuid: Uuid }
  | { type: 'resumed'; ref?: Ref }
  | { type: 'pong'; ref?: Ref; server_time: Timestamp }
  | { type: 'authenticated'; ref?: Ref; token_expires_at: Timestamp }
  | { type: 'token_expiring'; in_s: number };

export type ClientFrame = (
  | {
      type: 'message';
      conversation_uuid?: Uuid;
      content: string;
      client_msg_id?: Uuid;
      reply_to?: Uuid;
      attachments?: Uuid[];
    }
  | { type: 'mark_as_seen'; conversation_uuid: Uuid; up_to_seq?: number }
  | { type: 'edit'; message_uuid: Uuid; content: string }
  | { type: 'delete'; message_uuid: Uuid }
  | { type: 'react'; message_uuid: Uuid; emoji: string; remove?: boolean }
  | { type: 'resume'; epoch: string; cursors: Record<Uuid, number>; more?: boolean }
  | { type: 'sync'; conversation_uuid: Uuid; after_seq: number }
  | { type: 'typing'; conversation_uuid: Uuid; active: boolean }
  | { type: 'presence'; user_ids: number[] }
  | { type: 'authenticate'; token: string }
  | { type: 'ping' }
) & { ref?: string };

/** The frame in a socket's text, or null when it is none (another server's text, binary). */
export function parseFrame(text: unknown): ServerFrame | null {
  if (typeof text !== 'string') return null;
  try {
    const frame: unknown = JSON.parse(text);
    return frame && typeof frame === 'object' && typeof (frame as { type?: unknown }).type === 'string'
      ? (frame as ServerFrame)
      : null;
  } catch {
    return null;
  }
}
