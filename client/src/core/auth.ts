import {
  AUTO_REFRESH_CHECK_INTERVAL_MS,
  DEFAULT_ACCESS_LIFETIME_MS,
  MINUTE_MS,
  REFRESH_BUFFER_MINUTES,
  REFRESH_RETRY_BASE_MS,
  REFRESH_RETRY_CAP_MS,
  REQUEST_TIMEOUT_MS,
} from './constants.js';
import { Emitter, type Unsubscribe } from './emitter.js';
import { ApiError, NetworkError } from './errors.js';
import { readClaims } from './jwt.js';
import { browserLifecycle, type Lifecycle } from './lifecycle.js';
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
  fetch?: typeof fetch;
  lifecycle?: Lifecycle;
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
  access: string;
  refresh: string;
  /** Milliseconds of the server's clock. */
  accessExpiresAt: number;
}

interface SessionFacts {
  access_expires_at: number;
  clock_offset_ms: number;
  user: User | null;
  session: UserSession | null;
}

interface AuthEvents {
  change: AuthSnapshot;
  refresh: string;
  signOut: SignOutReason;
}

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
  language: string | undefined;

  private readonly storage: TokenStorage;
  private readonly injectedFetch: typeof fetch | undefined;
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
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private retries = 0;
  private stopWatching: (() => void) | null = null;

  constructor(options: AuthClientOptions) {
    this.baseUrl = options.baseUrl.replace(/\/+$/, '').replace(/\/api$/, '');
    this.storage = options.storage ?? defaultStorage();
    this.deviceFingerprint = options.deviceFingerprint;
    this.language = options.language;
    this.injectedFetch = options.fetch;
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

  /** True when fewer than so many minutes remain, and when there is no token at all. */
  isTokenExpiringSoon = (bufferMinutes: number = REFRESH_BUFFER_MINUTES): boolean =>
    this.accessTokenRemainingMs() < bufferMinutes * MINUTE_MS || !this.tokens;

  /** Learns the server's clock from anything that carries a `server_time`. */
  syncClock = (serverTime: string): void => {
    const time = Date.parse(serverTime);
    if (Number.isFinite(time)) this.clockOffsetMs = time - this.now();
  };

  // Life

  /** Reads the storage and begins to watch the token; returns the stop. Safe to call again after it. */
  start = (): (() => void) => {
    if (this.stopWatching) return this.stopWatching;
    void this.restore();
    const check = () => {
      if (this.tokens) void this.ensureValidToken();
    };
    let timer: ReturnType<typeof setInterval> | undefined = setInterval(check, AUTO_REFRESH_CHECK_INTERVAL_MS);
    const stopLifecycle = this.lifecycle.subscribe((event) => {
      if (event === 'background') {
        clearInterval(timer);
        clearTimeout(this.retryTimer);
        timer = undefined;
      } else if (event !== 'offline') {
        // Timers stand still in a pocket: look at once.
        timer ??= setInterval(check, AUTO_REFRESH_CHECK_INTERVAL_MS);
        check();
      }
    });
    const stopStorage = this.storage.subscribe?.((key) => {
      if (key === null || key === REFRESH_TOKEN_KEY) void this.adoptStored();
    });
    const stop = () => {
      if (this.stopWatching !== stop) return;
      this.stopWatching = null;
      clearInterval(timer);
      clearTimeout(this.retryTimer);
      stopLifecycle();
      stopStorage?.();
    };
    return (this.stopWatching = stop);
  };

  /** Takes up the stored sign-in. Once; every call shares it. */
  restore = (): Promise<void> => (this.restoring ??= this.readStorage());

  private async readStorage(): Promise<void> {
    const stored = await this.stored();
    if (this.snapshot.status !== 'loading') return;
    if (!stored) return this.publish(SIGNED_OUT);
    this.take(stored.tokens, stored.facts);
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
    if (answer.device_token) void this.write({ [DEVICE_TOKEN_KEY]: answer.device_token });
    await this.accept(answer, { user: answer.user ?? null, session: answer.session ?? null });
    return answer;
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
    return (this.refreshing ??= this.takeTurns(() => this.rotate()).finally(() => {
      this.refreshing = null;
    }));
  };

  private async rotate(): Promise<string | null> {
    await this.writes;
    if (await this.adoptStored()) return this.accessToken;
    const { tokens } = this;
    if (!tokens) return null;
    let answer: TokenPair;
    try {
      answer = await this.open<TokenPair>('POST', '/api/auth/token/refresh/', { refresh: tokens.refresh });
    } catch (error) {
      // Signed out meanwhile, or another tab was faster: nothing is left to decide.
      if (this.tokens !== tokens) return this.accessToken;
      if (error instanceof ApiError && [400, 401, 403].includes(error.status)) {
        await this.forget(error.reason ?? 'refresh_refused');
      } else {
        this.retryLater(error instanceof ApiError ? error.retryAfter : undefined);
      }
      return null;
    }
    if (this.tokens !== tokens) return this.accessToken;
    await this.accept({ ...answer, refresh: answer.refresh ?? tokens.refresh }, {
      user: this.snapshot.user,
      session: answer.session ?? this.snapshot.session,
    });
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

  /** Tabs with one storage rotate one after the other, so that the second finds what the first has brought. */
  private takeTurns(work: () => Promise<string | null>): Promise<string | null> {
    const locks = this.storage.subscribe ? globalThis.navigator?.locks : undefined;
    return locks ? locks.request(`refresh ${this.baseUrl}`, work) : work();
  }

  private async accept(pair: TokenPair, facts: { user: User | null; session: UserSession | null }): Promise<void> {
    const claims = readClaims(pair.access);
    if (pair.server_time) this.syncClock(pair.server_time);
    // Just minted: its `iat` is the server's clock.
    else if (claims?.iat) this.clockOffsetMs = claims.iat * 1000 - this.now();
    const lifetime = pair.access_expires_in === undefined ? undefined : pair.access_expires_in * 1000;
    const accessExpiresAt =
      lifetime !== undefined
        ? this.serverNow() + lifetime
        : claims?.exp
          ? claims.exp * 1000
          : this.serverNow() + DEFAULT_ACCESS_LIFETIME_MS;
    this.retries = 0;
    clearTimeout(this.retryTimer);
    const stored = this.write({
      // The refresh token last: another tab that sees it change finds the rest in place.
      [SESSION_FACTS_KEY]: JSON.stringify({
        access_expires_at: accessExpiresAt,
        clock_offset_ms: this.clockOffsetMs,
        ...facts,
      } satisfies SessionFacts),
      [ACCESS_TOKEN_KEY]: pair.access,
      [REFRESH_TOKEN_KEY]: pair.refresh,
    });
    this.take({ access: pair.access, refresh: pair.refresh, accessExpiresAt }, facts);
    await stored;
  }

  private take(tokens: Tokens, facts: { user: User | null; session: UserSession | null }): void {
    let before = this.tokens;
    const sessionId = readClaims(tokens.access)?.sid ?? null;
    if (before && this.snapshot.sessionId !== sessionId) {
      // Another sign-in over this one: nothing of the first may pass for the second's.
      before = null;
      this.events.emit('signOut', 'logout');
    }
    this.tokens = tokens;
    this.publish({
      status: 'signed_in',
      user: facts.user,
      session: facts.session,
      accessToken: tokens.access,
      sessionId,
      signedOutReason: null,
    });
    if (before && before.access !== tokens.access) this.events.emit('refresh', tokens.access);
  }

  private async forget(reason: SignOutReason, { stored } = { stored: true }): Promise<void> {
    const wasSignedIn = this.tokens !== null;
    this.tokens = null;
    this.retries = 0;
    clearTimeout(this.retryTimer);
    this.publish({ ...SIGNED_OUT, signedOutReason: reason });
    if (wasSignedIn) this.events.emit('signOut', reason);
    if (stored) {
      await this.write({ [SESSION_FACTS_KEY]: null, [ACCESS_TOKEN_KEY]: null, [REFRESH_TOKEN_KEY]: null });
    }
  }

  private publish(snapshot: AuthSnapshot): void {
    this.snapshot = snapshot;
    this.events.emit('change', snapshot);
  }

  // Storage

  /** Writes one after the other: a slow SecureStore must not store an older token over a newer one. */
  private write(values: Record<string, string | null>): Promise<void> {
    const next = this.writes.then(async () => {
      for (const [key, value] of Object.entries(values)) {
        try {
          await (value === null ? this.storage.removeItem(key) : this.storage.setItem(key, value));
        } catch (error) {
          // Full or forbidden: the sign-in goes on in memory.
          console.warn(`${key} could not be stored`, error);
        }
      }
    });
    this.writes = next;
    return next;
  }

  private async readItem(key: string): Promise<string | null> {
    try {
      return await this.storage.getItem(key);
    } catch {
      return null;
    }
  }

  private async stored(): Promise<{ tokens: Tokens; facts: SessionFacts } | null> {
    try {
      const [access, refresh, text] = await Promise.all([
        this.storage.getItem(ACCESS_TOKEN_KEY),
        this.storage.getItem(REFRESH_TOKEN_KEY),
        this.storage.getItem(SESSION_FACTS_KEY),
      ]);
      if (!access || !refresh) return null;
      const facts = parseFacts(text);
      if (facts) this.clockOffsetMs = facts.clock_offset_ms;
      // Tokens that the app stored by itself have no facts beside them: the token tells its end.
      const accessExpiresAt = facts?.access_expires_at ?? (readClaims(access)?.exp ?? 0) * 1000;
      return {
        tokens: { access, refresh, accessExpiresAt },
        facts: facts ?? { access_expires_at: accessExpiresAt, clock_offset_ms: 0, user: null, session: null },
      };
    } catch {
      return null;
    }
  }

  /** Takes what another tab has stored. True when that is a living token other than ours. */
  private async adoptStored(): Promise<boolean> {
    if (!this.storage.subscribe || !this.restoring) return false;
    const ours = this.tokens;
    const stored = await this.stored();
    if (this.tokens !== ours) return false;
    if (!stored) {
      // The other tab has removed them; removing again might hit a login that follows.
      if (ours) await this.forget('logout', { stored: false });
      return false;
    }
    if (stored.tokens.refresh === ours?.refresh) return false;
    this.take(stored.tokens, stored.facts);
    return this.accessTokenRemainingMs() > 0;
  }

  // HTTP

  /**
   * The authenticated `fetch`: a path below the server or a full address, with the Bearer and `Device-Fingerprint`.
   *
   * A 401 that a new token can heal is tried once more after a refresh. The token goes to this server only.
   */
  fetch = async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
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
    const init: RequestInit = { method };
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
    void this.write({
      [SESSION_FACTS_KEY]: JSON.stringify({
        access_expires_at: this.tokens.accessExpiresAt,
        clock_offset_ms: this.clockOffsetMs,
        user,
        session: this.snapshot.session,
      } satisfies SessionFacts),
    });
  };

  /** A password change answers with a new pair for this session. */
  acceptPair = (pair: TokenPair): Promise<void> =>
    this.accept(pair, { user: this.snapshot.user, session: pair.session ?? this.snapshot.session });

  /** An open endpoint: no token goes along. */
  open = async <Answer>(method: string, path: string, body: unknown): Promise<Answer> => {
    const response = await this.request(path, {
      method,
      headers: this.headers({ 'Content-Type': 'application/json' }),
      body: JSON.stringify(body),
    });
    return readAnswer<Answer>(response);
  };

  private async request(path: string, init: RequestInit): Promise<Response> {
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

  private rawFetch(input: string | Request, init: RequestInit): Promise<Response> {
    // Looked up at each call and called bare: a browser's `fetch` refuses another `this`.
    const send = this.injectedFetch ?? globalThis.fetch;
    return send(input, init);
  }

  private headers(given?: RequestInit['headers']): Headers {
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

  private isOurs(url: string): boolean {
    const origin = originOf(url);
    return origin === null ? !url.startsWith('//') : origin === originOf(this.baseUrl || (globalThis.location?.href ?? ''));
  }
}

/** `https://host:port`, or null for a path. By hand: React Native's `URL` has no `origin`. */
function originOf(url: string): string | null {
  const [, scheme, authority] = /^([a-z][a-z0-9+.-]*:)\/\/([^/?#]*)/i.exec(url) ?? [];
  if (scheme === undefined || authority === undefined) return /^[a-z][a-z0-9+.-]*:/i.test(url) ? url : null;
  const host = authority.toLowerCase().replace(scheme.toLowerCase() === 'https:' ? /:443$/ : /:80$/, '');
  return `${scheme.toLowerCase()}//${host}`;
}

async function readAnswer<Answer>(response: Response): Promise<Answer> {
  if (!response.ok) throw await ApiError.from(response);
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as Answer;
}

function parseFacts(text: string | null): SessionFacts | null {
  try {
    const facts: unknown = JSON.parse(text ?? 'null');
    return facts && typeof (facts as SessionFacts).access_expires_at === 'number' ? (facts as SessionFacts) : null;
  } catch {
    return null;
  }
}
