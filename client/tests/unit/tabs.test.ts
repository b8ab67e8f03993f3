/** Tabs of one browser with one socket and one store: nothing is lost, repeated or mixed up, whichever of them goes. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { AuthClient } from '@/core/auth';
import { ChatClient } from '@/core/chatClient';
import { memoryStorage } from '@/core/storage';
import { Offline } from '@/core/offline';
import { tabSocket } from '@/tabs';
import { FakeBrowser, SmallServer, type Tab } from '../support/browser';
import { conversation, fakeFetch, jwt, pair, settle, user } from '../support/fakes';

let server: SmallServer;
let browser: FakeBrowser;
let open: Array<{ tab: Tab; chat: ChatClient; auth: AuthClient }> = [];
const quiet = { warn: () => {}, error: () => {} };

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-11-21T10:00:00Z') });
  server = new SmallServer();
  browser = new FakeBrowser();
});
afterEach(() => {
  for (const { tab, chat } of open.splice(0)) {
    tab.kill();
    chat.close();
  }
  vi.useRealTimers();
});

/** Moves on far enough for every reconnect. */
const pass = (ms = 60_000) => vi.advanceTimersByTimeAsync(ms);

async function openTab({ sid = 's1', shared = true, connect = true } = {}) {
  const tab = browser.open();
  const row = () => conversation('k1', { last_seq: server.events.length, seen_seq: server.events.length });
  const { fetch } = fakeFetch({
    'GET /api/users/me/': () => ({ body: user }),
    'POST /api/auth/logout/': () => ({ body: {} }),
    'GET /api/chat/conversations/': () => ({ body: { next: null, results: [row()] } }),
    'GET /api/chat/conversations/k1/': () => ({ body: row() }),
    'GET /api/chat/conversations/k1/messages/?limit=50': () => ({
      body: { results: server.events.slice(-50).map(({ data }) => data), has_more: false },
    }),
  });
  const WebSocket = server.socketOf(tab);
  const { locks, BroadcastChannel } = tab;
  const auth = new AuthClient({
    baseUrl: 'https://server',
    storage: memoryStorage(),
    fetch,
    logger: quiet,
    WebSocket: shared ? tabSocket({ WebSocket, locks, BroadcastChannel }) : tabSocket({ WebSocket, locks: undefined, BroadcastChannel: undefined }),
  });
  await auth.acceptLogin({ ...pair(1, { sid, lifetimeS: 1e7 }), refresh: jwt({ sid, gen: 1 }), user } as never);
  const store = new Offline(tab.storage, () => {}, locks);
  const chat = new ChatClient({ auth, store, random: () => 0.5 });
  const opened = { tab, chat, auth };
  open.push(opened);
  if (connect) {
    void chat.connect();
    await settle();
    await chat.loadNewest('k1');
    await settle();
  }
  return opened;
}

async function openTabs(count: number, options = {}) {
  const tabs = [];
  for (let n = 0; n < count; n++) tabs.push(await openTab(options));
  return tabs;
}

function kill(opened: { tab: Tab; chat: ChatClient }) {
  opened.tab.kill();
  opened.chat.close();
  open = open.filter((each) => each.tab !== opened.tab);
  // The server notices that the browser has closed the tab's socket.
  for (const socket of server.sockets.filter(({ tab }) => tab === opened.tab)) socket.close();
}

const texts = (chat: ChatClient) => chat.timeline('k1').map(({ content, status }) => (status === 'stored' ? content : `${content} (${status})`));

describe('one socket', () => {
  it.each([2, 3, 6])('serves %i tabs, each of which sees everything once', async (count) => {
    const tabs = await openTabs(count);
    expect(server.made).toBe(1);
    expect(tabs.map(({ chat }) => chat.state)).toEqual(tabs.map(() => 'open'));
    server.say('hello');
    await settle();
    for (const [n, { chat }] of tabs.entries()) chat.sendMessage('k1', `of ${n}`);
    await settle();
    const all = ['hello', ...tabs.map((_, n) => `of ${n}`)];
    expect(server.contents).toEqual(all);
    for (const { chat } of tabs) {
      expect(texts(chat)).toEqual(all);
      expect(chat.unsentCount).toBe(0);
    }
    expect(server.made).toBe(1);
  });

  it('answers only the tab that asked, and watches for all of them', async () => {
    const [a, b] = await openTabs(2);
    const frames: unknown[] = [];
    a!.chat.on('frame', (frame) => frames.push(frame.type));
    a!.chat.watchPresence([7]);
    await settle();
    b!.chat.watchPresence([8, 9]);
    await settle();
    expect([...server.sockets[0]!.watched].sort()).toEqual([7, 8, 9]);
    frames.length = 0;
    server.say('missed');
    server.events.length = 1;
    // B asks for what it has missed; A has had it.
    b!.chat.disconnect();
    void b!.chat.connect();
    await settle();
    expect(frames.filter((type) => type === 'resumed')).toEqual([]);
    expect(texts(a!.chat)).toEqual(['missed']);
    expect(server.made).toBe(1);
  });

  it('tells all tabs what one of them has seen', async () => {
    const [a, b] = await openTabs(2);
    server.say('one');
    await settle();
    expect(b!.chat.conversation('k1')!.unread_count).toBe(1);
    a!.chat.markSeen('k1', 1);
    await settle();
    expect(b!.chat.conversation('k1')!.unread_count).toBe(0);
  });

  it('shows each tab the server\'s clock as it is now', async () => {
    await openTab();
    await pass(600_000);
    const { auth } = await openTab();
    expect(auth.serverNow()).toBe(Date.now());
  });

  it('is not shared by two sessions', async () => {
    const a = await openTab();
    const b = await openTab({ sid: 's2' });
    expect(server.made).toBe(2);
    kill(a);
    await settle();
    expect(b.chat.state).toBe('open');
  });

  it('is one for each tab where the browser has no locks', async () => {
    await openTabs(3, { shared: false });
    expect(server.sockets).toHaveLength(3);
  });

  it.each([
    ['locks', { request: () => Promise.reject(new DOMException('denied', 'SecurityError')), query: () => Promise.resolve({}) }, undefined],
    ['channels', undefined, class { constructor() { throw new DOMException('denied', 'SecurityError'); } }],
  ])('is a tab’s own where the browser denies %s', async (_name, deniedLocks, DeniedChannel) => {
    const tab = browser.open();
    const Socket = tabSocket({
      WebSocket: server.socketOf(tab),
      locks: (deniedLocks ?? tab.locks) as never,
      BroadcastChannel: (DeniedChannel ?? tab.BroadcastChannel) as never,
    });
    const socket = new Socket('ws://server/ws/chat/', ['access_token', jwt({ sid: 's1' })]);
    await pass(1_000);
    expect(socket.readyState).toBe(1);
    expect(server.made).toBe(1);
    socket.close();
  });

  it('ends the sign-in of all tabs when the session is revoked', async () => {
    const tabs = await openTabs(3);
    server.cut(4503);
    await settle();
    expect(tabs.map(({ auth }) => auth.getSnapshot().signedOutReason)).toEqual(tabs.map(() => 'session_revoked'));
    await pass();
    expect(server.made).toBe(1);
  });
});

describe('a leader', () => {
  it('that is killed is followed by one of the others, and nothing is lost or repeated', async () => {
    const [a, b, c] = await openTabs(3);
    server.say('before');
    await settle();
    kill(a!);
    server.say('between');
    b!.chat.sendMessage('k1', 'typed');
    await pass();
    server.say('after');
    await settle();
    expect(server.sockets).toHaveLength(1);
    expect(server.contents).toEqual(['before', 'between', 'typed', 'after']);
    for (const { chat } of [b!, c!]) expect(texts(chat)).toEqual(server.contents);
  });

  it('that disconnects hands over', async () => {
    const [a, b] = await openTabs(2);
    a!.chat.disconnect();
    server.say('between');
    await pass();
    expect(server.sockets.map(({ tab }) => tab)).toEqual([b!.tab]);
    expect(texts(b!.chat)).toEqual(['between']);
  });

  it('whose tab is frozen is deposed by the tab that wants to know, and makes no second socket when it wakes', async () => {
    const [a, b] = await openTabs(2);
    a!.tab.freeze();
    b!.chat.sendMessage('k1', 'typed');
    await pass(30_000);
    expect(server.contents).toEqual(['typed']);
    expect(texts(b!.chat)).toEqual(['typed']);
    for (const socket of server.sockets.filter(({ tab }) => tab === a!.tab)) socket.close();
    a!.tab.thaw();
    await pass();
    expect(server.sockets).toHaveLength(1);
    expect(texts(a!.chat)).toEqual(['typed']);
  });

  it('whose network was cut comes back with the others, over one socket', async () => {
    const tabs = await openTabs(4);
    server.reachable = false;
    server.cut();
    await pass();
    tabs[2]!.chat.sendMessage('k1', 'typed');
    server.reachable = true;
    await pass();
    expect(server.sockets).toHaveLength(1);
    for (const { chat } of tabs) expect(texts(chat)).toEqual(['typed']);
  });
});

describe('the store of several tabs', () => {
  it('keeps what each of them has not sent', async () => {
    const [a, b] = await openTabs(2);
    server.reachable = false;
    server.cut();
    await settle();
    a!.chat.sendMessage('k1', 'a1');
    await pass(10);
    b!.chat.sendMessage('k1', 'b1');
    await pass(10);
    a!.chat.sendMessage('k1', 'a2');
    await pass(10);
    kill(a!);
    kill(b!);
    server.reachable = true;
    await openTab();
    await pass();
    expect(server.contents).toEqual(['a1', 'b1', 'a2']);
    expect([...browser.items.keys()].filter((key) => /alviar_chats_s1_(?!k1)/.test(key))).toEqual([]);
  });

  it('gives what a closed tab has not sent to one that is open', async () => {
    const [a, b] = await openTabs(2);
    server.reachable = false;
    server.cut();
    await settle();
    b!.chat.sendMessage('k1', 'typed');
    await pass(10);
    kill(b!);
    server.reachable = true;
    await pass();
    expect(server.contents).toEqual(['typed']);
    expect(texts(a!.chat)).toEqual(['typed']);
  });

  it('keeps two people apart who sit side by side', async () => {
    const alice = await openTab({ sid: 'alice' });
    server.reachable = false;
    server.cut();
    await settle();
    alice.chat.sendMessage('k1', 'of alice');
    await pass(500);
    const bob = await openTab({ sid: 'bob', connect: false });
    await bob.chat.restore();
    expect(bob.chat.unsentCount).toBe(0);
    expect(bob.chat.conversations).toEqual([]);
    bob.chat.sendMessage('k1', 'of bob');
    await pass(500);
    // Alice's tab is killed, and starts again beside Bob's.
    kill(alice);
    const again = await openTab({ sid: 'alice', connect: false });
    await again.chat.restore();
    expect(texts(again.chat)).toEqual(['of alice (sending)']);
    await again.auth.logout();
    await settle();
    const left = [...browser.items.entries()].flat().join();
    expect(left).not.toContain('of alice');
    expect(left).toContain('of bob');
  });

  it('holds nothing any more once one of them has signed out', async () => {
    const [a, b] = await openTabs(2);
    server.say('secret');
    await pass(500);
    expect([...browser.items.values()].join()).toContain('secret');
    // The other tab hears of it from the storage, and one write of it was on its way.
    b!.chat.markSeen('k1', 1);
    await a!.auth.logout();
    b!.auth.signOut('logout');
    await pass(500);
    expect([...browser.items.keys()]).toEqual([]);
  });
});

it('loses, repeats and reorders nothing, whatever happens to the tabs (property)', async () => {
  const step = fc.record({ do: fc.constantFrom('open', 'kill', 'type', 'type', 'say', 'cut', 'away', 'back', 'wait'), tab: fc.nat(5) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 25 }), async (steps) => {
      for (const each of [...open]) kill(each);
      server = new SmallServer();
      browser = new FakeBrowser();
      await openTabs(2);
      const typed: string[] = [];
      for (const { do: act, tab: n } of steps) {
        const chosen = open[n % Math.max(1, open.length)];
        if (act === 'open' && open.length < 6) await openTab();
        else if (act === 'kill' && chosen) kill(chosen);
        else if (act === 'type' && chosen) {
          typed.push(`t${typed.length}`);
          chosen.chat.sendMessage('k1', typed.at(-1)!);
        } else if (act === 'say') server.say(`s${server.events.length}`);
        else if (act === 'cut') server.cut();
        else if (act === 'away') {
          server.reachable = false;
          server.cut();
        } else if (act === 'back') server.reachable = true;
        // Long enough for a write, in every case.
        await pass(act === 'wait' ? 30_000 : 20);
      }
      server.reachable = true;
      await openTab();
      await pass(200_000);
      server.cut();
      await pass(100_000);
      expect(server.contents.filter((text) => String(text).startsWith('t')).sort()).toEqual([...typed].sort());
      expect(server.sockets).toHaveLength(1);
      for (const { chat } of open) {
        await chat.loadNewest('k1');
        expect(texts(chat)).toEqual(server.contents);
        expect(chat.unsentCount).toBe(0);
      }
    }),
    { numRuns: 25 },
  );
}, 60_000);
