/** The package's own types against those that `npm run types` makes of the server's documents; checked by tsc. */
import { expect, it } from 'vitest';

import type { ErrorEnvelope } from '@/core/errors';
import type * as Frames from '@/core/frames';
import type * as Types from '@/core/types';
import type * as Http from '@/generated/http';
import type * as Socket from '@/generated/socket';

/** Compiles only where what the server sends can be read as what we say it is. */
const reads = <Ours, Theirs extends Ours>(_?: [Ours, Theirs]) => undefined;
/** Compiles only where what we send is what the server takes. */
const sends = <Theirs, Ours extends Theirs>(_?: [Theirs, Ours]) => undefined;
type Sent<Type extends Frames.ClientFrame['type']> = Extract<Frames.ClientFrame, { type: Type }>;
type Got<Type extends Frames.ServerFrame['type']> = Extract<Frames.ServerFrame, { type: Type }>;
/** Attachments and people inside a list are documented as plain objects. */
type Bare<Row> = Omit<Row, 'attachments' | 'last_message' | 'members'>;

it('reads what the HTTP interface answers', () => {
  reads<Types.User, Http.User>();
  reads<Types.UserSession, Http.Session>();
  reads<Types.LoginResponse, Http.LoggedIn>();
  reads<Types.TokenPair, Http.Tokens>();
  reads<Types.SecurityEvent, Http.SecurityEvent>();
  reads<Bare<Types.Message>, Bare<Http.MessageOutput>>();
  reads<Types.Reaction, Http.ReactionOutput>();
  reads<Types.Member, Http.MemberOutput>();
  reads<Bare<Types.Conversation>, Bare<Http.ConversationRowOutput>>();
  reads<ErrorEnvelope, Http.Error>();
  expect(true).toBe(true);
});

it('reads the frames that the server sends', () => {
  reads<Got<'hello'>, Socket.HelloFrame>();
  reads<Omit<Got<'ack'>, 'client_msg_id'>, Omit<Socket.AckFrame, 'client_msg_id'>>();
  reads<Got<'gap'>, Socket.GapFrame>();
  reads<Got<'receipt'>, Socket.ReceiptFrame>();
  reads<Got<'typing'>, Socket.TypingShownFrame>();
  reads<Got<'presence'>, Socket.PresenceShownFrame>();
  reads<Got<'removed'>, Socket.RemovedFrame>();
  reads<Got<'resumed'>, Socket.ResumedFrame>();
  reads<Got<'pong'>, Socket.PongFrame>();
  reads<Got<'authenticated'>, Socket.AuthenticatedFrame>();
  reads<Got<'token_expiring'>, Socket.TokenExpiringFrame>();
  reads<Omit<Got<'error'>, 'client_msg_id'>, Omit<Socket.ErrorFrame, 'client_msg_id'>>();
  reads<Got<'bye'>, Socket.ByeFrame>();
  reads<Socket.EventsFrame['events'][number]['kind'], Frames.ChatEvent['kind']>();
  reads<Frames.ChatEvent['kind'], Socket.EventsFrame['events'][number]['kind']>();
  expect(true).toBe(true);
});

it('sends the frames that the server takes', () => {
  sends<Socket.MessageFrame, Sent<'message'>>();
  sends<Socket.MarkAsSeenFrame, Sent<'mark_as_seen'>>();
  sends<Socket.EditFrame, Sent<'edit'>>();
  sends<Socket.DeleteFrame, Sent<'delete'>>();
  sends<Socket.ReactFrame, Sent<'react'>>();
  sends<Socket.ResumeFrame, Sent<'resume'>>();
  sends<Socket.SyncFrame, Sent<'sync'>>();
  sends<Socket.TypingFrame, Sent<'typing'>>();
  sends<Socket.PresenceFrame, Sent<'presence'>>();
  sends<Socket.AuthenticateFrame, Sent<'authenticate'>>();
  sends<Socket.PingFrame, Sent<'ping'>>();
  sends<Http.RegisterRequest, Parameters<import('@/core/auth').AuthClient['register']>[0]>();
  sends<Http.LoginRequest, import('@/core/auth').LoginCredentials>();
  expect(true).toBe(true);
});
