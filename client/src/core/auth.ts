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
  TAB_LOCK_TIMEOUT_MS,
} from './constants.js';
import { Emitter, type Unsubscribe } from './emitter.js';
import { ApiError, NetworkError } from './errors.js';
import { readClaims } from './jwt.js';
import { browserLifecycle, type Lifecycle } from './lifecycle.js';
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

export interface LoginCredentials {
  /** The username or the e-mail address. */
  username: string;
  password: string;
  remember_me?: boolean;
  device_name?: string;
  device_fingerprint?: string;
  device_token?: string;
}

export interface Registration {
  username: string;
  email: string;
  password: string;
  password_confirm: string;
  language?: string;
  timezone?: string;
}

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
  accessExpiresAt: number;
  /** How long an access token lives when it is new, milliseconds. */
  lifeMs: number;
  sessionId: string;
}

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

const SIGNED_OUT: AuthSnapshot = {
  status: 'signed_out',
  user: null,
  session: null,
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
  private readonly injectedFetch: Fetch | undefined;
  private readonly now: () => number;
  private readonly random: () => number;
  private readonly events = new Emitter<AuthEvents>();

  private snapshot: AuthSnapshot = { ...SIGNED_OUT, status: 'loading' };
  private tokens: Tokens | null = null;
  /** Server's clock minus the device's, milliseconds. */
  private clockOffsetMs = 0;
  private restoring: Promise<void> | null = null;
  private refreshing: Promise<string | null> | null = null;
  private writes: Promise<void> = Promise.resolve();
  /** The tokens in memory are not in the storage yet: what is there is older, whatever it looks like. */
  private unsaved = false;
  /** The refresh token that a sign-out could not remove. */
  private leftBehind: string | null = null;
  private storageFaults = 0;
  private storageTimer: ReturnType<typeof setTimeout> | undefined;
  private checkTimer: ReturnType<typeof setInterval> | undefined;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private retries = 0;
  private stopWatching: (() => void) | null = null;

  constructor(options: AuthClientOptions) {
    this.baseUrl = options.baseUrl.replace(/\/+$/, '').replace(/\/api$/, '');
    this.storage = options.storage ?? defaultStorage();
    this.deviceFingerprint = options.deviceFingerprint;
    this.language = options.language;
    this.injectedFetch = options.fetch;
    this.WebSocket = options.WebSocket;
    this.logger = options.logger ?? console;
    this.lifecycle = options.lifecycle ?? browserLifecycle();
    this.now = options.now ?? (() => Date.now());
    this.random = options.random ?? (() => Math.random());
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
    this.tokens ? Math.max(0, this.tokens.accessExpiresAt - this.serverNow()) : 0;

  /**
   * True when fewer than so many minutes remain, and when there is no token at all.
   *
   * Never more than half of a token's life: one that lives for five minutes is not "about to end" when it is new.
   */
  isTokenExpiringSoon = (bufferMinutes: number = REFRESH_BUFFER_MINUTES): boolean =>
    !this.tokens ||
    this.accessTokenRemainingMs() < Math.min(bufferMinutes * MINUTE_MS, this.tokens.lifeMs * LARGEST_MARGIN);

  /** Learns the server's clock from anything that carries a `server_time`. */
  syncClock = (serverTime: string): void => {
    const time = Date.parse(serverTime);
    if (Number.isFinite(time)) this.clockOffsetMs = time - this.now();
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
      this.stopWatching = null;
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
    else if (this.tokens) void this.ensureValidToken();
  };

  private watch(): void {
    clearInterval(this.checkTimer);
    const life = (this.tokens?.lifeMs ?? Infinity) / CHECKS_PER_LIFE;
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
      this.restoring = null;
      return this.storageFailed('The stored sign-in could not be read', error, () => void this.restore());
    }
    if (!this.snapshot.user) void this.reloadUser().catch(() => {});
    if (this.isTokenExpiringSoon()) void this.ensureValidToken();
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
      ...(this.deviceFingerprint && { device_fingerprint: this.deviceFingerprint }),
      ...(deviceToken && { device_token: deviceToken }),
      ...credentials,
    });
    await this.acceptLogin(answer);
    return answer;
  };

  /** Whatever answers as a login does (a second factor, a passkey, a mailed code): this person is signed in now. */
  acceptLogin = (answer: LoginResponse): Promise<void> => {
    this.keepDevice(answer.device_token);
    const who = { user: answer.user ?? null, session: answer.session ?? null };
    return this.accept(answer, who, `local-${this.now()}`);
  };

  register = (registration: Registration): Promise<{ user: User }> =>
    this.open<{ user: User }>('POST', '/api/auth/register/', registration);

  /** Signs out here at once; the server is told, and if it cannot be reached the tokens are gone from here anyway. */
  logout = async (): Promise<void> => {
    const { tokens } = this;
    await this.forget('logout');
    if (!tokens) return;
    try {
      await this.request('/api/auth/logout/', {
        method: 'POST',
        headers: this.headers({ Authorization: `Bearer ${tokens.access}`, 'Content-Type': 'application/json' }),
        body: JSON.stringify({ refresh: tokens.refresh }),
      });
    } catch {
      // Offline: the session ends by itself, or from the list of devices.
    }
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
    return (this.refreshing ??= this.takeTurns(() => this.rotate(tokens)).finally(() => {
      this.refreshing = null;
    }));
  };

  private async rotate(asked: Tokens | null): Promise<string | null> {
    await this.writes;
    await this.adoptStored();
    const { tokens } = this;
    // Another tab was faster: its pair is as new as one can be.
    if (tokens !== asked && this.accessTokenRemainingMs() > 0) return this.accessToken;
    if (!tokens) return null;
    let answer: TokenPair;
    try {
      answer = await this.open<TokenPair>('POST', '/api/auth/token/refresh/', { refresh: tokens.refresh });
    } catch (error) {
      // Signed out meanwhile, or another tab was faster: nothing is left to decide.
      if (this.tokens !== tokens) return this.accessToken;
      // Only the server itself ends a sign-in: a proxy's page of whatever status does not.
      if (error instanceof ApiError && error.action === 'login') {
        await this.forget(error.reason ?? 'refresh_refused');
      } else {
        this.retryLater(error instanceof ApiError ? error.retryAfter : undefined);
      }
      return null;
    }
    if (this.tokens !== tokens) return this.accessToken;
    await this.acceptPair({ ...answer, refresh: answer.refresh ?? tokens.refresh });
    return answer.access;
  }

  /** Faults do not sign out. Tried again until it works, sooner than the next regular check. */
  private retryLater(retryAfterSeconds: number | undefined): void {
    if (!this.stopWatching) return;
    clearTimeout(this.retryTimer);
    const ceiling = Math.min(REFRESH_RETRY_CAP_MS, REFRESH_RETRY_BASE_MS * 2 ** this.retries++);
    const delay = Math.max((retryAfterSeconds ?? 0) * 1000, ceiling * (0.5 + this.random() / 2));
    this.retryTimer = setTimeout(() => void this.ensureValidToken(), delay);
  }

  /**
   * Tabs with one storage rotate one after the other, so that the second finds what the first has brought.
   *
   * A tab that was stopped while it held its turn does not hold up the others: the server's grace covers the rest.
   */
  private async takeTurns(work: () => Promise<string | null>): Promise<string | null> {
    const locks = this.storage.subscribe ? globalThis.navigator?.locks : undefined;
    if (!locks) return work();
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), TAB_LOCK_TIMEOUT_MS);
    let begun = false;
    const turn = () => {
      begun = true;
      clearTimeout(timer);
      return work();
    };
    try {
      return await locks.request(`refresh ${this.baseUrl}`, { signal: patience.signal }, turn);
    } catch (error) {
      if (begun) throw error;
      return turn();
    }
  }

  private async accept(pair: TokenPair, who: Who, sessionId: string): Promise<void> {
    const claims = readClaims(pair.access);
    if (pair.server_time) this.syncClock(pair.server_time);
    // Just minted: its `iat` is the server's clock.
    else if (claims?.iat) this.clockOffsetMs = claims.iat * 1000 - this.now();
    const told = pair.access_expires_in === undefined ? undefined : pair.access_expires_in * 1000;
    const accessExpiresAt =
      told === undefined && claims?.exp ? claims.exp * 1000 : this.serverNow() + (told ?? DEFAULT_ACCESS_LIFETIME_MS);
    this.retries = 0;
    clearTimeout(this.retryTimer);
    this.unsaved = true;
    this.take(
      {
        access: pair.access,
        refresh: pair.refresh,
        accessExpiresAt,
        lifeMs: accessExpiresAt - this.serverNow(),
        sessionId: who.session?.id ?? claims?.sid ?? sessionId,
      },
      who,
    );
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
    this.leftBehind = null;
    this.publish({
      status: 'signed_in',
      user,
      session,
      accessToken: tokens.access || null,
      sessionId: tokens.sessionId,
      signedOutReason: null,
    });
    this.watch();
    if (before && before.access !== tokens.access) this.events.emit('refresh', tokens.access);
  }

  private async forget(reason: SignOutReason, { stored } = { stored: true }): Promise<void> {
    const { tokens } = this;
    this.tokens = null;
    this.unsaved = false;
    this.retries = 0;
    clearTimeout(this.retryTimer);
    this.publish({ ...SIGNED_OUT, signedOutReason: reason });
    if (tokens) this.events.emit('signOut', reason);
    if (!stored || this.tokens) return;
    this.leftBehind = tokens?.refresh ?? null;
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
      (error: unknown) => this.storageFailed('The sign-in could not be stored', error, () => void this.save()),
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
    this.leftBehind = null;
  }

  /** What a phone's keychain takes in one item: if need be without the session's row, then with no more than the name. */
  private facts({ sessionId, accessExpiresAt, lifeMs }: Tokens): string {
    const { user, session } = this.snapshot;
    const text = (who: Who) =>
      JSON.stringify({
        sid: sessionId,
        access_expires_at: accessExpiresAt,
        access_life_ms: lifeMs,
        clock_offset_ms: this.clockOffsetMs,
        ...who,
      } satisfies SessionFacts);
    for (const who of [{ user, session }, { user, session: null }]) {
      if (encodeURIComponent(text(who)).length <= FACTS_BYTES) return text(who);
    }
    return text({ user: null, session: null });
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
    if (!refresh) return access || text ? { tokens: null, user: null, session: null } : null;
    const sid = sidOf(refresh);
    const told = parseFacts(text ?? null);
    const facts = told && (!sid || told.sid === sid) ? told : null;
    const claims = access ? readClaims(access) : null;
    const belongs = access && (!sid || !claims?.sid || claims.sid === sid);
    if (facts) this.clockOffsetMs = facts.clock_offset_ms;
    return {
      tokens: {
        access: belongs ? access : '',
        refresh,
        // Tokens that the app stored by itself have no facts beside them: the token tells its end.
        accessExpiresAt: !belongs ? 0 : claims?.exp ? claims.exp * 1000 : (facts?.access_expires_at ?? 0),
        lifeMs:
          facts?.access_life_ms ??
          (claims?.exp && claims.iat ? (claims.exp - claims.iat) * 1000 : DEFAULT_ACCESS_LIFETIME_MS),
        sessionId: sid ?? facts?.sid ?? claims?.sid ?? '',
      },
      user: facts?.user ?? null,
      session: facts?.session ?? null,
    };
  }

  /** Takes what another tab has stored, if it is newer than what is known here. */
  private async adoptStored(): Promise<void> {
    const ours = this.tokens;
    if (!this.storage.subscribe || this.snapshot.status === 'loading' || this.unsaved) return;
    const stored = await this.stored().catch(() => undefined);
    if (stored === undefined || this.tokens !== ours || this.unsaved) return;
    // The other tab has removed them; removing again might hit a login that follows.
    if (!stored) return void (ours && (await this.forget('logout', { stored: false })));
    const { tokens } = stored;
    if (!tokens || tokens.refresh === ours?.refresh) return;
    const { sessionId } = tokens;
    if (ours?.sessionId === sessionId && generation(tokens.refresh, sessionId) < generation(ours.refresh, sessionId)) return;
    this.take(tokens, stored);
  }

  // HTTP

  /**
   * The authenticated `fetch`: a path below the server or a full address, with the Bearer and `Device-Fingerprint`.
   *
   * A 401 that a new token can heal is tried once more after a refresh. The token goes to this server only.
   */
  fetch = async (input: Address, init: HttpInit = {}): Promise<HttpResponse> => {
    const source = input instanceof Request ? input : null;
    const url = this.resolve(source ? source.url : String(input));
    if (!this.isOurs(url)) return this.rawFetch(source ?? url, init);
    const send = (token: string | null) => {
      const headers = this.headers(init.headers ?? source?.headers);
      if (token) headers.set('Authorization', `Bearer ${token}`);
      return this.rawFetch(source ? source.clone() : url, { ...init, headers });
    };
    const token = (await this.ensureValidToken(1)) ?? this.accessToken;
    const response = await send(token);
    if (response.status !== 401 || !token) return response;
    const { action, reason, code } = await ApiError.from(response.clone());
    if (action === 'login' && this.accessToken === token) this.signOut(reason ?? code);
    if (action && action !== 'refresh') return response;
    // Another caller may have refreshed while this answer was on its way.
    const fresh = this.accessToken !== token ? this.accessToken : await this.refresh();
    return fresh ? send(fresh) : response;
  };

  /** JSON in, JSON out, over `fetch`. Raises ApiError or NetworkError. */
  api = async <Answer = void>(method: string, path: string, body?: unknown): Promise<Answer> => {
    const init: HttpInit = { method };
    if (body instanceof FormData) init.body = body;
    else if (body !== undefined) {
      init.body = JSON.stringify(body);
      init.headers = { 'Content-Type': 'application/json' };
    }
    const response = await this.fetch(path, init).catch((error: unknown) => {
      throw new NetworkError(error);
    });
    return readAnswer<Answer>(response);
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
  acceptPair = (pair: TokenPair & { device_token?: string }): Promise<void> => {
    this.keepDevice(pair.device_token);
    const { user, session, sessionId } = this.snapshot;
    return this.accept(pair, { user, session: pair.session ?? session }, sessionId ?? '');
  };

  private keepDevice(deviceToken: string | undefined): void {
    if (deviceToken) void this.inTurn(() => this.storage.setItem(DEVICE_TOKEN_KEY, deviceToken));
  }

  /** Another access token of the same session: one has proved again who one is. */
  acceptAccess = async (answer: { access: string; access_expires_in?: number }): Promise<void> => {
    if (this.tokens) await this.acceptPair({ ...answer, refresh: this.tokens.refresh });
  };

  /** An open endpoint: no token goes along. */
  open = async <Answer>(method: string, path: string, body: unknown): Promise<Answer> => {
    const response = await this.request(path, {
      method,
      headers: this.headers({ 'Content-Type': 'application/json' }),
      body: JSON.stringify(body),
    });
    return readAnswer<Answer>(response);
  };

  private async request(path: string, init: HttpInit): Promise<HttpResponse> {
    const controller = new AbortController();
    // A request that hangs would hold up everyone who shares the refresh.
    const timer = setTimeout(() => controller.abort(), REQUEST_TIMEOUT_MS);
    try {
      return await this.rawFetch(this.resolve(path), { ...init, signal: controller.signal });
    } catch (error) {
      throw new NetworkError(error);
    } finally {
      clearTimeout(timer);
    }
  }

  private rawFetch(input: string | Request, init: HttpInit): Promise<HttpResponse> {
    // Looked up at each call and called bare: a browser's `fetch` refuses another `this`.
    const send = this.injectedFetch ?? globalThis.fetch;
    return send(input, init);
  }

  private headers(given?: HttpInit['headers']): Headers {
    const headers = new Headers(given);
    if (this.deviceFingerprint) headers.set('Device-Fingerprint', this.deviceFingerprint);
    if (this.language && !headers.has('Accept-Language')) headers.set('Accept-Language', this.language);
    return headers;
  }

  private resolve(address: string): string {
    return /^[a-z][a-z0-9+.-]*:/i.test(address) || address.startsWith('//')
      ? address
      : // A browser reads `/\host` as another host.
        `${this.baseUrl}/${address.replace(/^[/\\]+/, '')}`;
  }

  /** The token goes to this server only, whatever stands before an `@` or after another port. */
  private isOurs(url: string): boolean {
    const base = this.baseUrl || (globalThis.location?.origin ?? '');
    return originOf(url) === originOf(base) || (!this.baseUrl && /^\/(?![/\\])/.test(url));
  }
}

/** `https://host:port`. By hand: React Native's `URL` has no `origin`. */
function originOf(url: string): string | undefined {
  return /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i
    .exec(url)?.[0]
    .toLowerCase()
    .replace(/^(https:.*):443$|^(http:.*):80$/, '$1$2');
}

async function readAnswer<Answer>(response: HttpResponse): Promise<Answer> {
  if (!response.ok) throw await ApiError.from(response);
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as Answer;
}

function sidOf(token: string): string | undefined {
  return readClaims(token)?.sid;
}

/** How often the session has been rotated; 0 where the token does not say, -1 for another session's. */
function generation(token: string, sessionId: string): number {
  const claims = readClaims(token);
  return claims?.sid && claims.sid !== sessionId ? -1 : (claims?.gen ?? 0);
}

function parseFacts(text: string | null): SessionFacts | null {
  try {
    const facts: unknown = JSON.parse(text ?? 'null');
    return facts && typeof (facts as SessionFacts).access_expires_at === 'number' ? (facts as SessionFacts) : null;
  } catch {
    return null;
  }
}
