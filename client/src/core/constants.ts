/** Every timing of the client, with its unit in its name. */
export const MINUTE_MS = 60_000;

/** How often the signed-in client asks itself whether the access token is about to end. */
export const AUTO_REFRESH_CHECK_INTERVAL_MS = 4 * MINUTE_MS;
/** … and how often in the life of a short one, at least. */
export const CHECKS_PER_LIFE = 5;
/** No margin is a larger part of the token's life than this. */
export const LARGEST_MARGIN = 0.5;
/** Refresh when fewer minutes than this remain. */
export const REFRESH_BUFFER_MINUTES = 5;
/** How often an open socket asks whether its token is about to end … */
export const SOCKET_TOKEN_CHECK_INTERVAL_MS = 5 * MINUTE_MS;
/** … and how many minutes it wants to have left. */
export const SOCKET_TOKEN_BUFFER_MINUTES = 10;
/** Access tokens of an unknown life are taken to live as long as the server's default. */
export const DEFAULT_ACCESS_LIFETIME_MS = 60 * MINUTE_MS;

/** A refresh that met a fault is tried again after this, doubling up to the cap, while the sign-in stays. */
export const REFRESH_RETRY_BASE_MS = 2_000;
export const REFRESH_RETRY_CAP_MS = MINUTE_MS;
export const REQUEST_TIMEOUT_MS = 20_000;
/** A storage that failed is tried again after this, doubling up to the refresh's cap. */
export const STORAGE_RETRY_BASE_MS = 1_000;
/** How long a tab waits for another one's refresh. */
export const TAB_LOCK_TIMEOUT_MS = 5_000;
/** Expo's SecureStore takes 2,048 bytes an item. */
export const FACTS_BYTES = 2_000;

/** Reconnecting: a random time in 0 … min(cap, base · 2ⁿ), "full jitter". */
export const BACKOFF_BASE_MS = 500;
export const BACKOFF_CAP_MS = 20_000;
export const MAX_RECONNECT_ATTEMPTS = 5;

/** From `new WebSocket` to its opening, and from the opening to `hello`. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
export const DEFAULT_HEARTBEAT_INTERVAL_MS = 25_000;
/** A ping unanswered for this long means that the network is gone, whatever the socket says. */
export const PONG_TIMEOUT_MS = 10_000;
/** … and this long where somebody has just come back to look, or is told that the network is gone. */
export const LOOK_PONG_TIMEOUT_MS = 3_000;
/** Nothing at all has come back for this long after something was sent: ask. */
export const ANSWER_PATIENCE_MS = 2_000;
/** After a token change the old socket stays for at most this long beside the new one. */
export const OVERLAP_TIMEOUT_MS = 5_000;
export const AUTHENTICATE_TIMEOUT_MS = 10_000;
/** An unanswered `sync` is asked again after this. */
export const SYNC_RETRY_MS = 5_000;
/** A message without `ack` is sent again, under the same `client_msg_id`, after this. */
export const ACK_TIMEOUT_MS = 10_000;
/** A refused `resume` is asked again after this, unless the server says when. */
export const RESUME_RETRY_MS = 1_000;
/** A catch-up without `resumed` is taken as ended after this; holes are then filled by `sync`. */
export const RESUME_TIMEOUT_MS = 15_000;
/** Cursors in one `resume` frame: 1,000 of them are some 50 KiB, and a frame may have 64. */
export const RESUME_CURSORS_PER_FRAME = 500;
/** Strings waiting for the opening; the oldest go first. */
export const SEND_QUEUE_LIMIT = 1_000;

/** `typing` ends by itself on the server after 6 s, so it is repeated before that. */
export const TYPING_REPEAT_MS = 4_000;
export const TYPING_EXPIRES_MS = 6_000;
export const PAGE_SIZE = 50;
/** Characters that a reply quotes, as on the server. */
export const EXCERPT_CHARS = 120;
/** The socket waits for the list of conversations for at most this long. */
export const LIST_PATIENCE_MS = 3_000;
/** What nobody waits for and did not come is read again after this, while the socket is open. */
export const READ_RETRY_MS = 5_000;
/** A tab that hears nothing of another one's socket for this long makes its own. */
export const JOIN_PATIENCE_MS = 2_000;
/** How many people one socket may watch. */
export const PRESENCE_LIMIT = 100;
/** Changes of a conversation are kept together. */
export const SAVE_DELAY_MS = 300;
