import type * as Http from '../generated/http.js';
import {
  AUTO_REFRESH_CHECK_INTERVAL_MS,
  CHECKS_PER_LIFE,
  DEFAULT_ACCESS_LIFETIME_MS,
  FACTS_BYTES,
  LARGEST_MARGIN,
  MINUTE_MS,
  REFRESH_BUFFER_MINUTES,
  REFRESH_RETRY_BASE_MS,
  REFRESH_RETRY_CAP_MS,
  REQUEST_TIMEOUT_MS,
  STORAGE_RETRY_BASE_MS,
} from './constants.js';
import { Emitter, type Unsubscribe } from './emitter.js';
import { ApiError, NetworkError, NotSignedInError, unanswered } from './errors.js';
import { readClaims, type TokenClaims } from './jwt.js';
import { browserLifecycle, type Lifecycle } from './lifecycle.js';
import { takeTurns, within } from './locks.js';
import type { Logger } from './logger.js';
import type { Address, Fetch, HttpInit, HttpResponse, WebSocketConstructor } from './platform.js';
import {
  ACCESS_TOKEN_KEY,
  defaultStorage,
  DEVICE_TOKEN_KEY,
  REFRESH_TOKEN_KEY,
  SESSION_FACTS_KEY,
  type TokenStorage,
} from './storage.js';
import type { LoginResponse, TokenPair, User, UserSession } from './types.js';

export interface AuthClientOptions {
  /** The server, such as `https://chat.example.org`; empty for the page's own origin. */
  baseUrl: string;
  storage?: TokenStorage;
  /** A stable name of this device: one session for each. A label, not a secret. */
  deviceFingerprint?: string;
  /** The language of the server's texts (`en`, `fr`, `ar`). */
  language?: string;
  fetch?: Fetch;
  lifecycle?: Lifecycle;
  /** What the sockets are made of; default: the platform's. */
  WebSocket?: WebSocketConstructor | undefined;
  /** Default: `console`. */
  logger?: Logger;
  /** Milliseconds of the device's clock, right or wrong. */
  now?: () => number;
  random?: () => number;
}

/** `username` is the username or the e-mail address. */
export type LoginCredentials = Http.LoginRequest;

export type Registration = Http.RegisterRequest;

/** `logout`: here or in another tab. The others are the server's reasons. */
export type SignOutReason = 'logout' | 'session_revoked' | 'account_disabled' | 'refresh_refused' | (string & {});

export type AuthStatus = 'loading' | 'signed_out' | 'signed_in';

export interface AuthSnapshot {
  status: AuthStatus;
  user: User | null;
  session: UserSession | null;
  accessToken: string | null;
  /** The `sid` of the tokens: the same over all refreshes, another one after another sign-in. */
  sessionId: string | null;
  /** Why the last sign-in ended; null before any. */
  signedOutReason: SignOutReason | null;
}

interface Tokens {
  /** Empty when only the refresh token is known. */
  access: string;
  refresh: string;
  /** Milliseconds of the server's clock. */
  endsAt: number;
  /** How long an access token lives when it is new, milliseconds. */
  life: number;
  sessionId: string;
}

type NewPair = TokenPair & { device_token?: string };

interface Who {
  user: User | null;
  session: UserSession | null;
}

interface SessionFacts extends Who {
  sid: string;
  access_expires_at: number;
  access_life_ms: number;
  clock_offset_ms: number;
}

interface AuthEvents {
  change: AuthSnapshot;
  refresh: string;
  signOut: SignOutReason;
}

/** The refresh token first: without it the rest is worth nothing. */
const STORED_KEYS = [REFRESH_TOKEN_KEY, ACCESS_TOKEN_KEY, SESSION_FACTS_KEY];

const JSON_BODY = { 'Content-Type': 'application/json' };

const NOBODY: Who = { user: null, session: null };

const SIGNED_OUT: AuthSnapshot = {
  ...NOBODY,
  status: 'signed_out',
  accessToken: null,
  sessionId: null,
  signedOutReason: null,
};

/**
 * Who is signed in, and a living access token whenever one is wanted.
 *
 * One refresh is in flight at a time and all callers share it; tabs that share a storage take turns and adopt what
 * another one has brought. A refused refresh signs out; a fault (no network, 5xx, 429) never does.
 */
export class AuthClient {
  readonly lifecycle: Lifecycle;
  readonly baseUrl: string;
  readonly deviceFingerprint: string | undefined;
  readonly logger: Logger;
  readonly WebSocket: WebSocketConstructor | undefined;
  language: string | undefined;

  private readonly storage: TokenStorage;
  private readonly injectedFetch: Fetch;
  private readonly now: () => number;
  private readonly random: () => number;
  private readonly events = new Emitter<AuthEvents>();

  private snapshot: AuthSnapshot = { ...SIGNED_OUT, status: 'loading' };
  private tokens: Tokens | null = null;
  /** Server's clock minus the device's, milliseconds. */
  private clockOffsetMs = 0;
  private restoring: Promise<void> | undefined;
  private refreshing: Promise<string | null> | undefined;
  private writes: Promise<void> = Promise.resolve();
  /** The tokens in memory are not in the storage yet: what is there is older, whatever it looks like. */
  private unsaved?: boolean;
  /** The refresh token that a sign-out could not remove. */
  private leftBehind: string | undefined;
  private storageFaults = 0;
  private storageTimer: ReturnType<typeof setTimeout> | undefined;
  private checkTimer: ReturnType<typeof setInterval> | undefined;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private retries = 0;
  private stopWatching: (() => void) | undefined;

  constructor(options: AuthClientOptions) {
    this.baseUrl = options.baseUrl.replace(/\/+$/, '').replace(/\/api$/, '');
    this.storage = options.storage ?? defaultStorage();
    this.deviceFingerprint = options.deviceFingerprint;
    this.language = options.language;
    const { fetch } = options;
    // Looked up at each call and called bare: a browser's `fetch` refuses another `this`.
    this.injectedFetch = (input, init) => (fetch ?? globalThis.fetch)(input, init);
    this.WebSocket = options.WebSocket;
    this.logger = options.logger ?? console;
    this.lifecycle = options.lifecycle ?? browserLifecycle();
    this.now = options.now ?? (() => Date.now());
    this.random = options.random ?? Math.random;
  }

  // What is known

  getSnapshot = (): AuthSnapshot => this.snapshot;

  subscribe = (listener: (snapshot: AuthSnapshot) => void): Unsubscribe => this.events.on('change', listener);

  onTokenRefresh = (callback: (newAccessToken: string) => void): Unsubscribe => this.events.on('refresh', callback);

  onSignOut = (callback: (reason: SignOutReason) => void): Unsubscribe => this.events.on('signOut', callback);

  get user(): User | null {
    return this.snapshot.user;
  }

  get accessToken(): string | null {
    return this.snapshot.accessToken;
  }

  /** Milliseconds of the server's clock, as well as it is known. */
  serverNow = (): number => this.now() + this.clockOffsetMs;

  /** Milliseconds that the access token still lives; 0 when there is none. */
  accessTokenRemainingMs = (): number =>
    this.tokens ? Math.max(0, this.tokens.endsAt - this.serverNow()) : 0;

  /**
   * True when fewer than so many minutes remain, and when there is no token at all.
   *
   * Never more than half of a token's life: one that lives for five minutes is not "about to end" when it is new.
   */
  isTokenExpiringSoon = (bufferMinutes: number = REFRESH_BUFFER_MINUTES): boolean =>
    !this.tokens ||
    this.accessTokenRemainingMs() < Math.min(bufferMinutes * MINUTE_MS, this.tokens.life * LARGEST_MARGIN);

  /** Learns the server's clock from anything that carries a `server_time`. */
  syncClock = (serverTime: string): void => {
    const time = Date.parse(serverTime);
    if (time) this.clockOffsetMs = time - this.now();
  };

  // Life

  /** Reads the storage and begins to watch the token; returns the stop. Safe to call again after it. */
  start = (): (() => void) => {
    if (this.stopWatching) return this.stopWatching;
    const stopLifecycle = this.lifecycle.subscribe((event) => {
      if (event === 'background') {
        clearInterval(this.checkTimer);
        clearTimeout(this.retryTimer);
      } else if (event !== 'offline') {
        // Timers stand still in a pocket: look at once.
        this.watch();
        this.check();
      }
    });
    const stopStorage = this.storage.subscribe?.((key) => {
      // The facts are written and removed last.
      if (key === null || key === SESSION_FACTS_KEY) void this.adoptStored();
    });
    const stop = () => {
      if (this.stopWatching !== stop) return;
      this.stopWatching = undefined;
      clearInterval(this.checkTimer);
      clearTimeout(this.retryTimer);
      clearTimeout(this.storageTimer);
      stopLifecycle();
      stopStorage?.();
    };
    this.stopWatching = stop;
    void this.restore();
    this.watch();
    return stop;
  };

  private check = (): void => {
    if (this.snapshot.status === 'loading') void this.restore();
    else if (this.tokens) {
      // Not kept, and not to be had without a network: whenever there is one.
      if (!this.snapshot.user) void this.reloadUser().catch(() => {});
      void this.ensureValidToken();
    }
  };

  private watch(): void {
    clearInterval(this.checkTimer);
    const life = (this.tokens?.life ?? Infinity) / CHECKS_PER_LIFE;
    if (this.stopWatching) this.checkTimer = setInterval(this.check, Math.min(AUTO_REFRESH_CHECK_INTERVAL_MS, life));
  }

  /**
   * Takes up the stored sign-in. Once; every call shares it.
   *
   * A storage that cannot be read says nothing about who is signed in: the status stays `loading`, and it is read again.
   */
  restore = (): Promise<void> => (this.restoring ??= this.readStorage());

  private async readStorage(): Promise<void> {
    try {
      const stored = await this.stored();
      if (this.snapshot.status !== 'loading') return;
      if (!stored?.tokens) return this.publish(SIGNED_OUT);
      this.take(stored.tokens, stored);
    } catch (error) {
      this.restoring = undefined;
      return this.storageFailed('Sign-in not read', error, () => void this.restore());
    }
    this.check();
  }

  // Signing in and out

  login = async (
    usernameOrCredentials: string | LoginCredentials,
    password?: string,
    options: Omit<LoginCredentials, 'username' | 'password'> = {},
  ): Promise<LoginResponse> => {
    const credentials =
      typeof usernameOrCredentials === 'string'
        ? { username: usernameOrCredentials, password: password ?? '', ...options }
        : usernameOrCredentials;
    // With the token of an earlier login, strangers who guess cannot lock the owner out of this device.
    const deviceToken = await this.readItem(DEVICE_TOKEN_KEY);
    const answer = await this.open<LoginResponse>('POST', '/api/auth/login/', {
      device_fingerprint: this.deviceFingerprint,
      device_token: deviceToken ?? undefined,
      ...credentials,
    });
    await this.acceptLogin(answer);
    return answer;
  };

  /** Whatever answers as a login does (a second factor, a passkey, a mailed code): this person is signed in now. */
  acceptLogin = (answer: LoginResponse): Promise<void> => {
    if (!answer?.access) return Promise.reject(new NetworkError());
    const { user = null, session = null } = answer;
    return this.accept(answer, { user, session }, `local-${this.now()}`);
  };

  register = (registration: Registration): Promise<{ user: User }> =>
    this.open<{ user: User }>('POST', '/api/auth/register/', registration);

  /** Signs out here at once; the server is told, and if it cannot be reached the tokens are gone from here anyway. */
  logout = async (): Promise<void> => {
    const { tokens } = this;
    await this.forget('logout');
    // Offline: the session ends by itself, or from the list of devices.
    if (tokens) await this.open('POST', '/api/auth/logout/', { refresh: tokens.refresh }, tokens.access).catch(() => {});
  };

  /** The server has ended the session (close code, 401 with `action: login`): forget it here. */
  signOut = (reason: SignOutReason): void => {
    if (this.tokens || this.snapshot.status === 'loading') void this.forget(reason);
  };

  // Tokens

  /**
   * A token that lives for so many minutes more if that can be had: refreshes when it would end sooner.
   *
   * Offline it gives the token that still lives, else null.
   */
  ensureValidToken = async (bufferMinutes: number = REFRESH_BUFFER_MINUTES): Promise<string | null> => {
    await this.restore();
    if (!this.tokens) return null;
    if (this.isTokenExpiringSoon(bufferMinutes)) await this.refresh();
    return this.accessTokenRemainingMs() > 0 ? this.accessToken : null;
  };

  /** Refreshes now, whatever remains; the new token, or null when none came. */
  refresh = async (): Promise<string | null> => {
    await this.restore();
    const { tokens } = this;
    // Tabs with one storage rotate one after the other, so that the second finds what the first has brought; where one does
    // not get its turn, the server's grace covers the rest.
    const locks = this.storage.subscribe && globalThis.navigator?.locks;
    return (this.refreshing ??= takeTurns(locks, `refresh ${this.baseUrl}`, () => this.rotate(tokens)).finally(() => {
      this.refreshing = undefined;
    }));
  };

  private async rotate(asked: Tokens | null): Promise<string | null> {
    await this.writes;
    await this.adoptStored();
    const { tokens } = this;
    // Another tab was faster: its pair is as new as one can be.
    if (tokens !== asked && this.accessTokenRemainingMs() > 0) return this.accessToken;
    if (!tokens) return null;
    const { refresh } = tokens;
    const answer = await this.open<TokenPair>('POST', '/api/auth/token/refresh/', { refresh }).catch((error: unknown) => error as Error);
    // Signed out meanwhile, or another tab was faster: nothing is left to decide.
    if (this.tokens !== tokens) return this.accessToken;
    if (!(answer instanceof Error) && answer?.access) {
      await this.acceptPair({ ...answer, refresh: answer.refresh ?? refresh });
      return answer.access;
    }
    const { action, reason, retryAfter }: Partial<ApiError> = answer instanceof ApiError ? answer : {};
    // Only the server itself ends a sign-in, and only it brings tokens: a proxy's page of whatever status does neither.
    if (action === 'login') await this.forget(reason ?? 'refresh_refused');
    else this.retryLater(retryAfter);
    return null;
  }

  /** Faults do not sign out. Tried again until it works, sooner than the next regular check. */
  private retryLater(retryAfterSeconds = 0): void {
    if (!this.stopWatching) return;
    clearTimeout(this.retryTimer);
    const ceiling = Math.min(REFRESH_RETRY_CAP_MS, REFRESH_RETRY_BASE_MS * 2 ** this.retries++);
    const delay = Math.max(retryAfterSeconds * 1000, ceiling * (0.5 + this.random() / 2));
    this.retryTimer = setTimeout(() => void this.ensureValidToken(), delay);
  }

  private async accept(pair: NewPair, who: Who, sessionId: string): Promise<void> {
    const { access, refresh, access_expires_in: seconds, server_time, device_token } = pair;
    if (device_token) void this.inTurn(() => this.storage.setItem(DEVICE_TOKEN_KEY, device_token));
    const { iat, exp, sid = sessionId } = claimsOf(access);
    if (server_time) this.syncClock(server_time);
    // Just minted: its `iat` is the server's clock.
    else if (iat) this.clockOffsetMs = iat * 1000 - this.now();
    const now = this.serverNow();
    const life = seconds !== undefined ? seconds * 1000 : exp ? exp * 1000 - now : DEFAULT_ACCESS_LIFETIME_MS;
    this.calmDown();
    this.unsaved = true;
    this.take({ access, refresh, endsAt: now + life, life, sessionId: who.session?.id ?? sid }, who);
    await this.save();
  }

  private take(tokens: Tokens, { user, session }: Who): void {
    let before = this.tokens;
    if (before && before.sessionId !== tokens.sessionId) {
      // Another sign-in over this one: nothing of the first may pass for the second's.
      before = null;
      this.events.emit('signOut', 'logout');
    }
    this.tokens = tokens;
    this.leftBehind = undefined;
    const { access, sessionId } = tokens;
    this.publish({ ...SIGNED_OUT, status: 'signed_in', user, session, accessToken: access || null, sessionId });
    this.watch();
    if (before && before.access !== access) this.events.emit('refresh', access);
  }

  private calmDown(): void {
    this.retries = 0;
    clearTimeout(this.retryTimer);
  }

  private async forget(reason: SignOutReason, stored = true): Promise<void> {
    const { tokens } = this;
    this.tokens = null;
    this.unsaved = false;
    this.calmDown();
    this.publish({ ...SIGNED_OUT, signedOutReason: reason });
    if (tokens) this.events.emit('signOut', reason);
    if (!stored || this.tokens) return;
    this.leftBehind = tokens?.refresh;
    await this.save();
  }

  private publish(snapshot: AuthSnapshot): void {
    this.snapshot = snapshot;
    this.events.emit('change', snapshot);
  }

  // Storage

  /** One after the other: a slow SecureStore must not store an older token over a newer one. */
  private inTurn(work: () => unknown): Promise<void> {
    return (this.writes = this.writes.then(work).then(
      () => {
        this.storageFaults = 0;
      },
      (error: unknown) => this.storageFailed('Sign-in not stored', error, () => void this.save()),
    ));
  }

  /** A fault of the storage is never a sign-out: the sign-in goes on in memory, and it is tried again. */
  private storageFailed(what: string, error: unknown, again: () => void): void {
    this.logger.warn(what, error);
    clearTimeout(this.storageTimer);
    const delay = Math.min(REFRESH_RETRY_CAP_MS, STORAGE_RETRY_BASE_MS * 2 ** this.storageFaults++);
    if (this.stopWatching) this.storageTimer = setTimeout(again, delay);
  }

  /** Brings the storage to what is known here. */
  private save(): Promise<void> {
    return this.inTurn(() => (this.tokens ? this.writeTokens(this.tokens) : this.removeTokens()));
  }

  /**
   * In an order that leaves a signed-in app, and one person's things only, wherever the app is killed: the refresh token
   * is what counts, and what does not belong to it is not read.
   */
  private async writeTokens(tokens: Tokens): Promise<void> {
    const { storage } = this;
    if (this.unsaved) {
      const held = (await this.readItem(REFRESH_TOKEN_KEY)) ?? '';
      if (this.tokens !== tokens) return;
      if (held && sidOf(held) !== sidOf(tokens.refresh)) {
        await storage.removeItem(ACCESS_TOKEN_KEY);
        await storage.removeItem(SESSION_FACTS_KEY);
      }
      // Another tab has gone on meanwhile.
      if (generation(held, tokens.sessionId) > generation(tokens.refresh, tokens.sessionId)) {
        this.unsaved = false;
        return void this.adoptStored();
      }
      try {
        await storage.setItem(REFRESH_TOKEN_KEY, tokens.refresh);
      } catch (error) {
        // An older one that is sent after the next start would look like a theft; being signed out then does not.
        await storage.removeItem(REFRESH_TOKEN_KEY);
        throw error;
      }
      await storage.setItem(ACCESS_TOKEN_KEY, tokens.access);
      if (this.tokens === tokens) this.unsaved = false;
    }
    await storage.setItem(SESSION_FACTS_KEY, this.facts(tokens));
  }

  private async removeTokens(): Promise<void> {
    const held = await this.storage.getItem(REFRESH_TOKEN_KEY);
    // Another tab may have signed in since.
    if (this.leftBehind && held && sidOf(held) !== sidOf(this.leftBehind)) return;
    for (const key of STORED_KEYS) await this.storage.removeItem(key);
    this.leftBehind = undefined;
  }

  /** What a phone's keychain takes in one item: if need be without the session's row, then with no more than the name. */
  private facts({ sessionId, endsAt, life }: Tokens): string {
    const { user, session } = this.snapshot;
    const text = (who: Who) =>
      JSON.stringify({
        sid: sessionId,
        access_expires_at: endsAt,
        access_life_ms: life,
        clock_offset_ms: this.clockOffsetMs,
        ...who,
      } satisfies SessionFacts);
    const least = text(NOBODY);
    return [text({ user, session }), text({ user, session: null }), least].find((each) => encodeURIComponent(each).length <= FACTS_BYTES) ?? least;
  }

  private async readItem(key: string): Promise<string | null> {
    try {
      return await this.storage.getItem(key);
    } catch {
      return null;
    }
  }

  /** Null where nothing at all is stored; without `tokens` where something is, but no refresh token. */
  private async stored(): Promise<(Who & { tokens: Tokens | null }) | null> {
    const [refresh, access, text] = await Promise.all(STORED_KEYS.map((key) => this.storage.getItem(key)));
    if (!refresh) return access || text ? { ...NOBODY, tokens: null } : null;
    const sid = sidOf(refresh);
    const facts = parseFacts(text, sid);
    const claims = claimsOf(access ?? '');
    const { exp = 0, iat } = claims;
    const belongs = access && (!sid || (claims.sid ?? sid) === sid);
    if (facts) this.clockOffsetMs = facts.clock_offset_ms;
    const tokens: Tokens = {
      access: belongs ? access : '',
      refresh,
      // Tokens that the app stored by itself have no facts beside them: the token tells its end.
      endsAt: (belongs && (exp * 1000 || facts?.access_expires_at)) || 0,
      life: facts?.access_life_ms ?? (exp && iat ? (exp - iat) * 1000 : DEFAULT_ACCESS_LIFETIME_MS),
      sessionId: sid ?? facts?.sid ?? claims.sid ?? '',
    };
    return { tokens, user: facts?.user ?? null, session: facts?.session ?? null };
  }

  /** Takes what another tab has stored, if it is newer than what is known here. */
  private async adoptStored(): Promise<void> {
    const ours = this.tokens;
    if (!this.storage.subscribe || this.snapshot.status === 'loading' || this.unsaved) return;
    const stored = await this.stored().catch(() => ({ ...NOBODY, tokens: ours }));
    if (this.tokens !== ours || this.unsaved) return;
    const tokens = stored?.tokens;
    // The other tab has removed them; removing again might hit a login that follows.
    if (!stored && ours) await this.forget('logout', false);
    if (!tokens || tokens.refresh === ours?.refresh) return;
    const { sessionId } = tokens;
    if (ours?.sessionId !== sessionId || generation(tokens.refresh, sessionId) >= generation(ours.refresh, sessionId)) this.take(tokens, stored);
  }

  // HTTP

  /**
   * The authenticated `fetch`: a path below the server or a full address, with the Bearer and `Device-Fingerprint`.
   *
   * A 401 that a new token can heal is tried once more after a refresh. The token goes to this server only.
   */
  fetch = async (input: Address, init: HttpInit = {}): Promise<HttpResponse> => {
    const source = globalThis.Request && input instanceof Request ? input : null;
    const url = this.resolve(source?.url ?? String(input));
    if (!this.isOurs(url)) return this.injectedFetch(source ?? url, init);
    const send = (token: string | null) =>
      this.injectedFetch(source?.clone() ?? url, { ...init, headers: this.headers(init.headers ?? source?.headers, token) });
    const same = await this.sameSession();
    const token = same((await this.ensureValidToken(1)) ?? this.accessToken);
    const response = await send(token);
    if (response.status !== 401 || !token) return same(response);
    const { action, reason, code } = await ApiError.from(response.clone());
    if (action === 'login' && this.accessToken === token) this.signOut(reason ?? code);
    if (action && action !== 'refresh') return response;
    // Another caller may have refreshed while this answer was on its way.
    const fresh = this.accessToken !== token ? this.accessToken : await this.refresh();
    return fresh ? same(await send(same(fresh))) : response;
  };

  /**
   * A check for the time after each wait: it hands on its value, or raises NotSignedInError where the session of before
   * is gone. What one person asked for is neither sent with the next one's token nor answered to them.
   */
  sameSession = async (): Promise<<Value>(value: Value) => Value> => {
    await this.restore();
    const { sessionId } = this.snapshot;
    return (value) => {
      if (sessionId && this.snapshot.sessionId !== sessionId) throw new NotSignedInError();
      return value;
    };
  };

  /** JSON in, JSON out, over `fetch`. Raises ApiError or NetworkError. */
  api = async <Answer = void>(method: string, path: string, body?: unknown): Promise<Answer> => {
    const sent = body !== undefined && { body: JSON.stringify(body), headers: JSON_BODY };
    const same = await this.sameSession();
    return same(await readAnswer<Answer>(this.fetch(path, { method, ...sent })));
  };

  reloadUser = async (): Promise<User> => {
    const user = await this.api<User>('GET', '/api/users/me/');
    this.setUser(user);
    return user;
  };

  /** The profile has been changed by a call of the app. */
  setUser = (user: User): void => {
    if (!this.tokens) return;
    this.publish({ ...this.snapshot, user });
    void this.save();
  };

  /** A password change answers with a new pair for this session. */
  acceptPair = (pair: NewPair): Promise<void> => {
    const { user, session, sessionId } = this.snapshot;
    return this.accept(pair, { user, session: pair.session ?? session }, sessionId ?? '');
  };

  /** Another access token of the same session: one has proved again who one is. */
  acceptAccess = async (answer: { access: string; access_expires_in?: number }): Promise<void> => {
    if (this.tokens) await this.acceptPair({ ...answer, refresh: this.tokens.refresh });
  };

  /** An open endpoint: no token goes along, unless one is handed in. */
  open = async <Answer>(method: string, path: string, body: unknown, token?: string): Promise<Answer> => {
    const init = { method, headers: this.headers(JSON_BODY, token), body: JSON.stringify(body) };
    // A request that hangs would hold up everyone who shares the refresh.
    return readAnswer<Answer>(within(REQUEST_TIMEOUT_MS, (signal) => this.injectedFetch(this.resolve(path), { ...init, signal })));
  };

  private headers(given?: HttpInit['headers'], token?: string | null): Headers {
    const headers = new Headers(given);
    if (token) headers.set('Authorization', `Bearer ${token}`);
    if (this.deviceFingerprint) headers.set('Device-Fingerprint', this.deviceFingerprint);
    if (this.language && !headers.has('Accept-Language')) headers.set('Accept-Language', this.language);
    return headers;
  }

  private resolve(address: string): string {
    // A browser reads `/\host` as another host.
    return originOf(address) ? address : `${this.baseUrl}/${address.replace(/^[/\\]+/, '')}`;
  }

  /** The token goes to this server only, whatever stands before an `@` or after another port. */
  private isOurs(url: string): boolean {
    const origin = originOf(url);
    return origin === originOf(this.baseUrl) || (!this.baseUrl && origin === globalThis.location?.origin);
  }
}

/** `https://host:port`, `//host`, `blob:`; empty for a path. By hand: React Native's `URL` has no `origin`. */
function originOf(url: string): string {
  const [origin] = /^([a-z][a-z0-9+.-]*:)?(\/\/[^/?#]*)?/i.exec(url)!;
  return origin.toLowerCase().replace(/^(https:.*):443$|^(http:.*):80$/, '$1$2');
}

async function readAnswer<Answer>(answer: Promise<HttpResponse>): Promise<Answer> {
  const response = await answer.catch((error: unknown) => {
    throw unanswered(error);
  });
  if (!response.ok) throw await ApiError.from(response);
  try {
    const text = await response.text();
    return (text ? JSON.parse(text) : undefined) as Answer;
  } catch (error) {
    // Cut off on its way, or a page of somebody in between.
    throw unanswered(error);
  }
}

function claimsOf(token: string): TokenClaims {
  return readClaims(token) ?? {};
}

function sidOf(token: string): string | undefined {
  return claimsOf(token).sid;
}

/** How often the session has been rotated; 0 where the token does not say, -1 for another session's. */
function generation(token: string, sessionId: string): number {
  const { sid = sessionId, gen = 0 } = claimsOf(token);
  return sid === sessionId ? gen : -1;
}

/** Null as well for those of another session. */
function parseFacts(text: string | null | undefined, sid: string | undefined): SessionFacts | null {
  try {
    const facts = JSON.parse(text ?? '') as SessionFacts;
    return facts.access_expires_at >= 0 && (sid ?? facts.sid) === facts.sid ? facts : null;
  } catch {
    return null;
  }
}
