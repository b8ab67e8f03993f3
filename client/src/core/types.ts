/** The objects of the wire: those of the server's OpenAPI document, narrowed where it is wider than what is sent. */
import type * as Http from '../generated/http.js';

export type Uuid = string;
/** ISO 8601, UTC. */
export type Timestamp = string;

/** `Base`, with these fields in place of its own. */
export type With<Base, Fields> = Omit<Base, keyof Fields> & Fields;
type Optional<Base, Names extends keyof Base> = Omit<Base, Names> & Partial<Pick<Base, Names>>;

export type Person = Http.Person;
export type User = Http.User;
export type Location = Http.Location;
export type DeviceClient = Http.Device;
export type UserSession = Http.Session;

/** A server of the client guide may send the two tokens alone. */
export type TokenPair = Pick<Http.Tokens, 'access' | 'refresh'> & Partial<Http.Tokens>;
export type LoginResponse = TokenPair & Optional<Pick<Http.LoggedIn, 'user' | 'device_token'>, 'device_token'>;

/** A newer server knows more kinds. */
export type SecurityEvent = With<Http.SecurityEvent, { kind: Http.SecurityEvent['kind'] | (string & {}) }>;

export interface Page<Item> {
  next: string | null;
  previous: string | null;
  results: Item[];
}

export type Role = Http.RoleEnum;
/** Presence is in the list of members, not in a conversation's row. */
export type Member = Optional<Http.MemberOutput, 'online' | 'last_seen_at'>;
/** Events are the same for everybody, so they do not say which are mine. */
export type Reaction = Optional<Http.ReactionOutput, 'mine'>;
export type Attachment = Optional<Http.AttachmentOutput, 'state' | 'duration_ms' | 'thumbhash' | 'waveform'>;
/** The document leaves the attachments of a message open. */
export type Message = With<Http.MessageOutput, { attachments: Attachment[]; reactions: Reaction[] }>;
/** The whole conversation, or its row in the list, which has no description. */
export type Conversation = With<
  Http.ConversationRowOutput,
  { members: Member[]; last_message: Message | null; description?: Http.ConversationOutput['description'] }
>;
