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
import { closeEvent, made, messageEvent } from './events.js';
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
import type { Lifecycle } from './lifecycle.js';
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
  random?: (() => number) | undefined;
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
  opened?: boolean;
  live?: boolean;
  hello?: Hello;
  bye?: Bye;
  /** The token this link was asked to take by `authenticate`. */
  offered?: string | undefined;
  timer?: ReturnType<typeof setTimeout>;
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
  /** Why it is not open, or was not the last time; null after a success. */
  lastError: ConnectionError | null = null;

  private readonly events = new Emitter<ConnectionEvents>();
  private readonly auth: TokenSource;
  private readonly options: ConnectionOptions;

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
  private speaksProtocol?: boolean;
  /** The server's clock at the first `hello`; what happened earlier is history. */
  private since = Infinity;
  private queue: string[] = [];
  /** Sent by `send` and not acknowledged: it goes again on the next socket. By `client_msg_id`. */
  private readonly unacknowledged = new Map<Uuid, string>();
  private pausedInBackground?: boolean;
  /** Stopped by a close code that forbids another attempt, not by too many of them. */
  private forbidden?: boolean;
  /** Stopped because too many sockets were open: comes back once when it is looked at. */
  private superseded?: boolean;

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
  private readonly unsubscribe: Array<Unsubscribe | undefined> = [];

  constructor(options: ConnectionOptions) {
    this.options = options;
    this.auth = options.auth;
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
    // Waiting for the next attempt, or given up: the caller is asking for it now.
    if (!wanted || this.gaveUp || this.state === ConnectionState.Waiting) this.retryNow();
  };

  /** Closes with 1000. Cursors and unsent strings stay for the next `connect` of the same session. */
  disconnect = (by: ConnectionTerms = this.options): void => {
    if (this.wantedBy.delete(by) && !this.wanted) this.end();
  };

  private end(): void {
    this.wantedBy.clear();
    this.generation++;
    for (const stop of this.unsubscribe.splice(0)) stop?.();
    clearTimeout(this.reconnectTimer);
    const wasOpen = this.current?.opened;
    this.dropAll();
    this.setState(ConnectionState.Idle);
    if (wasOpen) this.events.emit('close', closeEvent(1000));
  }

  /**
   * Sends now if the socket is open, else as soon as it is. True when it went out now; with nobody signed in it is
   * refused. A chat message that the server did not acknowledge goes again on the next socket.
   */
  send = (data: string): boolean => this.write(data, true, true);

  /** @param wait False for what has a queue, and an order, of its own: it goes out now or not at all. */
  sendFrame = (frame: ClientFrame, wait = true): boolean => this.write(JSON.stringify(frame), false, wait);

  private write(data: string, keep: boolean, wait: boolean): boolean {
    const signedIn = this.session();
    if (signedIn === null) {
      this.auth.logger?.warn('Not sent: signed out');
      return false;
    }
    this.belongTo(signedIn);
    const { current } = this;
    if (current?.opened && isWritable(current.ws)) {
      current.ws.send(keep && current.live ? this.keep(data) : data);
      // If nothing at all comes back for a while, ask whether there is anybody.
      if (current.live) this.answerTimer ??= setTimeout(() => this.ping(LOOK_PONG_TIMEOUT_MS), ANSWER_PATIENCE_MS);
      return true;
    }
    if (wait) this.queue.push(data);
    if (this.queue.length > SEND_QUEUE_LIMIT) this.queue.shift();
    return false;
  }

  /**
   * With an id a message may be repeated. Only where `hello` has shown that the server knows of it, and not one that is
   * longer than the server takes: it would close each socket that brings it. (Three bytes for each unit of UTF-16 are the most.)
   */
  private keep(data: string): string {
    const frame = parseFrame(data) as ClientFrame | null;
    if (frame?.type !== 'message' || data.replace(/[^\0-\x7f]/g, '123').length > this.current!.hello!.limits?.frame_bytes) return data;
    const id = frame.client_msg_id ?? uuid4();
    const text = frame.client_msg_id ? data : JSON.stringify({ ...frame, client_msg_id: id });
    this.unacknowledged.set(id, text);
    return text;
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
      this.auth.lifecycle?.subscribe((event) => {
        if (event === 'background') this.pausedInBackground = true;
        else if (event === 'offline') this.ping(LOOK_PONG_TIMEOUT_MS);
        else {
          // Back in front, or back on the network: what looks open may be long dead, what waits need not wait.
          this.pausedInBackground = false;
          const gaveUp = this.gaveUp && (!this.forbidden || this.superseded);
          if (gaveUp || this.state === ConnectionState.Waiting) this.retryNow();
          else this.ping(LOOK_PONG_TIMEOUT_MS);
        }
      }),
      this.auth.onSignOut?.(() => {
        this.end();
        this.clear();
      }),
    );
  }

  private async open(renew = false): Promise<void> {
    clearTimeout(this.reconnectTimer);
    const generation = ++this.generation;
    this.setState(ConnectionState.Connecting);
    const token = await this.token(renew).catch(() => null);
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
    return (renew && (await this.auth.refresh?.())) || this.auth.ensureValidToken();
  }

  private dial(token: string): Link | null {
    const Constructor: WebSocketConstructor | undefined = this.options.WebSocket ?? this.auth.WebSocket ?? globalThis.WebSocket;
    let ws: SocketLike;
    try {
      ws = new Constructor!(this.options.url, ['access_token', token]);
    } catch (cause) {
      const error = (this.lastError = new ConnectionError(Constructor ? 'no_socket' : 'no_websocket', cause));
      // No waiting will bring one.
      if (!Constructor) this.stop();
      this.events.emit('error', Object.assign(made<SocketEvent>('Event', 'error', {}), { error }));
      return null;
    }
    const link: Link = { ws, token };
    this.hurry(link);
    ws.onopen = () => this.opened(link);
    ws.onmessage = (event) => this.received(link, event);
    ws.onerror = (event) => this.events.emit('error', event);
    ws.onclose = (event) => this.lost(link, event);
    return link;
  }

  private opened(link: Link): void {
    link.opened = true;
    clearTimeout(link.timer);
    if (this.speaksProtocol) {
      // Wait for `hello`: until then the socket may still be refused.
      this.hurry(link);
    } else this.takeOver(link);
  }

  private hurry(link: Link): void {
    link.timer = this.giveUpAfter(link, HANDSHAKE_TIMEOUT_MS);
  }

  private giveUpAfter(link: Link, ms: number) {
    return setTimeout(() => this.lost(link, closeEvent(1006, 'no answer')), ms);
  }

  /** `link` is the socket in use from here on. */
  private takeOver(link: Link): void {
    if (link === this.next) {
      this.dropLeaving();
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
    for (const data of this.queue.splice(0)) link.ws.send(link.live ? this.keep(data) : data);
    this.events.emit('open', link.ws as SocketObject);
  }

  // Receiving

  private received(link: Link, event: SocketMessage): void {
    const { current, next, leaving, auth, sequencer } = this;
    const frame = parseFrame(event.data);
    if (link === current) this.heard();
    else if (link !== next && (link !== leaving || !['events', 'ack', 'error'].includes(frame?.type ?? ''))) return;
    if (!frame) return this.events.emit('message', event);
    const token = link.offered;
    switch (frame.type) {
      case 'hello':
        return this.greeted(link, frame, event);
      case 'events':
        this.deliverEvents(sequencer.accept(frame.events), frame, event);
        return this.fillHoles();
      case 'gap': {
        const ready = sequencer.gap(frame.conversation_uuid, frame.last_seq);
        this.syncing.delete(frame.conversation_uuid);
        this.deliver(frame, event);
        this.deliverEvents(ready);
        return this.fillHoles();
      }
      case 'removed':
        sequencer.forget(frame.conversation_uuid);
        this.syncing.delete(frame.conversation_uuid);
        break;
      case 'resumed':
        if (link === current) this.caughtUp();
        break;
      case 'pong':
        auth.syncClock?.(frame.server_time);
        if (frame.ref === HEARTBEAT_REF) return;
        break;
      case 'authenticated':
        clearTimeout(this.authenticateTimer);
        link.token = token ?? link.token;
        link.offered = undefined;
        break;
      case 'token_expiring':
        void auth.ensureValidToken(SOCKET_TOKEN_BUFFER_MINUTES);
        break;
      case 'bye':
        link.bye = frame;
        break;
      case 'error':
        if (frame.ref === AUTHENTICATE_REF && token) {
          link.offered = undefined;
          return this.replace(token);
        }
        if (frame.ref === RESUME_REF) return this.resumeAgain(link, frame.retry_after_ms ?? RESUME_RETRY_MS);
        if (frame.ref === SYNC_REF) return;
    }
    if (frame.type === 'ack' || frame.type === 'error') this.unacknowledged.delete(frame.client_msg_id ?? '');
    this.deliver(frame, event);
  }

  private greeted(link: Link, hello: Hello, event: SocketMessage): void {
    clearTimeout(link.timer);
    this.auth.syncClock?.(hello.server_time);
    const waitedForHello = this.speaksProtocol;
    const first = this.since === Infinity;
    this.speaksProtocol = true;
    link.live = link.opened = true;
    link.hello = hello;
    this.lastError = null;
    this.rejectedTokens = 0;
    if (first) this.since = Date.parse(hello.server_time);
    if (waitedForHello || link === this.next) this.takeOver(link);
    clearInterval(this.heartbeatTimer);
    this.heartbeatTimer = setInterval(() => this.ping(), hello.heartbeat_interval_ms || DEFAULT_HEARTBEAT_INTERVAL_MS);
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
    this.sequencer.resuming = true;
    this.syncing.clear();
    do {
      const part = cursors.splice(0, RESUME_CURSORS_PER_FRAME);
      const more = cursors.length > 0 || undefined;
      this.sendNow(link, { type: 'resume', epoch, cursors: Object.fromEntries(part), more, ref: RESUME_REF });
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
    this.sequencer.epoch = this.current?.hello?.epoch ?? this.sequencer.epoch;
    this.deliverEvents(this.sequencer.finishResume(this.since));
    if (this.leaving && this.current) this.repeat(this.current);
    this.dropLeaving();
    this.fillHoles();
  }

  /** What was sent on a socket that is gone, and not acknowledged. The server knows each by its id. */
  private repeat(link: Link): void {
    for (const data of this.unacknowledged.values()) link.ws.send(data);
  }

  /** Hands on what is in turn; the original message when all of it is, else one made of the rest. */
  private deliverEvents(events: ChatEvent[], frame?: ServerFrame & { type: 'events' }, event?: SocketMessage): void {
    if (events.length === 0) return;
    const whole = events.length === frame?.events.length && events.every((each, index) => each === frame.events[index]);
    if (whole && event) return this.deliver(frame, event);
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
    if (holes.length === 0) return this.syncing.clear();
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

  /** The oldest ping without an answer counts, and the shortest patience. */
  private ping(patienceMs = PONG_TIMEOUT_MS): void {
    const { current } = this;
    if (!current?.live) return;
    const due = Date.now() + patienceMs;
    if (due < this.pongDue) {
      this.pongDue = due;
      clearTimeout(this.pongTimer);
      // A dead network leaves the socket "open" for minutes; its close event would come too late to wait for.
      this.pongTimer = this.giveUpAfter(current, patienceMs);
    }
    this.sendNow(current, { type: 'ping', ref: HEARTBEAT_REF });
  }

  private heard(): void {
    clearTimeout(this.pongTimer);
    clearTimeout(this.answerTimer);
    this.answerTimer = undefined;
    this.pongDue = Infinity;
  }

  // A new token

  private async checkToken(): Promise<void> {
    if (!this.auth.isTokenExpiringSoon(SOCKET_TOKEN_BUFFER_MINUTES)) return;
    const token = await this.auth.ensureValidToken(SOCKET_TOKEN_BUFFER_MINUTES);
    if (token) this.tokenRefreshed(token);
  }

  private tokenRefreshed(token: string): void {
    if (!this.wanted) return;
    if (this.state === ConnectionState.Waiting) return this.retryNow();
    const { current } = this;
    if (!current || [current.token, current.offered, this.next?.token].includes(token)) return;
    if (current.live && [...this.wantedBy].every(({ onNewToken }) => onNewToken === 'authenticate')) {
      current.offered = token;
      this.sendNow(current, { type: 'authenticate', token, ref: AUTHENTICATE_REF });
      clearTimeout(this.authenticateTimer);
      this.authenticateTimer = setTimeout(() => {
        if (current.offered === token) this.replace(token);
      }, AUTHENTICATE_TIMEOUT_MS);
      return;
    }
    this.replace(token);
  }

  /** Make before break. */
  private replace(token: string): void {
    if (!this.wanted) return;
    this.drop(this.next);
    const made = this.dial(token);
    if (this.current?.opened) this.next = made;
    else {
      this.drop(this.current);
      this.current = made;
    }
  }

  // Closing

  private lost(link: Link, event: SocketClose): void {
    const { current, next, leaving } = this;
    const { code } = event;
    const verdict = verdictOn(code);
    const ended = verdict === 'sign_out';
    this.drop(link);
    if (link === leaving) this.leaving = null;
    if (link === next) {
      this.next = null;
      // The socket in use goes on until its own end, unless this is the end of the whole session.
      if (ended) this.signOut(event);
      else if (verdict === 'refresh' && ++this.rejectedTokens === 1) void this.auth.refresh?.();
    }
    if (link !== current) return;
    let announced: boolean | undefined = this.isOpen;
    if (next) {
      // The replacing one is under way already.
      announced = link.opened;
      this.stopTimers();
      this.dropLeaving();
      this.current = next;
      this.next = null;
      if (!next.opened) this.setState(ConnectionState.Connecting);
      if (ended && announced) return this.signOut(event);
    } else {
      this.lastError = new ConnectionError(code);
      this.dropAll();
      if (ended) return this.signOut(event, announced);
      // Without `hello` an opening was the success; a refusal by the contract's codes was none.
      if (link.opened && !this.speaksProtocol && code < 4000) this.resetAttempts();
      if (verdict === 'stop') this.stop(code);
      // A second rejected token in a row is no accident: wait.
      else if (verdict === 'refresh' && ++this.rejectedTokens === 1) void this.open(true);
      else if (verdict === 'at_once' && ++this.promptReconnects === 1) void this.open();
      else this.reconnectLater(verdict === 'when_told' ? link.bye?.reconnect_in_ms : undefined, verdict === 'refresh');
    }
    if (announced) this.events.emit('close', event);
  }

  private reconnectLater(delayMs = backoffDelay(this.attempts, this.options.random), renew = false): void {
    const limits = [...this.wantedBy].map(({ maxReconnectAttempts }) => maxReconnectAttempts ?? MAX_RECONNECT_ATTEMPTS);
    if (this.attempts >= Math.max(...limits)) return this.setState(ConnectionState.Stopped);
    this.attempts++;
    this.setState(ConnectionState.Waiting);
    clearTimeout(this.reconnectTimer);
    this.reconnectTimer = setTimeout(() => {
      // In a pocket nobody looks and the network sleeps: the attempt waits for the foreground and is not counted.
      if (this.pausedInBackground) this.attempts--;
      else void this.open(renew);
    }, delayMs);
  }

  /** No attempt will follow by itself. */
  private stop(code?: number): void {
    this.forbidden = true;
    this.superseded = code === CloseCode.Superseded;
    this.setState(ConnectionState.Stopped);
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

  private signOut(event: SocketClose, announced: boolean | undefined = true): void {
    this.dropAll();
    this.stop();
    if (announced) this.events.emit('close', event);
    this.auth.signOut?.(event.code === CloseCode.AccountDisabled ? 'account_disabled' : 'session_revoked');
  }

  private dropAll(): void {
    this.stopTimers();
    for (const link of [this.current, this.next, this.leaving]) this.drop(link);
    this.current = this.next = this.leaving = null;
    this.sequencer.resuming = false;
  }

  private dropLeaving(): void {
    clearTimeout(this.overlapTimer);
    this.drop(this.leaving);
    this.leaving = null;
  }

  private drop(link: Link | null): void {
    if (!link) return;
    clearTimeout(link.timer);
    detach(link.ws);
    link.ws.close(1000);
  }

  private stopTimers(): void {
    clearInterval(this.heartbeatTimer);
    clearInterval(this.tokenCheckTimer);
    this.heard();
    for (const timer of [this.overlapTimer, this.authenticateTimer, this.syncTimer, this.resumeTimer]) clearTimeout(timer);
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

/** An opened socket takes strings until it begins to close. */
function isWritable(ws: SocketLike): boolean {
  return !(ws.readyState >= 2);
}

/** No more is heard of it; an error during the closing handshake must not surface either (`ws` throws it). */
function detach(ws: SocketLike): void {
  ws.onopen = ws.onmessage = ws.onclose = null;
  ws.onerror = () => {};
}
