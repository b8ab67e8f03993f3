import { vi } from 'vitest';

import type { TokenSource } from '@/core/connection';
import { Emitter } from '@/core/emitter';
import type { ChatEvent } from '@/core/frames';
import type { TokenStorage } from '@/core/storage';

/** A WebSocket whose other end is the test. */
export class FakeSocket {
  static all: FakeSocket[] = [];
  /** Opens, greets, resumes and answers pings by itself. */
  static lively = false;
  static get last(): FakeSocket {
    return FakeSocket.all[FakeSocket.all.length - 1]!;
  }
  readyState = 0;
  sent: string[] = [];
  closedWith: number | undefined;
  onopen: ((event: Event) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  onerror: ((event: Event) => void) | null = null;

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {
    FakeSocket.all.push(this);
    if (FakeSocket.lively) queueMicrotask(() => this.greet());
  }

  get token(): string {
    return this.protocols[1]!;
  }
  get frames(): Array<Record<string, unknown>> {
    return this.sent.map((text) => JSON.parse(text) as Record<string, unknown>);
  }
  framesOf(type: string) {
    return this.frames.filter((frame) => frame.type === type);
  }

  send(text: string) {
    if (this.readyState !== 1) throw new Error('not open');
    this.sent.push(text);
    if (!FakeSocket.lively || !text.startsWith('{')) return;
    const { type, ref } = JSON.parse(text) as { type: string; ref?: string };
    const server_time = new Date(Date.now()).toISOString();
    if (type === 'ping') queueMicrotask(() => this.frame({ type: 'pong', ref, server_time }));
    if (type === 'resume') queueMicrotask(() => this.frame({ type: 'resumed', ref }));
  }
  close(code = 1000) {
    this.closedWith = code;
    this.readyState = 3;
  }

  // The server's side
  open() {
    this.readyState = 1;
    this.onopen?.(new Event('open'));
  }
  frame(frame: object) {
    this.onmessage?.(new MessageEvent('message', { data: JSON.stringify(frame) }));
  }
  hello(extra: object = {}) {
    this.frame(hello(extra));
  }
  /** Opens and greets. */
  greet(extra: object = {}) {
    this.open();
    this.hello(extra);
  }
  events(...events: ChatEvent[]) {
    this.frame({ type: 'events', events });
  }
  serverClose(code: number, bye?: object) {
    if (bye) this.frame({ type: 'bye', code: 'x', close: code, ...bye });
    this.readyState = 3;
    this.onclose?.(new CloseEvent('close', { code }));
  }
}

export function hello(extra: object = {}) {
  return {
    type: 'hello',
    v: 1,
    connection_id: 'c1',
    session_id: 's1',
    user_id: 1,
    epoch: 'e1',
    server_time: new Date(Date.now()).toISOString(),
    heartbeat_interval_ms: 25_000,
    token_expires_at: new Date(Date.now() + 3_600_000).toISOString(),
    limits: { frame_bytes: 65_536, content_chars: 4_000, messages_per_10s: 20 },
    ...extra,
  };
}

export function created(conversation: string, seq: number, extra: Record<string, unknown> = {}): ChatEvent {
  return {
    conversation_uuid: conversation,
    seq,
    kind: 'message.created',
    at: new Date(Date.now()).toISOString(),
    actor_id: 2,
    data: message(conversation, seq, extra),
  } as ChatEvent;
}

export function message(conversation: string, seq: number, extra: Record<string, unknown> = {}) {
  return {
    uuid: `${conversation}-m${seq}`,
    conversation_uuid: conversation,
    seq,
    sender: { id: 2, username: 'bob', first_name: '', last_name: '' },
    content: `message ${seq}`,
    client_msg_id: null,
    reply_to: null,
    attachments: [],
    reactions: [],
    mentions: [],
    created_at: new Date(Date.now()).toISOString(),
    edited_at: null,
    deleted_at: null,
    ...extra,
  };
}

export interface FakeAuth extends TokenSource {
  token: string | null;
  emitter: Emitter<{ refresh: string; signOut: string }>;
  expiring: boolean;
}

/** A TokenSource in the test's hand: `token-1`, and after each refresh the next one. */
export function fakeAuth() {
  let count = 1;
  const emitter = new Emitter<{ refresh: string; signOut: string }>();
  const auth = {
    token: 'token-1' as string | null,
    expiring: false,
    emitter,
    ensureValidToken: vi.fn(async () => auth.token),
    refresh: vi.fn(async () => {
      auth.token = `token-${++count}`;
      emitter.emit('refresh', auth.token);
      return auth.token;
    }),
    onTokenRefresh: (callback: (token: string) => void) => emitter.on('refresh', callback),
    onSignOut: (callback: (reason: string) => void) => emitter.on('signOut', callback),
    isTokenExpiringSoon: vi.fn((_bufferMinutes?: number) => auth.expiring),
    signOut: vi.fn((reason: string) => emitter.emit('signOut', reason)),
    syncClock: vi.fn(),
  };
  return auth;
}

/** Lets every promise that is ready run, without moving the clock. */
export async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}

export interface FakeRequest {
  method: string;
  path: string;
  headers: Headers;
  body: Record<string, unknown>;
}

type Answer = { status?: number; body?: unknown; headers?: Record<string, string> } | Error;

/** A `fetch` that answers from a table: `'POST /api/auth/login/': () => ({body})`. */
export function fakeFetch(routes: Record<string, (request: FakeRequest) => Answer | Promise<Answer>>) {
  const requests: FakeRequest[] = [];
  const send = async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(String(input instanceof Request ? input.url : input), 'http://server');
    const request: FakeRequest = {
      method: init.method ?? 'GET',
      path: url.pathname + url.search,
      headers: new Headers(init.headers),
      body: typeof init.body === 'string' ? (JSON.parse(init.body) as Record<string, unknown>) : {},
    };
    requests.push(request);
    const route = routes[`${request.method} ${request.path}`] ?? routes[`${request.method} ${url.pathname}`];
    const answer = route ? await route(request) : { status: 404, body: { detail: 'none', code: 'not_found' } };
    if (answer instanceof Error) throw answer;
    const text = answer.body === undefined ? null : JSON.stringify(answer.body);
    return new Response(text, { status: answer.status ?? 200, headers: answer.headers ?? {} });
  };
  return { fetch: send as typeof fetch, routes, requests, to: (path: string) => requests.filter((r) => r.path === path) };
}

export function jwt(claims: object): string {
  const part = (value: object) => btoa(JSON.stringify(value)).replace(/=+$/, '').replace(/\+/g, '-').replace(/\//g, '_');
  return `${part({ alg: 'HS256' })}.${part(claims)}.sig`;
}

export const user = { id: 1, username: 'alice', first_name: 'Alice', last_name: '', email: 'alice@example.org' };

export const BOB = { id: 2, username: 'bob', first_name: 'Bob', last_name: '' };

export function conversation(uuid: string, extra: object = {}) {
  return {
    uuid,
    kind: 'direct',
    title: '',
    members_count: 2,
    members: [
      { user, role: 'member', seen_seq: 0, joined_at: '2026-01-01T00:00:00Z' },
      { user: BOB, role: 'member', seen_seq: 0, joined_at: '2026-01-01T00:00:00Z' },
    ],
    last_message: null,
    last_seq: 0,
    seen_seq: 0,
    unread_count: 0,
    mention_count: 0,
    muted_until: null,
    pinned: false,
    archived: false,
    my_role: 'member',
    history_visible: true,
    created_at: '2026-01-01T00:00:00Z',
    updated_at: '2026-01-01T00:00:00Z',
    ...extra,
  };
}

/** An answer of login or refresh; `n` tells the pairs apart. `clock` is the server's, milliseconds. */
export function pair(n: number, { lifetimeS = 3600, clock = Date.now(), sid = 's1' } = {}) {
  return {
    access: jwt({ n, sid, exp: clock / 1000 + lifetimeS, iat: clock / 1000 }),
    refresh: `refresh-${n}`,
    token_type: 'Bearer',
    access_expires_in: lifetimeS,
    refresh_expires_in: 604_800,
    server_time: new Date(clock).toISOString(),
    session: { id: sid },
    user,
  };
}

/** A storage that several clients share, as tabs do localStorage. */
export function sharedStorage(): () => TokenStorage {
  const items = new Map<string, string>();
  const listeners = new Map<object, (key: string | null) => void>();
  return () => {
    const tab = {};
    const tell = (key: string) => {
      for (const [owner, listener] of listeners) if (owner !== tab) listener(key);
    };
    return {
      getItem: (key) => items.get(key) ?? null,
      setItem(key, value) {
        items.set(key, value);
        tell(key);
      },
      removeItem(key) {
        items.delete(key);
        tell(key);
      },
      subscribe(listener) {
        listeners.set(tab, listener);
        return () => void listeners.delete(tab);
      },
    };
  };
}
