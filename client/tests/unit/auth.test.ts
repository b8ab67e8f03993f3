import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { AuthClient, type AuthClientOptions } from '@/core/auth';
import { MINUTE_MS } from '@/core/constants';
import { ApiError, NotSignedInError } from '@/core/errors';
import type { LifecycleEvent } from '@/core/lifecycle';
import { uploadResumable } from '@/core/media';
import { memoryStorage } from '@/core/storage';
import { fakeFetch, pair, settle, sharedStorage, user } from '../support/fakes';

const LOGIN = 'POST /api/auth/login/';
const REFRESH = 'POST /api/auth/token/refresh/';

let clients: Array<() => void> = [];

function client(routes: Parameters<typeof fakeFetch>[0], options: Partial<AuthClientOptions> = {}) {
  const server = fakeFetch({ [LOGIN]: () => ({ body: pair(1) }), ...routes });
  const storage = options.storage ?? memoryStorage();
  const auth = new AuthClient({
    baseUrl: 'http://server',
    storage,
    fetch: server.fetch,
    deviceFingerprint: 'phone-1',
    ...options,
  });
  clients.push(auth.start());
  return { auth, server, storage };
}

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-11-21T10:00:00Z') });
});
afterEach(() => {
  for (const stop of clients.splice(0)) stop();
  vi.useRealTimers();
});

describe('signing in', () => {
  it('takes the tokens, the user and the fingerprint along, in both spellings of login', async () => {
    const { auth, server, storage } = client({});
    await auth.login('alice', 'secret', { remember_me: true });
    await auth.login({ username: 'alice', password: 'secret' });
    expect(server.requests.map((r) => r.body)).toEqual([
      { device_fingerprint: 'phone-1', username: 'alice', password: 'secret', remember_me: true },
      { device_fingerprint: 'phone-1', username: 'alice', password: 'secret' },
    ]);
    expect(server.requests[0]!.headers.get('Device-Fingerprint')).toBe('phone-1');
    expect(auth.user?.username).toBe('alice');
    expect(await storage.getItem('access_token')).toBe(auth.accessToken);
    expect(await storage.getItem('refresh_token')).toBe('refresh-1');
  });

  it('takes the device token of its last login along to the next one', async () => {
    const { auth, server } = client({
      [LOGIN]: () => ({ body: { ...pair(1), device_token: 'signed' } }),
      'POST /api/auth/logout/': () => ({ body: {} }),
    });
    await auth.login('alice', 'secret');
    await auth.logout();
    await auth.login('alice', 'secret');
    expect(server.to('/api/auth/login/').map(({ body }) => body.device_token)).toEqual([undefined, 'signed']);
  });

  it('raises the envelope of a refusal and stays signed out', async () => {
    const { auth } = client({
      [LOGIN]: () => ({ status: 429, body: { detail: 'Locked', code: 'account_locked', action: 'wait', retry_after: 1800 } }),
    });
    const error = await auth.login('alice', 'x').catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ status: 429, code: 'account_locked', action: 'wait', retryAfter: 1800 });
    expect(auth.getSnapshot().status).toBe('signed_out');
  });

  it('takes up the stored sign-in at the next start', async () => {
    const { auth, storage } = client({});
    await auth.login('alice', 'secret');
    const again = client({}, { storage });
    await again.auth.restore();
    expect(again.auth.user?.username).toBe('alice');
    expect(await again.auth.ensureValidToken()).toBe(auth.accessToken);
    expect(again.server.requests).toHaveLength(0);
  });

  it('reads who it is when only the two tokens are stored', async () => {
    const storage = memoryStorage();
    await storage.setItem('access_token', pair(1).access);
    await storage.setItem('refresh_token', 'refresh-1');
    const { auth } = client({ 'GET /api/users/me/': () => ({ body: user }) }, { storage });
    await settle();
    expect(auth.user?.username).toBe('alice');
    expect(auth.isTokenExpiringSoon()).toBe(false);
  });

  it('ends one sign-in before another takes its place, and does not pass it for a refresh', async () => {
    let sid = 's1';
    const { auth } = client({ [LOGIN]: () => ({ body: pair(1, { sid }) }) });
    const heard: string[] = [];
    auth.onSignOut((reason) => heard.push(`out ${reason} ${auth.accessToken !== null}`));
    auth.onTokenRefresh(() => heard.push('refresh'));
    await auth.login('alice', 'secret');
    sid = 's2';
    await auth.login('bob', 'secret');
    expect(heard).toEqual(['out logout true']);
    expect(auth.getSnapshot()).toMatchObject({ status: 'signed_in', session: { id: 's2' } });
  });

  it('forgets everything at logout, also without a network, and tells the server both tokens', async () => {
    const { auth, server, storage } = client({ 'POST /api/auth/logout/': () => new TypeError('offline') });
    await auth.login('alice', 'secret');
    const token = auth.accessToken;
    await auth.logout();
    const request = server.to('/api/auth/logout/')[0]!;
    expect(request.headers.get('Authorization')).toBe(`Bearer ${token}`);
    expect(request.body).toEqual({ refresh: 'refresh-1' });
    expect(auth.getSnapshot()).toMatchObject({ status: 'signed_out', user: null, accessToken: null });
    expect(await storage.getItem('refresh_token')).toBeNull();
    expect(await auth.ensureValidToken()).toBeNull();
  });
});

describe('refreshing', () => {
  it('looks every 4 minutes and refreshes when fewer than 5 remain', async () => {
    const { auth, server } = client({ [REFRESH]: () => ({ body: pair(2) }) });
    await auth.login('alice', 'secret');
    await vi.advanceTimersByTimeAsync(52 * MINUTE_MS);
    expect(server.to('/api/auth/token/refresh/')).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(4 * MINUTE_MS);
    expect(server.to('/api/auth/token/refresh/')).toHaveLength(1);
    expect(auth.isTokenExpiringSoon()).toBe(false);
  });

  it('counts exactly: at 5 minutes left it is not soon, a moment later it is', async () => {
    const { auth } = client({});
    await auth.login('alice', 'secret');
    vi.setSystemTime(Date.now() + 55 * MINUTE_MS);
    expect(auth.isTokenExpiringSoon()).toBe(false);
    expect(auth.isTokenExpiringSoon(10)).toBe(true);
    vi.setSystemTime(Date.now() + 1);
    expect(auth.isTokenExpiringSoon()).toBe(true);
  });

  it('has one refresh in flight, shared by all callers, and tells each listener once', async () => {
    let n = 1;
    const { auth, server } = client({
      [REFRESH]: async () => {
        await new Promise((done) => setTimeout(done, 100));
        return { body: pair(++n) };
      },
    });
    await auth.login('alice', 'secret');
    const heard = vi.fn();
    const unsubscribe = auth.onTokenRefresh(heard);
    vi.setSystemTime(Date.now() + 58 * MINUTE_MS);
    const all = Promise.all([auth.ensureValidToken(), auth.ensureValidToken(), auth.refresh(), auth.fetch('/api/x/')]);
    await vi.advanceTimersByTimeAsync(200);
    const [a, b, c] = await all;
    expect(new Set([a, b, c, auth.accessToken]).size).toBe(1);
    expect(server.to('/api/auth/token/refresh/')).toHaveLength(1);
    expect(heard.mock.calls).toEqual([[auth.accessToken]]);
    unsubscribe();
    const next = auth.refresh();
    await vi.advanceTimersByTimeAsync(200);
    await next;
    expect(heard).toHaveBeenCalledTimes(1);
  });

  it('signs out when the refresh is refused', async () => {
    const { auth, storage } = client({
      [REFRESH]: () => ({ status: 401, body: { detail: '', code: 'token_not_valid', reason: 'session_revoked', action: 'login' } }),
    });
    await auth.login('alice', 'secret');
    const ended = vi.fn();
    auth.onSignOut(ended);
    expect(await auth.refresh()).toBeNull();
    expect(auth.getSnapshot()).toMatchObject({ status: 'signed_out', signedOutReason: 'session_revoked' });
    expect(ended).toHaveBeenCalledWith('session_revoked');
    await settle();
    expect(await storage.getItem('access_token')).toBeNull();
  });

  it.each([
    ['no network', new TypeError('fetch failed')],
    ['503', { status: 503, body: { code: 'temporarily_unavailable', action: 'retry' } }],
    ['429', { status: 429, body: { code: 'throttled', action: 'wait', retry_after: 3 } }],
    ['a proxy page', { status: 502 }],
  ])('stays signed in after %s and keeps trying until it works', async (_name, fault) => {
    let healthy = false;
    const { auth, server } = client({ [REFRESH]: () => (healthy ? { body: pair(2) } : fault) }, { random: () => 1 });
    await auth.login('alice', 'secret');
    vi.setSystemTime(Date.now() + 57 * MINUTE_MS);
    expect(await auth.ensureValidToken()).toBe(pairToken(auth));
    expect(auth.getSnapshot().status).toBe('signed_in');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(server.to('/api/auth/token/refresh/').length).toBeGreaterThan(1);
    vi.setSystemTime(Date.now() + 10 * MINUTE_MS);
    expect(await auth.ensureValidToken()).toBeNull();
    expect(auth.user?.username).toBe('alice');
    healthy = true;
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    expect(await auth.ensureValidToken()).not.toBeNull();
  });

  it('plans one more try, however many asked while it failed', async () => {
    const { auth, server } = client({ [REFRESH]: () => ({ status: 503, body: {} }) }, { random: () => 1 });
    await auth.login('alice', 'secret');
    vi.setSystemTime(Date.now() + 57 * MINUTE_MS);
    for (let i = 0; i < 5; i++) await auth.ensureValidToken();
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    expect(server.to('/api/auth/token/refresh/').length).toBeLessThanOrEqual(7);
  });

  it('does not revive a sign-in that was ended while the refresh was on its way', async () => {
    const { auth, storage } = client({
      [REFRESH]: async () => {
        await new Promise((done) => setTimeout(done, 100));
        return { body: pair(2) };
      },
      'POST /api/auth/logout/': () => ({ body: { success: true } }),
    });
    await auth.login('alice', 'secret');
    const refreshing = auth.refresh();
    await settle();
    await auth.logout();
    await vi.advanceTimersByTimeAsync(200);
    expect(await refreshing).toBeNull();
    expect(auth.accessToken).toBeNull();
    expect(await storage.getItem('refresh_token')).toBeNull();
  });

  it('gives up a refresh that hangs, and stays signed in', async () => {
    const hanging = vi.fn((_input: unknown, init?: RequestInit) =>
      new Promise<Response>((_, reject) => init?.signal?.addEventListener('abort', () => reject(new Error('aborted')))),
    );
    const { auth } = client({});
    await auth.login('alice', 'secret');
    Object.assign(auth, { injectedFetch: hanging });
    const refreshing = auth.refresh();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await refreshing).toBeNull();
    expect(auth.getSnapshot().status).toBe('signed_in');
  });

  it.each([
    ['an hour fast', 60],
    ['an hour slow', -60],
    ['a day fast', 1440],
  ])('goes by the server’s clock when the device’s is %s', async (_name, minutes) => {
    const serverClock = () => Date.now() - minutes * MINUTE_MS;
    const { auth, server } = client({
      [LOGIN]: () => ({ body: pair(1, { clock: serverClock() }) }),
      [REFRESH]: () => ({ body: pair(2, { clock: serverClock() }) }),
    });
    await auth.login('alice', 'secret');
    expect(Math.round(auth.accessTokenRemainingMs() / MINUTE_MS)).toBe(60);
    await auth.ensureValidToken();
    expect(server.to('/api/auth/token/refresh/')).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(57 * MINUTE_MS);
    expect(server.to('/api/auth/token/refresh/')).toHaveLength(1);
  });

  it('knows the server’s clock from the answer itself, whatever the token looks like', async () => {
    const clock = Date.now() - 90 * MINUTE_MS;
    const { auth } = client({ [LOGIN]: () => ({ body: { ...pair(1, { clock }), access: 'opaque' } }) });
    await auth.login('alice', 'secret');
    expect(auth.serverNow()).toBe(clock);
  });

  it('corrects a clock that is set while the app runs, at the next word of the server', async () => {
    const { auth } = client({});
    await auth.login('alice', 'secret');
    const serverTime = new Date().toISOString();
    vi.setSystemTime(Date.now() + 180 * MINUTE_MS);
    expect(auth.isTokenExpiringSoon()).toBe(true);
    auth.syncClock(serverTime);
    expect(auth.isTokenExpiringSoon()).toBe(false);
  });

  it('works with the bare answer that the guide prints', async () => {
    const { access, refresh } = pair(1);
    const { auth } = client({ [LOGIN]: () => ({ body: { access, refresh, user } }) });
    await auth.login('alice', 'secret');
    expect(Math.round(auth.accessTokenRemainingMs() / MINUTE_MS)).toBe(60);
  });

  it('looks at once when the app returns or the network does, and rests in the background', async () => {
    let tell: (event: LifecycleEvent) => void = () => {};
    const lifecycle = { subscribe: (listener: typeof tell) => ((tell = listener), () => {}) };
    const { auth, server } = client({ [REFRESH]: () => ({ body: pair(2) }) }, { lifecycle });
    await auth.login('alice', 'secret');
    tell('background');
    await vi.advanceTimersByTimeAsync(70 * MINUTE_MS);
    expect(server.to('/api/auth/token/refresh/')).toHaveLength(0);
    tell('foreground');
    await settle();
    expect(server.to('/api/auth/token/refresh/')).toHaveLength(1);
    vi.setSystemTime(Date.now() + 58 * MINUTE_MS);
    tell('online');
    await settle();
    expect(server.to('/api/auth/token/refresh/')).toHaveLength(2);
  });
});

describe('two tabs with one storage', () => {
  function tabs() {
    const storage = sharedStorage();
    let n = 1;
    const server = fakeFetch({
      [LOGIN]: () => ({ body: pair(++n) }),
      [REFRESH]: () => ({ body: pair(++n) }),
      'POST /api/auth/logout/': () => ({ body: {} }),
    });
    const tab = () => {
      const auth = new AuthClient({ baseUrl: 'http://server', storage: storage(), fetch: server.fetch });
      clients.push(auth.start());
      return auth;
    };
    return { tab, server };
  }

  it('adopts the pair that the other tab has brought, and tells its listeners', async () => {
    const { tab, server } = tabs();
    const first = tab();
    await first.login('alice', 'secret');
    const second = tab();
    await second.restore();
    const heard = vi.fn();
    second.onTokenRefresh(heard);
    await first.refresh();
    await settle();
    expect(second.accessToken).toBe(first.accessToken);
    expect(heard).toHaveBeenCalledWith(first.accessToken);
    expect(second.accessTokenRemainingMs()).toBe(first.accessTokenRemainingMs());
    vi.setSystemTime(Date.now() + 58 * MINUTE_MS);
    await first.ensureValidToken();
    await second.ensureValidToken();
    expect(server.to('/api/auth/token/refresh/')).toHaveLength(2);
  });

  it('does not remove what the other tab has stored since it signed out', async () => {
    const { tab } = tabs();
    const first = tab();
    await first.login('alice', 'secret');
    const second = tab();
    await second.restore();
    await first.logout();
    await first.login('alice', 'secret');
    await settle();
    const third = tab();
    await third.restore();
    expect(third.accessToken).toBe(first.accessToken);
    expect(second.accessToken).toBe(first.accessToken);
  });

  it('looks into the storage before it refreshes, also where it heard nothing of the other tab', async () => {
    const { tab, server } = tabs();
    const first = tab();
    await first.login('alice', 'secret');
    const asleep = tab();
    await asleep.restore();
    clients.pop()!();
    await first.refresh();
    expect(await asleep.refresh()).toBe(first.accessToken);
    expect(server.to('/api/auth/token/refresh/')).toHaveLength(1);
  });

  it('signs out and in together', async () => {
    const { tab } = tabs();
    const first = tab();
    const second = tab();
    await second.restore();
    await first.login('alice', 'secret');
    await settle();
    expect(second.user?.username).toBe('alice');
    await first.logout();
    await settle();
    expect(second.getSnapshot()).toMatchObject({ status: 'signed_out', signedOutReason: 'logout' });
  });
});

describe('fetch', () => {
  const expired = { status: 401, body: { detail: '', code: 'token_not_valid', reason: 'expired', action: 'refresh' } };

  it('retries once after a refresh', async () => {
    let calls = 0;
    const { auth, server } = client({
      [REFRESH]: () => ({ body: pair(2) }),
      'POST /api/things/': () => (++calls === 1 ? expired : { body: { ok: true } }),
    });
    await auth.login('alice', 'secret');
    const response = await auth.fetch('/api/things/', { method: 'POST', body: '{"a":1}' });
    expect(response.status).toBe(200);
    const [before, after] = server.to('/api/things/');
    expect(before!.headers.get('Authorization')).not.toBe(after!.headers.get('Authorization'));
    expect(after!.body).toEqual({ a: 1 });
    expect(after!.headers.get('Device-Fingerprint')).toBe('phone-1');
  });

  it('takes the token that another call has brought meanwhile, instead of a second refresh', async () => {
    const waiting: Array<() => void> = [];
    const { auth, server } = client({
      [REFRESH]: () => ({ body: pair(2) }),
      'GET /api/things/': async ({ headers }) => {
        if (headers.get('Authorization') === `Bearer ${auth.accessToken}` && waiting.length === 2) return { body: {} };
        await new Promise<void>((done) => waiting.push(done));
        return expired;
      },
    });
    await auth.login('alice', 'secret');
    const first = auth.fetch('/api/things/');
    const second = auth.fetch('/api/things/');
    await settle();
    waiting[0]!();
    expect((await first).status).toBe(200);
    waiting[1]!();
    expect((await second).status).toBe(200);
    expect(server.to('/api/auth/token/refresh/')).toHaveLength(1);
  });

  it('gives the second refusal to the caller instead of looping', async () => {
    const { auth, server } = client({ [REFRESH]: () => ({ body: pair(2) }), 'GET /api/things/': () => expired });
    await auth.login('alice', 'secret');
    expect((await auth.fetch('/api/things/')).status).toBe(401);
    expect(server.to('/api/things/')).toHaveLength(2);
    expect(server.to('/api/auth/token/refresh/')).toHaveLength(1);
  });

  it('signs out when the server says that the session has ended', async () => {
    const { auth, server } = client({
      'GET /api/things/': () => ({ status: 401, body: { code: 'token_not_valid', reason: 'session_revoked', action: 'login' } }),
    });
    await auth.login('alice', 'secret');
    expect((await auth.fetch('/api/things/')).status).toBe(401);
    expect(auth.getSnapshot().signedOutReason).toBe('session_revoked');
    expect(server.to('/api/auth/token/refresh/')).toHaveLength(0);
  });

  it('leaves a 401 that a token cannot heal alone', async () => {
    const { auth, server } = client({
      'GET /api/things/': () => ({ status: 401, body: { code: 'no_active_account', action: 'none' } }),
    });
    await auth.login('alice', 'secret');
    expect((await auth.fetch('/api/things/')).status).toBe(401);
    expect(server.to('/api/auth/token/refresh/')).toHaveLength(0);
    expect(auth.user).not.toBeNull();
  });

  it('sends the token to its own server only', async () => {
    const { auth, server } = client({});
    await auth.login('alice', 'secret');
    await auth.fetch('https://elsewhere.example/api/things/');
    await auth.fetch('http://server/api/things/');
    const [elsewhere, home] = server.to('/api/things/');
    expect(elsewhere!.headers.has('Authorization')).toBe(false);
    expect(elsewhere!.headers.has('Device-Fingerprint')).toBe(false);
    expect(home!.headers.has('Authorization')).toBe(true);
  });

  it.each([
    'https://server.evil.example/x',
    'http://server@evil.example/x',
    'http://server:8080/x',
    'https://server/x',
    '//evil.example/x',
    'http://server\\@evil.example/x',
    'data:text/plain,x',
  ])('knows %s for another server', async (address) => {
    const sent: Headers[] = [];
    const { auth } = client({});
    await auth.login('alice', 'secret');
    Object.assign(auth, { injectedFetch: async (_: string, init: RequestInit) => (sent.push(new Headers(init.headers)), new Response()) });
    await auth.fetch(address);
    expect(sent[0]!.has('Authorization')).toBe(false);
  });

  it.each(['/x', 'x', 'http://server/x', 'HTTP://SERVER:80/x', '\\\\evil.example/x'])('knows %s for its own', async (address) => {
    const sent: Array<[string, Headers]> = [];
    const { auth } = client({});
    await auth.login('alice', 'secret');
    Object.assign(auth, { injectedFetch: async (url: string, init: RequestInit) => (sent.push([url, new Headers(init.headers)]), new Response()) });
    await auth.fetch(address);
    expect(sent[0]![1].has('Authorization')).toBe(true);
    expect(new URL(sent[0]![0]).host).toBe('server');
  });

  it('keeps the sign-in in memory when the storage is full', async () => {
    vi.spyOn(console, 'warn').mockImplementation(() => {});
    const full = { ...memoryStorage(), setItem: () => Promise.reject(new Error('quota')) };
    const { auth } = client({}, { storage: full });
    await auth.login('alice', 'secret');
    expect(await auth.ensureValidToken()).toBe(auth.accessToken);
  });
});

function pairToken(auth: AuthClient): string | null {
  return auth.accessToken;
}

describe('one person after another', () => {
  /** Alice is signed in; what `begin` starts waits until somebody else has signed in. */
  async function overtaken(routes: Parameters<typeof fakeFetch>[0] = {}) {
    let sid = 'alice';
    let answer!: (value: { status?: number; body: object }) => void;
    const answered = new Promise<{ status?: number; body: object }>((done) => (answer = done));
    const made = client({ [LOGIN]: () => ({ body: pair(1, { sid }) }), 'PATCH /api/users/me/': () => answered, ...routes });
    await made.auth.login('alice', 'secret');
    sid = 'bob';
    return { ...made, answer, bob: () => made.auth.login('bob', 'secret') };
  }

  it.each([
    ['answered', { body: { first_name: 'Alice' } }],
    ['refused for its age', { status: 401, body: { code: 'token_not_valid', reason: 'expired', action: 'refresh' } }],
  ])('hands nothing of the first to the second: %s', async (_, reply) => {
    const { auth, server, answer, bob } = await overtaken();
    const call = auth.api('PATCH', '/api/users/me/', { first_name: 'Alice' });
    const outcome = expect(call).rejects.toBeInstanceOf(NotSignedInError);
    await settle();
    await bob();
    answer(reply);
    await outcome;
    // It did not go again with the other's token.
    expect(server.to('/api/users/me/')).toHaveLength(1);
  });

  it('sends nothing with the token of somebody who has signed in while a refresh was waited for', async () => {
    let refreshed!: () => void;
    const { auth, server, bob } = await overtaken({
      [REFRESH]: () => new Promise((done) => (refreshed = () => done({ body: pair(2, { sid: 'alice' }) }))),
    });
    vi.advanceTimersByTime(59.5 * MINUTE_MS);
    const call = auth.api('PATCH', '/api/users/me/', { first_name: 'Alice' });
    const outcome = expect(call).rejects.toBeInstanceOf(NotSignedInError);
    await settle();
    await bob();
    refreshed();
    await outcome;
    expect(server.to('/api/users/me/')).toHaveLength(0);
  });

  it('gives an answer that comes after the sign-out to nobody', async () => {
    const { auth, answer } = await overtaken({ 'POST /api/auth/logout/': () => ({ body: {} }) });
    const outcome = expect(auth.api('PATCH', '/api/users/me/', {})).rejects.toBeInstanceOf(NotSignedInError);
    await settle();
    await auth.logout();
    answer({ body: {} });
    await outcome;
  });

  it('uploads no file of the first as the second', async () => {
    let refreshed!: () => void;
    const { auth, server, bob } = await overtaken({
      [REFRESH]: () => new Promise((done) => (refreshed = () => done({ body: pair(2, { sid: 'alice' }) }))),
    });
    vi.advanceTimersByTime(59.5 * MINUTE_MS);
    const outcome = expect(uploadResumable(auth, new Blob(['x']))).rejects.toBeInstanceOf(NotSignedInError);
    await settle();
    await bob();
    refreshed();
    await outcome;
    expect(server.requests.filter(({ path }) => path.startsWith('/api/chat/'))).toHaveLength(0);
  });
});
