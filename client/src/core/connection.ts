import { backoffDelay } from './backoff.js';
import { verdictOn } from './closeCodes.js';
import {
  AUTHENTICATE_TIMEOUT_MS,
  DEFAULT_HEARTBEAT_INTERVAL_MS,
  HANDSHAKE_TIMEOUT_MS,
  MAX_RECONNECT_ATTEMPTS,
  OVERLAP_TIMEOUT_MS,
  PONG_TIMEOUT_MS,
  RESUME_CURSORS_PER_FRAME,
  RESUME_RETRY_MS,
  RESUME_TIMEOUT_MS,
  SEND_QUEUE_LIMIT,
  SOCKET_TOKEN_BUFFER_MINUTES,
  SOCKET_TOKEN_CHECK_INTERVAL_MS,
  SYNC_RETRY_MS,
} from './constants.js';
import { Emitter, type Unsubscribe } from './emitter.js';
import {
  parseFrame,
  type Bye,
  type ChatEvent,
  type ClientFrame,
  type Hello,
  type Ref,
  type ServerFrame,
} from './frames.js';
import { noLifecycle, type Lifecycle } from './lifecycle.js';
import { Sequencer } from './sequencer.js';

/** What the connection wants of `AuthClient`; only the first three are needed. */
export interface TokenSource {
  ensureValidToken(bufferMinutes?: number): Promise<string | null>;
  onTokenRefresh(callback: (newAccessToken: string) => void): Unsubscribe;
  isTokenExpiringSoon(bufferMinutes?: number): boolean;
  refresh?(): Promise<string | null>;
  onSignOut?(callback: (reason: string) => void): Unsubscribe;
  signOut?(reason: string): void;
  syncClock?(serverTime: string): void;
  readonly lifecycle?: Lifecycle;
}

export enum ConnectionState {
  /** Not wanted: before `connect`, after `disconnect`. */
  Idle = 'idle',
  Connecting = 'connecting',
  Open = 'open',
  /** Lost; the next attempt is on its way. */
  Waiting = 'waiting',
  /** Given up: too many attempts, or a close code that forbids another. `connect` begins anew. */
  Stopped = 'stopped',
}

export interface ConnectionOptions {
  url: string;
  auth: TokenSource;
  /** What a refreshed token does: a new socket beside the old one (the hook), or `authenticate` on the same one. */
  onNewToken?: 'reconnect' | 'authenticate';
  /** Reconnects in a row without a success; `Infinity` never gives up. */
  maxReconnectAttempts?: number;
  WebSocket?: WebSocketConstructor;
  random?: () => number;
}

export type WebSocketConstructor = new (url: string, protocols?: string | string[]) => WebSocket;

export interface ConnectionEvents {
  state: ConnectionState;
  /** A socket is open, also one that replaces another. */
  open: WebSocket;
  /** Live: `hello` has come and what was missed is on its way. */
  hello: Hello;
  /** The connection is lost or given up. Not for a socket that has been replaced. */
  close: CloseEvent;
  error: Event;
  /** Everything that is not the connection's own business; each chat event once and in order. */
  message: MessageEvent;
  frame: ServerFrame;
}

const HEARTBEAT_REF = 'heartbeat';
const AUTHENTICATE_REF = 'token';
const SYNC_REF = 'sync';
const RESUME_REF = 'resume';
const OWN_REFS: ReadonlySet<Ref | undefined> = new Set([HEARTBEAT_REF, AUTHENTICATE_REF, SYNC_REF, RESUME_REF]);

/** One WebSocket and what is known about it. */
interface Link {
  ws: WebSocket;
  token: string;
  opened: boolean;
  live: boolean;
  bye: Bye | null;
  /** The token this link was asked to take by `authenticate`. */
  pendingToken: string | null;
  handshakeTimer: ReturnType<typeof setTimeout> | undefined;
}

/**
 * A socket that stays: valid token before each opening, heartbeat, cursors, `resume`, `sync`, close codes, back-off.
 *
 * `current` is the socket in use. On a new token `next` is made beside it and takes its place once it is live;
 * the replaced one stays as `leaving` until the catch-up is through, so that nothing falls between the two.
 */
export class Connection {
  readonly sequencer = new Sequencer();
  state: ConnectionState = ConnectionState.Idle;

  private readonly events = new Emitter<ConnectionEvents>();
  private readonly auth: TokenSource;
  private readonly options: ConnectionOptions;
  private readonly random: () => number;

  private current: Link | null = null;
  private next: Link | null = null;
  private leaving: Link | null = null;
  private wanted = false;
  /** Counts `connect` and `disconnect`, so that an answer from before them is known as stale. */
  private generation = 0;
  /** Reconnects since the last success. */
  private attempts = 0;
  private rejectedTokens = 0;
  private promptReconnects = 0;
  /** The server speaks the protocol: its sockets are live from `hello` on, not from the opening. */
  private speaksProtocol = false;
  /** The server's clock at the first `hello`; what happened earlier is history. */
  private since = Infinity;
  private queue: string[] = [];
  private pausedInBackground = false;
  /** Stopped by a close code that forbids another attempt, not by too many of them. */
  private forbidden = false;

  private reconnectTimer: ReturnType<typeof setTimeout> | undefined;
  private heartbeatTimer: ReturnType<typeof setInterval> | undefined;
  private pongTimer: ReturnType<typeof setTimeout> | undefined;
  private tokenCheckTimer: ReturnType<typeof setInterval> | undefined;
  private overlapTimer: ReturnType<typeof setTimeout> | undefined;
  private authenticateTimer: ReturnType<typeof setTimeout> | undefined;
  private syncTimer: ReturnType<typeof setTimeout> | undefined;
  private resumeTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly syncing = new Map<string, number>();
  private unsubscribe: Unsubscribe[] = [];

  constructor(options: ConnectionOptions) {
    this.options = options;
    this.auth = options.auth;
    this.random = options.random ?? (() => Math.random());
  }

  on = this.events.on.bind(this.events) as Emitter<ConnectionEvents>['on'];

  get websocket(): WebSocket | null {
    return this.current?.opened ? this.current.ws : null;
  }

  /** A new socket is being made beside the one in use. */
  get isReplacing(): boolean {
    return this.next !== null;
  }

  get isOpen(): boolean {
    return this.state === ConnectionState.Open;
  }

  connect = (): void => {
    if (this.wanted && this.state !== ConnectionState.Stopped) {
      // Waiting for the next attempt: the caller is asking for it now.
      if (this.state === ConnectionState.Waiting) this.retryNow();
      return;
    }
    if (!this.wanted) this.listen();
    this.wanted = true;
    this.forbidden = false;
    this.resetAttempts();
    void this.open();
  };

  /** Closes with 1000. Cursors and unsent strings stay for the next `connect`. */
  disconnect = (): void => {
    if (!this.wanted) return;
    this.wanted = false;
    this.generation++;
    for (const unsubscribe of this.unsubscribe.splice(0)) unsubscribe();
    clearTimeout(this.reconnectTimer);
    const wasOpen = this.current?.opened ?? false;
    this.dropAll();
    this.setState(ConnectionState.Idle);
    if (wasOpen) this.events.emit('close', closeEvent(1000, ''));
  };

  /** Sends now if the socket is open, else as soon as it is. True when it went out now. */
  send = (data: string): boolean => {
    const { current } = this;
    if (current?.opened && isWritable(current.ws)) {
      current.ws.send(data);
      return true;
    }
    this.queue.push(data);
    if (this.queue.length > SEND_QUEUE_LIMIT) this.queue.shift();
    return false;
  };

  sendFrame = (frame: ClientFrame): boolean => this.send(JSON.stringify(frame));

  /** Starts from nothing: another person signs in. */
  clear(): void {
    this.sequencer.clear();
    this.queue = [];
    this.since = Infinity;
  }

  // Opening

  private listen(): void {
    this.unsubscribe.push(
      this.auth.onTokenRefresh((token) => this.tokenRefreshed(token)),
      (this.auth.lifecycle ?? noLifecycle).subscribe((event) => {
        if (event === 'background') this.pausedInBackground = true;
        else if (event !== 'offline') {
          this.pausedInBackground = false;
          this.lookAlive();
        }
      }),
    );
    const stop = this.auth.onSignOut?.(() => {
      this.disconnect();
      this.clear();
    });
    if (stop) this.unsubscribe.push(stop);
  }

  private async open({ renew = false } = {}): Promise<void> {
    clearTimeout(this.reconnectTimer);
    const generation = ++this.generation;
    this.setState(ConnectionState.Connecting);
    const token = await this.token(renew);
    if (generation !== this.generation || !this.wanted) return;
    if (!token) return this.reconnectLater();
    this.current = this.dial(token);
    if (!this.current) this.reconnectLater();
  }

  private async token(renew: boolean): Promise<string | null> {
    try {
      if (renew) {
        const fresh = await (this.auth.refresh ?? this.auth.ensureValidToken)();
        if (fresh) return fresh;
      }
      return await this.auth.ensureValidToken();
    } catch {
      return null;
    }
  }

  private dial(token: string): Link | null {
    const Constructor = this.options.WebSocket ?? globalThis.WebSocket;
    let ws: WebSocket;
    try {
      ws = new Constructor(this.options.url, ['access_token', token]);
    } catch (error) {
      this.events.emit('error', errorEvent(error));
      return null;
    }
    const link: Link = {
      ws,
      token,
      opened: false,
      live: false,
      bye: null,
      pendingToken: null,
      handshakeTimer: setTimeout(() => this.lost(link, closeEvent(1006, 'handshake timeout')), HANDSHAKE_TIMEOUT_MS),
    };
    ws.onopen = () => this.opened(link);
    ws.onmessage = (event) => this.received(link, event);
    ws.onerror = (event) => this.events.emit('error', event);
    ws.onclose = (event) => this.lost(link, event);
    return link;
  }

  private opened(link: Link): void {
    link.opened = true;
    clearTimeout(link.handshakeTimer);
    if (this.speaksProtocol) {
      // Wait for `hello`: until then the socket may still be refused.
      link.handshakeTimer = setTimeout(
        () => this.lost(link, closeEvent(1006, 'no hello')),
        HANDSHAKE_TIMEOUT_MS,
      );
      return;
    }
    this.takeOver(link);
  }

  /** `link` is the socket in use from here on. */
  private takeOver(link: Link): void {
    if (link === this.next) {
      this.drop(this.leaving);
      this.leaving = this.current;
      this.current = link;
      this.next = null;
      // A server without the protocol has no `resumed` to wait for.
      if (!this.speaksProtocol) this.dropLeaving();
      else this.overlapTimer = setTimeout(() => this.dropLeaving(), OVERLAP_TIMEOUT_MS);
    }
    clearInterval(this.tokenCheckTimer);
    this.tokenCheckTimer = setInterval(() => void this.checkToken(), SOCKET_TOKEN_CHECK_INTERVAL_MS);
    this.setState(ConnectionState.Open);
    for (const data of this.queue.splice(0)) link.ws.send(data);
    this.events.emit('open', link.ws);
  }

  // Receiving

  private received(link: Link, event: MessageEvent): void {
    if (link !== this.current && link !== this.next && link !== this.leaving) return;
    if (link === this.current) this.heard();
    const frame = parseFrame(event.data);
    if (!frame) {
      if (link !== this.leaving) this.events.emit('message', event);
      return;
    }
    if (link === this.leaving && !['events', 'ack', 'error'].includes(frame.type)) return;
    switch (frame.type) {
      case 'hello':
        return this.greeted(link, frame, event);
      case 'events': {
        const ready = this.sequencer.accept(frame.events);
        this.deliverEvents(ready, frame, event);
        return this.fillHoles();
      }
      case 'gap': {
        const ready = this.sequencer.gap(frame.conversation_uuid, frame.last_seq);
        this.syncing.delete(frame.conversation_uuid);
        this.deliver(frame, event);
        this.deliverEvents(ready);
        return this.fillHoles();
      }
      case 'removed':
        this.sequencer.forget(frame.conversation_uuid);
        this.syncing.delete(frame.conversation_uuid);
        return this.deliver(frame, event);
      case 'resumed':
        if (link === this.current) this.caughtUp();
        return this.deliver(frame, event);
      case 'pong':
        this.auth.syncClock?.(frame.server_time);
        if (frame.ref === HEARTBEAT_REF) return;
        return this.deliver(frame, event);
      case 'authenticated':
        clearTimeout(this.authenticateTimer);
        if (link.pendingToken) link.token = link.pendingToken;
        link.pendingToken = null;
        return this.deliver(frame, event);
      case 'token_expiring':
        void this.auth.ensureValidToken(SOCKET_TOKEN_BUFFER_MINUTES);
        return this.deliver(frame, event);
      case 'bye':
        link.bye = frame;
        return this.deliver(frame, event);
      case 'error':
        if (frame.ref === AUTHENTICATE_REF && link.pendingToken) {
          const token = link.pendingToken;
          link.pendingToken = null;
          return this.replace(token);
        }
        if (frame.ref === SYNC_REF) return;
        if (frame.ref === RESUME_REF) return this.resumeAgain(link, frame.retry_after_ms ?? RESUME_RETRY_MS);
        return this.deliver(frame, event);
      default:
        return this.deliver(frame, event);
    }
  }

  private greeted(link: Link, hello: Hello, event: MessageEvent): void {
    clearTimeout(link.handshakeTimer);
    this.auth.syncClock?.(hello.server_time);
    const waitedForHello = this.speaksProtocol;
    const first = this.since === Infinity;
    this.speaksProtocol = true;
    link.live = true;
    link.opened = true;
    this.rejectedTokens = 0;
    if (first) this.since = Date.parse(hello.server_time);
    if (waitedForHello || link === this.next) this.takeOver(link);
    this.beat(hello.heartbeat_interval_ms);
    const known = this.sequencer.epoch ?? hello.epoch;
    this.sequencer.epoch = hello.epoch;
    this.resume(link, known, first);
    this.events.emit('hello', hello);
    this.deliver(hello, event);
  }

  /**
   * Asks for what was missed. On the first `hello` without a cursor there is nothing to have missed.
   *
   * @param epoch The one that the cursors belong to: where the server has another, it answers with gaps.
   */
  private resume(link: Link, epoch: string, first: boolean): void {
    const cursors = Object.entries(this.sequencer.cursors);
    if (first && cursors.length === 0) return this.resetAttempts();
    this.sequencer.startResume();
    this.syncing.clear();
    do {
      const part = cursors.splice(0, RESUME_CURSORS_PER_FRAME);
      const frame: ClientFrame = { type: 'resume', epoch, cursors: Object.fromEntries(part), ref: RESUME_REF };
      if (cursors.length > 0) frame.more = true;
      this.sendNow(link, frame);
    } while (cursors.length > 0);
    clearTimeout(this.resumeTimer);
    this.resumeTimer = setTimeout(() => this.caughtUp(), RESUME_TIMEOUT_MS);
  }

  private resumeAgain(link: Link, delayMs: number): void {
    clearTimeout(this.resumeTimer);
    this.resumeTimer = setTimeout(() => {
      if (link === this.current) this.resume(link, this.sequencer.epoch ?? '', false);
    }, delayMs);
  }

  private caughtUp(): void {
    clearTimeout(this.resumeTimer);
    this.resetAttempts();
    this.deliverEvents(this.sequencer.finishResume(this.since));
    this.dropLeaving();
    this.fillHoles();
  }

  /** Hands on what is in turn; the original message when all of it is, else one made of the rest. */
  private deliverEvents(events: ChatEvent[], frame?: ServerFrame & { type: 'events' }, event?: MessageEvent): void {
    if (events.length === 0) return;
    if (frame && event && sameEvents(events, frame.events)) return this.deliver(frame, event);
    const made: ServerFrame = { type: 'events', events };
    this.deliver(made, messageEvent(JSON.stringify(made)));
  }

  private deliver(frame: ServerFrame, event: MessageEvent): void {
    this.events.emit('frame', frame);
    if (!('ref' in frame) || !OWN_REFS.has(frame.ref)) return this.events.emit('message', event);
    const { ref: _, ...rest } = frame;
    this.events.emit('message', messageEvent(JSON.stringify(rest)));
  }

  private fillHoles(): void {
    clearTimeout(this.syncTimer);
    const holes = this.sequencer.holes();
    if (holes.length === 0) {
      this.syncing.clear();
      return;
    }
    for (const { conversation_uuid, after_seq } of holes) {
      if (this.syncing.get(conversation_uuid) === after_seq) continue;
      this.syncing.set(conversation_uuid, after_seq);
      if (this.current?.live) {
        this.sendNow(this.current, { type: 'sync', conversation_uuid, after_seq, ref: SYNC_REF });
      }
    }
    this.syncTimer = setTimeout(() => {
      this.syncing.clear();
      this.fillHoles();
    }, SYNC_RETRY_MS);
  }

  // Heartbeat

  private beat(intervalMs: number): void {
    clearInterval(this.heartbeatTimer);
    this.heartbeatTimer = setInterval(() => this.ping(), intervalMs > 0 ? intervalMs : DEFAULT_HEARTBEAT_INTERVAL_MS);
  }

  private ping(): void {
    const { current } = this;
    if (!current?.live) return;
    this.sendNow(current, { type: 'ping', ref: HEARTBEAT_REF });
    clearTimeout(this.pongTimer);
    // A dead network leaves the socket "open" for minutes; its close event would come too late to wait for.
    this.pongTimer = setTimeout(() => this.lost(current, closeEvent(1006, 'no pong')), PONG_TIMEOUT_MS);
  }

  private heard(): void {
    clearTimeout(this.pongTimer);
    this.pongTimer = undefined;
  }

  /** Back in front, or back on the network: what looks open may be long dead, what waits need not wait. */
  private lookAlive(): void {
    const gaveUp = this.state === ConnectionState.Stopped && !this.forbidden;
    if (this.state === ConnectionState.Waiting || gaveUp) this.retryNow();
    else if (this.current?.live) this.ping();
  }

  // A new token

  private async checkToken(): Promise<void> {
    if (!this.auth.isTokenExpiringSoon(SOCKET_TOKEN_BUFFER_MINUTES)) return;
    const token = await this.auth.ensureValidToken(SOCKET_TOKEN_BUFFER_MINUTES);
    const underWay = this.next?.token ?? this.current?.pendingToken;
    if (token && token !== underWay) this.tokenRefreshed(token);
  }

  private tokenRefreshed(token: string): void {
    if (!this.wanted) return;
    if (this.state === ConnectionState.Waiting) return this.retryNow();
    const { current } = this;
    if (!current || current.token === token) return;
    if (this.options.onNewToken === 'authenticate' && current.live) {
      current.pendingToken = token;
      this.sendNow(current, { type: 'authenticate', token, ref: AUTHENTICATE_REF });
      clearTimeout(this.authenticateTimer);
      this.authenticateTimer = setTimeout(() => {
        if (current.pendingToken === token) this.replace(token);
      }, AUTHENTICATE_TIMEOUT_MS);
      return;
    }
    this.replace(token);
  }

  /** Make before break. */
  private replace(token: string): void {
    if (!this.wanted) return;
    this.drop(this.next);
    if (this.current?.opened) this.next = this.dial(token);
    else {
      this.drop(this.current);
      this.current = this.dial(token);
    }
  }

  // Closing

  private lost(link: Link, event: CloseEvent): void {
    clearTimeout(link.handshakeTimer);
    detach(link.ws);
    if (link === this.leaving) {
      this.leaving = null;
      return;
    }
    if (link === this.next) {
      this.next = null;
      const verdict = verdictOn(event.code);
      // The socket in use goes on until its own end, unless this is the end of the whole session.
      if (verdict === 'sign_out') this.signOut(event);
      else if (verdict === 'refresh' && ++this.rejectedTokens === 1) void this.auth.refresh?.();
      return;
    }
    if (link !== this.current) return;
    const { next } = this;
    if (next) {
      // The replacing one is under way already.
      const wasOpen = link.opened;
      this.current = next;
      this.next = null;
      this.stopTimers();
      this.drop(this.leaving);
      this.leaving = null;
      if (!next.opened) this.setState(ConnectionState.Connecting);
      if (wasOpen && verdictOn(event.code) === 'sign_out') return this.signOut(event);
      if (wasOpen) this.events.emit('close', event);
      return;
    }
    const announced = this.state === ConnectionState.Open;
    this.dropAll();
    const verdict = verdictOn(event.code);
    if (verdict === 'sign_out') return this.signOut(event, announced);
    // Without `hello` an opening was the success; a refusal by the contract's codes was none.
    if (link.opened && !this.speaksProtocol && event.code < 4000) this.resetAttempts();
    if (verdict === 'stop') {
      this.forbidden = true;
      this.setState(ConnectionState.Stopped);
    } else this.comeBack(verdict, link.bye);
    if (announced) this.events.emit('close', event);
  }

  private comeBack(verdict: 'refresh' | 'backoff' | 'at_once' | 'when_told', bye: Bye | null): void {
    if (verdict === 'refresh') {
      // A second rejected token in a row is no accident: wait.
      if (++this.rejectedTokens === 1) return void this.open({ renew: true });
      return this.reconnectLater({ renew: true });
    }
    if (verdict === 'at_once' && ++this.promptReconnects === 1) return void this.open();
    if (verdict === 'when_told' && bye?.reconnect_in_ms !== undefined) {
      return this.reconnectLater({ delayMs: bye.reconnect_in_ms });
    }
    this.reconnectLater();
  }

  private reconnectLater({ delayMs, renew = false }: { delayMs?: number; renew?: boolean } = {}): void {
    const limit = this.options.maxReconnectAttempts ?? MAX_RECONNECT_ATTEMPTS;
    if (this.attempts >= limit) return this.setState(ConnectionState.Stopped);
    const delay = delayMs ?? backoffDelay(this.attempts, this.random);
    this.attempts++;
    this.setState(ConnectionState.Waiting);
    clearTimeout(this.reconnectTimer);
    this.reconnectTimer = setTimeout(() => {
      // In a pocket nobody looks and the network sleeps: the attempt waits for the foreground and is not counted.
      if (this.pausedInBackground) this.attempts--;
      else void this.open({ renew });
    }, delay);
  }

  private retryNow(): void {
    if (!this.wanted) return;
    this.resetAttempts();
    void this.open();
  }

  private resetAttempts(): void {
    this.attempts = 0;
    this.promptReconnects = 0;
  }

  private signOut(event: CloseEvent, announced = true): void {
    this.dropAll();
    this.forbidden = true;
    this.setState(ConnectionState.Stopped);
    if (announced) this.events.emit('close', event);
    this.auth.signOut?.(event.code === 4504 ? 'account_disabled' : 'session_revoked');
  }

  private dropAll(): void {
    this.stopTimers();
    this.drop(this.current);
    this.drop(this.next);
    this.drop(this.leaving);
    this.current = this.next = this.leaving = null;
    this.sequencer.abandonResume();
  }

  private dropLeaving(): void {
    clearTimeout(this.overlapTimer);
    this.drop(this.leaving);
    this.leaving = null;
  }

  private drop(link: Link | null): void {
    if (!link) return;
    clearTimeout(link.handshakeTimer);
    detach(link.ws);
    try {
      link.ws.close(1000);
    } catch {
      // Already closed.
    }
  }

  private stopTimers(): void {
    clearInterval(this.heartbeatTimer);
    clearInterval(this.tokenCheckTimer);
    clearTimeout(this.pongTimer);
    clearTimeout(this.overlapTimer);
    clearTimeout(this.authenticateTimer);
    clearTimeout(this.syncTimer);
    clearTimeout(this.resumeTimer);
    this.syncing.clear();
  }

  private sendNow(link: Link, frame: ClientFrame): void {
    if (isWritable(link.ws)) link.ws.send(JSON.stringify(frame));
  }

  private setState(state: ConnectionState): void {
    if (this.state === state) return;
    this.state = state;
    this.events.emit('state', state);
  }
}

function sameEvents(a: ChatEvent[], b: ChatEvent[]): boolean {
  return a.length === b.length && a.every((event, index) => event === b[index]);
}

/** An opened socket takes strings until it begins to close. */
function isWritable(ws: WebSocket): boolean {
  return !(ws.readyState >= 2);
}

/** No more is heard of it; an error during the closing handshake must not surface either (`ws` throws it). */
function detach(ws: WebSocket): void {
  ws.onopen = ws.onmessage = ws.onclose = null;
  ws.onerror = () => {};
}

// React Native and Node 20 have not all of the event classes; the shape is what callers read.

function messageEvent(data: string): MessageEvent {
  return typeof MessageEvent === 'function'
    ? new MessageEvent('message', { data })
    : ({ type: 'message', data } as MessageEvent);
}

function closeEvent(code: number, reason: string): CloseEvent {
  return typeof CloseEvent === 'function'
    ? new CloseEvent('close', { code, reason, wasClean: code === 1000 })
    : ({ type: 'close', code, reason, wasClean: code === 1000 } as CloseEvent);
}

function errorEvent(error: unknown): Event {
  return Object.assign(typeof Event === 'function' ? new Event('error') : ({ type: 'error' } as Event), { error });
}
