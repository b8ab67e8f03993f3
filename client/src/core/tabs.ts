/** One socket for all tabs of a browser that have the same address and session. */
import { CloseCode } from './closeCodes.js';
import { HANDSHAKE_TIMEOUT_MS, JOIN_PATIENCE_MS, PRESENCE_LIMIT } from './constants.js';
import { closeEvent, made, messageEvent } from './events.js';
import { parseFrame, type ClientFrame, type Hello } from './frames.js';
import { readClaims } from './jwt.js';
import type { Locks } from './locks.js';
import type { SocketLike, WebSocketConstructor } from './platform.js';
import type { Uuid } from './types.js';
import { uuid4 } from './uuid.js';

export interface ChannelLike {
  postMessage(message: unknown): void;
  close(): void;
  onmessage: ((event: any) => void) | null;
}

export interface TabSocketOptions {
  /** What the one real socket is made of, and every socket where the two below are missing; default: the platform's. */
  WebSocket?: WebSocketConstructor;
  /** Default: `navigator.locks`. */
  locks?: Locks | undefined;
  /** Default: the platform's. */
  BroadcastChannel?: (new (name: string) => ChannelLike) | undefined;
}

/** What tabs say to each other; `to` is one of them, or all that follow the sender. */
type Word = { from: Uuid; to?: Uuid } & (
  /** Is there a leader? */
  | { kind: 'join' }
  /** There is, and it is not live yet. */
  | { kind: 'wait' }
  /** It is live, and here is its `hello`. */
  | { kind: 'welcome'; data: string }
  /** A frame of the server, or for it. */
  | { kind: 'frame' | 'send'; data: string }
  | { kind: 'leave' }
  /** The real socket is gone. */
  | { kind: 'closed'; code: number; reason: string }
);
type Said = Word extends infer Each ? (Each extends Word ? Omit<Each, 'from'> : never) : never;

/** Who asked, and under which `ref`. */
interface Asked {
  by: Uuid;
  ref: string | number;
}

/** Questions that wait for their answer; the oldest are forgotten. */
const ASKED_LIMIT = 1_000;

/**
 * A `WebSocket` to hand to `AuthClient`, of which the tabs of one browser share the real one: `new AuthClient({ baseUrl,
 * WebSocket: tabSocket() })`. Where the browser has no locks or no `BroadcastChannel`, each tab has its own.
 *
 * The tab that holds the lock has the socket and hands on what comes and goes; each tab has cursors, a queue and a
 * heartbeat of its own, as if the socket were its. A tab whose leader is gone is told by the lock that it is given. Its
 * socket then closes as one does that has reached its age, and the connection above it comes back at once with its
 * cursors, so that nothing is lost or repeated. A leader that does not answer (a frozen tab) is deposed.
 */
export function tabSocket(options: TabSocketOptions = {}): WebSocketConstructor {
  const {
    WebSocket = globalThis.WebSocket as WebSocketConstructor | undefined,
    locks = globalThis.navigator?.locks as Locks | undefined,
    BroadcastChannel = globalThis.BroadcastChannel as TabSocketOptions['BroadcastChannel'],
  } = options;
  return class {
    constructor(url: string, protocols: string[] = []) {
      const session = readClaims(protocols[1] ?? '')?.sid;
      // Looked at now: a server that renders the page has none of them.
      if (!WebSocket) throw new TypeError('no WebSocket');
      if (!locks || !BroadcastChannel || !session) return new WebSocket(url, protocols) as never;
      const name = `alviar ${url} ${session}`;
      let channel: ChannelLike;
      try {
        channel = new BroadcastChannel(name);
      } catch {
        // Denied, as all storage is in some private windows.
        return new WebSocket(url, protocols) as never;
      }
      return new TabSocket(name, () => new WebSocket(url, protocols), locks, channel) as never;
    }
  } as unknown as WebSocketConstructor;
}

export class TabSocket implements SocketLike {
  readyState = 0;
  onopen: SocketLike['onopen'] = null;
  onmessage: SocketLike['onmessage'] = null;
  onclose: SocketLike['onclose'] = null;
  onerror: SocketLike['onerror'] = null;

  private readonly id = uuid4();
  private readonly unwanted = new AbortController();
  private patience: ReturnType<typeof setTimeout> | undefined;
  /** Whom this one follows. */
  private leader: Uuid | undefined;
  /** Gives the lock back. */
  private release: (() => void) | undefined;

  // Of the leader
  private real: SocketLike | undefined;
  private hello: { frame: Hello; at: number } | undefined;
  private readonly asked = new Map<string, Asked>();
  private nextRef = 1;
  private readonly watched = new Map<Uuid, number[]>();
  /** Parts of a `resume` that has more to come: the server takes them as one, so those of two tabs must not mix. */
  private readonly parts = new Map<Uuid, ClientFrame[]>();

  constructor(
    private readonly name: string,
    private readonly dial: () => SocketLike,
    private readonly locks: Locks,
    private readonly channel: ChannelLike,
  ) {
    channel.onmessage = ({ data }: { data: Word }) => this.heard(data);
    this.lead({ signal: this.unwanted.signal });
    this.say({ kind: 'join' });
    this.wait(JOIN_PATIENCE_MS);
  }

  send(data: string): void {
    if (this.real) this.forward(this.id, data);
    else if (this.leader) this.say({ kind: 'send', to: this.leader, data });
  }

  close(code = 1000, reason = ''): void {
    if (this.readyState >= 2) return;
    const { real } = this;
    if (real) {
      // The others come back at once, and one of them leads.
      this.end(CloseCode.MaxAge, 'handed over');
      real.close(code, reason);
    } else this.end();
  }

  // The lock

  private lead(options: { signal: AbortSignal } | { steal: true }): void {
    const held = () =>
      new Promise<void>((release) => {
        this.release = release;
        if (this.readyState >= 2) release();
        else if (this.readyState === 1) this.lost(CloseCode.MaxAge, 'the leader is gone');
        else this.begin();
      });
    this.locks.request(this.name, options, held).catch(() => {
      // Deposed, or called off; or the browser that has locks denies them here: then each tab leads itself.
      if (this.real) this.lost(CloseCode.MaxAge, 'deposed');
      else if (this.readyState === 0) this.begin();
    });
  }

  /** No word from a leader for so long: it is not there, whatever it holds. */
  private wait(ms: number): void {
    clearTimeout(this.patience);
    this.patience = setTimeout(() => this.readyState === 0 && this.lead({ steal: true }), ms);
  }

  private begin(): void {
    clearTimeout(this.patience);
    let real: SocketLike;
    try {
      real = this.real = this.dial();
    } catch {
      return this.lost(1006, 'no socket');
    }
    real.onopen = (event) => {
      this.readyState = 1;
      this.onopen?.(event);
    };
    real.onmessage = (event) => this.received(event.data);
    real.onerror = (event) => this.onerror?.(event);
    real.onclose = ({ code, reason }) => this.lost(code, reason);
  }

  /** Closed from the other side. */
  private lost(code: number, reason: string): void {
    if (this.readyState >= 2) return;
    const { real } = this;
    this.end(code, reason);
    if (real && real.readyState < 2) real.close();
    this.onclose?.(closeEvent(code, reason));
  }

  private end(code = 1000, reason = ''): void {
    const { real } = this;
    this.readyState = 3;
    clearTimeout(this.patience);
    this.unwanted.abort();
    if (real) {
      real.onopen = real.onmessage = real.onclose = null;
      real.onerror = () => {};
      this.say({ kind: 'closed', code, reason });
    } else if (this.leader) this.say({ kind: 'leave', to: this.leader });
    this.real = undefined;
    this.channel.close();
    this.release?.();
  }

  // Between the tabs

  private say(said: Said): void {
    this.channel.postMessage({ ...said, from: this.id });
  }

  private heard(word: Word): void {
    if (this.readyState >= 2 || (word.to !== undefined && word.to !== this.id)) return;
    const { from } = word;
    if (word.kind === 'join') {
      if (this.hello) this.welcome(from);
      else if (this.real) this.say({ kind: 'wait', to: from });
    } else if (word.kind === 'send') this.forward(from, word.data);
    else if (word.kind === 'leave') this.watched.delete(from);
    else if (this.real) return;
    else if (word.kind === 'wait') this.wait(HANDSHAKE_TIMEOUT_MS);
    else if (word.kind === 'welcome' && this.readyState === 0) this.join(from, word.data);
    else if (from !== this.leader) return;
    else if (word.kind === 'frame') this.onmessage?.(messageEvent(word.data));
    else if (word.kind === 'closed') this.lost(word.code, word.reason);
  }

  private join(leader: Uuid, hello: string): void {
    clearTimeout(this.patience);
    this.leader = leader;
    this.readyState = 1;
    this.onopen?.(made('Event', 'open', {}));
    this.onmessage?.(messageEvent(hello));
  }

  /** To one, or to all. The server's clock has gone on since. */
  private welcome(to?: Uuid): void {
    const { frame, at } = this.hello!;
    const server_time = new Date(Date.parse(frame.server_time) + Date.now() - at).toISOString();
    this.say({ kind: 'welcome', data: JSON.stringify({ ...frame, server_time }), ...(to && { to }) });
  }

  // Between the tabs and the server

  /** An answer goes back to who asked, so each `ref` is made the leader's own. */
  private forward(by: Uuid, data: string): void {
    if (!this.real || this.real.readyState !== 1) return;
    const frame = parseFrame(data) as ClientFrame | null;
    if (!frame) return this.real.send(data);
    if (frame.type === 'resume') {
      const parts = this.parts.get(by) ?? [];
      this.parts.set(by, parts);
      parts.push(frame);
      if (frame.more) return;
      this.parts.delete(by);
      for (const part of parts) this.ask(by, part);
    } else if (frame.type === 'presence') {
      // The server keeps one list for each socket.
      this.watched.set(by, frame.user_ids);
      const user_ids = [...new Set([...frame.user_ids, ...[...this.watched.values()].flat()])].slice(0, PRESENCE_LIMIT);
      this.ask(by, { ...frame, user_ids });
    } else this.ask(by, frame);
  }

  private ask(by: Uuid, frame: ClientFrame): void {
    let text = JSON.stringify(frame);
    if (frame.ref !== undefined) {
      const ref = `t${this.nextRef++}`;
      this.asked.set(ref, { by, ref: frame.ref });
      if (this.asked.size > ASKED_LIMIT) this.asked.delete(this.asked.keys().next().value!);
      text = JSON.stringify({ ...frame, ref });
    }
    this.real!.send(text);
  }

  private received(data: string): void {
    const frame = parseFrame(data);
    if (frame?.type === 'hello') {
      this.hello = { frame, at: Date.now() };
      this.onmessage?.(messageEvent(data));
      return this.welcome();
    }
    const ref = frame && 'ref' in frame ? frame.ref : undefined;
    const asked = this.asked.get(String(ref));
    if (!asked) return this.tell(data);
    const answer = JSON.stringify({ ...frame, ref: asked.ref });
    if (asked.by === this.id) this.onmessage?.(messageEvent(answer));
    else this.say({ kind: 'frame', to: asked.by, data: answer });
    // What one tab has shown has been seen in all of them.
    if (frame?.type === 'receipt') this.tell(JSON.stringify({ ...frame, ref: undefined }), asked.by);
  }

  private tell(data: string, except?: Uuid): void {
    this.say({ kind: 'frame', data });
    if (except !== this.id) this.onmessage?.(messageEvent(data));
  }
}
