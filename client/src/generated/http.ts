// Made by `npm run types` from the server's OpenAPI document. Change the server, not this file.

export type AnswerEnum = "me" | "sign_out";

export type AttachmentOutput = {
  uuid: string;
  kind: AttachmentOutputKindEnum;
  state: StateEnum;
  name: string;
  content_type: string;
  size: number;
  width: number | null;
  height: number | null;
  duration_ms: number | null;
  /** Base64. */
  thumbhash: string | null;
  /** 64 of 0 to 255. */
  waveform: Array<number> | null;
  thumbnail_url: string | null;
  url: string;
};

export type AttachmentOutputKindEnum = "image" | "video" | "audio" | "file";

export type BlockOutput = {
  user: PersonOutput;
  created_at: string;
};

export type BlockPageOutput = {
  next: string | null;
  previous: string | null;
  results: Array<BlockOutput>;
};

export type Challenge = {
  challenge: string;
  /** seconds */
  expires_in: number;
};

export type ChallengeCodeRequest = {
  challenge: string;
  /** six digits, or a recovery code */
  code: string;
};

export type ChatSettingsOutput = {
  share_receipts: boolean;
  share_presence: boolean;
  /** in the profile's time zone; null for none */
  quiet_hours: {
    from: string;
    to: string;
  } | null;
};

export type CodeRequest = {
  /** six digits, or a recovery code */
  code: string;
};

export type ConversationKindEnum = "direct" | "group";

export type ConversationOutput = {
  uuid: string;
  kind: ConversationKindEnum;
  title: string;
  members_count: number;
  /** at most 20 */
  members: Array<MemberOutput>;
  last_message: MessageOutput | null;
  last_seq: number;
  seen_seq: number;
  unread_count: number;
  mention_count: number;
  muted_until: string | null;
  pinned: boolean;
  archived: boolean;
  my_role: RoleEnum;
  history_visible: boolean;
  /** between two messages of a plain member; absent where slow mode is off */
  slow_mode_seconds?: number;
  created_at: string;
  updated_at: string;
  description: string;
};

export type ConversationRowOutput = {
  uuid: string;
  kind: ConversationKindEnum;
  title: string;
  members_count: number;
  /** at most 20 */
  members: Array<MemberOutput>;
  last_message: MessageOutput | null;
  last_seq: number;
  seen_seq: number;
  unread_count: number;
  mention_count: number;
  muted_until: string | null;
  pinned: boolean;
  archived: boolean;
  my_role: RoleEnum;
  history_visible: boolean;
  /** between two messages of a plain member; absent where slow mode is off */
  slow_mode_seconds?: number;
  created_at: string;
  updated_at: string;
};

export type ConversationRowPageOutput = {
  next: string | null;
  previous: string | null;
  results: Array<ConversationRowOutput>;
};

export type ConversationSettingsOutput = {
  muted_until: string | null;
  pinned: boolean;
  archived: boolean;
  notify: NotifyEnum;
};

export type ConversationWithSettingsOutput = {
  uuid: string;
  kind: ConversationKindEnum;
  title: string;
  members_count: number;
  /** at most 20 */
  members: Array<MemberOutput>;
  last_message: MessageOutput | null;
  last_seq: number;
  seen_seq: number;
  unread_count: number;
  mention_count: number;
  muted_until: string | null;
  pinned: boolean;
  archived: boolean;
  my_role: RoleEnum;
  history_visible: boolean;
  /** between two messages of a plain member; absent where slow mode is off */
  slow_mode_seconds?: number;
  created_at: string;
  updated_at: string;
  description: string;
  notify: NotifyEnum;
};

export type Detail = {
  detail: string;
};

export type Device = {
  browser: string | null;
  os: string | null;
  device: string | null;
};

export type EmailChangeRequest = {
  new_email: string;
  /** required of who has one */
  password?: string;
};

export type EmailCodeConfirmRequest = {
  device_fingerprint?: string;
  device_name?: string;
  remember_me?: boolean;
  device_token?: string;
  challenge: string;
  /** six digits, or a recovery code */
  code: string;
};

export type EmailCodeRequest = {
  email: string;
};

export type Enrolment = {
  secret: string;
  otpauth_url: string;
  qr_svg: string;
};

export type EnvironmentEnum = "production" | "sandbox";

export type Error = {
  /** For people, in the language of `Accept-Language`. */
  detail: string;
  code: string;
  reason?: string;
  action: "refresh" | "login" | "retry" | "wait" | "verify_email" | "mfa" | "reauthenticate" | "none";
  /** seconds */
  retry_after?: number;
  locked_until?: string;
  /** With `mfa_required`: send it with the second factor. */
  mfa_token?: string;
  /** What would be accepted. */
  methods?: Array<string>;
  /** seconds */
  expires_in?: number;
  request_id: string;
  /** With `validation_error`: the errors of each field, general ones under `non_field_errors`. */
  errors?: Record<string, Array<{
    message: string;
    code: string;
  }>>;
};

export type Factors = {
  password: boolean;
  totp: Totp | null;
  recovery_codes_left: number;
  passkeys: Array<Passkey>;
  social: Array<SocialLink>;
};

export type FileInputRequest = {
  file: string;
};

export type FoundOutput = {
  message: MessageOutput;
  /** Ranges of `content` in UTF-16 units. */
  highlights: Array<Array<number>>;
};

export type IdTokenRequest = {
  id_token: string;
  nonce?: string;
  authorization_code?: string;
};

export type Location = {
  country: string;
  country_name: string;
  region: string | null;
  city: string | null;
};

export type LoggedIn = {
  access: string;
  refresh: string;
  token_type: TokenTypeEnum;
  /** seconds */
  access_expires_in: number;
  /** seconds */
  refresh_expires_in: number;
  server_time: string;
  session: Session;
  user: User;
  /** send it with the next login on this device */
  device_token: string;
};

export type LoggedOutEverywhere = {
  success: boolean;
  revoked: number;
};

export type LoginRequest = {
  /** username or e-mail */
  username: string;
  password: string;
  device_fingerprint?: string;
  device_name?: string;
  remember_me?: boolean;
  device_token?: string;
};

export type LogoutAllRequest = {
  keep_current?: boolean;
};

export type LogoutRequest = {
  refresh?: string | null;
};

export type MemberOutput = {
  user: PersonOutput;
  role: RoleEnum;
  /** null where the person shares no receipts */
  seen_seq: number | null;
  joined_at: string;
  online: boolean;
  last_seen_at: string | null;
};

export type MemberPageOutput = {
  next: string | null;
  previous: string | null;
  results: Array<MemberOutput>;
};

export type MessageOutput = {
  uuid: string;
  conversation_uuid: string;
  seq: number;
  sender: MessageSenderOutput | null;
  content: string;
  client_msg_id: string | null;
  reply_to: ReplyToOutput | null;
  attachments: Array<Record<string, unknown>>;
  reactions: Array<ReactionOutput>;
  mentions: Array<number>;
  created_at: string;
  edited_at: string | null;
  deleted_at: string | null;
};

export type MessagePageOutput = {
  results: Array<MessageOutput>;
  has_more: boolean;
};

export type MessageSenderOutput = {
  id: number;
  username: string;
  first_name: string;
  last_name: string;
};

export type MfaOptionsRequest = {
  mfa_token: string;
};

export type MfaRequest = {
  mfa_token: string;
  /** six digits, or a recovery code */
  code?: string;
  credential?: Record<string, unknown>;
};

export type NewConversationRequest = NewDirectInputRequest | NewGroupInputRequest;

export type NewDirectInputKindEnum = "direct";

export type NewDirectInputRequest = {
  user_id: number;
  kind: NewDirectInputKindEnum;
};

export type NewGroupInputKindEnum = "group";

export type NewGroupInputRequest = {
  user_ids: Array<number>;
  kind: NewGroupInputKindEnum;
  title: string;
  history_visible?: boolean;
};

export type NewMessageInputRequest = {
  content?: string;
  client_msg_id?: string | null;
  reply_to?: string | null;
  attachments?: Array<string>;
};

export type NotifyEnum = "all" | "mentions" | "none";

export type NullEnum = null;

export type PaginatedSecurityEventList = {
  next: string | null;
  previous: string | null;
  results: Array<SecurityEvent>;
};

export type Passkey = {
  id: string;
  name: string;
  created_at: string;
  last_used_at: string | null;
  backed_up: boolean;
  transports: Array<string>;
};

export type PasskeyAddRequest = {
  credential: Record<string, unknown>;
  name?: string;
};

export type PasskeySignInRequest = {
  device_fingerprint?: string;
  device_name?: string;
  remember_me?: boolean;
  device_token?: string;
  credential: Record<string, unknown>;
};

export type PasswordChangeRequest = {
  old_password: string;
  new_password: string;
  new_password_confirm: string;
};

export type PasswordChanged = {
  detail: string;
  /** the password has voided the one of before */
  device_token: string;
  access?: string;
  refresh?: string;
  token_type?: TokenTypeEnum;
  access_expires_in?: number;
  refresh_expires_in?: number;
  server_time?: string;
  session?: Session;
};

export type PasswordRequest = {
  /** required of who has one */
  password?: string;
};

export type PasswordResetConfirmRequest = {
  /** UUID */
  token: string;
  new_password: string;
  new_password_confirm: string;
};

export type PasswordResetRequest = {
  email: string;
};

export type PatchedChatSettingsInputRequest = {
  share_receipts?: boolean;
  share_presence?: boolean;
  quiet_hours?: {
    from: string;
    to: string;
  } | null;
};

export type PatchedConversationInputRequest = {
  title?: string;
  description?: string;
  history_visible?: boolean;
  /** between two messages of a plain member; 0 = no limit */
  slow_mode_seconds?: number;
};

export type PatchedConversationSettingsInputRequest = {
  muted_until?: string | null;
  pinned?: boolean;
  archived?: boolean;
  notify?: NotifyEnum;
};

export type PatchedEditInputRequest = {
  content?: string;
};

export type PatchedPasskeyNameRequest = {
  name?: string;
};

export type PatchedRenameRequest = {
  device_name?: string;
};

export type PatchedUserRequest = {
  username?: string;
  phone_number?: string;
  first_name?: string;
  last_name?: string;
  language?: string;
  timezone?: string;
  email_notifications?: boolean;
  sms_notifications?: boolean;
  push_notifications?: boolean;
};

export type PeopleInputRequest = {
  user_ids: Array<number>;
};

export type PeoplePage = {
  next: string | null;
  previous: string | null;
  results: Array<Person>;
};

export type Person = {
  id: number;
  username: string;
  first_name: string;
  last_name: string;
};

export type PersonOutput = {
  id: number;
  username: string;
  first_name: string;
  last_name: string;
};

export type PhoneChallenge = {
  challenge: string;
  /** seconds */
  expires_in: number;
  /** seconds */
  resend_after: number;
};

export type PhoneRequest = {
  phone_number: string;
};

export type Proven = {
  access: string;
  access_expires_in: number;
  auth_time: string;
  amr: Array<string>;
};

export type ProviderEnum = "webpush" | "fcm" | "apns" | "expo";

export type PushInputRequest = {
  provider: ProviderEnum;
  /** fcm, apns, expo */
  token?: string | null;
  /** webpush */
  subscription?: SubscriptionInputRequest | null;
  /** apns * `production` - production * `sandbox` - sandbox */
  environment?: EnvironmentEnum | NullEnum;
  /** what a push may say; without it, nothing but where to look * `full` - sender and text * `sender` - sender * `nothing` - nothing */
  show?: ShowEnum | NullEnum;
};

export type PushKeyOutput = {
  /** the browser's applicationServerKey, base64url */
  vapid_public_key: string;
};

export type PushOutput = {
  provider: ProviderEnum;
  environment: EnvironmentEnum | NullEnum;
  show: ShowEnum;
  updated_at: string;
};

export type ReactionOutput = {
  emoji: string;
  count: number;
  mine: boolean;
};

export type ReauthenticateRequest = {
  password?: string;
  /** six digits, or a recovery code */
  code?: string;
  credential?: Record<string, unknown>;
  provider?: string;
  id_token?: string;
  nonce?: string;
};

export type RecoveryCodes = {
  recovery_codes: Array<string>;
};

export type RefreshRequest = {
  refresh: string;
};

export type RegisterRequest = {
  username: string;
  email: string;
  password: string;
  password_confirm: string;
  language?: string;
  timezone?: string;
};

export type Registered = {
  user: User;
};

export type ReplyToOutput = {
  uuid: string;
  sender: MessageSenderOutput | null;
  excerpt: string;
};

export type ReportInputRequest = {
  message_uuid: string;
  reason: string;
};

export type ReportOutput = {
  uuid: string;
  message_uuid: string;
  reason: string;
  status: ReportStatusEnum;
  created_at: string;
};

export type ReportStatusEnum = "open" | "resolved" | "dismissed";

export type ResendVerificationRequest = {
  email: string;
};

export type RoleEnum = "owner" | "admin" | "member";

export type SearchPageOutput = {
  next: string | null;
  /** Always null: pages go on only. */
  previous: string | null;
  results: Array<FoundOutput>;
};

export type SecurityEvent = {
  id: string;
  kind: SecurityEventKindEnum;
  at: string;
  ip_address: string | null;
  location: Location | null;
  client: Device;
  session_id: string | null;
  detail: unknown;
};

export type SecurityEventKindEnum = "login" | "login_failed" | "lockout" | "new_device" | "refresh_replayed" | "refresh_reused" | "session_revoked" | "password_changed" | "email_changed" | "mfa_enabled" | "mfa_disabled" | "passkey_added" | "passkey_removed" | "recovery_code_used" | "recovery_codes_made" | "social_linked" | "social_unlinked" | "phone_changed" | "reauthenticated";

export type SeenInputRequest = {
  up_to_seq: number;
};

export type SeenOutput = {
  conversation_uuid: string;
  seen_seq: number;
  unread_count: number;
  mention_count: number;
};

export type Session = {
  id: string;
  is_current: boolean;
  device_name: string;
  /** the last 6 characters */
  device_fingerprint: string;
  ip_address: string | null;
  location: Location | null;
  user_agent: string;
  client: Device;
  created_at: string;
  last_seen_at: string;
  idle_expires_at: string;
  absolute_expires_at: string;
  remember_me: boolean;
  /** of the last proof of who one is, as in tokens */
  auth_time: string;
  /** RFC 8176 */
  amr: Array<string>;
  sockets: number;
};

export type SessionPage = {
  next: string | null;
  previous: string | null;
  results: Array<Session>;
};

export type ShowEnum = "full" | "sender" | "nothing";

export type SocialLink = {
  provider: string;
  email: string;
  linked_at: string;
};

export type SocialSignInRequest = {
  device_fingerprint?: string;
  device_name?: string;
  remember_me?: boolean;
  device_token?: string;
  id_token: string;
  nonce?: string;
  authorization_code?: string;
  first_name?: string;
  last_name?: string;
};

export type StateEnum = "processing" | "ready";

export type SubscriptionInputRequest = {
  endpoint: string;
  keys: SubscriptionKeysInputRequest;
};

export type SubscriptionKeysInputRequest = {
  p256dh: string;
  auth: string;
};

export type Success = {
  success: boolean;
};

export type SuccessOutput = {
  success: boolean;
};

export type TokenTypeEnum = "Bearer";

export type Tokens = {
  access: string;
  refresh: string;
  token_type: TokenTypeEnum;
  /** seconds */
  access_expires_in: number;
  /** seconds */
  refresh_expires_in: number;
  server_time: string;
  session: Session;
};

export type Totp = {
  created_at: string;
};

export type User = {
  id: number;
  username: string;
  email: string;
  email_verified: boolean;
  phone_number: string;
  phone_verified: boolean;
  first_name: string;
  last_name: string;
  language: string;
  timezone: string;
  email_notifications: boolean;
  sms_notifications: boolean;
  push_notifications: boolean;
  date_joined: string;
  last_login: string | null;
};

export type UserIdInputRequest = {
  user_id: number;
};

export type VerifyEmailRequest = {
  /** UUID */
  token: string;
};

export type VerifyRequest = {
  token: string;
};

export type WasItYouRequest = {
  /** UUID */
  token: string;
  answer: AnswerEnum;
};
