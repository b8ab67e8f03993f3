/** The socket's frames, one JSON object each: those of the server's AsyncAPI document, narrowed where it is wider. */
import type * as Socket from '../generated/socket.js';
import type { Attachment, Message, Uuid, With } from './types.js';

/** Echoed by the server in the answer. */
export type Ref = string | number;

export type Hello = Socket.HelloFrame;
/** The ids of this client are texts. */
export type Ack = With<Socket.AckFrame, { client_msg_id?: Uuid }>;
export type ErrorFrame = With<Socket.ErrorFrame, { client_msg_id?: Uuid }>;
export type FrameErrorCode = ErrorFrame['code'];
export type Gap = Socket.GapFrame;
export type Receipt = Socket.ReceiptFrame;
export type Typing = Socket.TypingShownFrame;
export type Presence = Socket.PresenceShownFrame;
export type PresenceRow = Presence['users'][number];
/** A newer server may close with other codes. */
export type Bye = With<Socket.ByeFrame, { close: number }>;

export type ReactionData = Socket.ReactionData;
export type MemberData = Socket.MemberData;
export type ConversationData = Socket.ConversationData;

/** What happened in a conversation. Where it is about a message from before one joined, `data` has `hidden` and no more. */
export type ChatEvent =
  | With<Socket.MessageCreated | Socket.MessageEdited | Socket.MessageDeleted, { data: Message }>
  | With<Socket.ReactionAdded | Socket.ReactionRemoved, { data: ReactionData }>
  | With<Socket.AttachmentReady, { data: { message_uuid: Uuid; attachment: Attachment } }>
  | Socket.MemberJoined
  | Socket.MemberLeft
  | Socket.MemberRoleChanged
  | Socket.ConversationCreated
  | Socket.ConversationUpdated;

export type Events = With<Socket.EventsFrame, { events: ChatEvent[] }>;

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
  | Socket.RemovedFrame
  | Socket.ResumedFrame
  | Socket.PongFrame
  | Socket.AuthenticatedFrame
  | Socket.TokenExpiringFrame;

export type ClientFrame =
  | With<Socket.MessageFrame, { content: string }>
  | With<Socket.MarkAsSeenFrame, { conversation_uuid: Uuid }>
  | Socket.EditFrame
  | Socket.DeleteFrame
  | Socket.ReactFrame
  | Socket.ResumeFrame
  | With<Socket.SyncFrame, { conversation_uuid: Uuid }>
  | With<Socket.TypingFrame, { conversation_uuid: Uuid }>
  | Socket.PresenceFrame
  | Socket.AuthenticateFrame
  | Socket.PingFrame;

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
