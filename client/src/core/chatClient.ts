import type { AuthClient } from './auth.js';
import { ConnectionState, type Connection } from './connection.js';
import { EXCERPT_CHARS, LIST_PATIENCE_MS, PAGE_SIZE, READ_RETRY_MS, SAVE_DELAY_MS, TYPING_EXPIRES_MS, TYPING_REPEAT_MS } from './constants.js';
import { Emitter, type Unsubscribe } from './emitter.js';
import { NotSignedInError, type ApiError } from './errors.js';
import type {
  Ack,
  ChatEvent,
  ClientFrame,
  ErrorFrame,
  Gap,
  Hello,
  PresenceRow,
  ReactionData,
  Receipt,
  Ref,
  ServerFrame,
  Typing,
} from './frames.js';
import type { ChatStore } from './offline.js';
import { Outbox, type Draft, type OutboxItem } from './outbox.js';
import type { WebSocketConstructor } from './platform.js';
import { Share } from './share.js';
import { wellFormed } from './text.js';
import type { Attachment, Conversation, Member, Message, Page, Person, Uuid } from './types.js';

export interface ChatClientOptions {
  auth: AuthClient;
  /** The socket's address; made of the auth client's `baseUrl` when left out. */
  url?: string;
  /** Default: never give up. */
  maxReconnectAttempts?: number;
  WebSocket?: WebSocketConstructor | undefined;
  /** Where chats and unsent messages rest between two starts; without one they live in memory. */
  store?: ChatStore;
  random?: () => number;
}

/** A message of the timeline: stored by the server, or one's own on its way there. */
export interface TimelineMessage extends Message {
  /** `failed` will not be tried again by itself: `retry` or `discard` it. */
  status: 'stored' | 'sending' | 'failed';
  /** The server's words about a failed one. */
  problem: string | null;
}

export interface ChatEvents {
  state: ConnectionState;
  hello: Hello;
  /** Every chat event, once and in order. */
  event: ChatEvent;
  /** Every frame, for logs and tests. */
  frame: ServerFrame;
  /** The list has changed. */
  conversations: readonly Conversation[];
  /** The timeline of this conversation has changed. */
  timeline: Uuid;
  typing: { conversation_uuid: Uuid; user_ids: readonly number[] };
  presence: PresenceRow;
  receipt: Receipt;
  gap: Gap;
  removed: Uuid;
  /** An answer to nothing that anybody waits for. */
  problem: ErrorFrame;
}

/** Raised by `edit`, `remove` and `react` when the server refuses. */
export class FrameError extends Error {
  constructor(readonly frame: ErrorFrame) {
    super(frame.detail);
    this.name = 'FrameError';
  }
}

interface Timeline {
  /** By uuid, in no order. A row is the same object until its message changes. */
  messages: Map<Uuid, TimelineMessage>;
  /** The rows by `seq`; null when one was put elsewhere than at the end. */
  stored: TimelineMessage[] | null;
  hasMore: boolean;
  loading: Promise<void> | null;
  /** Loaded from the newest page on; before that only events have filled it. */
  anchored: boolean;
  /** Set by a gap that came while a page was on its way. */
  stale: boolean;
  sorted: readonly TimelineMessage[] | null;
}

function emptyTimeline(): Timeline {
  return { messages: new Map(), stored: [], hasMore: true, loading: null, anchored: false, stale: false, sorted: null };
}

/**
 * Conversations, messages and everything that moves in them, over one `Connection`.
 *
 * What is sent waits in a queue until the server acknowledges it, over any number of reconnects; its `client_msg_id`
 * makes a repeat harmless. Reads come by HTTP, changes by events, and a `gap` by reading again.
 */
export class ChatClient {
  readonly connection: Connection;
  readonly auth: AuthClient;
  hello: Hello | null = null;

  private readonly events = new Emitter<ChatEvents>();
  private readonly share: Share;
  private readonly outbox: Outbox;
  private readonly offline: ChatStore | undefined;
  /** The session whose kept chats have been taken up. */
  private restored: string | null = null;
  private readonly unsaved = new Set<Uuid>();
  /** False while what was acknowledged still stands in the record of the unsent, until its conversation is written. */
  private unsentSaved = true;
  private saveTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly byUuid = new Map<Uuid, Conversation>();
  /** The whole list has been read. */
  private listed = false;
  private sortedConversations: readonly Conversation[] | null = null;
  private readonly timelines = new Map<Uuid, Timeline>();
  /** Places in the past that are shown instead of the newest messages, apart from what is kept. */
  private readonly places = new Map<Uuid, Timeline>();
  private readonly typists = new Map<Uuid, Map<number, ReturnType<typeof setTimeout>>>();
  private readonly typing = new Map<Uuid, readonly number[]>();
  private readonly presence = new Map<number, PresenceRow>();
  private watched: number[] = [];
  private readonly watchers = new Set<readonly number[]>();
  private asked = '';
  private readonly answers = new Map<Ref, { resolve: (ack: Ack) => void; reject: (error: Error) => void }>();
  /** Counts `connect` and `disconnect`. */
  private turn = 0;
  private nextRef = 1;
  private readonly rows = new WeakMap<OutboxItem, TimelineMessage>();
  private readonly typingSent = new Map<Uuid, number>();
  private readonly stopAuth: Unsubscribe;

  constructor(options: ChatClientOptions) {
    this.auth = options.auth;
    this.share = new Share({
      url: options.url ?? socketUrl(options.auth.baseUrl),
      auth: options.auth,
      onNewToken: 'authenticate',
      maxReconnectAttempts: options.maxReconnectAttempts ?? Infinity,
      WebSocket: options.WebSocket,
      random: options.random,
    });
    this.connection = this.share.connection;
    this.outbox = new Outbox({
      transmit: (item) => this.transmit(item),
      changed: (conversation, stored) => {
        this.timelineChanged(conversation);
        this.unsentSaved &&= !stored;
        if (this.unsentSaved) this.saveUnsent();
        else if (!stored) void this.save();
      },
    });
    this.offline = options.store;
    this.share.on('frame', (frame) => this.received(frame));
    this.share.on('state', (state) => this.stateChanged(state));
    const stops = [
      options.auth.onSignOut(() => this.clear()),
      options.auth.lifecycle.subscribe((event) => event === 'background' && this.save()),
    ];
    this.stopAuth = () => stops.forEach((stop) => stop());
  }

  on = this.events.on.bind(this.events) as Emitter<ChatEvents>['on'];

  get state(): ConnectionState {
    return this.share.state;
  }

  get me(): number | undefined {
    return this.auth.user?.id ?? this.hello?.user_id;
  }

  /**
   * Reads the list, then connects: the list's heads are the cursors from which `resume` goes on.
   *
   * A list that does not come in time, or at all, is read once the socket is live.
   */
  connect = async (): Promise<void> => {
    const turn = ++this.turn;
    await this.restore();
    const go = () => {
      if (turn !== this.turn) return;
      // Others kept it open meanwhile: what came has passed this one by.
      if (this.connection.isOpen && this.state === ConnectionState.Idle) for (const uuid of this.timelines.keys()) this.emptyTimeline(uuid);
      this.share.connect();
    };
    const slow = setTimeout(go, LIST_PATIENCE_MS);
    const failure = await this.loadConversations().catch((error: Partial<ApiError>) => error);
    clearTimeout(slow);
    go();
    // Without a network there is nothing to be told of: it goes on by itself when there is one.
    if (failure?.status) throw failure;
  };

  /**
   * Shows what was kept when the app was last open, and takes up what was not sent. `connect` does it first.
   *
   * A store that does not answer holds nobody up for long.
   */
  restore = async (): Promise<void> => {
    await this.auth.restore();
    const { sessionId, status } = this.auth.getSnapshot();
    // Signed out while nothing could be removed.
    if (status === 'signed_out') await this.offline?.clear();
    if (!this.offline || !sessionId || this.restored === sessionId) return;
    this.restored = sessionId;
    const loading = this.offline.load(sessionId).then((stored) => {
      if (!stored || this.restored !== sessionId) return;
      const { sequencer } = this.connection;
      const fresh = Object.keys(sequencer.cursors).length === 0;
      if (fresh) sequencer.epoch ??= stored.epoch;
      for (const { conversation, messages, anchored, hasMore, cursor } of stored.conversations) {
        const { uuid } = conversation;
        if (this.byUuid.has(uuid) || !fresh) continue;
        this.byUuid.set(uuid, conversation);
        if (cursor !== undefined) this.connection.advance(uuid, cursor);
        const timeline = this.timelineOf(uuid);
        for (const message of messages) this.takeMessage(timeline, message);
        Object.assign(timeline, { anchored, hasMore });
        this.timelineChanged(uuid);
      }
      this.conversationsChanged();
      this.takeUnsent(stored.outbox);
    });
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([loading, new Promise((done) => (timer = setTimeout(done, LIST_PATIENCE_MS)))]);
    clearTimeout(timer);
  };

  /** Writes what has changed to the store now, as when the app leaves the foreground; resolves when it is written. */
  save = (): Promise<unknown> => {
    clearTimeout(this.saveTimer);
    this.saveTimer = undefined;
    const { offline } = this;
    if (!offline) return Promise.resolve();
    const { sequencer } = this.connection;
    for (const uuid of this.unsaved) {
      const conversation = this.byUuid.get(uuid);
      const { anchored, hasMore } = this.timelineOf(uuid);
      const rows = this.stored(uuid);
      const kept = conversation && {
        conversation,
        messages: rows.slice(-PAGE_SIZE),
        anchored,
        hasMore: hasMore || rows.length > PAGE_SIZE,
        cursor: sequencer.cursor(uuid),
      };
      void offline.saveConversation(uuid, kept ?? null, sequencer.epoch);
    }
    this.unsaved.clear();
    if (!this.unsentSaved) this.saveUnsent();
    return offline.settled();
  };

  private saveUnsent(): void {
    this.unsentSaved = true;
    void this.offline?.saveOutbox(() => this.outbox.items);
  }

  /** What a kill left among the unsent though its conversation has it is not sent again. */
  private takeUnsent(items: readonly OutboxItem[]): void {
    const unsent = items.filter(
      ({ conversation_uuid, client_msg_id }) => !this.stored(conversation_uuid).some((row) => row.client_msg_id === client_msg_id && row.sender?.id === this.me),
    );
    if (unsent.length < items.length) this.saveUnsent();
    this.outbox.restore(unsent);
  }

  private saveSoon(uuid: Uuid): void {
    if (!this.offline || this.restored === null) return;
    this.unsaved.add(uuid);
    this.saveTimer ??= setTimeout(this.save, SAVE_DELAY_MS);
  }

  disconnect = (): void => {
    // A `connect` that still waits for its list is called off.
    this.turn++;
    void this.save();
    this.share.disconnect();
  };

  /** For good: stops listening to the sign-in as well. */
  close = (): void => {
    this.stopAuth();
    this.disconnect();
    this.share.release();
    // They are written after this, so they stay.
    this.outbox.pause();
    this.offline?.close?.();
  };

  // Conversations

  /** By last activity, pinned first. The same array until something changes. */
  get conversations(): readonly Conversation[] {
    this.sortedConversations ??= [...this.byUuid.values()].sort(
      (a, b) => Number(b.pinned) - Number(a.pinned) || lastActivity(b).localeCompare(lastActivity(a)),
    );
    return this.sortedConversations;
  }

  conversation(uuid: Uuid): Conversation | undefined {
    return this.byUuid.get(uuid);
  }

  loadConversations = async (): Promise<void> => {
    const kept = new Set(this.byUuid.keys());
    let path: string | null = '/api/chat/conversations/?limit=100';
    while (path) {
      const page: Page<Conversation> = await this.auth.api('GET', path);
      for (const conversation of page.results) {
        this.takeConversation(conversation);
        kept.delete(conversation.uuid);
      }
      path = page.next;
    }
    this.listed = true;
    // Archived elsewhere, or before the store could keep it.
    for (const uuid of kept) void this.reloadConversation(uuid).catch(() => {});
  };

  /** Reads one conversation anew. */
  reloadConversation = async (uuid: Uuid): Promise<Conversation> => {
    const conversation = await this.auth.api<Conversation>('GET', `/api/chat/conversations/${uuid}/`);
    this.takeConversation(conversation);
    return conversation;
  };

  openDirect = (userId: number): Promise<Conversation> => this.create({ kind: 'direct', user_id: userId });

  createGroup = (title: string, userIds: number[]): Promise<Conversation> =>
    this.create({ kind: 'group', title: wellFormed(title), user_ids: userIds });

  searchPeople = (query: string): Promise<Person[]> =>
    this.auth
      .api<Person[] | Page<Person>>('GET', `/api/users/search/?q=${encodeURIComponent(wellFormed(query))}`)
      .then((answer) => (Array.isArray(answer) ? answer : answer.results));

  members = (uuid: Uuid): Promise<Page<Member>> =>
    this.auth.api('GET', `/api/chat/conversations/${uuid}/members/?limit=100`);

  leave = async (uuid: Uuid): Promise<void> => {
    await this.auth.api('POST', `/api/chat/conversations/${uuid}/leave/`, {});
    this.dropConversation(uuid);
  };

  private async create(body: object): Promise<Conversation> {
    const conversation = await this.auth.api<Conversation>('POST', '/api/chat/conversations/', body);
    this.takeConversation(conversation);
    return conversation;
  }

  private takeConversation(conversation: Conversation): void {
    const { uuid } = conversation;
    const cursor = this.connection.sequencer.cursor(uuid);
    // An answer older than the events that have come since would take them back.
    if (cursor !== undefined && cursor > conversation.last_seq && this.byUuid.has(uuid)) return;
    const held = this.byUuid.get(uuid);
    const changed = this.putConversation(uuid, withNewerReceipts(conversation, held));
    // A dead socket took it with it, or the app was closed before it could go.
    if (held && held.seen_seq > conversation.seen_seq) this.connection.sendFrame({ type: 'mark_as_seen', conversation_uuid: uuid, up_to_seq: held.seen_seq });
    // A cursor that exists is moved by events only: what lies between would never be shown.
    if (cursor === undefined) {
      this.connection.advance(uuid, conversation.last_seq);
      // A page that was read before this may lack what lies between.
      const { anchored, loading } = this.timelineOf(uuid);
      if (anchored || loading) this.readAgain(uuid);
    }
    if (changed) this.conversationsChanged();
  }

  /** False where it is as it was: then it stays the same object. */
  private putConversation(uuid: Uuid, conversation: Conversation): boolean {
    if (JSON.stringify(conversation) === JSON.stringify(this.byUuid.get(uuid))) return false;
    this.byUuid.set(uuid, conversation);
    this.saveSoon(uuid);
    return true;
  }

  private dropConversation(uuid: Uuid): void {
    this.byUuid.delete(uuid);
    this.timelines.delete(uuid);
    this.places.delete(uuid);
    this.saveSoon(uuid);
    this.conversationsChanged();
    this.events.emit('removed', uuid);
  }

  private patchConversation(uuid: Uuid, patch: (conversation: Conversation) => Partial<Conversation>): void {
    const conversation = this.byUuid.get(uuid);
    if (conversation && this.putConversation(uuid, { ...conversation, ...patch(conversation) })) this.conversationsChanged();
  }

  private conversationsChanged(): void {
    this.sortedConversations = null;
    this.events.emit('conversations', this.conversations);
  }

  // The timeline

  /** Messages by `seq`, then what is on its way. The same array until something changes. */
  timeline(uuid: Uuid): readonly TimelineMessage[] {
    const place = this.places.get(uuid);
    if (place) return (place.sorted ??= [...place.messages.values()].sort((a, b) => a.seq - b.seq));
    const timeline = this.timelineOf(uuid);
    if (!timeline.sorted) {
      timeline.sorted = [...this.stored(uuid), ...this.outbox.waitingIn(uuid).map((item) => this.row(item))];
    }
    return timeline.sorted;
  }

  private stored(uuid: Uuid): readonly TimelineMessage[] {
    const timeline = this.timelineOf(uuid);
    return (timeline.stored ??= [...timeline.messages.values()].sort((a, b) => a.seq - b.seq));
  }

  hasOlder(uuid: Uuid): boolean {
    return (this.places.get(uuid) ?? this.timelineOf(uuid)).hasMore;
  }

  /** A place in the past is shown (`loadAround`): there is more after it than the timeline shows. */
  hasNewer(uuid: Uuid): boolean {
    return this.places.has(uuid);
  }

  /**
   * Shows the messages around `seq` instead of the newest, and reads none of those between. `loadOlder` and `loadNewer`
   * go on from there; where they meet the newest, or by `toLatest`, all is one timeline again.
   */
  loadAround = async (uuid: Uuid, seq: number): Promise<void> => {
    const live = this.timelineOf(uuid);
    if (live.messages.size > 0 && (this.stored(uuid)[0]?.seq ?? 0) <= seq) return this.toLatest(uuid);
    const [before, after] = await Promise.all([
      this.readPage(uuid, `&before_seq=${seq}`),
      this.readPage(uuid, `&after_seq=${Math.max(0, seq - 1)}`),
    ]);
    const place = emptyTimeline();
    for (const message of [...before.results, ...after.results]) this.takeMessage(place, message);
    place.hasMore = before.has_more;
    this.places.set(uuid, place);
    this.meet(uuid, place, after.has_more);
  };

  /** The page after the newest message of a place in the past. */
  loadNewer = async (uuid: Uuid): Promise<void> => {
    const place = this.places.get(uuid);
    if (!place) return;
    await (place.loading ??= (async () => {
      try {
        const rows = this.timeline(uuid);
        const page = await this.readPage(uuid, `&after_seq=${rows[rows.length - 1]?.seq ?? 0}`);
        if (this.places.get(uuid) !== place) return;
        for (const message of page.results) this.takeMessage(place, message);
        this.meet(uuid, place, page.has_more);
      } finally {
        place.loading = null;
      }
    })());
  };

  /** Leaves a place in the past for the newest messages. */
  toLatest = (uuid: Uuid): void => {
    if (this.places.delete(uuid)) this.timelineChanged(uuid);
  };

  /** Joins a place with the newest messages as soon as nothing is missing between them. */
  private meet(uuid: Uuid, place: Timeline, more: boolean): void {
    const live = this.timelineOf(uuid);
    const [oldest] = this.stored(uuid);
    if (!more || (oldest && place.messages.has(oldest.uuid))) {
      for (const row of place.messages.values()) if (!live.messages.has(row.uuid)) this.putRow(live, row);
      live.hasMore = place.hasMore;
      this.places.delete(uuid);
    }
    this.timelineChanged(uuid);
  }

  private readPage(uuid: Uuid, query: string): Promise<{ results: Message[]; has_more: boolean }> {
    return this.auth.api('GET', `/api/chat/conversations/${uuid}/messages/?limit=${PAGE_SIZE}${query}`);
  }

  /** The newest page, once; later calls find it there. */
  loadNewest = (uuid: Uuid): Promise<void> => {
    const timeline = this.timelineOf(uuid);
    return timeline.anchored ? Promise.resolve() : this.loadPage(uuid, '');
  };

  /** The page before the oldest message held. */
  loadOlder = async (uuid: Uuid): Promise<void> => {
    const place = this.places.get(uuid);
    if (place) {
      if (!place.hasMore) return;
      const page = await this.readPage(uuid, `&before_seq=${this.timeline(uuid)[0]?.seq ?? 0}`);
      for (const message of page.results) this.takeMessage(place, message);
      place.hasMore = page.has_more;
      return this.timelineChanged(uuid);
    }
    const timeline = this.timelineOf(uuid);
    if (!timeline.anchored) return this.loadNewest(uuid);
    if (!timeline.hasMore) return;
    const [oldest] = this.stored(uuid);
    return this.loadPage(uuid, oldest ? `&before_seq=${oldest.seq}` : '');
  };

  private loadPage(uuid: Uuid, query: string): Promise<void> {
    const timeline = this.timelineOf(uuid);
    return (timeline.loading ??= (async () => {
      try {
        const page = await this.readPage(uuid, query);
        for (const message of page.results) this.takeMessage(timeline, message);
        timeline.hasMore = page.has_more;
        timeline.anchored = true;
      } finally {
        timeline.loading = null;
      }
      if (timeline.stale) {
        timeline.stale = false;
        await this.loadPage(uuid, '');
      }
      this.timelineChanged(uuid);
    })());
  }

  private readAgain(uuid: Uuid): void {
    const timeline = this.timelineOf(uuid);
    if (timeline.loading) timeline.stale = true;
    else this.read(() => this.loadPage(uuid, ''));
  }

  /** What nobody waits for: tried again while the socket is open, unless the server refuses it. */
  private read(work: () => Promise<unknown>): void {
    const { hello } = this;
    void work().catch(({ status = 0 }: Partial<ApiError>) => {
      if (hello && this.hello === hello && (status < 400 || status === 429 || status >= 500)) {
        setTimeout(() => this.hello === hello && this.read(work), READ_RETRY_MS);
      }
    });
  }


  private timelineOf(uuid: Uuid): Timeline {
    let timeline = this.timelines.get(uuid);
    if (!timeline) {
      timeline = emptyTimeline();
      this.timelines.set(uuid, timeline);
    }
    return timeline;
  }

  private emptyTimeline(uuid: Uuid): void {
    const timeline = this.timelineOf(uuid);
    this.places.delete(uuid);
    timeline.messages.clear();
    timeline.stored = [];
    timeline.anchored = false;
    timeline.hasMore = true;
    this.timelineChanged(uuid);
  }

  private timelineChanged(uuid: Uuid): void {
    this.timelineOf(uuid).sorted = null;
    const place = this.places.get(uuid);
    if (place) place.sorted = null;
    this.saveSoon(uuid);
    this.events.emit('timeline', uuid);
  }

  private putRow(timeline: Timeline, row: TimelineMessage): void {
    const { messages, stored } = timeline;
    const held = messages.get(row.uuid);
    // A page that is read again changes nothing for the rows that are as they were.
    if (held && JSON.stringify(held) === JSON.stringify(row)) return;
    messages.set(row.uuid, row);
    if (!stored) return;
    const last = stored[stored.length - 1];
    if (!held && (!last || last.seq < row.seq)) stored.push(row);
    else if (held && held.seq === row.seq) stored[positionOf(stored, row.seq)] = row;
    else timeline.stored = null;
  }

  private takeMessage(timeline: Timeline, message: Message): void {
    const held = timeline.messages.get(message.uuid);
    // Events are the same for everybody, so they cannot say which reactions are mine.
    const reactions = message.reactions.map((reaction) => ({
      ...reaction,
      mine: reaction.mine ?? held?.reactions.find(({ emoji }) => emoji === reaction.emoji)?.mine ?? false,
    }));
    this.putRow(timeline, { ...message, reactions, status: 'stored', problem: null });
    if (message.client_msg_id && message.sender?.id === this.me) this.outbox.acknowledge(message.client_msg_id);
  }

  // Sending

  /** Shows the message at once and sends it as soon as that can be; returns its `client_msg_id`. */
  sendMessage = (conversation: Uuid, content: string, extra: Pick<Draft, 'reply_to' | 'attachments'> = {}): Uuid => {
    if (!this.auth.getSnapshot().sessionId) throw new NotSignedInError();
    this.typingSent.delete(conversation);
    this.toLatest(conversation);
    return this.outbox.add({ conversation_uuid: conversation, content, ...extra });
  };

  /** Tries a failed one again, under its old id. */
  retry = (clientMsgId: Uuid): void => this.outbox.retry(clientMsgId);

  discard = (clientMsgId: Uuid): void => this.outbox.discard(clientMsgId);

  /** How many messages the server has not acknowledged yet. */
  get unsentCount(): number {
    return this.outbox.size;
  }

  edit = (message: Uuid, text: string): Promise<unknown> => {
    const content = this.sendable(wellFormed(text));
    return this.change({ type: 'edit', message_uuid: message, content }, 'PATCH', `/api/chat/messages/${message}/`, { content });
  };

  remove = (message: Uuid): Promise<unknown> =>
    this.change({ type: 'delete', message_uuid: message }, 'DELETE', `/api/chat/messages/${message}/`);

  react = (message: Uuid, emoji: string, remove = false): Promise<unknown> =>
    this.change(
      { type: 'react', message_uuid: message, emoji, remove },
      remove ? 'DELETE' : 'PUT',
      `/api/chat/messages/${message}/reactions/${encodeURIComponent(wellFormed(emoji))}/`,
    );

  /** Everything up to here has been seen; without a number, everything there is. */
  markSeen = (conversation: Uuid, upToSeq?: number): void => {
    const known = this.byUuid.get(conversation);
    const seq = upToSeq ?? known?.last_seq;
    if (known && seq !== undefined && seq <= known.seen_seq && known.unread_count === 0) return;
    this.connection.sendFrame({ type: 'mark_as_seen', conversation_uuid: conversation, up_to_seq: seq });
    if (seq !== undefined) this.seenByMe(conversation, seq);
  };

  /** Call at every key: it is sent once in a while, and its end only if its beginning was. */
  setTyping = (conversation: Uuid, active: boolean): void => {
    if (!this.connection.isOpen) return;
    const sent = this.typingSent.get(conversation);
    if (active ? sent !== undefined && Date.now() - sent < TYPING_REPEAT_MS : sent === undefined) return;
    if (active) this.typingSent.set(conversation, Date.now());
    else this.typingSent.delete(conversation);
    this.connection.sendFrame({ type: 'typing', conversation_uuid: conversation, active });
  };

  /** Whose presence is told from now on; replaces the earlier list. */
  watchPresence = (userIds: number[]): void => {
    this.watched = userIds;
    this.askPresence();
  };

  /** Watches these too, until the returned function is called. */
  addPresence = (userIds: readonly number[]): Unsubscribe => {
    // A list that is shown adds and removes a hundred in one go.
    const changed = () => void Promise.resolve().then(() => this.askPresence());
    this.watchers.add(userIds);
    changed();
    return () => {
      this.watchers.delete(userIds);
      changed();
    };
  };

  presenceOf(userId: number): PresenceRow | undefined {
    return this.presence.get(userId);
  }

  /** The same array until somebody begins or ends. */
  typingIn(conversation: Uuid): readonly number[] {
    return this.typing.get(conversation) ?? NOBODY;
  }

  /** The server keeps one list for each socket: everybody who is watched by anything here, at most 100. */
  private askPresence(): void {
    if (!this.hello || !this.connection.isOpen) return;
    const wanted = [...new Set([...[...this.watchers].reverse(), this.watched].flat())].filter((id) => id !== this.me);
    const user_ids = wanted.slice(0, 100);
    const asked = `${this.hello.connection_id} ${user_ids.join()}`;
    if (user_ids.length === 0 || asked === this.asked) return;
    this.asked = asked;
    this.connection.sendFrame({ type: 'presence', user_ids });
  }

  private transmit(item: OutboxItem): boolean {
    if (!this.connection.isOpen || !this.hello) return false;
    const { conversation_uuid, client_msg_id, reply_to, attachments } = item;
    const content = this.sendable(item.content);
    const uuids = attachments?.length ? attachments.map(({ uuid }) => uuid) : undefined;
    return this.connection.sendFrame({ type: 'message', conversation_uuid, content, client_msg_id, reply_to, attachments: uuids }, false);
  }

  /** Of a text that is too long, one character more than the server takes: it refuses the text, not the whole socket. */
  private sendable(text: string): string {
    const most = this.hello?.limits?.content_chars ?? Infinity;
    return text.length > most ? [...text].slice(0, most + 1).join('') : text;
  }

  /** Over the socket when it is open, else by HTTP. */
  private change(frame: ClientFrame, method: string, path: string, body?: object): Promise<unknown> {
    if (!this.hello || !this.connection.isOpen) return this.auth.api(method, path, body);
    const ref = `c${this.nextRef++}`;
    return new Promise((resolve, reject) => {
      this.answers.set(ref, { resolve, reject });
      if (!this.connection.sendFrame({ ...frame, ref }, false)) {
        this.answers.delete(ref);
        reject(new Error('The connection was lost'));
      }
    });
  }

  /** The same row until something about the item changes. */
  private row(item: OutboxItem): TimelineMessage {
    const held = this.rows.get(item);
    if (held && held.problem === item.problem) return held;
    const made = this.asMessage(item);
    this.rows.set(item, made);
    return made;
  }

  private asMessage(item: OutboxItem): TimelineMessage {
    const { user } = this.auth;
    const original = item.reply_to ? this.timelineOf(item.conversation_uuid).messages.get(item.reply_to) : undefined;
    return {
      uuid: item.client_msg_id,
      conversation_uuid: item.conversation_uuid,
      seq: Infinity,
      sender: user,
      content: item.content,
      client_msg_id: item.client_msg_id,
      reply_to: original ? { uuid: original.uuid, sender: original.sender, excerpt: [...original.content].slice(0, EXCERPT_CHARS).join('') } : null,
      attachments: item.attachments ?? [],
      reactions: [],
      mentions: [],
      created_at: new Date(item.createdAt).toISOString(),
      edited_at: null,
      deleted_at: null,
      status: item.problem === null ? 'sending' : 'failed',
      problem: item.problem,
    };
  }

  // Receiving

  private stateChanged(state: ConnectionState): void {
    if (state !== ConnectionState.Open) {
      this.hello = null;
      // Receipts of one's other devices are not repeated: the list is read again once it is live.
      if (state !== ConnectionState.Connecting) this.listed = false;
      this.outbox.pause();
      this.typingSent.clear();
      for (const { reject } of this.answers.values()) reject(new Error('The connection was lost'));
      this.answers.clear();
    }
    this.events.emit('state', state);
  }

  private received(frame: ServerFrame): void {
    this.events.emit('frame', frame);
    switch (frame.type) {
      case 'hello':
        this.hello = frame;
        this.events.emit('hello', frame);
        this.asked = '';
        this.askPresence();
        if (!this.listed) this.read(this.loadConversations);
        // Another tab may have been closed before it could send.
        void this.adopt();
        // What the dead socket took with it goes again: the server knows each by its id.
        this.outbox.resume(frame.limits?.messages_per_10s);
        return;
      case 'events':
        for (const event of frame.events) this.apply(event);
        return;
      case 'ack':
        if (frame.client_msg_id) this.acknowledged(frame, frame.client_msg_id);
        this.answer(frame.ref)?.resolve(frame);
        return;
      case 'error':
        return this.refused(frame);
      case 'gap':
        return this.fellBehind(frame);
      case 'receipt':
        return this.receiptCame(frame);
      case 'typing':
        return this.typingCame(frame);
      case 'presence':
        for (const row of frame.users) {
          this.presence.set(row.user_id, row);
          this.events.emit('presence', row);
        }
        return;
      case 'removed':
        return this.dropConversation(frame.conversation_uuid);
      default:
    }
  }

  private async adopt(): Promise<void> {
    const { restored } = this;
    const items = await this.offline?.adopt?.();
    // Signed out meanwhile: they are not the next person's.
    if (items?.length && this.restored === restored) this.takeUnsent(items);
  }

  private apply(event: ChatEvent): void {
    const { conversation_uuid: uuid } = event;
    const known = this.byUuid.has(uuid);
    // The list was read after this event happened, and has counted it.
    const counted = event.seq <= (this.byUuid.get(uuid)?.last_seq ?? 0);
    this.patchConversation(uuid, ({ last_seq }) => ({ last_seq: Math.max(last_seq, event.seq) }));
    // About a message from before one joined: it has a number and nothing to show.
    if ('hidden' in event.data) return this.events.emit('event', event);
    switch (event.kind) {
      case 'attachment.ready':
        this.attachmentReady(uuid, event.data);
        break;
      case 'message.created':
      case 'message.edited':
      case 'message.deleted':
        this.messageChanged(event.kind, event.data, { at: event.at, counted });
        break;
      case 'reaction.added':
      case 'reaction.removed':
        this.reactionChanged(uuid, event.data, event.kind === 'reaction.added');
        break;
      case 'conversation.updated':
        this.patchConversation(uuid, () => {
          const { title, description, slow_mode_seconds } = event.data;
          return { title, description, ...(slow_mode_seconds !== undefined && { slow_mode_seconds }) };
        });
        break;
      default:
        // Who is a member, and with what right: few, and the row has more than the event.
        if (known) this.read(() => this.reloadConversation(uuid));
    }
    if (!known) this.read(() => this.reloadConversation(uuid));
    this.events.emit('event', event);
  }

  private messageChanged(kind: ChatEvent['kind'], message: Message, event: { at: string; counted: boolean }): void {
    const uuid = message.conversation_uuid;
    const timeline = this.timelineOf(uuid);
    const created = kind === 'message.created';
    // An edit of a message that is not held belongs to a page that will be read later, edited.
    if (created || timeline.messages.has(message.uuid)) this.takeMessage(timeline, message);
    const place = this.places.get(uuid);
    if (place?.messages.has(message.uuid)) this.takeMessage(place, message);
    // Before the list tells of it: nobody types what stands there already.
    if (created && message.sender) this.stopTyping(uuid, message.sender.id);
    this.patchConversation(uuid, (conversation) => {
      const last = conversation.last_message;
      const patch: Partial<Conversation> = {};
      if (created || last?.uuid === message.uuid) patch.last_message = message;
      if (created) {
        patch.updated_at = event.at;
        const mine = message.sender?.id === this.me;
        // Sending marks everything before as seen.
        if (mine) Object.assign(patch, { unread_count: 0, mention_count: 0, seen_seq: message.seq });
        else if (message.seq > conversation.seen_seq && !event.counted) {
          patch.unread_count = conversation.unread_count + 1;
          if (this.me !== undefined && message.mentions.includes(this.me)) {
            patch.mention_count = conversation.mention_count + 1;
          }
        }
      }
      return patch;
    });
    if (!created) for (const one of [timeline, place]) if (one) this.quoteAnew(one, message);
    this.timelineChanged(uuid);
  }

  /** A quotation shows what the server would: nothing of what was taken back, an edited one's new text. */
  private quoteAnew(timeline: Timeline, { uuid, content, deleted_at }: Message): void {
    const excerpt = deleted_at ? '' : [...content].slice(0, EXCERPT_CHARS).join('');
    for (const row of timeline.messages.values()) {
      if (row.reply_to?.uuid === uuid) this.putRow(timeline, { ...row, reply_to: { ...row.reply_to, excerpt } });
    }
  }

  private attachmentReady(uuid: Uuid, { message_uuid, attachment }: { message_uuid: Uuid; attachment: Attachment }): void {
    for (const timeline of this.holding(uuid, message_uuid)) {
      const message = timeline.messages.get(message_uuid)!;
      const attachments = message.attachments.map((each) => (each.uuid === attachment.uuid ? attachment : each));
      this.putRow(timeline, { ...message, attachments });
    }
    this.timelineChanged(uuid);
  }

  /**
   * Counts a reaction. A page that was on its way when it happened may have counted it already, so a message that is
   * being read is read once more instead.
   */
  private reactionChanged(uuid: Uuid, { message_uuid, emoji, user_id }: ReactionData, added: boolean): void {
    const live = this.timelineOf(uuid);
    if (live.loading) live.stale = true;
    for (const timeline of this.holding(uuid, message_uuid)) this.count(timeline, message_uuid, emoji, user_id === this.me, added);
    this.timelineChanged(uuid);
  }

  /** What is shown or kept of the conversation and holds this message. */
  private holding(uuid: Uuid, message_uuid: Uuid): Timeline[] {
    return [this.timelineOf(uuid), this.places.get(uuid)].filter((one): one is Timeline => one?.messages.has(message_uuid) ?? false);
  }

  private count(timeline: Timeline, message_uuid: Uuid, emoji: string, mine: boolean, added: boolean): void {
    const message = timeline.messages.get(message_uuid)!;
    const held = message.reactions.find((reaction) => reaction.emoji === emoji);
    const count = Math.max(0, (held?.count ?? 0) + (added ? 1 : -1));
    const changed = { emoji, count, mine: mine ? added : (held?.mine ?? false) };
    const reactions = held
      ? message.reactions.map((reaction) => (reaction === held ? changed : reaction))
      : [...message.reactions, changed];
    this.putRow(timeline, { ...message, reactions: reactions.filter((reaction) => reaction.count > 0) });
  }

  private acknowledged(ack: Ack, clientMsgId: Uuid): void {
    const item = this.outbox.acknowledge(clientMsgId);
    const timeline = this.timelineOf(ack.conversation_uuid);
    // `ack` and event come in either order; the later of them finds its work done.
    if (!item) return;
    this.putRow(timeline, {
      ...this.asMessage(item),
      uuid: ack.message_uuid,
      seq: ack.seq,
      created_at: ack.created_at,
      status: 'stored',
    });
    this.timelineChanged(ack.conversation_uuid);
  }

  private answer(ref: Ref | undefined) {
    const waiting = ref === undefined ? undefined : this.answers.get(ref);
    if (ref !== undefined) this.answers.delete(ref);
    return waiting;
  }

  private refused(frame: ErrorFrame): void {
    const waiting = this.answer(frame.ref);
    if (waiting) return waiting.reject(new FrameError(frame));
    if (frame.client_msg_id) this.outbox.refuse(frame.client_msg_id, frame);
    else this.events.emit('problem', frame);
  }

  /** Drops what is held and reads the newest page; the cursor is the connection's business. */
  private fellBehind(gap: Gap): void {
    const uuid = gap.conversation_uuid;
    const timeline = this.timelineOf(uuid);
    const wasOpen = timeline.anchored;
    // In another epoch the numbers may have gone back: what the server says now counts.
    this.patchConversation(uuid, ({ members }) => ({
      seen_seq: 0,
      members: members.map((member) => ({ ...member, seen_seq: 0 })),
    }));
    this.emptyTimeline(uuid);
    this.events.emit('gap', gap);
    if (wasOpen || timeline.loading) this.readAgain(uuid);
    this.read(() => this.reloadConversation(uuid));
    this.timelineChanged(uuid);
  }

  private receiptCame(receipt: Receipt): void {
    const { conversation_uuid: uuid, user_id, up_to_seq } = receipt;
    if (user_id === this.me) this.seenByMe(uuid, up_to_seq);
    else {
      this.patchConversation(uuid, ({ members }) => ({
        members: members.map((member) =>
          member.user.id === user_id ? { ...member, seen_seq: Math.max(member.seen_seq ?? 0, up_to_seq) } : member,
        ),
      }));
    }
    this.events.emit('receipt', receipt);
    this.timelineChanged(uuid);
  }

  private seenByMe(uuid: Uuid, upToSeq: number): void {
    this.patchConversation(uuid, ({ seen_seq, last_seq, unread_count, mention_count }) => {
      if (upToSeq >= last_seq) return { seen_seq: Math.max(seen_seq, upToSeq), unread_count: 0, mention_count: 0 };
      const beyond = [...this.timelineOf(uuid).messages.values()].filter(
        ({ seq, sender }) => seq > upToSeq && sender?.id !== this.me,
      ).length;
      return { seen_seq: Math.max(seen_seq, upToSeq), unread_count: Math.min(unread_count, beyond), mention_count };
    });
  }

  private typingCame({ conversation_uuid: uuid, user_id, active }: Typing): void {
    if (user_id === this.me) return;
    if (!active) return this.stopTyping(uuid, user_id);
    let typists = this.typists.get(uuid);
    if (!typists) this.typists.set(uuid, (typists = new Map()));
    const known = typists.has(user_id);
    clearTimeout(typists.get(user_id));
    // The end may be lost with its sender's network.
    typists.set(user_id, setTimeout(() => this.stopTyping(uuid, user_id), TYPING_EXPIRES_MS + 1_000));
    if (!known) this.typingChanged(uuid, typists);
  }

  private stopTyping(uuid: Uuid, userId: number): void {
    const typists = this.typists.get(uuid);
    if (!typists?.has(userId)) return;
    clearTimeout(typists.get(userId));
    typists.delete(userId);
    this.typingChanged(uuid, typists);
  }

  private typingChanged(uuid: Uuid, typists: Map<number, unknown>): void {
    this.typing.set(uuid, [...typists.keys()]);
    this.events.emit('typing', { conversation_uuid: uuid, user_ids: this.typingIn(uuid) });
  }

  /** Nothing of one person stays for the next. */
  private clear(): void {
    clearTimeout(this.saveTimer);
    this.saveTimer = undefined;
    this.restored = null;
    this.unsaved.clear();
    this.unsentSaved = true;
    void this.offline?.clear();
    this.hello = null;
    this.listed = false;
    this.outbox.clear();
    this.byUuid.clear();
    this.timelines.clear();
    this.places.clear();
    for (const typists of this.typists.values()) for (const timer of typists.values()) clearTimeout(timer);
    this.typists.clear();
    this.typing.clear();
    this.presence.clear();
    this.watched = [];
    this.conversationsChanged();
  }
}

const NOBODY: readonly number[] = [];

function positionOf(rows: readonly TimelineMessage[], seq: number): number {
  let low = 0;
  for (let high = rows.length; low < high; ) {
    const middle = (low + high) >> 1;
    if (rows[middle]!.seq < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Receipts only go forward: one that came while the answer was on its way is not taken back by it. */
function withNewerReceipts(read: Conversation, held: Conversation | undefined): Conversation {
  if (!held) return read;
  const seenBefore = new Map(held.members.map(({ user, seen_seq }) => [user.id, seen_seq ?? 0]));
  const members = read.members.map((member) =>
    member.seen_seq === null
      ? member
      : { ...member, seen_seq: Math.max(member.seen_seq, seenBefore.get(member.user.id) ?? 0) },
  );
  if (held.seen_seq <= read.seen_seq) return { ...read, members };
  const { seen_seq, unread_count, mention_count } = held;
  return { ...read, members, seen_seq, unread_count, mention_count };
}

function lastActivity(conversation: Conversation): string {
  return conversation.last_message?.created_at ?? conversation.updated_at;
}

/** `https://host` → `wss://host/ws/chat/`; an empty base is the page's own origin. */
export function socketUrl(baseUrl: string): string {
  const base = baseUrl || globalThis.location?.origin || '';
  return `${base.replace(/^http/, 'ws')}/ws/chat/`;
}
