/** The core against a real server process. */
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';

import { AuthClient } from '@/core/auth';
import { ChatClient } from '@/core/chatClient';
import { Connection, ConnectionState } from '@/core/connection';
import type { ChatEvent } from '@/core/frames';
import { ApiError } from '@/core/errors';
import { memoryStorage } from '@/core/storage';
import { keyValueStore } from '@/core/stores';
import { uuid4 } from '@/core/uuid';
import { beginAgainClean } from '../support/attempts';
import { wireTo } from '../support/proxy';
import { startServer, until } from '../support/server';

const PASSWORD = 'alviar-demo';
const server = await startServer({ CHAT_MESSAGES_PER_10S: '2000', CHAT_FRAMES_PER_MINUTE: '20000' });
beginAgainClean(server);

const closing: Array<() => void> = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});
afterAll(() => server?.remove());

function authClient(baseUrl = server!.url) {
  const auth = new AuthClient({
    baseUrl,
    storage: memoryStorage(),
    deviceFingerprint: uuid4(),
    language: 'en',
  });
  closing.push(auth.start());
  return auth;
}

async function signedIn(username: string, baseUrl = server!.url) {
  const auth = authClient(baseUrl);
  await auth.login(username, PASSWORD);
  const chat = new ChatClient({ auth, WebSocket });
  closing.push(chat.close);
  const seen: ChatEvent[] = [];
  chat.on('event', (event) => seen.push(event));
  await chat.connect();
  await until(`${username} is connected`, () => chat.hello);
  return { auth, chat, seen };
}

/** Every conversation's numbers follow each other, and nothing came twice. */
function expectInOrder(events: ChatEvent[]) {
  const last = new Map<string, number>();
  for (const { conversation_uuid, seq } of events) {
    const before = last.get(conversation_uuid);
    if (before !== undefined) expect(seq).toBe(before + 1);
    last.set(conversation_uuid, seq);
  }
}

const stored = (chat: ChatClient, uuid: string) =>
  chat
    .timeline(uuid)
    .filter(({ status }) => status === 'stored')
    .map(({ content }) => content);

describe.skipIf(!server)('against a real server', () => {
  it('signs in, is refused in the user’s language, refreshes once for many, signs out', async () => {
    const auth = authClient();
    auth.language = 'fr';
    const refused = await auth.login('alice', 'wrong').catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ApiError);
    expect(refused).toMatchObject({ status: 401, code: 'no_active_account' });
    const { user } = await auth.login('alice', PASSWORD);
    expect(user.username).toBe('alice');
    expect(Math.round(auth.accessTokenRemainingMs() / 60_000)).toBe(60);
    const first = auth.accessToken;
    const tokens = await Promise.all([auth.refresh(), auth.refresh(), auth.refresh()]);
    expect(new Set(tokens).size).toBe(1);
    expect(tokens[0]).not.toBe(first);
    expect((await auth.reloadUser()).id).toBe(user.id);
    const token = auth.accessToken;
    await auth.logout();
    const answer = await fetch(`${server!.url}/api/users/me/`, { headers: { Authorization: `Bearer ${token}` } });
    expect(answer.status).toBe(401);
  });

  it('takes the successor that was lost on the way, and signs out when an old token is used', async () => {
    const auth = authClient();
    const { refresh } = await auth.login('alice', PASSWORD);
    const post = (token: string) =>
      fetch(`${server!.url}/api/auth/token/refresh/`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ refresh: token }),
      });
    const lost = (await (await post(refresh)).json()) as { refresh: string };
    // The client still has the parent: the server gives it the same successor.
    expect(await auth.refresh()).not.toBeNull();
    const again = await post(refresh);
    expect(again.headers.get('X-Refresh-Replayed')).toBe('1');
    expect(((await again.json()) as { refresh: string }).refresh).toBe(lost.refresh);
    await auth.refresh();
    expect((await post(refresh)).status).toBe(401);
    expect(await auth.refresh()).toBeNull();
    expect(auth.getSnapshot().status).toBe('signed_out');
  });

  it('chats both ways: receipts, typing, presence, reactions, replies, edits, deletions', async () => {
    const alice = await signedIn('alice');
    const bob = await signedIn('bob');
    const { uuid } = await alice.chat.openDirect(bob.auth.user!.id);
    await until('bob knows the conversation', async () => bob.chat.conversation(uuid) ?? (await bob.chat.reloadConversation(uuid)));

    bob.chat.watchPresence([alice.auth.user!.id]);
    await until('bob sees that alice is there', () => bob.chat.presenceOf(alice.auth.user!.id)?.online);
    alice.chat.setTyping(uuid, true);
    await until('bob sees alice typing', () => bob.chat.typingIn(uuid).length > 0);

    alice.chat.sendMessage(uuid, 'Salam Bob');
    const message = await until('bob has the message', () => bob.chat.timeline(uuid).find((m) => m.content === 'Salam Bob'));
    expect(bob.chat.typingIn(uuid)).toEqual([]);
    expect(bob.chat.conversation(uuid)!.unread_count).toBeGreaterThan(0);
    bob.chat.markSeen(uuid);
    await until('alice sees the receipt', () =>
      alice.chat.conversation(uuid)!.members.some((m) => m.user.username === 'bob' && (m.seen_seq ?? 0) >= message.seq),
    );

    bob.chat.sendMessage(uuid, 'Salam !', { reply_to: message.uuid });
    const reply = await until('alice has the reply', () => alice.chat.timeline(uuid).find((m) => m.content === 'Salam !'));
    expect(reply.reply_to?.uuid).toBe(message.uuid);

    await bob.chat.react(message.uuid, '👍');
    await until('alice sees the reaction', () =>
      alice.chat.timeline(uuid).find((m) => m.uuid === message.uuid)?.reactions.some((r) => r.emoji === '👍' && r.count === 1),
    );
    await alice.chat.edit(message.uuid, 'Salam, Bob');
    await until('bob sees the edit', () => bob.chat.timeline(uuid).find((m) => m.content === 'Salam, Bob')?.edited_at);
    expect(bob.chat.timeline(uuid).find((m) => m.uuid === message.uuid)!.reactions[0]).toMatchObject({ mine: true });
    await alice.chat.remove(message.uuid);
    await until('bob sees it gone', () => bob.chat.timeline(uuid).find((m) => m.uuid === message.uuid)?.deleted_at);
    await expect(bob.chat.edit(message.uuid, 'mine now')).rejects.toThrow();

    await alice.chat.loadNewest(uuid);
    expect(stored(alice.chat, uuid)).toEqual(stored(bob.chat, uuid));
    expectInOrder(alice.seen);
    expectInOrder(bob.seen);
  });

  it('loses and doubles nothing while tokens are refreshed under traffic, in band and by a new socket', { retry: 0 }, async () => {
    const alice = await signedIn('alice');
    const bob = await signedIn('bob');
    const { uuid } = await alice.chat.openDirect(bob.auth.user!.id);
    await alice.chat.loadNewest(uuid);
    const tag = uuid4().slice(0, 8);

    const phone = authClient();
    await phone.login('bob', PASSWORD);
    const received: string[] = [];
    const seqs: number[] = [];
    let opened = 0;
    let closed = 0;
    const hook = new Connection({ url: server!.socketUrl, auth: phone, WebSocket });
    hook.on('open', () => opened++);
    hook.on('close', () => closed++);
    hook.on('frame', (frame) => {
      if (frame.type !== 'events') return;
      for (const event of frame.events) {
        if (event.conversation_uuid !== uuid) continue;
        seqs.push(event.seq);
        if (event.kind === 'message.created') received.push(event.data.content);
      }
    });
    closing.push(hook.disconnect);
    let live = false;
    hook.on('hello', () => (live = true));
    hook.connect();
    await until('the phone is live', () => live);

    const written = Array.from({ length: 120 }, (_, i) => `${tag} ${i}`);
    for (const [index, content] of written.entries()) {
      alice.chat.sendMessage(uuid, content);
      if (index % 40 === 20) await Promise.all([alice.auth.refresh(), bob.auth.refresh(), phone.refresh()]);
      await new Promise((done) => setTimeout(done, 5));
    }
    await until('all is acknowledged', () => alice.chat.unsentCount === 0);
    await until('the phone has everything', () => received.length >= written.length);
    await until('bob has everything', () => bob.chat.timeline(uuid).filter((m) => m.content.startsWith(tag)).length >= written.length);
    expect(received).toEqual(written);
    expect(seqs).toEqual(seqs.map((_, i) => seqs[0]! + i));
    expectInOrder(bob.seen);
    expect(opened).toBe(4);
    expect(closed).toBe(0);
  });

  it('loses and doubles nothing over a wire that is cut again and again', { retry: 0 }, async () => {
    const wire = await wireTo(server!.url);
    const alice = await signedIn('alice', wire.url);
    const bob = await signedIn('bob', wire.url);
    const { uuid } = await alice.chat.openDirect(bob.auth.user!.id);
    await bob.chat.loadNewest(uuid);
    const phone = authClient(wire.url);
    await phone.login('bob', PASSWORD);
    const received: string[] = [];
    const socketUrl = `${wire.url.replace('http', 'ws')}/ws/chat/`;
    const hook = new Connection({ url: socketUrl, auth: phone, WebSocket, maxReconnectAttempts: Infinity });
    let live = 0;
    hook.on('hello', () => live++);
    hook.on('message', ({ data }) => {
      const { events = [] } = JSON.parse(data as string) as { events?: ChatEvent[] };
      for (const event of events) {
        if (event.conversation_uuid === uuid && event.kind === 'message.created') received.push(event.data.content);
      }
    });
    closing.push(hook.disconnect);
    hook.connect();
    await until('the phone is live', () => live > 0);

    const tag = uuid4().slice(0, 8);
    const written = Array.from({ length: 150 }, (_, i) => `${tag} ${i}`);
    for (const [index, content] of written.entries()) {
      alice.chat.sendMessage(uuid, content);
      if (index % 25 === 10) {
        wire.cut();
        setTimeout(wire.mend, 150);
      }
      if (index % 50 === 30) void phone.refresh();
      await new Promise((done) => setTimeout(done, 25));
    }
    const bobs = () => stored(bob.chat, uuid).filter((content) => content.startsWith(tag));
    await until('all is acknowledged', () => alice.chat.unsentCount === 0);
    await until('bob has everything', () => bobs().length >= written.length);
    await until('the phone has everything', () => received.length >= written.length);
    expect(bobs()).toEqual(written);
    expect(received).toEqual(written);
    expectInOrder(bob.seen);
    expect(live).toBeGreaterThan(3);
    expect(phone.getSnapshot().status).toBe('signed_in');
    await wire.close();
  });

  it('comes back after the server was killed, and nothing is lost', { retry: 0 }, async () => {
    const alice = await signedIn('alice');
    const bob = await signedIn('bob');
    const { uuid } = await alice.chat.openDirect(bob.auth.user!.id);
    await bob.chat.loadNewest(uuid);
    await until('bob knows the conversation', () => bob.chat.conversation(uuid));
    const tag = uuid4().slice(0, 8);
    const written: string[] = [];
    const write = (count: number) => {
      for (let i = 0; i < count; i++) alice.chat.sendMessage(uuid, written[written.push(`${tag} ${written.length}`) - 1]!);
    };
    write(20);
    await new Promise((done) => setTimeout(done, 20));
    await server!.kill();
    write(5);
    await until('alice has noticed', () => alice.chat.state !== ConnectionState.Open);
    write(5);
    expect(alice.chat.unsentCount).toBeGreaterThanOrEqual(10);
    await server!.restart();
    await until('all is acknowledged', () => alice.chat.unsentCount === 0);
    const bobs = () => stored(bob.chat, uuid).filter((content) => content.startsWith(tag));
    await until('bob has everything', () => bobs().length >= written.length);
    expect(bobs()).toEqual(written);
    expectInOrder(bob.seen);
    expect(alice.auth.getSnapshot().status).toBe('signed_in');
  });

  it('sends what was typed before it was killed, after its next start: once, in order, and shown meanwhile', { retry: 0 }, async () => {
    const wire = await wireTo(server!.url);
    const bob = await signedIn('bob');
    const items = new Map<string, string>();
    const storage = memoryStorage();
    const phone = () => {
      let alive = true;
      const write = (work: () => unknown) => void (alive && work());
      const store = keyValueStore({
        getItem: async (key) => items.get(key) ?? null,
        setItem: async (key, value) => write(() => items.set(key, value)),
        removeItem: async (key) => write(() => items.delete(key)),
      });
      const auth = new AuthClient({ baseUrl: wire.url, storage });
      const chat = new ChatClient({ auth, WebSocket, store });
      closing.push(auth.start(), chat.close);
      const kill = () => {
        alive = false;
        chat.close();
      };
      return { auth, chat, kill };
    };
    const first = phone();
    await first.auth.login('alice', PASSWORD);
    await first.chat.connect();
    const { uuid } = await first.chat.openDirect(bob.auth.user!.id);
    await until('the phone is connected', () => first.chat.hello);
    await bob.chat.loadNewest(uuid);
    const tag = uuid4().slice(0, 8);
    wire.cut();
    await until('the phone has noticed', () => first.chat.state !== ConnectionState.Open);
    for (let i = 0; i < 30; i++) first.chat.sendMessage(uuid, `${tag} ${i}`);
    await first.chat.save();
    first.kill();

    const second = phone();
    second.chat.connect().catch(() => {});
    await until('it is shown without a network', () => second.chat.timeline(uuid).length >= 30);
    expect(second.chat.conversation(uuid)).toBeDefined();
    wire.mend();
    second.chat.connection.connect();
    await until('all is acknowledged', () => second.chat.unsentCount === 0);
    const written = Array.from({ length: 30 }, (_, i) => `${tag} ${i}`);
    const bobs = () => stored(bob.chat, uuid).filter((content) => content.startsWith(tag));
    await until('bob has everything', () => bobs().length >= 30);
    expect(bobs()).toEqual(written);
    await wire.close();
  });

  it('moves when the server is drained, without a word to the user', async () => {
    const alice = await signedIn('alice');
    const codes: number[] = [];
    alice.chat.on('frame', (frame) => frame.type === 'bye' && codes.push(frame.close));
    await server!.terminate();
    await server!.restart();
    await until('alice is back', () => alice.chat.hello && alice.chat.state === ConnectionState.Open);
    expect(codes).toEqual([4410]);
  });

  it('signs out when the session is revoked elsewhere, and stays out', { retry: 0 }, async () => {
    const laptop = await signedIn('alice');
    const phone = await signedIn('alice');
    const { results } = await laptop.auth.api<{ results: Array<{ id: string; is_current: boolean }> }>(
      'GET',
      '/api/users/sessions/',
    );
    const phoneId = phone.chat.hello!.session_id;
    expect(results.some(({ id }) => id === phoneId)).toBe(true);
    await laptop.auth.api('POST', `/api/users/sessions/${phoneId}/revoke/`, {});
    await until('the phone is signed out', () => phone.auth.getSnapshot().status === 'signed_out');
    expect(phone.auth.getSnapshot().signedOutReason).toBe('session_revoked');
    expect(phone.chat.state).toBe(ConnectionState.Idle);
    expect(laptop.auth.getSnapshot().status).toBe('signed_in');
    expect(laptop.chat.connection.isOpen).toBe(true);
  });
});
