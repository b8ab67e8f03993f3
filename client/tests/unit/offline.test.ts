/** An app that is killed shows its chats without a network, and sends what was typed: once, in order, as whom it was typed by. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { AuthClient } from '@/core/auth';
import { ChatClient } from '@/core/chatClient';
import { NotSignedInError } from '@/core/errors';
import type { KeyValueStore } from '@/core/offline';
import { memoryStorage, type TokenStorage } from '@/core/storage';
import { indexedDbStore, keyValueStore, mmkvStore, sqliteStore } from '@/core/stores';
import { conversation, created, FakeSocket, fakeFetch, message, pair, settle, user } from '../support/fakes';

let network: boolean;
let row: Record<string, unknown>;
let sid: string;
let apps: ChatClient[] = [];
const quiet = { warn: () => {}, error: () => {} };

/** A store that a kill stops: what was written stays, what comes later does not. */
function killable(items: Map<string, string>) {
  const state = { alive: true, failing: false, writesLeft: Infinity };
  const write = (work: () => void) => {
    if (state.failing) throw new Error('full');
    if (state.alive && state.writesLeft-- > 0) work();
  };
  const store: KeyValueStore = {
    getItem: async (key) => items.get(key) ?? null,
    setItem: async (key, value) => write(() => items.set(key, value)),
    removeItem: async (key) => write(() => items.delete(key)),
  };
  return { state, store };
}

const unlessAway = (body: () => unknown) => () => (network ? { body: body() } : new TypeError('offline'));

function app(tokens: TokenStorage, items: KeyValueStore) {
  const store = keyValueStore(items, () => {});
  const server = fakeFetch({
    'POST /api/auth/login/': () => ({ body: { ...pair(1, { sid }), user } }),
    'POST /api/auth/logout/': () => ({ body: {} }),
    'GET /api/users/me/': unlessAway(() => user),
    'GET /api/chat/conversations/': unlessAway(() => ({ next: null, results: [row] })),
    'GET /api/chat/conversations/k1/': unlessAway(() => row),
    'GET /api/chat/conversations/k1/messages/?limit=50': unlessAway(() => ({ results: [message('k1', 1), message('k1', 2)], has_more: false })),
  });
  const auth = new AuthClient({ baseUrl: 'https://server', storage: tokens, fetch: server.fetch, logger: quiet });
  const chat = new ChatClient({ auth, WebSocket: FakeSocket as never, random: () => 0.5, store });
  apps.push(chat);
  return { auth, chat };
}

async function begin(chat: ChatClient) {
  chat.connect().catch(() => {});
  await settle();
  await settle();
}

const texts = (chat: ChatClient) => chat.timeline('k1').map(({ content, status }) => (status === 'stored' ? content : `${content} (${status})`));
const sent = (socket = FakeSocket.last) => socket.framesOf('message').map(({ content }) => content);
const ids = (socket = FakeSocket.last) => socket.framesOf('message').map(({ client_msg_id }) => client_msg_id);
const acknowledge = (id: unknown, seq: number, duplicate = false) =>
  FakeSocket.last.frame({ type: 'ack', client_msg_id: id, message_uuid: `k1-m${seq}`, conversation_uuid: 'k1', seq, created_at: '', duplicate });

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-11-21T10:00:00Z') });
  FakeSocket.all = [];
  FakeSocket.lively = false;
  network = true;
  sid = 's1';
  row = conversation('k1', { last_seq: 2, seen_seq: 2 });
});
afterEach(() => {
  for (const chat of apps.splice(0)) chat.close();
  vi.useRealTimers();
});

/** Signed in, the conversation open, then killed without a word. */
async function usedAndKilled(use: (chat: ChatClient, device: ReturnType<typeof killable>['state']) => unknown = () => {}) {
  const tokens = memoryStorage();
  const items = new Map<string, string>();
  const { state, store } = killable(items);
  const { auth, chat } = app(tokens, store);
  await auth.login('alice', 'x');
  await begin(chat);
  FakeSocket.last.greet();
  FakeSocket.last.frame({ type: 'resumed' });
  await chat.loadNewest('k1');
  await use(chat, state);
  await vi.advanceTimersByTimeAsync(500);
  state.alive = false;
  return { tokens, items };
}

describe('after a kill', () => {
  it('shows the list and the newest messages without a network', async () => {
    const { tokens, items } = await usedAndKilled(() => FakeSocket.last.events(created('k1', 3, { content: 'newest' })));
    network = false;
    const { chat } = app(tokens, killable(items).store);
    await begin(chat);
    expect(chat.conversations.map(({ uuid }) => uuid)).toEqual(['k1']);
    expect(texts(chat)).toEqual(['message 1', 'message 2', 'newest']);
    network = true;
    row = conversation('k1', { last_seq: 4, seen_seq: 2, unread_count: 2 });
    FakeSocket.last.greet();
    expect(FakeSocket.last.framesOf('resume')).toMatchObject([{ epoch: 'e1', cursors: { k1: 3 } }]);
    await settle();
    FakeSocket.last.events(created('k1', 3, { content: 'newest' }), created('k1', 4));
    FakeSocket.last.frame({ type: 'resumed' });
    expect(texts(chat)).toEqual(['message 1', 'message 2', 'newest', 'message 4']);
    expect(chat.conversation('k1')!.unread_count).toBe(2);
  });

  it('sends what was typed before it, nothing lost, in order and before what is typed after it', async () => {
    const { tokens, items } = await usedAndKilled((chat) => {
      FakeSocket.last.serverClose(1006);
      for (const text of ['one', 'two', 'three']) chat.sendMessage('k1', text);
    });
    network = false;
    const { chat } = app(tokens, killable(items).store);
    chat.connect().catch(() => {});
    await settle();
    chat.sendMessage('k1', 'four');
    await settle();
    expect(texts(chat).slice(2)).toEqual(['one (sending)', 'two (sending)', 'three (sending)', 'four (sending)']);
    network = true;
    FakeSocket.last.greet();
    expect(sent()).toEqual(['one', 'two', 'three', 'four']);
  });

  it('makes no duplicate of what was stored though its ack was lost', async () => {
    let first: unknown;
    const { tokens, items } = await usedAndKilled((chat) => {
      chat.sendMessage('k1', 'once');
      [first] = ids();
    });
    const { chat } = app(tokens, killable(items).store);
    await begin(chat);
    FakeSocket.last.greet();
    expect(ids()).toEqual([first]);
    acknowledge(first, 3, true);
    FakeSocket.last.events(created('k1', 3, { content: 'once', client_msg_id: first, sender: user }));
    expect(texts(chat).slice(2)).toEqual(['once']);
    await vi.advanceTimersByTimeAsync(500);
    const again = app(tokens, killable(items).store).chat;
    await begin(again);
    expect(again.unsentCount).toBe(0);
  });

  it.each([0, 1, 2, 3, 4, 5, 6])('shows what was sent and acknowledged, once, where %i writes were done before it', async (writes) => {
    const { tokens, items } = await usedAndKilled(async (chat, device) => {
      chat.sendMessage('k1', 'kept');
      await vi.advanceTimersByTimeAsync(500);
      device.writesLeft = writes;
      const [id] = ids();
      acknowledge(id, 3);
      FakeSocket.last.events(created('k1', 3, { content: 'kept', client_msg_id: id, sender: user }));
      if (writes > 4) chat.sendMessage('k1', 'next');
    });
    network = false;
    const again = app(tokens, killable(items).store).chat;
    await begin(again);
    expect(texts(again).map((text) => text.replace(' (sending)', '')).filter((text) => text === 'kept')).toEqual(['kept']);
    expect(again.unsentCount).toBe(writes === 0 || writes > 4 ? 1 : 0);
  });

  it('has what was typed in the moment in which the app was closed', async () => {
    const { tokens, items } = await usedAndKilled((chat) => {
      FakeSocket.last.serverClose(1006);
      chat.sendMessage('k1', 'late');
      chat.close();
    });
    const { chat } = app(tokens, killable(items).store);
    await begin(chat);
    FakeSocket.last.greet();
    expect(sent()).toEqual(['late']);
  });

  it('loses and doubles nothing wherever it is killed (property)', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom('type', 'serve', 'kill', 'cut'), { minLength: 1, maxLength: 25 }), async (steps) => {
        const tokens = memoryStorage();
        const items = new Map<string, string>();
        let device = killable(items);
        let { auth, chat } = app(tokens, device.store);
        await auth.login('alice', 'x');
        await begin(chat);
        const typed: string[] = [];
        const stored = new Map<unknown, unknown>();
        const serve = () => {
          if (FakeSocket.last.readyState === 0) FakeSocket.last.greet();
          for (const frame of FakeSocket.last.framesOf('message')) {
            if (!stored.has(frame.client_msg_id)) stored.set(frame.client_msg_id, frame.content);
            acknowledge(frame.client_msg_id, [...stored.keys()].indexOf(frame.client_msg_id) + 3);
          }
        };
        for (const step of [...steps, 'serve']) {
          if (step === 'type') {
            chat.sendMessage('k1', `m${typed.length}`);
            typed.push(`m${typed.length}`);
          } else if (step === 'serve') serve();
          else if (step === 'cut' && FakeSocket.last.readyState === 1) FakeSocket.last.serverClose(1006);
          else if (step === 'kill') {
            await settle();
            device.state.alive = false;
            chat.close();
            device = killable(items);
            ({ auth, chat } = app(tokens, device.store));
            await begin(chat);
          }
          await vi.advanceTimersByTimeAsync(600);
        }
        for (let round = 0; chat.unsentCount > 0 && round < 20; round++) {
          serve();
          await vi.advanceTimersByTimeAsync(10_500);
        }
        expect([...stored.values()]).toEqual(typed);
        chat.close();
      }),
      { numRuns: 60 },
    );
  });
});

it('counts what is unread as the server does after a time in the background, where another device has read', async () => {
  const { auth, chat } = app(memoryStorage(), killable(new Map()).store);
  await auth.login('alice', 'x');
  row = conversation('k1', { last_seq: 5, seen_seq: 2, unread_count: 3 });
  await begin(chat);
  FakeSocket.last.greet();
  FakeSocket.last.frame({ type: 'resumed' });
  expect(chat.conversation('k1')!.unread_count).toBe(3);
  FakeSocket.last.serverClose(1006);
  row = conversation('k1', { last_seq: 5, seen_seq: 5, unread_count: 0 });
  await vi.advanceTimersByTimeAsync(500);
  FakeSocket.last.greet();
  await settle();
  expect(chat.conversation('k1')).toMatchObject({ unread_count: 0, seen_seq: 5 });
});

describe('what one person has left', () => {
  it('is removed at sign-out and never shown or sent to the next', async () => {
    const items = new Map<string, string>();
    const { auth, chat } = app(memoryStorage(), killable(items).store);
    await auth.login('alice', 'x');
    await begin(chat);
    chat.sendMessage('k1', 'secret');
    await vi.advanceTimersByTimeAsync(500);
    expect([...items.values()].join()).toContain('secret');
    await auth.logout();
    await settle();
    expect(items.size).toBe(0);
    expect(() => chat.sendMessage('k1', 'to nobody')).toThrow(NotSignedInError);
  });

  it('is not read by another session, also where nothing could be removed', async () => {
    const { items } = await usedAndKilled((chat) => {
      FakeSocket.last.serverClose(1006);
      chat.sendMessage('k1', 'secret');
    });
    sid = 's2';
    network = false;
    const { auth, chat } = app(memoryStorage(), killable(items).store);
    await auth.login('bob', 'x');
    await begin(chat);
    expect(chat.conversations).toEqual([]);
    expect(chat.unsentCount).toBe(0);
    expect([...items.values()].join()).not.toContain('secret');
  });
});

describe('a store', () => {
  it('that is full loses nothing that is in memory', async () => {
    const { state, store } = killable(new Map());
    const { auth, chat } = app(memoryStorage(), store);
    await auth.login('alice', 'x');
    state.failing = true;
    await begin(chat);
    FakeSocket.last.greet();
    chat.sendMessage('k1', 'Bonjour');
    await vi.advanceTimersByTimeAsync(500);
    expect(sent()).toEqual(['Bonjour']);
  });

  it('that never answers holds nobody up', async () => {
    const never = () => new Promise<never>(() => {});
    const { auth, chat } = app(memoryStorage(), { getItem: never, setItem: never, removeItem: never });
    await auth.login('alice', 'x');
    chat.connect().catch(() => {});
    await vi.advanceTimersByTimeAsync(3_000);
    await settle();
    FakeSocket.last.greet();
    chat.sendMessage('k1', 'Bonjour');
    expect(sent()).toEqual(['Bonjour']);
  });

  it.each([
    ['mmkv', () => {
      const held = new Map<string, string>();
      return mmkvStore({ getString: (key) => held.get(key), set: (key, value) => void held.set(key, value), delete: (key) => void held.delete(key) });
    }],
    ['sqlite', () => {
      const held = new Map<string, string>();
      return sqliteStore({
        execAsync: async () => {},
        runAsync: async (sql, key, value) => (sql.startsWith('DELETE') ? held.delete(key!) : held.set(key!, value!)),
        getFirstAsync: async <Row,>(_sql: string, key?: string) => (held.has(key!) ? ({ value: held.get(key!) } as Row) : null),
      });
    }],
  ])('made of %s keeps, replaces and forgets', async (_name, make) => {
    const store = make();
    expect(await store.load('s1')).toEqual({ epoch: null, conversations: [], outbox: [] });
    const item = { client_msg_id: 'i', conversation_uuid: 'k1', content: 'x', createdAt: 0, problem: null };
    await store.saveOutbox(() => [item]);
    await store.saveOutbox(() => [item, { ...item, client_msg_id: 'j' }]);
    expect((await store.load('s1'))?.outbox.map(({ client_msg_id }) => client_msg_id)).toEqual(['i', 'j']);
    await store.clear();
    expect((await store.load('s1'))?.outbox).toEqual([]);
  });

  it('made of IndexedDB opens nothing before it is used', () => {
    expect(() => indexedDbStore()).not.toThrow();
  });
});

it('keeps no half of an emoji', async () => {
  const { auth, chat } = app(memoryStorage(), killable(new Map()).store);
  await auth.login('alice', 'x');
  chat.sendMessage('k1', 'a\uD83D b\uDE00 🙂');
  expect(chat.timeline('k1')[0]!.content).toBe('a\uFFFD b\uFFFD 🙂');
});

it('made of sqlite asks a database again that was busy at the start', async () => {
  let busy = true;
  const store = sqliteStore({
    execAsync: () => (busy ? Promise.reject(new Error('database is locked')) : Promise.resolve()),
    runAsync: async () => {},
    getFirstAsync: async () => null,
  });
  vi.spyOn(console, 'warn').mockReturnValueOnce();
  expect(await store.load('s1')).toBeNull();
  busy = false;
  expect(await store.load('s1')).toEqual({ epoch: null, conversations: [], outbox: [] });
});
