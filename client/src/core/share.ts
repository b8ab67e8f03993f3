import { Connection, ConnectionState, type ConnectionEvents, type ConnectionTerms, type TokenSource } from './connection.js';
import { Emitter, type Unsubscribe } from './emitter.js';
import { closeEvent, messageEvent } from './events.js';
import type { SocketObject, WebSocketConstructor } from './platform.js';

/** A connection and those who hold it. */
interface Held {
  url: string;
  madeOf: WebSocketConstructor | undefined;
  connection: Connection;
  holders: Set<object>;
}

const connections = new WeakMap<TokenSource, Held[]>();
const EVENTS = ['state', 'open', 'hello', 'close', 'error', 'message', 'frame'] as const;

export interface ShareOptions extends ConnectionTerms {
  url: string;
  auth: TokenSource;
  WebSocket?: WebSocketConstructor | undefined;
  random?: (() => number) | undefined;
}

/**
 * One user's share of a connection: everybody with the same account and address has the same socket, and each of them
 * connects and disconnects as if it were their own.
 */
export class Share {
  readonly connection: Connection;
  private readonly events = new Emitter<ConnectionEvents>();
  private readonly known: Held[];
  private readonly held: Held;
  private unsubscribe: Unsubscribe[] = [];

  constructor(private readonly options: ShareOptions) {
    const { auth, url, WebSocket } = options;
    this.known = connections.get(auth) ?? [];
    connections.set(auth, this.known);
    let found = this.known.find((each) => each.url === url && each.madeOf === WebSocket);
    if (!found) this.known.push((found = { url, madeOf: WebSocket, connection: new Connection(options), holders: new Set() }));
    found.holders.add(this);
    this.held = found;
    this.connection = found.connection;
  }

  on = this.events.on.bind(this.events) as Emitter<ConnectionEvents>['on'];

  private get isConnected(): boolean {
    return this.unsubscribe.length > 0;
  }

  get state(): ConnectionState {
    return this.isConnected ? this.connection.state : ConnectionState.Idle;
  }

  get websocket(): SocketObject | null {
    return this.isConnected ? this.connection.websocket : null;
  }

  connect = (): void => {
    const { connection, events } = this;
    if (!this.isConnected) {
      this.unsubscribe = EVENTS.map((name) => connection.on(name, (payload) => events.emit(name, payload as never)));
      if (connection.isOpen) {
        // Open already, by others: this one hears what it has missed.
        events.emit('state', connection.state);
        events.emit('open', connection.websocket!);
        const { hello } = connection;
        if (hello) {
          events.emit('hello', hello);
          events.emit('frame', hello);
          events.emit('message', messageEvent(JSON.stringify(hello)));
        }
      }
    }
    connection.connect(this.options);
  };

  disconnect = (): void => {
    if (!this.isConnected) return;
    const wasOpen = this.websocket;
    for (const stop of this.unsubscribe.splice(0)) stop();
    this.connection.disconnect(this.options);
    this.events.emit('state', ConnectionState.Idle);
    if (wasOpen) this.events.emit('close', closeEvent(1000));
  };

  /** For good. What is unsent waits for the next one with this account and address. */
  release = (): void => {
    this.disconnect();
    const { known, held } = this;
    held.holders.delete(this);
    if (held.holders.size === 0 && known.includes(held) && !held.connection.hasUnsent) known.splice(known.indexOf(held), 1);
  };
}
