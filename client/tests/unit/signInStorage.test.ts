/** What a storage may do to a sign-in: be slow, full, unreadable, killed halfway, shared. Never a wrong person, never a theft. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { AuthClient, type AuthClientOptions } from '@/core/auth';
import { MINUTE_MS } from '@/core/constants';
import { NetworkError } from '@/core/errors';
import type { TokenStorage } from '@/core/storage';
import { fakeFetch, jwt, sharedStorage, user } from '../support/fakes';

let stops: Array<() => void> = [];
const quiet = { warn: () => {}, error: () => {} };

/** A server that rotates: one successor for each token, and whoever presents an older one is a thief. */
function rotatingServer() {
  const sessions = new Map<string, { gen: number; who: typeof user }>();
  const thefts: string[] = [];
  let count = 0;
  const pairOf = (sid: string, lifetimeS = 3600) => {
    const { gen, who } = sessions.get(sid)!;
    const clock = Date.now() / 1000;
    return {
      access: jwt({ sid, gen, exp: clock + lifetimeS, iat: clock }),
      refresh: jwt({ sid, gen, exp: clock + 604_800 }),
      access_expires_in: lifetimeS,
      server_time: new Date().toISOString(),
      session: { id: sid },
      user: who,
    };
  };
  const readSid = (token: string) => JSON.parse(atob(token.split('.')[1]!)) as { sid: string; gen: number };
  const server = fakeFetch({
    'POST /api/auth/login/': ({ body }) => {
      const sid = `s${++count}`;
      sessions.set(sid, { gen: 1, who: { ...user, id: body.username === 'alice' ? 1 : 2, username: body.username as string } });
      return { body: pairOf(sid) };
    },
    'POST /api/auth/token/refresh/': ({ body }) => {
      const { sid, gen } = readSid(body.refresh as string);
      const session = sessions.get(sid)!;
      // The parent may come once more: its successor was lost on the way.
      if (gen === session.gen) session.gen++;
      else if (gen !== session.gen - 1) {
        thefts.push(`${sid} ${gen}`);
        return { status: 401, body: { code: 'token_not_valid', reason: 'token_reused', action: 'login' } };
      }
      return { body: pairOf(sid) };
    },
    'POST /api/auth/logout/': () => ({ body: {} }),
    'GET /api/users/me/': ({ headers }) => {
      const session = sessions.get(readSid(headers.get('Authorization')!.slice(7)).sid)!;
      return { body: session.who };
    },
  });
  return { ...server, thefts, refreshes: () => server.to('/api/auth/token/refresh/').length };
}

function client(server: { fetch: typeof fetch }, storage: TokenStorage, options: Partial<AuthClientOptions> = {}) {
  const auth = new AuthClient({ baseUrl: 'http://server', storage, fetch: server.fetch, logger: quiet, ...options });
  stops.push(auth.start());
  return auth;
}

/** A phone's storage that can be killed after so many writes, refuse to write or to read. */
function phone(items = new Map<string, string>()) {
  const state = { writesLeft: Infinity, full: false, unreadable: false };
  const write = (work: () => void) => {
    if (state.writesLeft-- <= 0) return new Promise<void>(() => {});
    work();
  };
  const storage: TokenStorage = {
    getItem(key) {
      if (state.unreadable) throw new Error('keychain is locked');
      return items.get(key) ?? null;
    },
    setItem: (key, value) =>
      write(() => {
        if (state.full) throw new DOMException('full', 'QuotaExceededError');
        items.set(key, value);
      }),
    removeItem: (key) => write(() => void items.delete(key)),
  };
  return { items, state, storage };
}

const settle = () => vi.advanceTimersByTimeAsync(0);
const genOf = (token: string | null | undefined) => (token ? (JSON.parse(atob(token.split('.')[1]!)) as { gen: number }).gen : null);

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-11-21T10:00:00Z') });
});
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe('killed between any two writes', () => {
  it('is signed in as one person after the next start, and nobody is taken for a thief (property)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('alice', 'bob', 'refresh', 'refresh', 'profile'), { minLength: 1, maxLength: 6 }),
        fc.nat({ max: 30 }),
        async (steps, writes) => {
          const server = rotatingServer();
          const { items, state, storage } = phone();
          const first = client(server, storage);
          await first.login('alice', 'x');
          state.writesLeft = writes;
          for (const step of steps) {
            // A write that hangs was cut off by the kill.
            if (step === 'refresh') void first.refresh();
            else if (step === 'profile') first.setUser({ ...first.user!, first_name: 'A' });
            else void first.login(step, 'x');
            await settle();
            if (state.writesLeft < 0) break;
          }
          for (const stop of stops.splice(0)) stop();
          const next = client(server, phone(items).storage);
          await next.restore();
          await settle();
          expect(next.getSnapshot().status).toBe('signed_in');
          const token = await next.refresh();
          expect(token).not.toBeNull();
          await settle();
          // The name and the token are of one person.
          const { sid } = JSON.parse(atob(token!.split('.')[1]!)) as { sid: string };
          expect(next.getSnapshot().sessionId).toBe(sid);
          expect(await next.reloadUser()).toEqual(expect.objectContaining({ username: next.user!.username }));
          expect(server.thefts).toEqual([]);
        },
      ),
      { numRuns: 150 },
    );
  }, 60_000);

  it('learns who it is as soon as there is a network, where the storage could not keep it', async () => {
    const server = rotatingServer();
    const storage = sharedStorage()();
    await client(server, storage).login('alice', 'x');
    stops.splice(0).forEach((stop) => stop());
    await storage.removeItem('session_facts');
    let online = false;
    const lifecycle = { subscribe: (listener: (event: 'online') => void) => ((wake = listener), () => {}) };
    let wake: (event: 'online') => void = () => {};
    const fetch: typeof globalThis.fetch = (...call) => (online ? server.fetch(...call) : Promise.reject(new TypeError('offline')));
    const auth = client({ fetch }, storage, { lifecycle: lifecycle as never });
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    expect(auth.getSnapshot()).toMatchObject({ status: 'signed_in', user: null });
    online = true;
    wake('online');
    await vi.advanceTimersByTimeAsync(0);
    expect(auth.user?.username).toBe('alice');
  });

  it('stays signed out when it was killed while it signed out', async () => {
    const server = rotatingServer();
    for (const writes of [1, 2]) {
      const { items, state, storage } = phone();
      const auth = client(server, storage);
      await auth.login('alice', 'x');
      state.writesLeft = writes;
      void auth.logout();
      await settle();
      const next = client(server, phone(items).storage);
      await next.restore();
      expect(next.getSnapshot().status).toBe('signed_out');
    }
  });
});

describe('a storage that cannot be written', () => {
  it('leaves no token behind that has become too old, goes on in memory, and stores the newest once it can', async () => {
    const server = rotatingServer();
    const { items, state, storage } = phone();
    const auth = client(server, storage);
    await auth.login('alice', 'x');
    state.full = true;
    await auth.refresh();
    await auth.refresh();
    expect(auth.getSnapshot().status).toBe('signed_in');
    expect(items.get('refresh_token')).toBeUndefined();
    state.full = false;
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    expect(genOf(items.get('refresh_token'))).toBe(3);
    expect(server.thefts).toEqual([]);
  });

  it('never goes back to an older token, in no tab', async () => {
    const server = rotatingServer();
    const tab = sharedStorage();
    const full = tab();
    const auth = client(server, {
      ...full,
      subscribe: full.subscribe!.bind(full),
      setItem() {
        throw new DOMException('full', 'QuotaExceededError');
      },
    });
    const other = client(server, tab());
    await other.login('alice', 'x');
    await settle();
    expect(auth.user?.username).toBe('alice');
    for (let i = 0; i < 3; i++) {
      await auth.refresh();
      await settle();
    }
    expect(genOf(auth.accessToken)).toBe(4);
    expect(server.thefts).toEqual([]);
    expect(auth.getSnapshot().status).toBe('signed_in');
    expect(other.getSnapshot().status).toBe('signed_in');
  });
});

describe('a storage that cannot be read', () => {
  it('stays loading, reads again, and is signed in then', async () => {
    const server = rotatingServer();
    const { items, state, storage } = phone();
    await client(server, storage).login('alice', 'x');
    state.unreadable = true;
    const next = client(server, storage);
    await next.restore();
    expect(next.getSnapshot().status).toBe('loading');
    expect(await next.ensureValidToken()).toBeNull();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(next.getSnapshot().status).toBe('loading');
    state.unreadable = false;
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    expect(next.getSnapshot().status).toBe('signed_in');
    expect(items.get('refresh_token')).toBeDefined();
  });
});

it('keeps its facts below what a keychain takes, whatever the person and the device are called', async () => {
  const server = rotatingServer();
  const { items, storage } = phone();
  const auth = client(server, storage);
  const answer = await auth.login('alice', 'x');
  const session = { ...answer.session!, user_agent: 'x'.repeat(3_000) };
  await auth.acceptLogin({ ...answer, session, user: { ...answer.user, first_name: 'Ж'.repeat(150), last_name: '🙂'.repeat(150) } });
  expect(new TextEncoder().encode(items.get('session_facts')).length).toBeLessThanOrEqual(2_048);
  const next = client(server, storage);
  await settle();
  expect(next.user?.id).toBe(1);
});

it.each([400, 401, 403, 404, 502])('a proxy’s page with %i at a refresh signs nobody out', async (status) => {
  const server = rotatingServer();
  const { items, storage } = phone();
  let broken = true;
  const send: typeof fetch = (input, init) =>
    broken && String(input).includes('refresh')
      ? Promise.resolve(new Response('<html>Sign in to the hotel</html>', { status }))
      : server.fetch(input, init);
  const auth = client({ fetch: send }, storage);
  await auth.login('alice', 'x');
  expect(await auth.refresh()).toBeNull();
  expect(auth.getSnapshot().status).toBe('signed_in');
  expect(items.get('refresh_token')).toBeDefined();
  broken = false;
  expect(await auth.refresh()).not.toBeNull();
});

it.each(['<html>Sign in to the hotel</html>', '{}', 'null', '', '{"action": "login"}'])('a proxy’s answer %j with 200 brings no tokens and takes none', async (page) => {
  const server = rotatingServer();
  const { items, storage } = phone();
  let broken = false;
  const send: typeof fetch = (input, init) => (broken ? Promise.resolve(new Response(page, { status: 200 })) : server.fetch(input, init));
  const auth = client({ fetch: send }, storage);
  await auth.login('alice', 'x');
  const held = items.get('refresh_token');
  broken = true;
  expect(await auth.refresh()).toBeNull();
  await expect(auth.login('alice', 'x')).rejects.toThrow(NetworkError);
  expect(auth.getSnapshot().status).toBe('signed_in');
  expect(items.get('refresh_token')).toBe(held);
  broken = false;
  expect(await auth.refresh()).not.toBeNull();
});

describe('a token of five minutes', () => {
  it('is refreshed twice in its life, not at every look', async () => {
    const server = rotatingServer();
    const short: typeof fetch = async (input, init) => {
      const answer = (await (await server.fetch(input, init)).json()) as Record<string, unknown>;
      const claims = { ...(JSON.parse(atob((answer.access as string).split('.')[1]!)) as object), exp: Date.now() / 1000 + 300 };
      return Response.json({ ...answer, access: jwt(claims), access_expires_in: 300 });
    };
    const auth = client({ fetch: short }, phone().storage);
    await auth.login('alice', 'x');
    expect(auth.isTokenExpiringSoon()).toBe(false);
    expect(auth.isTokenExpiringSoon(10)).toBe(false);
    for (let second = 0; second < 600; second++) {
      await auth.ensureValidToken();
      await auth.ensureValidToken(10);
      await vi.advanceTimersByTimeAsync(1_000);
      expect(auth.accessTokenRemainingMs()).toBeGreaterThan(0);
    }
    expect(server.refreshes()).toBeLessThanOrEqual(4);
  });
});

describe('tabs', () => {
  it('of one browser make one refresh, however many want one', async () => {
    const turns: Array<() => Promise<void>> = [];
    const locks = {
      request: (_name: string, _options: object, work: () => Promise<unknown>) =>
        new Promise((resolve, reject) => turns.push(() => work().then(resolve, reject) as Promise<void>)),
    };
    vi.stubGlobal('navigator', { locks });
    const server = rotatingServer();
    const tab = sharedStorage();
    const first = client(server, tab());
    await first.login('alice', 'x');
    const others = [client(server, tab()), client(server, tab()), client(server, tab())];
    await settle();
    vi.setSystemTime(Date.now() + 58 * MINUTE_MS);
    const wanted = Promise.all([first, ...others].map((auth) => auth.ensureValidToken()));
    await settle();
    for (const turn of turns) {
      await turn();
      await settle();
    }
    expect(new Set(await wanted).size).toBe(1);
    expect(server.refreshes()).toBe(1);
  });

  it('wait for a tab that was stopped no longer than 5 s', async () => {
    const locks = {
      request: (_name: string, { signal }: { signal: AbortSignal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
    };
    vi.stubGlobal('navigator', { locks });
    const server = rotatingServer();
    const auth = client(server, sharedStorage()());
    await auth.login('alice', 'x');
    const refreshing = auth.refresh();
    await vi.advanceTimersByTimeAsync(4_900);
    expect(server.refreshes()).toBe(0);
    await vi.advanceTimersByTimeAsync(200);
    expect(await refreshing).not.toBeNull();
  });
});

it('sees a login over a login without TextDecoder, atob, structuredClone and crypto.randomUUID', async () => {
  const server = rotatingServer();
  const answers = ['alice', 'bob'].map(async (username) =>
    (await server.fetch('/api/auth/login/', { method: 'POST', body: JSON.stringify({ username }) })).text(),
  );
  const texts = await Promise.all(answers);
  const bare = (async () => ({ ok: true, status: 200, text: async () => texts.shift()! })) as unknown as typeof fetch;
  for (const name of ['TextDecoder', 'atob', 'structuredClone']) vi.stubGlobal(name, undefined);
  vi.stubGlobal('crypto', {});
  const auth = client({ fetch: bare }, phone().storage);
  const ended = vi.fn();
  auth.onSignOut(ended);
  await auth.login('alice', 'x');
  await auth.login('bob', 'x');
  expect(ended).toHaveBeenCalledTimes(1);
  expect(auth.getSnapshot()).toMatchObject({ sessionId: 's2', user: { username: 'bob' } });
});
