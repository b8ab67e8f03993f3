/** A browser's tabs without a browser: locks, channels and storage that tabs share, and a server that keeps one conversation. */
import type { Locks } from '@/core/locks';
import type { ChannelLike } from '@/core/tabs';
import { message, user } from './fakes';

interface Request {
  tab: Tab;
  name: string;
  held: boolean;
  begin: () => void;
  fail: (error: Error) => void;
}

export class FakeBrowser {
  private requests: Request[] = [];
  channels = new Set<FakeChannel>();
  /** IndexedDB. */
  readonly items = new Map<string, string>();

  open(): Tab {
    return new Tab(this);
  }

  add(request: Request, steal: boolean): void {
    if (steal) {
      for (const other of this.requests.filter(({ name, held }) => held && name === request.name)) {
        this.drop(other);
        other.fail(new DOMException('stolen', 'AbortError'));
      }
      this.requests.unshift(request);
    } else this.requests.push(request);
    this.grant();
  }

  drop(request: Request): void {
    this.requests = this.requests.filter((each) => each !== request);
    this.grant();
  }

  get held(): string[] {
    return this.requests.filter(({ held }) => held).map(({ name }) => name);
  }

  removeTab(tab: Tab): void {
    for (const channel of [...this.channels]) if (channel.tab === tab) this.channels.delete(channel);
    for (const request of this.requests.filter((each) => each.tab === tab)) this.drop(request);
  }

  private grant(): void {
    for (const request of this.requests) {
      if (request.held || this.requests.some(({ name, held }) => held && name === request.name)) continue;
      request.held = true;
      queueMicrotask(request.begin);
    }
  }
}

class FakeChannel implements ChannelLike {
  onmessage: ((event: { data: unknown }) => void) | null = null;

  constructor(
    readonly name: string,
    readonly tab: Tab,
    private readonly browser: FakeBrowser,
  ) {
    browser.channels.add(this);
  }

  postMessage(sent: unknown): void {
    if (!this.browser.channels.has(this)) return;
    const data: unknown = structuredClone(sent);
    for (const other of this.browser.channels) {
      if (other !== this && other.name === this.name) queueMicrotask(() => other.tab.run(() => other.onmessage?.({ data })));
    }
  }

  close(): void {
    this.browser.channels.delete(this);
  }
}

export class Tab {
  alive = true;
  private frozen: Array<() => void> | null = null;
  readonly locks: Locks;
  readonly BroadcastChannel: new (name: string) => ChannelLike;
  readonly storage;

  constructor(private readonly browser: FakeBrowser) {
    const tab = this;
    this.BroadcastChannel = class {
      constructor(name: string) {
        return new FakeChannel(name, tab, browser);
      }
    } as never;
    this.locks = {
      query: async () => ({ held: browser.held.map((name) => ({ name })) }),
      request: (name, { signal, steal = false }, work) =>
        new Promise((resolve, reject) => {
          if (!tab.alive) return;
          const request: Request = {
            tab,
            name,
            held: false,
            begin: () =>
              tab.run(() => {
                work().then(resolve, reject).finally(() => browser.drop(request));
              }),
            fail: (error) => tab.run(() => reject(error)),
          };
          signal?.addEventListener('abort', () => {
            if (request.held) return;
            browser.drop(request);
            reject(new DOMException('called off', 'AbortError'));
          });
          browser.add(request, steal);
        }),
    };
    this.storage = {
      getItem: async (key: string) => browser.items.get(key) ?? null,
      setItem: async (key: string, value: string) => void (this.alive && browser.items.set(key, value)),
      removeItem: async (key: string) => void (this.alive && browser.items.delete(key)),
    };
  }

  run(work: () => void): void {
    if (!this.alive) return;
    if (this.frozen) this.frozen.push(work);
    else work();
  }

  freeze(): void {
    this.frozen = [];
  }

  thaw(): void {
    const waiting = this.frozen ?? [];
    this.frozen = null;
    for (const work of waiting) work();
  }

  /** As `kill -9` does: nothing more is written or said. */
  kill(): void {
    this.alive = false;
    this.browser.removeTab(this);
  }
}

/** Keeps the conversation `k1`, deduplicates by `client_msg_id`, answers as the contract says. */
export class SmallServer {
  sockets: ServerSocket[] = [];
  made = 0;
  reachable = true;
  events: Array<Record<string, unknown> & { seq: number }> = [];
  private readonly stored = new Map<string, number>();

  get contents(): unknown[] {
    return this.events.map(({ data }) => (data as { content: string }).content);
  }

  socketOf(tab?: Tab) {
    const server = this;
    return class {
      constructor(url: string, protocols: string[]) {
        return new ServerSocket(server, url, protocols, tab);
      }
    } as never;
  }

  say(content: string): void {
    this.store(content, null, 2);
  }

  cut(code = 1006): void {
    for (const socket of [...this.sockets]) socket.drop(code);
  }

  take(socket: ServerSocket, frame: Record<string, any>): void {
    const { type, ref } = frame;
    if (type === 'ping') socket.frame({ type: 'pong', ref, server_time: new Date(Date.now()).toISOString() });
    if (type === 'presence') {
      socket.watched = frame.user_ids;
      socket.frame({ type: 'presence', ref, users: frame.user_ids.map((user_id: number) => ({ user_id, online: true, last_seen_at: null })) });
    }
    if (type === 'mark_as_seen') {
      for (const each of this.sockets) each.frame({ type: 'receipt', conversation_uuid: 'k1', user_id: 1, up_to_seq: frame.up_to_seq });
    }
    if (type === 'authenticate') socket.frame({ type: 'authenticated', ref, token_expires_at: '' });
    if (type === 'resume') {
      const missed = this.events.filter(({ seq }) => seq > (frame.cursors.k1 ?? 0));
      if (missed.length > 0) socket.frame({ type: 'events', ref, events: missed });
      socket.frame({ type: 'resumed', ref });
    }
    if (type === 'message') {
      const known = this.stored.get(frame.client_msg_id);
      const seq = known ?? this.store(frame.content, frame.client_msg_id, 1);
      socket.frame({ type: 'ack', ref, client_msg_id: frame.client_msg_id, message_uuid: `k1-m${seq}`, conversation_uuid: 'k1', seq, created_at: '', duplicate: known !== undefined });
    }
  }

  private store(content: string, client_msg_id: string | null, by: number): number {
    const seq = this.events.length + 1;
    if (client_msg_id) this.stored.set(client_msg_id, seq);
    const sender = by === 1 ? user : { id: 2, username: 'bob', first_name: '', last_name: '' };
    const data = message('k1', seq, { content, client_msg_id, sender });
    const event = { conversation_uuid: 'k1', seq, kind: 'message.created', at: data.created_at, actor_id: by, data };
    this.events.push(event);
    for (const socket of this.sockets) socket.frame({ type: 'events', events: [event] });
    return seq;
  }
}

class ServerSocket {
  readyState = 0;
  watched: number[] = [];
  readonly token: string;
  onopen: ((event: unknown) => void) | null = null;
  onmessage: ((event: unknown) => void) | null = null;
  onclose: ((event: unknown) => void) | null = null;
  onerror: ((event: unknown) => void) | null = null;

  constructor(
    private readonly server: SmallServer,
    readonly url: string,
    protocols: string[],
    readonly tab?: Tab,
  ) {
    this.token = protocols[1]!;
    server.made++;
    queueMicrotask(() => {
      if (this.readyState !== 0) return;
      if (!server.reachable) return this.drop(1006);
      this.readyState = 1;
      server.sockets.push(this);
      this.run(() => this.onopen?.({}));
      this.frame({
        type: 'hello', v: 1, connection_id: `c${server.made}`, session_id: 's1', user_id: 1, epoch: 'e1',
        server_time: new Date(Date.now()).toISOString(), heartbeat_interval_ms: 25_000,
        token_expires_at: new Date(Date.now() + 3_600_000).toISOString(),
        limits: { frame_bytes: 65_536, content_chars: 4_000, messages_per_10s: 1_000 },
      });
    });
  }

  send(text: string): void {
    if (this.tab?.alive === false || this.readyState !== 1) return;
    const frame = JSON.parse(text) as Record<string, unknown>;
    queueMicrotask(() => this.server.sockets.includes(this) && this.server.take(this, frame));
  }

  close(): void {
    this.readyState = 3;
    this.server.sockets = this.server.sockets.filter((each) => each !== this);
  }

  frame(frame: object): void {
    const data = JSON.stringify(frame);
    queueMicrotask(() => this.run(() => this.readyState === 1 && this.onmessage?.({ data })));
  }

  drop(code: number): void {
    this.close();
    queueMicrotask(() => this.run(() => this.onclose?.({ code, reason: '', wasClean: false })));
  }

  private run(work: () => void): void {
    if (this.tab) this.tab.run(work);
    else work();
  }
}
