import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { AuthClient } from '@/core/auth';
import { ChatClient, FrameError, socketUrl } from '@/core/chatClient';
import { memoryStorage } from '@/core/storage';
import { BOB, conversation, created, FakeSocket, fakeFetch, message, pair, settle, user } from '../support/fakes';

let server: ReturnType<typeof fakeFetch>;
let list: object[];
let pages: Record<string, { results: object[]; has_more: boolean }>;
let chat: ChatClient;
let auth: AuthClient;

async function connected(extra: object = {}) {
  await auth.login('alice', 'x');
  const connecting = chat.connect();
  await settle();
  await connecting;
  await settle();
  FakeSocket.last.greet(extra);
  for (const resume of FakeSocket.last.framesOf('resume')) FakeSocket.last.frame({ type: 'resumed', ref: resume.ref });
}

const contents = (uuid = 'k1') => chat.timeline(uuid).map((m) => `${m.content}${m.status === 'stored' ? '' : ` (${m.status})`}`);
const sentIds = () => FakeSocket.last.framesOf('message').map((frame) => frame.client_msg_id);

/** The server stores what the client has sent: an ack and the event, in this order or the other. */
function store(frame: Record<string, unknown>, seq: number, order: Array<'ack' | 'event'> = ['ack', 'event']) {
  const data = { sender: user, content: frame.content, client_msg_id: frame.client_msg_id };
  for (const step of order) {
    if (step === 'event') FakeSocket.last.events(created('k1', seq, data));
    else {
      FakeSocket.last.frame({
        type: 'ack',
        client_msg_id: frame.client_msg_id,
        message_uuid: `k1-m${seq}`,
        conversation_uuid: 'k1',
        seq,
        created_at: '2026-11-21T10:00:01Z',
        duplicate: false,
      });
    }
  }
}

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-11-21T10:00:00Z') });
  FakeSocket.all = [];
  FakeSocket.lively = false;
  list = [conversation('k1')];
  pages = {};
  server = fakeFetch({
    'POST /api/auth/login/': () => ({ body: pair(1) }),
    'POST /api/auth/token/refresh/': () => ({ body: pair(2) }),
    'POST /api/auth/logout/': () => ({ body: {} }),
    'GET /api/chat/conversations/': () => ({ body: { next: null, previous: null, results: list } }),
    'GET /api/chat/conversations/k1/': () => ({ body: list[0] }),
    'GET /api/chat/conversations/k2/': () => ({ body: conversation('k2', { kind: 'group', last_seq: 1 }) }),
    'GET /api/chat/conversations/k1/messages/?limit=50': async () => ({
      body: (await pages.newest) ?? { results: [], has_more: false },
    }),
    'GET /api/chat/conversations/k1/messages/?limit=50&before_seq=51': () => ({ body: pages.older }),
    'PATCH /api/chat/messages/k1-m1/': () => ({ body: message('k1', 1) }),
    'POST /api/chat/conversations/': () => ({ body: conversation('k9') }),
    'GET /api/users/search/': () => ({ body: [BOB] }),
  });
  auth = new AuthClient({ baseUrl: 'https://server', storage: memoryStorage(), fetch: server.fetch });
  chat = new ChatClient({ auth, WebSocket: FakeSocket as never, random: () => 0.5 });
});
afterEach(() => {
  chat.close();
  vi.useRealTimers();
});

it('makes the socket’s address of the server’s', () => {
  expect(socketUrl('https://chat.example.org')).toBe('wss://chat.example.org/ws/chat/');
  expect(socketUrl('http://127.0.0.1:8000')).toBe('ws://127.0.0.1:8000/ws/chat/');
});

describe('sending', () => {
  it('shows at once, sends with an id, and settles with ack and event in either order', async () => {
    await connected();
    for (const [index, order] of [['ack', 'event'], ['event', 'ack']].entries()) {
      chat.sendMessage('k1', `m${index}`);
      expect(contents().at(-1)).toBe(`m${index} (sending)`);
      store(FakeSocket.last.framesOf('message').at(-1)!, index + 1, order as never);
      expect(contents().at(-1)).toBe(`m${index}`);
    }
    expect(contents()).toEqual(['m0', 'm1']);
    expect(chat.unsentCount).toBe(0);
  });

  it('keeps what is written offline, across reconnects, under the same ids and in order', async () => {
    await connected();
    chat.sendMessage('k1', 'a');
    const [first] = sentIds();
    FakeSocket.last.serverClose(1006);
    chat.sendMessage('k1', 'b');
    chat.sendMessage('k1', 'c');
    expect(contents()).toEqual(['a (sending)', 'b (sending)', 'c (sending)']);
    await vi.advanceTimersByTimeAsync(500);
    FakeSocket.last.open();
    expect(sentIds()).toEqual([]);
    FakeSocket.last.hello();
    expect(FakeSocket.last.framesOf('message').map((frame) => frame.content)).toEqual(['a', 'b', 'c']);
    expect(sentIds()[0]).toBe(first);
  });

  it('keeps the order where the socket is closing already and nobody knows yet', async () => {
    await connected();
    chat.sendMessage('k1', 'a');
    FakeSocket.last.readyState = 2;
    chat.sendMessage('k1', 'b');
    const refused = await chat.edit('k1-m1', 'new').catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(Error);
    FakeSocket.last.serverClose(1006);
    await vi.advanceTimersByTimeAsync(500);
    FakeSocket.last.greet();
    expect(FakeSocket.last.framesOf('message').map((frame) => frame.content)).toEqual(['a', 'b']);
    expect(FakeSocket.last.framesOf('edit')).toEqual([]);
  });

  it('sends again without an ack after 10 s, and stops once it has one', async () => {
    await connected();
    chat.sendMessage('k1', 'a');
    FakeSocket.lively = true;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(new Set(sentIds()).size).toBe(1);
    expect(sentIds()).toHaveLength(2);
    store(FakeSocket.last.framesOf('message')[0]!, 1);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sentIds()).toHaveLength(2);
  });

  it('paces itself to what the server takes in 10 s', async () => {
    await connected({ limits: { frame_bytes: 65_536, content_chars: 4_000, messages_per_10s: 3 } });
    for (let i = 0; i < 7; i++) chat.sendMessage('k1', `${i}`);
    const acknowledgeAll = () => {
      for (const [i, frame] of FakeSocket.last.framesOf('message').entries()) store(frame, i + 1, ['ack']);
    };
    expect(sentIds()).toHaveLength(3);
    acknowledgeAll();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(sentIds()).toHaveLength(3);
    await vi.advanceTimersByTimeAsync(300);
    expect(sentIds()).toHaveLength(6);
    acknowledgeAll();
    await vi.advanceTimersByTimeAsync(10_300);
    expect(FakeSocket.last.framesOf('message').map((frame) => frame.content)).toEqual(['0', '1', '2', '3', '4', '5', '6']);
  });

  it('waits as long as a retryable refusal says, and shows a final one until it is retried or discarded', async () => {
    await connected();
    const refuse = (extra: object) =>
      FakeSocket.last.frame({ type: 'error', client_msg_id: sentIds()[0], detail: 'no', ...extra });
    const id = chat.sendMessage('k1', 'a');
    refuse({ code: 'throttled', retryable: true, retry_after_ms: 2_000 });
    await vi.advanceTimersByTimeAsync(1_999);
    expect(sentIds()).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(sentIds()).toHaveLength(2);
    refuse({ code: 'blocked', retryable: false });
    expect(chat.timeline('k1')[0]).toMatchObject({ status: 'failed', problem: 'no' });
    chat.retry(id);
    expect(sentIds()).toHaveLength(3);
    refuse({ code: 'blocked', retryable: false });
    chat.discard(id);
    expect(contents()).toEqual([]);
  });

  it('lets only the conversation in slow mode wait', async () => {
    await connected();
    chat.sendMessage('k1', 'slow');
    const [slow] = sentIds();
    FakeSocket.last.frame({ type: 'error', client_msg_id: slow, code: 'throttled', reason: 'slow_mode', detail: 'no', retryable: true, retry_after_ms: 3_000 });
    chat.sendMessage('k1', 'behind it');
    chat.sendMessage('k2', 'elsewhere');
    const contentsSent = () => FakeSocket.last.framesOf('message').map((frame) => frame.content);
    expect(contentsSent()).toEqual(['slow', 'elsewhere']);
    await vi.advanceTimersByTimeAsync(2_900);
    expect(contentsSent().filter((content) => content !== 'elsewhere')).toEqual(['slow']);
    await vi.advanceTimersByTimeAsync(200);
    expect(contentsSent().filter((content) => content !== 'elsewhere')).toEqual(['slow', 'slow', 'behind it']);
  });

  it('learns of a slow mode by the event that sets it', async () => {
    await connected();
    const data = { uuid: 'k1', kind: 'group', title: 'Garden', description: '' };
    const head = chat.conversation('k1')!.last_seq;
    const events = [{ ...data, slow_mode_seconds: 30 }, data].map((data, index) => ({
      conversation_uuid: 'k1', seq: head + 1 + index, kind: 'conversation.updated', at: '2026-01-01T00:00:00Z', actor_id: 2, data,
    }));
    FakeSocket.last.frame({ type: 'events', events });
    expect(chat.conversation('k1')).toMatchObject({ slow_mode_seconds: 30, title: 'Garden' });
  });

  it('loses and doubles nothing, whatever happens on the way (property)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('send', 'store', 'lose the ack', 'drop', 'wait'), { minLength: 1, maxLength: 40 }),
        async (steps) => {
          FakeSocket.all = [];
          FakeSocket.lively = true;
          const client = new ChatClient({ auth, WebSocket: FakeSocket as never, random: () => 0.5 });
          await auth.login('alice', 'x');
          await client.connect();
          await vi.advanceTimersByTimeAsync(100);
          const written: string[] = [];
          const stored = new Map<string, string>();
          const seen = new WeakMap<FakeSocket, number>();
          const serve = (acknowledge: boolean) => {
            const socket = FakeSocket.last;
            const frames = socket.framesOf('message');
            for (const frame of frames.slice(seen.get(socket) ?? 0)) {
              const id = frame.client_msg_id as string;
              stored.set(id, frame.content as string);
              if (!acknowledge) continue;
              socket.frame({ type: 'ack', client_msg_id: id, message_uuid: id, conversation_uuid: 'k1', seq: [...stored.keys()].indexOf(id) + 1, created_at: '', duplicate: false });
            }
            seen.set(socket, frames.length);
          };
          for (const step of steps) {
            if (step === 'send') {
              written.push(`m${written.length}`);
              client.sendMessage('k1', written.at(-1)!);
            } else if (step === 'store') serve(true);
            else if (step === 'lose the ack') serve(false);
            else if (step === 'drop' && FakeSocket.last.readyState === 1) FakeSocket.last.serverClose(1006);
            else await vi.advanceTimersByTimeAsync(3_000);
          }
          for (let i = 0; i < 12 && client.unsentCount > 0; i++) {
            await vi.advanceTimersByTimeAsync(10_500);
            serve(true);
          }
          client.close();
          expect([...stored.values()]).toEqual(written);
          expect(client.unsentCount).toBe(0);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('the timeline', () => {
  it('reads the newest page once and older ones before it', async () => {
    pages.newest = { results: [message('k1', 51), message('k1', 52)], has_more: true };
    pages.older = { results: [message('k1', 49), message('k1', 50)], has_more: false };
    await connected();
    await chat.loadNewest('k1');
    await chat.loadNewest('k1');
    expect(chat.hasOlder('k1')).toBe(true);
    await chat.loadOlder('k1');
    await chat.loadOlder('k1');
    expect(chat.timeline('k1').map((m) => m.seq)).toEqual([49, 50, 51, 52]);
    expect(chat.hasOlder('k1')).toBe(false);
    expect(server.requests.filter((r) => r.path.includes('/messages/'))).toHaveLength(2);
  });

  it('shows a place far back without what lies between, and joins it with the newest when they meet', async () => {
    list = [conversation('k1', { last_seq: 1000 })];
    const run = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => message('k1', from + index));
    pages.newest = { results: run(951, 1000), has_more: true };
    const served: Record<string, object> = {
      'before_seq=400': { results: run(350, 399), has_more: true },
      'after_seq=399': { results: run(400, 449), has_more: true },
      'before_seq=350': { results: run(300, 349), has_more: true },
      'after_seq=449': { results: run(450, 960), has_more: true },
    };
    for (const [query, body] of Object.entries(served)) {
      server.routes[`GET /api/chat/conversations/k1/messages/?limit=50&${query}`] = () => ({ body });
    }
    await connected();
    await chat.loadNewest('k1');
    await chat.loadAround('k1', 400);
    const shown = () => chat.timeline('k1').map(({ seq }) => seq);
    expect([shown()[0], shown().at(-1), shown().length]).toEqual([350, 449, 100]);
    expect(chat.hasNewer('k1')).toBe(true);
    // What happens meanwhile reaches the rows that are shown, and waits where it is not shown.
    const base = { conversation_uuid: 'k1', at: '2026-11-21T10:00:00Z', actor_id: 2 };
    FakeSocket.last.events(
      created('k1', 1001),
      { ...base, seq: 1002, kind: 'reaction.added', data: { message_uuid: 'k1-m400', emoji: '👍', user_id: 2 } },
      { ...base, seq: 1003, kind: 'message.edited', data: message('k1', 401, { content: 'edited' }) },
    );
    expect(shown().at(-1)).toBe(449);
    expect(chat.timeline('k1').find(({ seq }) => seq === 400)!.reactions).toEqual([{ emoji: '👍', count: 1, mine: false }]);
    expect(chat.timeline('k1').find(({ seq }) => seq === 401)!.content).toBe('edited');
    await chat.loadOlder('k1');
    expect(shown()[0]).toBe(300);
    await chat.loadNewer('k1');
    expect(chat.hasNewer('k1')).toBe(false);
    expect(shown()).toEqual(Array.from({ length: 702 }, (_, index) => 300 + index));
    expect(chat.hasOlder('k1')).toBe(true);
    // Nothing was read twice or between.
    expect(server.requests.filter((r) => r.path.includes('/messages/'))).toHaveLength(5);
  });

  it('leaves a place far back for the newest when something is sent', async () => {
    pages.newest = { results: [message('k1', 951)], has_more: true };
    for (const query of ['before_seq=400', 'after_seq=399']) {
      server.routes[`GET /api/chat/conversations/k1/messages/?limit=50&${query}`] = () => ({ body: { results: [message('k1', 400)], has_more: true } });
    }
    await connected();
    await chat.loadNewest('k1');
    await chat.loadAround('k1', 400);
    chat.sendMessage('k1', 'now');
    expect(contents().at(-1)).toBe('now (sending)');
    expect(chat.timeline('k1')[0]!.seq).toBe(951);
  });

  it('keeps the same array until something changes', async () => {
    await connected();
    const before = chat.timeline('k1');
    expect(chat.timeline('k1')).toBe(before);
    FakeSocket.last.events(created('k1', 1));
    expect(chat.timeline('k1')).not.toBe(before);
  });

  it('applies edits, deletions and reactions; mine stays mine through an edit', async () => {
    await connected();
    const changed = vi.fn();
    chat.on('timeline', changed);
    const base = { conversation_uuid: 'k1', at: '2026-11-21T10:00:00Z', actor_id: 2 };
    FakeSocket.last.events(created('k1', 1));
    FakeSocket.last.events(
      { ...base, seq: 2, kind: 'reaction.added', data: { message_uuid: 'k1-m1', emoji: '👍', user_id: 1 } },
      { ...base, seq: 3, kind: 'reaction.added', data: { message_uuid: 'k1-m1', emoji: '👍', user_id: 2 } },
      { ...base, seq: 4, kind: 'message.edited', data: message('k1', 1, { content: 'new', edited_at: 'x', reactions: [{ emoji: '👍', count: 2 }] }) } as never,
    );
    expect(chat.timeline('k1')[0]).toMatchObject({ content: 'new', reactions: [{ emoji: '👍', count: 2, mine: true }] });
    FakeSocket.last.events(
      { ...base, seq: 5, kind: 'reaction.removed', data: { message_uuid: 'k1-m1', emoji: '👍', user_id: 1 } },
      { ...base, seq: 6, kind: 'message.deleted', data: message('k1', 1, { content: '', deleted_at: 'x', reactions: [] }) } as never,
    );
    expect(chat.timeline('k1')[0]).toMatchObject({ content: '', deleted_at: 'x', reactions: [] });
    expect(chat.conversation('k1')!.last_seq).toBe(6);
    expect(changed).toHaveBeenCalled();
  });

  it('reads a page again when a reaction came while it was on its way: the page may have counted it', async () => {
    await connected();
    let answer: () => void = () => {};
    const slow = new Promise<void>((done) => (answer = done));
    pages.newest = { results: [message('k1', 1, { reactions: [{ emoji: '👍', count: 1, mine: false }] })], has_more: false };
    const page = pages.newest;
    Object.defineProperty(pages, 'newest', { get: () => slow.then(() => page) });
    FakeSocket.last.events(created('k1', 1));
    const loading = chat.loadNewest('k1');
    await settle();
    const reacted = { message_uuid: 'k1-m1', emoji: '👍', user_id: 2 };
    FakeSocket.last.events({ conversation_uuid: 'k1', seq: 2, kind: 'reaction.added', at: 'x', actor_id: 2, data: reacted });
    answer();
    await loading;
    expect(chat.timeline('k1')[0]!.reactions).toMatchObject([{ emoji: '👍', count: 1 }]);
    expect(server.requests.filter((r) => r.path.includes('/messages/'))).toHaveLength(2);
  });

  it('drops what it holds on a gap and reads the newest page', async () => {
    pages.newest = { results: [message('k1', 1)], has_more: false };
    await connected();
    await chat.loadNewest('k1');
    pages.newest = { results: [message('k1', 400)], has_more: true };
    FakeSocket.last.frame({ type: 'gap', conversation_uuid: 'k1', from_seq: 2, last_seq: 400 });
    await settle();
    expect(chat.timeline('k1').map((m) => m.seq)).toEqual([400]);
    FakeSocket.last.events(created('k1', 401));
    expect(chat.timeline('k1').map((m) => m.seq)).toEqual([400, 401]);
  });
});

describe('the list', () => {
  it('resumes from the heads of the list it has read', async () => {
    list = [conversation('k1', { last_seq: 17 })];
    await connected();
    expect(FakeSocket.last.framesOf('resume')[0]).toMatchObject({ cursors: { k1: 17 } });
  });

  it('counts unread messages and mentions, not events, and nothing twice', async () => {
    list = [conversation('k1', { last_seq: 3, unread_count: 2, seen_seq: 1 })];
    await connected();
    FakeSocket.last.events(created('k1', 4, { mentions: [1] }));
    FakeSocket.last.events({ conversation_uuid: 'k1', seq: 5, kind: 'reaction.added', at: 'x', actor_id: 2, data: { message_uuid: 'k1-m4', emoji: '👍', user_id: 2 } });
    expect(chat.conversation('k1')).toMatchObject({ unread_count: 3, mention_count: 1, last_seq: 5 });
    list = [conversation('k1', { last_seq: 6, unread_count: 4, seen_seq: 1 })];
    await chat.reloadConversation('k1');
    FakeSocket.last.events(created('k1', 6));
    expect(chat.conversation('k1')!.unread_count).toBe(4);
    // What the list knew already is shown all the same.
    expect(chat.timeline('k1').map(({ seq }) => seq)).toEqual([4, 6]);
    list = [conversation('k1', { last_seq: 5, unread_count: 3, title: 'older' })];
    await chat.reloadConversation('k1');
    expect(chat.conversation('k1')).toMatchObject({ last_seq: 6, title: '' });
    chat.markSeen('k1');
    expect(FakeSocket.last.framesOf('mark_as_seen')).toEqual([{ type: 'mark_as_seen', conversation_uuid: 'k1', up_to_seq: 6 }]);
    expect(chat.conversation('k1')!.unread_count).toBe(0);
    chat.markSeen('k1');
    expect(FakeSocket.last.framesOf('mark_as_seen')).toHaveLength(1);
  });

  it('sets its own counts to nothing when another device of mine has read or written', async () => {
    list = [conversation('k1', { last_seq: 3, unread_count: 3 })];
    await connected();
    FakeSocket.last.frame({ type: 'receipt', conversation_uuid: 'k1', user_id: 1, up_to_seq: 3 });
    expect(chat.conversation('k1')).toMatchObject({ unread_count: 0, seen_seq: 3 });
    FakeSocket.last.events(created('k1', 4), created('k1', 5, { sender: user }));
    expect(chat.conversation('k1')).toMatchObject({ unread_count: 0, seen_seq: 5 });
  });

  it('does not let an answer that was on its way take a receipt back', async () => {
    list = [conversation('k1', { last_seq: 3, unread_count: 3 })];
    await connected();
    FakeSocket.last.frame({ type: 'receipt', conversation_uuid: 'k1', user_id: 2, up_to_seq: 3 });
    chat.markSeen('k1');
    await chat.reloadConversation('k1');
    expect(chat.conversation('k1')).toMatchObject({ seen_seq: 3, unread_count: 0 });
    expect(chat.conversation('k1')!.members.map(({ seen_seq }) => seen_seq)).toEqual([0, 3]);
    FakeSocket.last.frame({ type: 'gap', conversation_uuid: 'k1', from_seq: 1, last_seq: 2 });
    list = [conversation('k1', { last_seq: 2, seen_seq: 1, unread_count: 1 })];
    await settle();
    expect(chat.conversation('k1')).toMatchObject({ last_seq: 2, seen_seq: 1, unread_count: 1 });
  });

  it('connects without a network, and raises only what the server says', async () => {
    await auth.login('alice', 'x');
    const { fetch } = auth as unknown as { fetch: typeof globalThis.fetch };
    auth.fetch = () => Promise.reject(new TypeError('offline'));
    await expect(chat.connect()).resolves.toBeUndefined();
    chat.disconnect();
    auth.fetch = () => Promise.resolve(new Response('{"code": "email_not_verified"}', { status: 403 }));
    await expect(chat.connect()).rejects.toMatchObject({ status: 403 });
    auth.fetch = fetch as never;
  });

  it('marks as seen once more what a dead network took with it', async () => {
    list = [conversation('k1', { last_seq: 3, unread_count: 3, seen_seq: 0 })];
    await connected();
    chat.markSeen('k1', 3);
    FakeSocket.last.serverClose(1006);
    await vi.advanceTimersByTimeAsync(500);
    FakeSocket.last.greet();
    await settle();
    expect(FakeSocket.last.framesOf('mark_as_seen')).toEqual([{ type: 'mark_as_seen', conversation_uuid: 'k1', up_to_seq: 3 }]);
    expect(chat.conversation('k1')!.unread_count).toBe(0);
    list = [conversation('k1', { last_seq: 3, unread_count: 0, seen_seq: 3 })];
    await chat.loadConversations();
    expect(FakeSocket.last.framesOf('mark_as_seen')).toHaveLength(1);
  });

  it('keeps a conversation, and the whole list, as they are where nothing has changed', async () => {
    list = [conversation('k1', { last_seq: 3 }), conversation('k2')];
    await connected();
    const before = chat.conversations;
    const told = vi.fn();
    chat.on('conversations', told);
    list = JSON.parse(JSON.stringify(list)) as object[];
    await chat.loadConversations();
    FakeSocket.last.frame({ type: 'receipt', conversation_uuid: 'k1', user_id: 2, up_to_seq: 0 });
    expect(chat.conversations).toBe(before);
    expect(told).not.toHaveBeenCalled();
    list = [conversation('k1', { last_seq: 3, title: 'new' }), conversation('k2')];
    await chat.loadConversations();
    expect(chat.conversation('k1')!.title).toBe('new');
    expect(chat.conversation('k2')).toBe(before.find(({ uuid }) => uuid === 'k2'));
  });

  it('reads a conversation it does not know, and drops one it was removed from', async () => {
    await connected();
    FakeSocket.last.events(created('k2', 1));
    await settle();
    expect(chat.conversation('k2')?.kind).toBe('group');
    FakeSocket.last.frame({ type: 'removed', conversation_uuid: 'k2' });
    expect(chat.conversation('k2')).toBeUndefined();
  });

  it('puts the last activity first and what is pinned before it', async () => {
    list = [
      conversation('old', { updated_at: '2026-01-02T00:00:00Z' }),
      conversation('pinned', { pinned: true }),
      conversation('k1', { updated_at: '2026-01-03T00:00:00Z' }),
    ];
    await connected();
    expect(chat.conversations.map((c) => c.uuid)).toEqual(['pinned', 'k1', 'old']);
  });
});

describe('what others do', () => {
  it('shows receipts of others, typing that ends by itself, and presence that is asked for', async () => {
    await connected();
    FakeSocket.lively = true;
    FakeSocket.last.frame({ type: 'receipt', conversation_uuid: 'k1', user_id: 2, up_to_seq: 9 });
    expect(chat.conversation('k1')!.members[1]!.seen_seq).toBe(9);
    FakeSocket.last.frame({ type: 'typing', conversation_uuid: 'k1', user_id: 2, active: true });
    expect(chat.typingIn('k1')).toEqual([2]);
    await vi.advanceTimersByTimeAsync(7_000);
    expect(chat.typingIn('k1')).toEqual([]);
    FakeSocket.last.frame({ type: 'typing', conversation_uuid: 'k1', user_id: 2, active: true });
    const shown: unknown[] = [];
    chat.on('conversations', () => shown.push([chat.conversation('k1')!.last_message?.content, ...chat.typingIn('k1')]));
    FakeSocket.last.events(created('k1', 1));
    expect(chat.typingIn('k1')).toEqual([]);
    // The list never shows that one types what stands there already.
    expect(shown[shown.length - 1]).toEqual(['message 1']);
    expect(shown).not.toContainEqual(['message 1', 2]);
    chat.watchPresence([1, 2, 2]);
    expect(FakeSocket.last.framesOf('presence')).toEqual([{ type: 'presence', user_ids: [2] }]);
    FakeSocket.last.frame({ type: 'presence', users: [{ user_id: 2, online: true, last_seen_at: null }] });
    expect(chat.presenceOf(2)?.online).toBe(true);
    FakeSocket.last.serverClose(1006);
    await vi.advanceTimersByTimeAsync(500);
    expect(FakeSocket.last.framesOf('presence')).toHaveLength(1);
  });

  it('tells that one types once in 4 s, and the end only after a beginning', async () => {
    await connected();
    FakeSocket.lively = true;
    chat.setTyping('k1', false);
    chat.setTyping('k1', true);
    chat.setTyping('k1', true);
    await vi.advanceTimersByTimeAsync(4_000);
    chat.setTyping('k1', true);
    chat.setTyping('k1', false);
    chat.setTyping('k1', false);
    expect(FakeSocket.last.framesOf('typing').map((frame) => frame.active)).toEqual([true, true, false]);
  });
});

describe('changes', () => {
  it('go over the socket with a ref and resolve with its ack, or fail with its error', async () => {
    await connected();
    const edit = chat.edit('k1-m1', 'new');
    const react = chat.react('k1-m1', '👍');
    const refused = react.catch((error: unknown) => error);
    const [frame] = FakeSocket.last.framesOf('edit');
    FakeSocket.last.frame({ type: 'ack', ref: frame!.ref, message_uuid: 'k1-m1', conversation_uuid: 'k1', seq: 2, created_at: '', duplicate: false });
    FakeSocket.last.frame({ type: 'error', ref: FakeSocket.last.framesOf('react')[0]!.ref, code: 'permission_denied', detail: 'no', retryable: false });
    await expect(edit).resolves.toMatchObject({ seq: 2 });
    expect(await refused).toBeInstanceOf(FrameError);
    const lost = chat.remove('k1-m1').catch((error: unknown) => error);
    FakeSocket.last.serverClose(1006);
    expect(await lost).toBeInstanceOf(Error);
  });

  it('go by HTTP while there is no socket', async () => {
    await connected();
    FakeSocket.last.serverClose(1006);
    await chat.edit('k1-m1', 'new');
    expect(server.requests.at(-1)).toMatchObject({ method: 'PATCH', body: { content: 'new' } });
  });

  it('open conversations and find people', async () => {
    await connected();
    expect(await chat.searchPeople('bo')).toEqual([BOB]);
    expect((await chat.openDirect(2)).uuid).toBe('k9');
    expect(chat.conversation('k9')).toBeDefined();
  });
});

it('takes a refreshed token in band and keeps the socket', async () => {
  await connected();
  await auth.refresh();
  expect(FakeSocket.last.framesOf('authenticate')).toMatchObject([{ token: auth.accessToken }]);
  expect(FakeSocket.all).toHaveLength(1);
});

it('keeps nothing of one person for the next', async () => {
  await connected();
  chat.sendMessage('k1', 'secret');
  FakeSocket.last.events(created('k1', 1));
  await auth.logout();
  expect(chat.conversations).toEqual([]);
  expect(chat.timeline('k1')).toEqual([]);
  expect(chat.unsentCount).toBe(0);
  expect(chat.connection.sequencer.cursors).toEqual({});
});

it('takes the quotation along when the quoted message is edited or taken back', async () => {
  list = [conversation('k1', { last_seq: 50 })];
  pages.newest = { results: [message('k1', 1), message('k1', 2, { reply_to: { uuid: 'k1-m1', sender: BOB, excerpt: 'text 1' } })], has_more: false };
  await connected();
  await chat.loadNewest('k1');
  const quoted = () => chat.timeline('k1')[1]!.reply_to!.excerpt;
  const change = (kind: 'message.edited' | 'message.deleted', seq: number, extra: Record<string, unknown>) =>
    FakeSocket.last.events({ ...created('k1', seq), kind, data: message('k1', 1, extra) });
  change('message.edited', 51, { content: '🙂'.repeat(130), edited_at: '2026-11-21T10:00:00Z' });
  expect(quoted()).toBe('🙂'.repeat(120));
  change('message.deleted', 52, { content: '', deleted_at: '2026-11-21T10:00:00Z' });
  expect(quoted()).toBe('');
});

it('takes no list that was asked for by somebody who has signed out meanwhile', async () => {
  await connected();
  let answer!: () => void;
  server.routes['GET /api/chat/conversations/k1/'] = () => new Promise((done) => (answer = () => done({ body: conversation('k1') })));
  const reading = chat.reloadConversation('k1').catch(() => {});
  await settle();
  await auth.logout();
  answer();
  await reading;
  expect(chat.conversations).toEqual([]);
});

it('gives what another tab left unsent to nobody else', async () => {
  let left!: (items: object[]) => void;
  const store = {
    load: () => Promise.resolve(null),
    saveConversation: () => Promise.resolve(),
    saveOutbox: () => Promise.resolve(),
    adopt: () => new Promise((done) => (left = done)),
    clear: () => Promise.resolve(),
    settled: () => Promise.resolve(),
  };
  chat.close();
  chat = new ChatClient({ auth, WebSocket: FakeSocket as never, store: store as never });
  await connected();
  await auth.logout();
  left([{ conversation_uuid: 'k1', content: 'of alice', client_msg_id: 'c1', createdAt: 0, problem: null }]);
  await settle();
  expect(chat.unsentCount).toBe(0);
});

describe('what nobody waits for', () => {
  const broken = () => ({ status: 503, body: { detail: '', code: 'temporarily_unavailable' } });

  it('is read again while the socket is open: the list', async () => {
    const { 'GET /api/chat/conversations/': works } = server.routes;
    server.routes['GET /api/chat/conversations/'] = broken;
    await auth.login('alice', 'x');
    void chat.connect().catch(() => {});
    await settle();
    FakeSocket.last.greet();
    await settle();
    expect(chat.conversations).toEqual([]);
    server.routes['GET /api/chat/conversations/'] = works!;
    await vi.advanceTimersByTimeAsync(5_000);
    expect(chat.conversations.map(({ uuid }) => uuid)).toEqual(['k1']);
  });

  it('is read again: a conversation that an event was the first to tell of, and a page after a gap', async () => {
    list = [conversation('k1', { last_seq: 3 })];
    pages.newest = { results: [message('k1', 3)], has_more: false };
    await connected();
    await chat.loadNewest('k1');
    const { 'GET /api/chat/conversations/k2/': one, 'GET /api/chat/conversations/k1/messages/?limit=50': page } = server.routes;
    server.routes['GET /api/chat/conversations/k2/'] = broken;
    server.routes['GET /api/chat/conversations/k1/messages/?limit=50'] = broken;
    FakeSocket.last.events(created('k2', 1));
    FakeSocket.last.frame({ type: 'gap', conversation_uuid: 'k1', from_seq: 4, last_seq: 400 });
    await settle();
    expect([chat.conversation('k2'), contents()]).toEqual([undefined, []]);
    server.routes['GET /api/chat/conversations/k2/'] = one!;
    server.routes['GET /api/chat/conversations/k1/messages/?limit=50'] = page!;
    await vi.advanceTimersByTimeAsync(5_000);
    expect(chat.conversation('k2')?.kind).toBe('group');
    expect(contents()).toEqual(['message 3']);
  });

  it('is not asked for again where the server says no', async () => {
    await connected();
    server.routes['GET /api/chat/conversations/k2/'] = () => ({ status: 404, body: { detail: '', code: 'not_found' } });
    FakeSocket.last.events(created('k2', 1));
    await vi.advanceTimersByTimeAsync(20_000);
    expect(server.to('/api/chat/conversations/k2/')).toHaveLength(1);
  });
});

it('sends no more of a text that is too long than the server needs to refuse it', async () => {
  await connected();
  const id = chat.sendMessage('k1', '😀'.repeat(20_000));
  const [sent] = FakeSocket.last.framesOf('message');
  expect([...(sent!.content as string)]).toHaveLength(4_001);
  FakeSocket.last.frame({ type: 'error', client_msg_id: id, code: 'too_long', detail: 'Too long', retryable: false });
  expect(chat.timeline('k1')).toMatchObject([{ status: 'failed', problem: 'Too long', content: '😀'.repeat(20_000) }]);
  const edited = expect(chat.edit('k1-m1', 'x'.repeat(70_000))).rejects.toBeInstanceOf(FrameError);
  const [edit] = FakeSocket.last.framesOf('edit');
  expect(edit!.content).toHaveLength(4_001);
  FakeSocket.last.frame({ type: 'error', ref: edit!.ref, code: 'too_long', detail: 'Too long', retryable: false });
  await edited;
});

it('half an emoji stops neither a search for people, nor a reaction, nor a group', async () => {
  await auth.login('alice', 'x');
  server.routes['GET /api/users/search/'] = () => ({ body: [] });
  server.routes['POST /api/chat/conversations/'] = ({ body }) => ({ body: conversation('k3', { kind: 'group', title: body.title }) });
  await expect(chat.searchPeople('\ud83d')).resolves.toEqual([]);
  await expect(chat.createGroup('a\ud83d', [])).resolves.toMatchObject({ title: 'a\ufffd' });
  await expect(chat.react('k1-m1', '\ud83d')).rejects.toMatchObject({ status: 404 });
});
