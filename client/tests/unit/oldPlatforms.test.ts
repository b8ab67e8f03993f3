/** Platforms that lack what browsers have had for years, and storages that fail at any moment. */
import fc from 'fast-check';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import { AuthClient } from '@/core/auth';
import { ChatClient } from '@/core/chatClient';
import { readClaims } from '@/core/jwt';
import { Offline } from '@/core/offline';
import { memoryStorage } from '@/core/storage';
import { uuid4 } from '@/core/uuid';
import { FakeBrowser, SmallServer } from '../support/browser';
import { conversation, jwt, pair, settle, user } from '../support/fakes';

const quiet = { warn: () => {}, error: () => {} };
const open: ChatClient[] = [];

beforeEach(() => void vi.useFakeTimers({ now: new Date('2026-11-21T10:00:00Z') }));
afterEach(() => {
  for (const chat of open.splice(0)) chat.close();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/** As much of a response as is used: the test's own `Response` wants a `TextDecoder`. */
function plainFetch(routes: Record<string, () => { body: unknown }>) {
  return (async (input: string, { method = 'GET' }: { method?: string } = {}) => {
    const path = input.replace('https://server', '').replace('?limit=100', '');
    const answer = routes[`${method} ${path}`]!().body;
    const response = { ok: true, status: 200, headers: { get: () => null }, json: async () => answer, text: async () => JSON.stringify(answer) };
    return { ...response, clone: () => response };
  }) as never;
}

function app(server: SmallServer, store: Offline | undefined, sid = 's1') {
  const row = () => conversation('k1', { last_seq: server.events.length, seen_seq: server.events.length });
  const fetch = plainFetch({
    'GET /api/users/me/': () => ({ body: user }),
    'POST /api/auth/login/': () => ({ body: { ...pair(1, { sid, lifetimeS: 1e7 }), refresh: jwt({ sid, gen: 1, name: 'é' }), user } }),
    'GET /api/chat/conversations/': () => ({ body: { next: null, results: [row()] } }),
    'GET /api/chat/conversations/k1/': () => ({ body: row() }),
    'GET /api/chat/conversations/k1/messages/?limit=50': () => ({ body: { results: server.events.map(({ data }) => data), has_more: false } }),
  });
  const auth = new AuthClient({ baseUrl: 'https://server', storage: memoryStorage(), fetch, logger: quiet, WebSocket: server.socketOf() });
  const chat = new ChatClient({ auth, random: () => 0.5, ...(store && { store }) });
  open.push(chat);
  return { auth, chat };
}

it('signs in, reads its tokens and chats without TextDecoder, atob, crypto, structuredClone, locks and event classes', async () => {
  for (const name of ['TextDecoder', 'TextEncoder', 'atob', 'btoa', 'crypto', 'BroadcastChannel', 'MessageEvent', 'CloseEvent', 'Event']) {
    vi.stubGlobal(name, undefined);
  }
  const sid = '01234567-89ab-cdef-0123-456789abcdef';
  const claims = Buffer.from(JSON.stringify({ sid, name: 'Élodie 🙂 ~~?' })).toString('base64url');
  expect(readClaims(`x.${claims}.y`)).toEqual({ sid, name: 'Élodie 🙂 ~~?' });
  expect(uuid4()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  vi.stubGlobal('btoa', (text: string) => Buffer.from(text, 'latin1').toString('base64'));
  const server = new SmallServer();
  const browser = new FakeBrowser();
  const { auth, chat } = app(server, new Offline(browser.open().storage, () => {}, undefined));
  vi.stubGlobal('structuredClone', undefined);
  await auth.login('alice', 'x');
  void chat.connect();
  await settle();
  chat.sendMessage('k1', 'Bonjour');
  await settle();
  server.say('Salut');
  await settle();
  expect(chat.timeline('k1').map(({ content }) => content)).toEqual(['Bonjour', 'Salut']);
});

it('reads every token as a real decoder does (property)', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.string({ unit: 'grapheme' })), (claims) => {
      const part = Buffer.from(JSON.stringify(claims)).toString('base64url');
      expect(readClaims(`x.${part}.y`)).toEqual(JSON.parse(JSON.stringify(claims)));
    }),
  );
  for (const bad of ['', 'x', 'x.', 'x.!!.y', 'x.bnVsbA.y', 'x.MQ.y']) expect(readClaims(bad)).toBeNull();
});

it('loses nothing that was kept, and repeats nothing, whichever writes of the storage fail (property)', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }), fc.nat(3), async (fails, killAt) => {
      const server = new SmallServer();
      const browser = new FakeBrowser();
      let writes = 0;
      let failing = true;
      const storeOf = () => {
        const tab = browser.open();
        const may = () => {
          if (failing && fails[writes++ % fails.length]) throw new Error('full');
        };
        const { getItem, setItem, removeItem } = tab.storage;
        const items = {
          getItem,
          setItem: async (key: string, value: string) => (may(), setItem(key, value)),
          removeItem: async (key: string) => (may(), removeItem(key)),
        };
        return { tab, store: new Offline(items, () => {}, tab.locks) };
      };
      const typed: string[] = [];
      server.reachable = false;
      let first = storeOf();
      let { auth, chat } = app(server, first.store);
      await auth.login('alice', 'x');
      void chat.connect();
      await vi.advanceTimersByTimeAsync(100);
      for (let n = 0; n < 4; n++) {
        typed.push(`t${n}`);
        chat.sendMessage('k1', typed.at(-1)!);
        await vi.advanceTimersByTimeAsync(10);
        if (n !== killAt) continue;
        // The last thing written before the kill, by a storage that works for a moment.
        failing = false;
        typed.push('kept');
        chat.sendMessage('k1', 'kept');
        await vi.advanceTimersByTimeAsync(10);
        failing = true;
        first.tab.kill();
        chat.close();
        first = storeOf();
        ({ auth, chat } = app(server, first.store));
        await auth.login('alice', 'x');
        void chat.connect();
        await vi.advanceTimersByTimeAsync(3_100);
      }
      server.reachable = true;
      await vi.advanceTimersByTimeAsync(120_000);
      expect(server.contents).toEqual(typed);
      expect(chat.unsentCount).toBe(0);
      chat.close();
      first.tab.kill();
    }),
    { numRuns: 40 },
  );
}, 60_000);
