import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Connection, ConnectionState, type ConnectionOptions } from '@/core/connection';
import { MINUTE_MS } from '@/core/constants';
import type { ChatEvent } from '@/core/frames';
import type { LifecycleEvent } from '@/core/lifecycle';
import { created, FakeSocket, fakeAuth, settle } from '../support/fakes';

let auth: ReturnType<typeof fakeAuth>;
let made: Connection[] = [];

function connection(options: Partial<ConnectionOptions> = {}) {
  const connection = new Connection({
    url: 'ws://server/ws/chat/',
    auth,
    WebSocket: FakeSocket as never,
    random: () => 1,
    ...options,
  });
  made.push(connection);
  const log: string[] = [];
  const seen: ChatEvent[] = [];
  connection.on('open', () => log.push('open'));
  connection.on('close', (event) => log.push(`close ${event.code}`));
  connection.on('message', (event) => {
    const text = event.data as string;
    if (!text.startsWith('{')) return void log.push(text);
    const frame = JSON.parse(text) as { type: string; events?: ChatEvent[] };
    if (frame.events) seen.push(...frame.events);
    else log.push(frame.type);
  });
  return { connection, log, seen, seqs: () => seen.map((event) => event.seq) };
}

async function connected(options: Partial<ConnectionOptions> = {}) {
  const all = connection(options);
  all.connection.connect();
  await settle();
  FakeSocket.last.greet();
  return all;
}

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-11-21T10:00:00Z') });
  FakeSocket.all = [];
  FakeSocket.lively = false;
  auth = fakeAuth();
});
afterEach(() => {
  for (const connection of made.splice(0)) connection.disconnect();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe('opening', () => {
  it('asks for a valid token first and offers it as the second subprotocol', async () => {
    const { connection: c } = await connected();
    expect(auth.ensureValidToken).toHaveBeenCalledTimes(1);
    expect(FakeSocket.last.protocols).toEqual(['access_token', 'token-1']);
    expect(c.state).toBe(ConnectionState.Open);
  });

  it('queues what is sent before the opening and keeps its order', async () => {
    const { connection: c } = connection();
    expect(c.send('1')).toBe(false);
    c.connect();
    c.send('2');
    await settle();
    c.on('open', () => c.send('3'));
    FakeSocket.last.open();
    expect(FakeSocket.last.sent).toEqual(['1', '2', '3']);
  });

  it('opens on any WebSocket server, without hello, and closes with 1000', async () => {
    const { connection: c, log } = connection();
    c.connect();
    await settle();
    FakeSocket.last.open();
    expect(c.isOpen).toBe(true);
    c.disconnect();
    expect(FakeSocket.last.closedWith).toBe(1000);
    expect(log).toEqual(['open', 'close 1000']);
  });

  it('opens nothing when it was disconnected while the token came', async () => {
    const { connection: c } = connection();
    c.connect();
    c.disconnect();
    await settle();
    expect(FakeSocket.all).toHaveLength(0);
  });

  it('opens one socket for many calls', async () => {
    const { connection: c } = connection();
    c.connect();
    c.connect();
    await settle();
    c.connect();
    expect(FakeSocket.all).toHaveLength(1);
  });

  it('gives up a handshake after 10 s', async () => {
    const { connection: c } = connection();
    c.connect();
    await settle();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(c.state).toBe(ConnectionState.Waiting);
  });
});

describe('coming back', () => {
  it('waits 0.5, 1, 2, 4, 8 s at most and stops after five attempts', async () => {
    const { connection: c } = await connected();
    const delays: number[] = [];
    while (c.state !== ConnectionState.Stopped) {
      const before = Date.now();
      FakeSocket.last.serverClose(1006);
      const sockets = FakeSocket.all.length;
      while (FakeSocket.all.length === sockets && c.state === ConnectionState.Waiting) {
        await vi.advanceTimersByTimeAsync(100);
      }
      if (FakeSocket.all.length > sockets) delays.push(Date.now() - before);
    }
    expect(delays).toEqual([500, 1_000, 2_000, 4_000, 8_000]);
    expect(FakeSocket.all).toHaveLength(6);
  });

  it('has no limit when told so, and never waits longer than 20 s', async () => {
    const { connection: c } = await connected({ maxReconnectAttempts: Infinity });
    for (let i = 0; i < 40; i++) {
      const sockets = FakeSocket.all.length;
      FakeSocket.last.serverClose(1006);
      await vi.advanceTimersByTimeAsync(20_000);
      expect(FakeSocket.all.length).toBeGreaterThan(sockets);
    }
    expect(c.state).not.toBe(ConnectionState.Stopped);
  });

  it('begins the back-off anew after resumed, not after hello', async () => {
    await connected();
    for (let i = 0; i < 3; i++) {
      FakeSocket.last.serverClose(1006);
      await vi.advanceTimersByTimeAsync(5_000);
    }
    FakeSocket.last.greet();
    FakeSocket.last.serverClose(4411);
    await vi.advanceTimersByTimeAsync(3_900);
    expect(FakeSocket.all).toHaveLength(4);
    await vi.advanceTimersByTimeAsync(100);
    expect(FakeSocket.all).toHaveLength(5);
    FakeSocket.last.greet();
    FakeSocket.last.frame({ type: 'resumed' });
    FakeSocket.last.serverClose(1006);
    await vi.advanceTimersByTimeAsync(500);
    expect(FakeSocket.all).toHaveLength(6);
  });

  it('begins the back-off anew after an opening, where the server has no hello', async () => {
    const { connection: c } = connection();
    c.connect();
    for (let i = 0; i < 12; i++) {
      await vi.advanceTimersByTimeAsync(500);
      FakeSocket.last.open();
      FakeSocket.last.serverClose(1006);
    }
    expect(FakeSocket.all).toHaveLength(12);
  });

  it('asks for a valid token again at every attempt', async () => {
    await connected();
    FakeSocket.last.serverClose(1006);
    auth.token = 'token-9';
    await vi.advanceTimersByTimeAsync(500);
    expect(FakeSocket.last.token).toBe('token-9');
  });

  it('waits for a token that cannot be had now', async () => {
    auth.token = null;
    const { connection: c } = connection();
    c.connect();
    await settle();
    expect(c.state).toBe(ConnectionState.Waiting);
    auth.token = 'token-2';
    await vi.advanceTimersByTimeAsync(500);
    expect(FakeSocket.last.token).toBe('token-2');
  });

  it('tries at once when the network or the app returns, also after giving up; not in the background', async () => {
    let tell: (event: LifecycleEvent) => void = () => {};
    Object.assign(auth, { lifecycle: { subscribe: (listener: typeof tell) => ((tell = listener), () => {}) } });
    const { connection: c } = await connected({ maxReconnectAttempts: 1 });
    FakeSocket.last.serverClose(1006);
    tell('online');
    await settle();
    expect(FakeSocket.all).toHaveLength(2);
    tell('background');
    FakeSocket.last.serverClose(1006);
    await vi.advanceTimersByTimeAsync(60 * MINUTE_MS);
    expect(FakeSocket.all).toHaveLength(2);
    tell('foreground');
    await settle();
    expect(FakeSocket.all).toHaveLength(3);
    FakeSocket.last.serverClose(1006);
    await vi.advanceTimersByTimeAsync(500);
    FakeSocket.last.serverClose(1006);
    expect(c.state).toBe(ConnectionState.Stopped);
    tell('online');
    await settle();
    expect(FakeSocket.all).toHaveLength(5);
  });
});

describe('close codes', () => {
  it('4401: refreshes and reconnects at once; the second in a row waits', async () => {
    const { log } = await connected();
    FakeSocket.last.serverClose(4401);
    await settle();
    expect(auth.refresh).toHaveBeenCalledTimes(1);
    expect(FakeSocket.all).toHaveLength(2);
    expect(FakeSocket.last.token).toBe('token-2');
    FakeSocket.last.open();
    FakeSocket.last.serverClose(4401);
    await settle();
    expect(FakeSocket.all).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(500);
    expect(FakeSocket.all).toHaveLength(3);
    expect(log.filter((line) => line.startsWith('close'))).toEqual(['close 4401']);
  });

  it.each([4410, 4429])('%i: comes back when the bye says', async (code) => {
    await connected();
    FakeSocket.last.serverClose(code, { reconnect_in_ms: 3_000 });
    await vi.advanceTimersByTimeAsync(2_999);
    expect(FakeSocket.all).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(FakeSocket.all).toHaveLength(2);
  });

  it.each([4413, 4440])('%i: comes back at once, the second time in a row after a while', async (code) => {
    await connected();
    FakeSocket.last.serverClose(code);
    await settle();
    expect(FakeSocket.all).toHaveLength(2);
    FakeSocket.last.serverClose(code);
    await settle();
    expect(FakeSocket.all).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(500);
    expect(FakeSocket.all).toHaveLength(3);
  });

  it('4440: comes back at once every twelve hours', async () => {
    FakeSocket.lively = true;
    const { connection: c } = connection();
    c.connect();
    for (let sockets = 1; sockets < 5; sockets++) {
      await vi.advanceTimersByTimeAsync(100);
      expect(FakeSocket.all).toHaveLength(sockets);
      FakeSocket.last.serverClose(4440);
      await settle();
    }
  });

  it.each([4408, 4411, 4412, 4499, 1000, 1001, 1006, 1009, 1011, 1012, 1013])('%i: backs off', async (code) => {
    const { connection: c } = await connected();
    FakeSocket.last.serverClose(code);
    await settle();
    expect(c.state).toBe(ConnectionState.Waiting);
    await vi.advanceTimersByTimeAsync(500);
    expect(FakeSocket.all).toHaveLength(2);
  });

  it.each([
    [4503, 'session_revoked'],
    [4504, 'account_disabled'],
  ])('%i: signs out', async (code, reason) => {
    const { connection: c, log } = await connected();
    FakeSocket.last.serverClose(code);
    await vi.advanceTimersByTimeAsync(60 * MINUTE_MS);
    expect(auth.signOut).toHaveBeenCalledWith(reason);
    expect(FakeSocket.all).toHaveLength(1);
    expect(c.state).toBe(ConnectionState.Idle);
    expect(log.filter((line) => line.startsWith('close'))).toEqual([`close ${code}`]);
  });

  it.each([4506, 4507, 4500, 4999])('%i: stops until connect is called', async (code) => {
    const { connection: c } = await connected();
    FakeSocket.last.serverClose(code);
    await vi.advanceTimersByTimeAsync(60 * MINUTE_MS);
    expect(c.state).toBe(ConnectionState.Stopped);
    expect(auth.signOut).not.toHaveBeenCalled();
    c.connect();
    await settle();
    expect(FakeSocket.all).toHaveLength(2);
  });
});

function device() {
  let tell: (event: LifecycleEvent) => void = () => {};
  Object.assign(auth, { lifecycle: { subscribe: (listener: typeof tell) => ((tell = listener), () => {}) } });
  return (event: LifecycleEvent) => tell(event);
}

it('does not come back by itself where a close code forbids it, not even with the network', async () => {
  const tell = device();
  await connected();
  FakeSocket.last.serverClose(4507);
  tell('online');
  tell('foreground');
  await vi.advanceTimersByTimeAsync(60_000);
  expect(FakeSocket.all).toHaveLength(1);
});

it('comes back once when a superseded one is looked at, each time', async () => {
  const tell = device();
  const { connection: c } = await connected();
  for (let look = 1; look < 4; look++) {
    FakeSocket.last.serverClose(4506);
    await vi.advanceTimersByTimeAsync(10 * MINUTE_MS);
    expect(FakeSocket.all).toHaveLength(look);
    expect(c).toMatchObject({ gaveUp: true, lastError: { code: 4506 } });
    tell('foreground');
    await settle();
    FakeSocket.last.greet();
    expect(FakeSocket.all).toHaveLength(look + 1);
    expect(c).toMatchObject({ gaveUp: false, lastError: null, isOpen: true });
  }
});

describe('a dead network', () => {
  it.each(['online', 'foreground', 'offline'] as const)('is noticed within 3 s of %s', async (event) => {
    const tell = device();
    const { connection: c } = await connected();
    tell(event);
    await vi.advanceTimersByTimeAsync(2_999);
    expect(c.isOpen).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    expect(c.isOpen).toBe(false);
  });

  it('is noticed within 5 s of something sent, and what was sent goes again under the same id', async () => {
    const { connection: c } = await connected();
    expect(c.send(JSON.stringify({ type: 'message', conversation_uuid: 'a', content: 'Hello!' }))).toBe(true);
    const [first] = FakeSocket.last.framesOf('message');
    await vi.advanceTimersByTimeAsync(4_999);
    expect(c.isOpen).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    expect(c.isOpen).toBe(false);
    await vi.advanceTimersByTimeAsync(500);
    FakeSocket.last.greet();
    const [again] = FakeSocket.last.framesOf('message');
    expect(again).toEqual(first);
    expect(first!.client_msg_id).toMatch(/-4/);
    FakeSocket.last.frame({ type: 'ack', client_msg_id: first!.client_msg_id, message_uuid: 'm', conversation_uuid: 'a', seq: 1, created_at: '', duplicate: false });
    FakeSocket.last.serverClose(1006);
    await vi.advanceTimersByTimeAsync(1_000);
    FakeSocket.last.greet();
    expect(FakeSocket.last.framesOf('message')).toHaveLength(0);
  });

  it('takes nothing with it that had waited for the socket', async () => {
    const { connection: c } = await connected();
    FakeSocket.last.serverClose(1006);
    expect(c.send(JSON.stringify({ type: 'message', conversation_uuid: 'a', content: 'Hello!' }))).toBe(false);
    await vi.advanceTimersByTimeAsync(500);
    FakeSocket.last.greet();
    const [first] = FakeSocket.last.framesOf('message');
    expect(first).toMatchObject({ content: 'Hello!' });
    FakeSocket.last.serverClose(1006);
    await vi.advanceTimersByTimeAsync(1_000);
    FakeSocket.last.greet();
    expect(FakeSocket.last.framesOf('message')).toEqual([first]);
  });

  it.each(['x'.repeat(70_000), 'é'.repeat(33_000), '字'.repeat(22_000), '😀'.repeat(16_500)])('a message over the limit ends one socket, not each', async (content) => {
    const { connection: c } = await connected();
    c.send(JSON.stringify({ type: 'message', conversation_uuid: 'a', content }));
    expect(FakeSocket.last.framesOf('message')).toHaveLength(1);
    FakeSocket.last.serverClose(1009);
    await vi.advanceTimersByTimeAsync(1_000);
    FakeSocket.last.greet();
    expect(FakeSocket.last.framesOf('message')).toHaveLength(0);
  });

  it('is noticed however short the heartbeat is: the oldest ping counts', async () => {
    const { connection: c } = await connected();
    FakeSocket.last.hello({ heartbeat_interval_ms: 2_000 });
    await vi.advanceTimersByTimeAsync(12_000);
    expect(c.isOpen).toBe(false);
  });
});

describe('whose it is', () => {
  function signedIn(sessionId: string | null, status = sessionId ? 'signed_in' : 'signed_out') {
    const snapshot = { status, sessionId };
    const listeners = new Set<() => void>();
    Object.assign(auth, { getSnapshot: () => snapshot, subscribe: (listener: () => void) => (listeners.add(listener), () => listeners.delete(listener)) });
    return (id: string | null) => {
      Object.assign(snapshot, { sessionId: id, status: id ? 'signed_in' : 'signed_out' });
      for (const listener of [...listeners]) listener();
    };
  }

  it('refuses what is sent with nobody signed in', async () => {
    const signIn = signedIn(null);
    const { connection: c } = connection();
    expect(c.send('secret')).toBe(false);
    signIn('s2');
    c.connect();
    await settle();
    FakeSocket.last.open();
    expect(FakeSocket.last.sent).toEqual([]);
  });

  it('drops the queue and the cursors of one session when another one opens', async () => {
    const signIn = signedIn('s1');
    const { connection: c } = await connected();
    FakeSocket.last.events(created('a', 7));
    c.disconnect();
    c.send('alice’s secret');
    signIn('s2');
    c.connect();
    await settle();
    FakeSocket.last.greet();
    expect(FakeSocket.last.sent).toEqual([]);
    expect(c.sequencer.cursors).toEqual({});
  });

  it('keeps what was sent while the sign-in was being read for that sign-in only', async () => {
    for (const [found, sent] of [['s1', ['early']], [null, []]] as const) {
      FakeSocket.all = [];
      const signIn = signedIn(null, 'loading');
      const { connection: c } = connection();
      c.send('early');
      signIn(found);
      if (!found) signIn('s2');
      c.connect();
      await settle();
      FakeSocket.last.open();
      expect(FakeSocket.last.sent).toEqual(sent);
      c.disconnect();
    }
  });
});

describe('giving up', () => {
  it('tells that it has, and why', async () => {
    const { connection: c } = await connected({ maxReconnectAttempts: 1 });
    FakeSocket.last.serverClose(1006);
    expect(c).toMatchObject({ gaveUp: false, lastError: { code: 1006 } });
    await vi.advanceTimersByTimeAsync(500);
    FakeSocket.last.serverClose(1011);
    expect(c).toMatchObject({ state: 'stopped', gaveUp: true, lastError: { name: 'ConnectionError', code: 1011 } });
  });

  it('says that there is no WebSocket, once, and waits for nothing', async () => {
    vi.stubGlobal('WebSocket', undefined);
    const { connection: c } = connection({ WebSocket: undefined });
    const errors: unknown[] = [];
    c.on('error', (event) => errors.push(event));
    c.connect();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(errors).toHaveLength(1);
    expect(c).toMatchObject({ gaveUp: true, lastError: { code: 'no_websocket' } });
    vi.unstubAllGlobals();
  });
});

it('keeps the old epoch with its cursors until a catch-up has been answered to its end', async () => {
  const { connection: c } = await connected();
  FakeSocket.last.events(created('a', 50));
  for (let attempt = 0; attempt < 2; attempt++) {
    FakeSocket.last.serverClose(1006);
    await vi.advanceTimersByTimeAsync(1_000);
    FakeSocket.last.greet({ epoch: 'restored' });
    expect(FakeSocket.last.framesOf('resume')).toMatchObject([{ epoch: 'e1', cursors: { a: 50 } }]);
  }
  await vi.advanceTimersByTimeAsync(15_000);
  expect(c.sequencer.epoch).toBe('e1');
  FakeSocket.last.frame({ type: 'gap', conversation_uuid: 'a', from_seq: 1, last_seq: 3 });
  FakeSocket.last.frame({ type: 'resumed' });
  expect(c.sequencer).toMatchObject({ epoch: 'restored', cursors: { a: 3 } });
});

describe('heartbeat', () => {
  it('pings at the interval that hello names and keeps the pong to itself', async () => {
    const { log } = await connected();
    FakeSocket.last.hello({ heartbeat_interval_ms: 7_000 });
    await vi.advanceTimersByTimeAsync(7_000);
    const [ping] = FakeSocket.last.framesOf('ping');
    FakeSocket.last.frame({ type: 'pong', server_time: '2026-11-21T10:00:07Z', ref: ping!.ref });
    expect(auth.syncClock).toHaveBeenLastCalledWith('2026-11-21T10:00:07Z');
    expect(log).not.toContain('pong');
    await vi.advanceTimersByTimeAsync(7_000);
    expect(FakeSocket.last.framesOf('ping')).toHaveLength(2);
  });

  it('takes 10 s without any frame after a ping for a dead network', async () => {
    const { connection: c, log } = await connected();
    await vi.advanceTimersByTimeAsync(25_000);
    await vi.advanceTimersByTimeAsync(9_999);
    expect(c.isOpen).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    expect(c.state).toBe(ConnectionState.Waiting);
    expect(log).toContain('close 1006');
  });

  it('takes any frame as a sign of life', async () => {
    const { connection: c } = await connected();
    await vi.advanceTimersByTimeAsync(26_000);
    FakeSocket.last.frame({ type: 'typing', conversation_uuid: 'a', user_id: 2, active: true });
    await vi.advanceTimersByTimeAsync(20_000);
    expect(c.isOpen).toBe(true);
  });
});

describe('a new token', () => {
  it('makes the new socket before it breaks the old one, with nothing missed or seen twice', async () => {
    const { connection: c, log, seqs } = await connected();
    const old = FakeSocket.last;
    old.events(created('a', 1), created('a', 2));
    await auth.refresh();
    const next = FakeSocket.last;
    expect(next).not.toBe(old);
    expect(next.token).toBe('token-2');
    expect(old.closedWith).toBeUndefined();
    next.open();
    expect(c.websocket).toBe(old);
    old.events(created('a', 3));
    next.hello();
    expect(c.websocket).toBe(next);
    expect(next.framesOf('resume')).toMatchObject([{ epoch: 'e1', cursors: { a: 3 } }]);
    next.events(created('a', 5));
    old.events(created('a', 4));
    old.events(created('a', 5));
    next.events(created('a', 4));
    expect(old.closedWith).toBeUndefined();
    next.frame({ type: 'resumed' });
    expect(old.closedWith).toBe(1000);
    expect(seqs()).toEqual([1, 2, 3, 4, 5]);
    expect(log.filter((line) => line === 'open')).toHaveLength(2);
    expect(log.some((line) => line.startsWith('close'))).toBe(false);
  });

  it('does not hand on twice what both sockets say and no number tells apart', async () => {
    const { log } = await connected();
    const old = FakeSocket.last;
    await auth.refresh();
    FakeSocket.last.greet();
    const typing = { type: 'typing', conversation_uuid: 'a', user_id: 2, active: true };
    old.frame(typing);
    FakeSocket.last.frame(typing);
    expect(log.filter((line) => line === 'typing')).toHaveLength(1);
  });

  it('swaps at the opening where the server has no hello', async () => {
    const { connection: c, log } = connection();
    c.connect();
    await settle();
    const old = FakeSocket.last;
    old.open();
    await auth.refresh();
    expect(old.closedWith).toBeUndefined();
    FakeSocket.last.open();
    expect(old.closedWith).toBe(1000);
    expect(log).toEqual(['open', 'open']);
  });

  it('keeps the old socket when the new one cannot be made', async () => {
    const { connection: c, log } = await connected();
    const old = FakeSocket.last;
    await auth.refresh();
    FakeSocket.last.serverClose(1006);
    expect(c.websocket).toBe(old);
    old.events(created('a', 1));
    expect(log.some((line) => line.startsWith('close'))).toBe(false);
  });

  it('asks for another token when the new socket’s is rejected, and keeps the old socket meanwhile', async () => {
    const { connection: c } = await connected();
    const old = FakeSocket.last;
    await auth.refresh();
    FakeSocket.last.open();
    FakeSocket.last.serverClose(4401);
    await settle();
    expect(c.websocket).toBe(old);
    expect(FakeSocket.all).toHaveLength(3);
    expect(FakeSocket.last.token).toBe('token-3');
  });

  it('drops the old socket after 5 s when the catch-up takes longer', async () => {
    await connected();
    const old = FakeSocket.last;
    await auth.refresh();
    FakeSocket.last.greet();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(old.closedWith).toBe(1000);
  });

  it('goes on with the new socket when the old one dies meanwhile', async () => {
    const { connection: c, log } = await connected();
    const old = FakeSocket.last;
    await auth.refresh();
    old.serverClose(4401);
    FakeSocket.last.greet();
    FakeSocket.last.frame({ type: 'resumed' });
    expect(c.isOpen).toBe(true);
    expect(FakeSocket.all).toHaveLength(2);
    expect(log.filter((line) => /open|close/.test(line))).toEqual(['open', 'close 4401', 'open']);
  });

  it('checks every 5 minutes and wants 10 more', async () => {
    await connected();
    const alive = setInterval(() => FakeSocket.last.frame({ type: 'pong', server_time: 'x' }), 1_000);
    await vi.advanceTimersByTimeAsync(5 * MINUTE_MS);
    expect(auth.isTokenExpiringSoon.mock.calls).toEqual([[10]]);
    expect(auth.ensureValidToken).toHaveBeenCalledTimes(1);
    auth.expiring = true;
    await vi.advanceTimersByTimeAsync(5 * MINUTE_MS);
    expect(auth.ensureValidToken).toHaveBeenLastCalledWith(10);
    clearInterval(alive);
  });

  it('refreshes when the server says that the token is about to end', async () => {
    await connected();
    FakeSocket.last.frame({ type: 'token_expiring', in_s: 300 });
    expect(auth.ensureValidToken).toHaveBeenLastCalledWith(10);
  });

  it('hands it over in band where that is chosen, and keeps the socket', async () => {
    const { connection: c } = await connected({ onNewToken: 'authenticate' });
    await auth.refresh();
    const [frame] = FakeSocket.last.framesOf('authenticate');
    expect(frame!.token).toBe('token-2');
    FakeSocket.last.frame({ type: 'authenticated', ref: frame!.ref, token_expires_at: 'x' });
    await vi.advanceTimersByTimeAsync(15_000);
    expect(FakeSocket.all).toHaveLength(1);
    expect(c.isOpen).toBe(true);
  });

  it('replaces the socket when the in-band token is refused or not answered', async () => {
    await connected({ onNewToken: 'authenticate' });
    await auth.refresh();
    const [frame] = FakeSocket.last.framesOf('authenticate');
    FakeSocket.last.frame({ type: 'error', ref: frame!.ref, code: 'token_not_valid', detail: '', retryable: false });
    expect(FakeSocket.all).toHaveLength(2);
    FakeSocket.last.greet();
    FakeSocket.last.frame({ type: 'resumed' });
    await auth.refresh();
    const alive = setInterval(() => FakeSocket.all[1]!.frame({ type: 'pong', server_time: 'x' }), 1_000);
    await vi.advanceTimersByTimeAsync(10_000);
    clearInterval(alive);
    expect(FakeSocket.all).toHaveLength(3);
    expect(FakeSocket.last.token).toBe('token-3');
  });
});

describe('catching up', () => {
  it('resumes from its cursors after a loss', async () => {
    const { seqs } = await connected();
    FakeSocket.last.events(created('a', 7), created('b', 1));
    FakeSocket.last.serverClose(1006);
    await vi.advanceTimersByTimeAsync(500);
    FakeSocket.last.greet();
    expect(FakeSocket.last.framesOf('resume')).toMatchObject([{ epoch: 'e1', cursors: { a: 7, b: 1 } }]);
    FakeSocket.last.events(created('a', 8), created('a', 9));
    FakeSocket.last.frame({ type: 'resumed' });
    expect(seqs()).toEqual([7, 1, 8, 9]);
  });

  it('sends nothing to resume on the first hello without a cursor', async () => {
    await connected();
    expect(FakeSocket.last.framesOf('resume')).toHaveLength(0);
  });

  it('splits a long list of cursors', async () => {
    const { connection: c } = connection();
    for (let i = 0; i < 1_100; i++) c.sequencer.advance(`c${i}`, i);
    c.connect();
    await settle();
    FakeSocket.last.greet();
    const frames = FakeSocket.last.framesOf('resume');
    expect(frames.map((frame) => frame.more ?? false)).toEqual([true, true, false]);
    expect(Object.keys(Object.assign({}, ...frames.map((frame) => frame.cursors)))).toHaveLength(1_100);
  });

  it('says which epoch its cursors are of, and takes the gap that answers', async () => {
    const { connection: c, log } = await connected();
    FakeSocket.last.events(created('a', 50));
    FakeSocket.last.serverClose(1012);
    await vi.advanceTimersByTimeAsync(500);
    FakeSocket.last.greet({ epoch: 'e2' });
    expect(FakeSocket.last.framesOf('resume')[0]!.epoch).toBe('e1');
    FakeSocket.last.frame({ type: 'gap', conversation_uuid: 'a', from_seq: 1, last_seq: 3 });
    FakeSocket.last.frame({ type: 'resumed' });
    expect(log).toContain('gap');
    expect(c.sequencer.cursors).toEqual({ a: 3 });
    expect(c.sequencer.epoch).toBe('e2');
  });

  it('asks sync for a hole, in pages, and again when no answer comes', async () => {
    const { seqs } = await connected();
    FakeSocket.last.events(created('a', 1));
    FakeSocket.last.events(created('a', 6));
    const syncs = () => FakeSocket.last.framesOf('sync').map((frame) => frame.after_seq);
    expect(syncs()).toEqual([1]);
    FakeSocket.last.events(created('a', 7));
    expect(syncs()).toEqual([1]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(syncs()).toEqual([1, 1]);
    FakeSocket.last.frame({ type: 'events', ref: 'sync', events: [created('a', 2), created('a', 3)] });
    expect(syncs()).toEqual([1, 1, 3]);
    FakeSocket.last.events(created('a', 4), created('a', 5));
    expect(seqs()).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('asks to resume again when the server could not answer, and ends the wait by itself', async () => {
    await connected();
    FakeSocket.last.events(created('a', 1));
    FakeSocket.last.serverClose(1006);
    await vi.advanceTimersByTimeAsync(500);
    FakeSocket.last.greet();
    const [resume] = FakeSocket.last.framesOf('resume');
    FakeSocket.last.frame({ type: 'error', ref: resume!.ref, code: 'temporarily_unavailable', retryable: true, detail: '', retry_after_ms: 2_000 });
    await vi.advanceTimersByTimeAsync(2_000);
    expect(FakeSocket.last.framesOf('resume')).toHaveLength(2);
    FakeSocket.last.events(created('a', 3));
    expect(FakeSocket.last.framesOf('sync')).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(15_000);
    expect(FakeSocket.last.framesOf('sync').length).toBeGreaterThan(0);
  });

  it('hands a partly repeated frame on without the repeats, and foreign text as it is', async () => {
    const { connection: c, seqs } = await connected();
    const texts: unknown[] = [];
    c.on('message', (event) => texts.push(event.data));
    FakeSocket.last.events(created('a', 1), created('a', 2));
    FakeSocket.last.events(created('a', 1), created('a', 2), created('a', 3));
    FakeSocket.last.events(created('a', 2));
    FakeSocket.last.onmessage!(new MessageEvent('message', { data: 'not json' }));
    expect(seqs()).toEqual([1, 2, 3]);
    expect(texts[texts.length - 1]).toBe('not json');
    expect(texts).toHaveLength(3);
  });

  it('forgets a conversation it was removed from', async () => {
    const { connection: c } = await connected();
    FakeSocket.last.events(created('a', 1));
    FakeSocket.last.frame({ type: 'removed', conversation_uuid: 'a' });
    expect(c.sequencer.cursors).toEqual({});
  });
});
