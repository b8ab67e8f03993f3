/** The objects of the wire, as the HTTP interface shows them. */
export type Uuid = string;
/** ISO 8601, UTC. */
export type Timestamp = string;

export interface Person {
  id: number;
  username: string;
  first_name: string;
  last_name: string;
}

export interface User extends Person {
  email: string;
  email_verified: boolean;
  phone_number: string;
  phone_verified: boolean;
  language: string;
  timezone: string;
  email_notifications: boolean;
  sms_notifications: boolean;
  push_notifications: boolean;
  date_joined: Timestamp;
  last_login: Timestamp | null;
}

export interface Location {
  country: string;
  country_name: string;
  region: string | null;
  city: string | null;
}

export interface DeviceClient {
  browser: string | null;
  os: string | null;
  device: string | null;
}

export interface UserSession {
  id: Uuid;
  is_current: boolean;
  device_name: string;
  device_fingerprint: string;
  ip_address: string | null;
  location: Location | null;
  user_agent: string;
  client: DeviceClient;
  created_at: Timestamp;
  last_seen_at: Timestamp;
  idle_expires_at: Timestamp;
  absolute_expires_at: Timestamp;
  remember_me: boolean;
  sockets: number;
}

export interface TokenPair {
  access: string;
  refresh: string;
  token_type?: 'Bearer';
  /** Seconds. */
  access_expires_in?: number;
  refresh_expires_in?: number;
  server_time?: Timestamp;
  session?: UserSession;
}

export interface LoginResponse extends TokenPair {
  user: User;
  device_token?: string;
}

export interface SecurityEvent {
  id: Uuid;
  kind: string;
  at: Timestamp;
  ip_address: string | null;
  location: Location | null;
  client: DeviceClient;
  session_id: Uuid | null;
  detail: unknown;
}

export interface Page<Item> {
  next: string | null;
  previous: string | null;
  results: Item[];
}

export type Role = 'owner' | 'admin' | 'member';

export interface Member {
  user: Person;
  role: Role;
  /** Null where the person shares no receipts. */
  seen_seq: number | null;
  joined_at: Timestamp;
  online?: boolean;
  last_seen_at?: Timestamp | null;
}

export interface Reaction {
  emoji: string;
  count: number;
  mine?: boolean;
}

export interface Attachment {
  uuid: Uuid;
  kind: 'image' | 'video' | 'audio' | 'file';
  name: string;
  content_type: string;
  /** Bytes. */
  size: number;
  width: number | null;
  height: number | null;
  duration_ms?: number | null;
  /** base64 */
  thumbhash?: string | null;
  /** 64 numbers of 0 to 255. */
  waveform?: number[] | null;
  state?: 'processing' | 'ready';
  thumbnail_url: string | null;
  url: string;
}

export interface Message {
  uuid: Uuid;
  conversation_uuid: Uuid;
  seq: number;
  sender: Person | null;
  content: string;
  client_msg_id: Uuid | null;
  reply_to: { uuid: Uuid; sender: Person | null; excerpt: string } | null;
  attachments: Attachment[];
  reactions: Reaction[];
  mentions: number[];
  created_at: Timestamp;
  edited_at: Timestamp | null;
  deleted_at: Timestamp | null;
}

export interface Conversation {
  uuid: Uuid;
  kind: 'direct' | 'group';
  title: string;
  description?: string;
  members_count: number;
  members: Member[];
  last_message: Message | null;
  last_seq: number;
  seen_seq: number;
  unread_count: number;
  mention_count: number;
  muted_until: Timestamp | null;
  pinned: boolean;
  archived: boolean;
  my_role: Role;
  history_visible: boolean;
  created_at: Timestamp;
  updated_at: Timestamp;
}
