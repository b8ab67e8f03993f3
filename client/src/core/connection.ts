import { backoffDelay } from './backoff.js';
import { CloseCode, verdictOn } from './closeCodes.js';
import {
  ANSWER_PATIENCE_MS,
  AUTHENTICATE_TIMEOUT_MS,
  DEFAULT_HEARTBEAT_INTERVAL_MS,
  HANDSHAKE_TIMEOUT_MS,
  LOOK_PONG_TIMEOUT_MS,
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
import { ConnectionError } from './errors.js';
import {
  parseFrame,
  type Bye,
  type ChatEvent,
  type ClientFrame,
  type Hello,
  type Ref,
  type ServerFrame,
} from './frames.js';
import { readClaims } from './jwt.js';
import { noLifecycle, type Lifecycle } from './lifecycle.js';
import type { Logger } from './logger.js';
import type { SocketClose, SocketEvent, SocketLike, SocketMessage, SocketObject, WebSocketConstructor } from './platform.js';
import { Sequencer } from './sequencer.js';
import type { Uuid } from './types.js';
import { uuid4 } from './uuid.js';

/** What the connection wants of `AuthClient`; only the first three are needed. */
export interface TokenSource {
  ensureValidToken(bufferMinutes?: number): Promise<string | null>;
  onTokenRefresh(callback: (newAccessToken: string) => void): Unsubscribe;
  isTokenExpiringSoon(bufferMinutes?: number): boolean;
  refresh?(): Promise<string | null>;
  onSignOut?(callback: (reason: string) => void): Unsubscribe;
  signOut?(reason: string): void;
  syncClock?(serverTime: string): void;
  /** Who is signed in. What is written and where one has read to belongs to that session and goes to no other. */
  getSnapshot?(): { status: string; sessionId: string | null } | undefined;
  /** Tells of every change of it. */
  subscribe?(listener: () => void): Unsubscribe;
  readonly lifecycle?: Lifecycle;
  readonly logger?: Logger;
  readonly WebSocket?: WebSocketConstructor | undefined;
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

/** What one of those who share a connection wants of it. */
export interface ConnectionTerms {
  /** What a refreshed token does: a new socket beside the old one (the hook), or `authenticate` on the same one. */
  onNewToken?: 'reconnect' | 'authenticate';
  /** Reconnects in a row without a success; `Infinity` never gives up. */
  maxReconnectAttempts?: number;
}

export interface ConnectionOptions extends ConnectionTerms {
  url: string;
  auth: TokenSource;
  WebSocket?: WebSocketConstructor | undefined;
  random?: () => number;
}

export interface ConnectionEvents {
  state: ConnectionState;
  /** A socket is open, also one that replaces another. */
  open: SocketObject;
  /** Live: `hello` has come and what was missed is on its way. */
  hello: Hello;
  /** The connection is lost or given up. Not for a socket that has been replaced. */
  close: SocketClose;
  error: SocketEvent;
  /** Everything that is not the connection's own business; each chat event once and in order. */
  message: SocketMessage;
  frame: ServerFrame;
}

const HEARTBEAT_REF = 'heartbeat';
const AUTHENTICATE_REF = 'token';
const SYNC_REF = 'sync';
const RESUME_REF = 'resume';
const OWN_REFS: ReadonlySet<Ref | undefined> = new Set([HEARTBEAT_REF, AUTHENTICATE_REF, SYNC_REF, RESUME_REF]);

/** One WebSocket and what is known about it. */
interface Link {
  ws: SocketLike;
  token: string;
  opened: boolean;
  live: boolean;
  hello: Hello | null;
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
  readonly url: string;
  readonly madeOf: WebSocketConstructor | undefined;
  /** Those who hold it. */
  readonly sharedBy = new Set<object>();
  state: ConnectionState = ConnectionState.Idle;
  /** Why it is not open, or was not the last time; null after a success. */
  lastError: ConnectionError | null = null;

  private readonly events = new Emitter<ConnectionEvents>();
  private readonly auth: TokenSource;
  private readonly options: ConnectionOptions;
  private readonly random: () => number;

  private current: Link | null = null;
  private next: Link | null = null;
  private leaving: Link | null = null;
  /** Those who want it open. */
  private readonly wantedBy = new Set<ConnectionTerms>();
  /** The session that queue and cursors belong to; undefined before anybody's. */
  private owner: string | undefined;
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
  /** Sent by `send` and not acknowledged: it goes again on the next socket. By `client_msg_id`. */
  private readonly unacknowledged = new Map<Uuid, string>();
  private pausedInBackground = false;
  /** Stopped by a close code that forbids another attempt, not by too many of them. */
  private forbidden = false;
  /** Stopped because too many sockets were open: comes back once when it is looked at. */
  private superseded = false;

  private reconnectTimer: ReturnType<typeof setTimeout> | undefined;
  private heartbeatTimer: ReturnType<typeof setInterval> | undefined;
  private pongTimer: ReturnType<typeof setTimeout> | undefined;
  private pongDue = Infinity;
  private answerTimer: ReturnType<typeof setTimeout> | undefined;
  private tokenCheckTimer: ReturnType<typeof setInterval> | undefined;
  private overlapTimer: ReturnType<typeof setTimeout> | undefined;
  private authenticateTimer: ReturnType<typeof setTimeout> | undefined;
  private syncTimer: ReturnType<typeof setTimeout> | undefined;
  private resumeTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly syncing = new Map<string, number>();
  private unsubscribe: Unsubscribe[] = [];

  constructor(options: ConnectionOptions) {
    this.options = options;
    this.url = options.url;
    this.madeOf = options.WebSocket;
    this.auth = options.auth;
    this.random = options.random ?? (() => Math.random());
  }

  on = this.events.on.bind(this.events) as Emitter<ConnectionEvents>['on'];

  get websocket(): SocketObject | null {
    return this.current?.opened ? (this.current.ws as SocketObject) : null;
  }

  /** Of the socket in use, once it is live. */
  get hello(): Hello | null {
    return this.isOpen ? (this.current?.hello ?? null) : null;
  }

  /** A new socket is being made beside the one in use. */
  get isReplacing(): boolean {
    return this.next !== null;
  }

  get isOpen(): boolean {
    return this.state === ConnectionState.Open;
  }

  /** No attempt will follow by itself: too many have failed, or the server forbids it. `connect` begins anew. */
  get gaveUp(): boolean {
    return this.state === ConnectionState.Stopped;
  }

  private get wanted(): boolean {
    return this.wantedBy.size > 0;
  }

  /** `by` is one of those who share the connection: it stays until the last of them disconnects. */
  connect = (by: ConnectionTerms = this.options): void => {
    const wanted = this.wanted;
    this.wantedBy.add(by);
    if (!wanted) this.listen();
    else if (this.state !== ConnectionState.Stopped) {
      // Waiting for the next attempt: the caller is asking for it now.
      if (this.state === ConnectionState.Waiting) this.retryNow();
      return;
    }
    this.retryNow();
  };

  /** Closes with 1000. Cursors and unsent strings stay for the next `connect` of the same session. */
  disconnect = (by: ConnectionTerms = this.options): void => {
    if (this.wantedBy.delete(by) && !this.wanted) this.end();
  };

  private end(): void {
    this.wantedBy.clear();
    this.generation++;
    for (const unsubscribe of this.unsubscribe.splice(0)) unsubscribe();
    clearTimeout(this.reconnectTimer);
    const wasOpen = this.current?.opened ?? false;
    this.dropAll();
    this.setState(ConnectionState.Idle);
    if (wasOpen) this.events.emit('close', closeEvent(1000));
  }

  /**
   * Sends now if the socket is open, else as soon as it is. True when it went out now; with nobody signed in it is
   * refused. A chat message that the server did not acknowledge goes again on the next socket.
   */
  send = (data: string): boolean => this.write(data, true);

  sendFrame = (frame: ClientFrame): boolean => this.write(JSON.stringify(frame), false);

  /** Only if it can go out now: for what has a queue, and an order, of its own. */
  sendAtOnce = (frame: ClientFrame): boolean => this.write(JSON.stringify(frame), false, false);

  private write(data: string, keep: boolean, wait = true): boolean {
    const signedIn = this.session();
    if (signedIn === null) {
      this.auth.logger?.warn('Not sent: signed out');
      return false;
    }
    this.belongTo(signedIn);
    const { current } = this;
    if (current?.opened && isWritable(current.ws)) {
      current.ws.send(keep && current.live ? this.keep(data) : data);
      if (current.live) this.awaitAnswer();
      return true;
    }
    if (wait) this.queue.push(data);
    if (this.queue.length > SEND_QUEUE_LIMIT) this.queue.shift();
    return false;
  }

  /** With an id a message may be repeated. Only where `hello` has shown that the server knows of it. */
  private keep(data: string): string {
    const frame = parseFrame(data) as ClientFrame | null;
    if (frame?.type !== 'message') return data;
    const id = frame.client_msg_id ?? uuid4();
    const text = frame.client_msg_id ? data : JSON.stringify({ ...frame, client_msg_id: id });
    this.unacknowledged.set(id, text);
    return text;
  }

  /** Repeats the greeting for somebody who has come later. */
  greet(to: Emitter<ConnectionEvents>): void {
    const { hello } = this;
    if (!hello) return;
    to.emit('hello', hello);
    to.emit('frame', hello);
    to.emit('message', messageEvent(JSON.stringify(hello)));
  }

  /** Moves the cursor of a conversation to what is known from elsewhere, never backwards. */
  advance(conversation: Uuid, seq: number): void {
    this.deliverEvents(this.sequencer.advance(conversation, seq));
  }

  /** Starts from nothing: another person signs in. */
  clear(): void {
    this.sequencer.clear();
    this.queue = [];
    this.unacknowledged.clear();
    this.since = Infinity;
    this.owner = undefined;
  }

  /** True while something waits to be sent. */
  get hasUnsent(): boolean {
    return this.queue.length + this.unacknowledged.size > 0;
  }

  /** The session that is signed in, null for nobody; undefined where that is not known (yet). */
  private session(): string | null | undefined {
    const snapshot = this.auth.getSnapshot?.();
    return !snapshot || snapshot.status === 'loading' ? undefined : snapshot.sessionId;
  }

  /** What another session has left is dropped, and what was written before it was known that there is none. */
  private belongTo(session: string | null | undefined): void {
    if (session === undefined) {
      const stop = this.auth.subscribe?.(() => {
        if (this.session() === undefined) return;
        stop?.();
        this.belongTo(this.session());
      });
      return;
    }
    if (session === this.owner) return;
    if (session === null || this.owner !== undefined) this.clear();
    this.owner = session ?? undefined;
  }

  // Opening

  private listen(): void {
    this.unsubscribe.push(
      this.auth.onTokenRefresh((token) => this.tokenRefreshed(token)),
      (this.auth.lifecycle ?? noLifecycle).subscribe((event) => {
        if (event === 'background') this.pausedInBackground = true;
        else if (event === 'offline') this.ping(LOOK_PONG_TIMEOUT_MS);
        else {
          this.pausedInBackground = false;
          this.lookAlive();
        }
      }),
    );
    const stop = this.auth.onSignOut?.(() => {
      this.end();
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
    if (!token) {
      this.lastError = new ConnectionError('no_token');
      return this.reconnectLater();
    }
    const session = this.session() ?? readClaims(token)?.sid;
    if (session) this.belongTo(session);
    this.drop(this.current);
    this.current = this.dial(token);
    if (!this.current && !this.forbidden) this.reconnectLater();
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
    const Constructor: WebSocketConstructor | undefined =
      this.madeOf ?? this.auth.WebSocket ?? globalThis.WebSocket;
    let ws: SocketLike;
    try {
      if (!Constructor) {
        // No waiting will bring one.
        this.forbidden = true;
        throw new ConnectionError('no_websocket');
      }
      ws = new Constructor(this.url, ['access_token', token]);
    } catch (error) {
      this.lastError = error instanceof ConnectionError ? error : new ConnectionError('no_socket', error);
      if (this.forbidden) this.setState(ConnectionState.Stopped);
      this.events.emit('error', Object.assign(made<SocketEvent>('Event', 'error', {}), { error }));
      return null;
    }
    const link: Link = {
      ws,
      token,
      opened: false,
      live: false,
      hello: null,
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
    if (this.leaving === null) this.repeat(link);
    for (const data of this.queue.splice(0)) link.ws.send(data);
    this.events.emit('open', link.ws as SocketObject);
  }

  // Receiving

  private received(link: Link, event: SocketMessage): void {
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
      case 'ack':
        this.acknowledged(frame.client_msg_id);
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
        this.acknowledged(frame.client_msg_id);
        if (frame.ref === SYNC_REF) return;
        if (frame.ref === RESUME_REF) return this.resumeAgain(link, frame.retry_after_ms ?? RESUME_RETRY_MS);
        return this.deliver(frame, event);
      default:
        return this.deliver(frame, event);
    }
  }

  private greeted(link: Link, hello: Hello, event: SocketMessage): void {
    clearTimeout(link.handshakeTimer);
    this.auth.syncClock?.(hello.server_time);
    const waitedForHello = this.speaksProtocol;
    const first = this.since === Infinity;
    this.speaksProtocol = true;
    link.live = true;
    link.opened = true;
    link.hello = hello;
    this.lastError = null;
    this.rejectedTokens = 0;
    if (first) this.since = Date.parse(hello.server_time);
    if (waitedForHello || link === this.next) this.takeOver(link);
    this.beat(hello.heartbeat_interval_ms);
    this.sequencer.epoch ??= hello.epoch;
    this.resume(link, first);
    this.events.emit('hello', hello);
    this.deliver(hello, event);
  }

  /**
   * Asks for what was missed. On the first `hello` without a cursor there is nothing to have missed.
   *
   * Until it has been answered to the end the cursors belong to the epoch of before: where the server has another, it
   * answers each of them with a gap, and a catch-up that was cut off is asked for in the same way again.
   */
  private resume(link: Link, first: boolean): void {
    const cursors = Object.entries(this.sequencer.cursors);
    const epoch = this.sequencer.epoch ?? '';
    if (first && cursors.length === 0) {
      this.sequencer.epoch = link.hello!.epoch;
      return this.resetAttempts();
    }
    this.sequencer.startResume();
    this.syncing.clear();
    do {
      const part = cursors.splice(0, RESUME_CURSORS_PER_FRAME);
      const frame: ClientFrame = { type: 'resume', epoch, cursors: Object.fromEntries(part), ref: RESUME_REF };
      if (cursors.length > 0) frame.more = true;
      this.sendNow(link, frame);
    } while (cursors.length > 0);
    clearTimeout(this.resumeTimer);
    this.resumeTimer = setTimeout(() => {
      if (epoch === link.hello!.epoch) this.caughtUp();
      else this.resumeAgain(link, 0);
    }, RESUME_TIMEOUT_MS);
  }

  private resumeAgain(link: Link, delayMs: number): void {
    clearTimeout(this.resumeTimer);
    this.resumeTimer = setTimeout(() => {
      if (link === this.current) this.resume(link, false);
    }, delayMs);
  }

  private caughtUp(): void {
    clearTimeout(this.resumeTimer);
    this.resetAttempts();
    if (this.current?.hello) this.sequencer.epoch = this.current.hello.epoch;
    this.deliverEvents(this.sequencer.finishResume(this.since));
    if (this.leaving && this.current) this.repeat(this.current);
    this.dropLeaving();
    this.fillHoles();
  }

  private acknowledged(clientMsgId = ''): void {
    this.unacknowledged.delete(clientMsgId);
  }

  /** What was sent on a socket that is gone, and not acknowledged. The server knows each by its id. */
  private repeat(link: Link): void {
    for (const data of this.unacknowledged.values()) link.ws.send(data);
  }

  /** Hands on what is in turn; the original message when all of it is, else one made of the rest. */
  private deliverEvents(events: ChatEvent[], frame?: ServerFrame & { type: 'events' }, event?: SocketMessage): void {
    if (events.length === 0) return;
    if (frame && event && sameEvents(events, frame.events)) return this.deliver(frame, event);
    const made: ServerFrame = { type: 'events', events };
    this.deliver(made, messageEvent(JSON.stringify(made)));
  }

  private deliver(frame: ServerFrame, event: SocketMessage): void {
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

  /** The oldest ping without an answer counts, and the shortest patience. */
  private ping(patienceMs = PONG_TIMEOUT_MS): void {
    const { current } = this;
    if (!current?.live) return;
    const due = Date.now() + patienceMs;
    if (due < this.pongDue) {
      this.pongDue = due;
      clearTimeout(this.pongTimer);
      // A dead network leaves the socket "open" for minutes; its close event would come too late to wait for.
      this.pongTimer = setTimeout(() => this.lost(current, closeEvent(1006, 'no pong')), patienceMs);
    }
    this.sendNow(current, { type: 'ping', ref: HEARTBEAT_REF });
  }

  /** Something has been sent. If nothing at all comes back for a while, ask whether there is anybody. */
  private awaitAnswer(): void {
    this.answerTimer ??= setTimeout(() => this.ping(LOOK_PONG_TIMEOUT_MS), ANSWER_PATIENCE_MS);
  }

  private heard(): void {
    clearTimeout(this.pongTimer);
    clearTimeout(this.answerTimer);
    this.answerTimer = undefined;
    this.pongDue = Infinity;
  }

  /** Back in front, or back on the network: what looks open may be long dead, what waits need not wait. */
  private lookAlive(): void {
    const gaveUp = this.gaveUp && (!this.forbidden || this.superseded);
    if (this.state === ConnectionState.Waiting || gaveUp) this.retryNow();
    else this.ping(LOOK_PONG_TIMEOUT_MS);
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
    if (current.live && [...this.wantedBy].every(({ onNewToken }) => onNewToken === 'authenticate')) {
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

  private lost(link: Link, event: SocketClose): void {
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
    this.lastError = new ConnectionError(event.code);
    const announced = this.state === ConnectionState.Open;
    this.dropAll();
    const verdict = verdictOn(event.code);
    if (verdict === 'sign_out') return this.signOut(event, announced);
    // Without `hello` an opening was the success; a refusal by the contract's codes was none.
    if (link.opened && !this.speaksProtocol && event.code < 4000) this.resetAttempts();
    if (verdict === 'stop') {
      this.forbidden = true;
      this.superseded = event.code === CloseCode.Superseded;
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
    const limit = Math.max(
      ...[...this.wantedBy].map(({ maxReconnectAttempts }) => maxReconnectAttempts ?? MAX_RECONNECT_ATTEMPTS),
    );
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
    this.forbidden = this.superseded = false;
    this.resetAttempts();
    void this.open();
  }

  private resetAttempts(): void {
    this.attempts = 0;
    this.promptReconnects = 0;
  }

  private signOut(event: SocketClose, announced = true): void {
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
    this.heard();
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
function isWritable(ws: SocketLike): boolean {
  return !(ws.readyState >= 2);
}

/** No more is heard of it; an error during the closing handshake must not surface either (`ws` throws it). */
function detach(ws: SocketLike): void {
  ws.onopen = ws.onmessage = ws.onclose = null;
  ws.onerror = () => {};
}

// React Native and Node 20 have not all of the event classes; the shape is what callers read.

function made<Kind>(name: 'MessageEvent' | 'CloseEvent' | 'Event', type: string, fields: object): Kind {
  const Constructor = globalThis[name] as (new (type: string, fields: object) => Kind) | undefined;
  return Constructor ? new Constructor(type, fields) : ({ type, ...fields } as Kind);
}

const messageEvent = (data: string) => made<SocketMessage>('MessageEvent', 'message', { data });

export const closeEvent = (code: number, reason = ''): SocketClose =>
  made<SocketClose>('CloseEvent', 'close', { code, reason, wasClean: code === 1000 });
