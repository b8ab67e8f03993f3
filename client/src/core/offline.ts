import type { OutboxItem } from './outbox.js';
import type { Conversation, Message, Uuid } from './types.js';

/** AsyncStorage has this shape; the adapters of `stores.ts` give it to others. */
export interface KeyValueStore {
  getItem(key: string): string | null | Promise<string | null>;
  setItem(key: string, value: string): unknown;
  removeItem(key: string): unknown;
}

/** One conversation as it was known at one moment: its row, its newest messages and the event up to which they stand. */
export interface StoredConversation {
  conversation: Conversation;
  messages: Message[];
  /** The messages reach back from the newest one without a hole, as a page does. */
  anchored: boolean;
  hasMore: boolean;
  cursor: number | undefined;
}

export interface StoredChats {
  epoch: string | null;
  conversations: StoredConversation[];
  outbox: OutboxItem[];
}

/** Where the chats of one session rest between two starts. Each call is done after those before it; none ever raises. */
export interface ChatStore {
  /** What was kept for this session. What another one has left is removed first. */
  load(session: string): Promise<StoredChats | null>;
  /** @param items Asked for when it is written: what was read before is among them by then. */
  saveOutbox(items: () => readonly OutboxItem[]): Promise<unknown>;
  saveConversation(uuid: Uuid, stored: StoredConversation | null, epoch: string | null): Promise<unknown>;
  /** Nothing of this session stays. */
  clear(): Promise<unknown>;
  /** Resolves when everything asked for so far has been written. */
  settled(): Promise<unknown>;
}

interface Index {
  session: string;
  epoch: string | null;
  uuids: Uuid[];
}

const INDEX = 'alviar_chats';

/**
 * The chats of one session in a store. What belongs to another session is removed before anything is kept, and never
 * read. One record holds one conversation with its cursor, so that a kill between two writes leaves nothing torn.
 */
export class Offline implements ChatStore {
  private index: Index | null = null;
  private work: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly store: KeyValueStore,
    private readonly failed: (error: unknown) => void = (error) => console.warn('Chats could not be kept or read', error),
  ) {}

  load(session: string): Promise<StoredChats | null> {
    return this.inTurn(async () => {
      const index = parse<Index>(await this.store.getItem(INDEX));
      if (index && index.session !== session) await this.remove(index);
      this.index = index?.session === session ? index : { session, epoch: null, uuids: [] };
      const read = this.index.uuids.map(async (uuid) => parse<StoredConversation>(await this.store.getItem(keyOf(session, uuid))));
      const conversations = (await Promise.all(read)).filter((each) => each !== null);
      const outbox = parse<OutboxItem[]>(await this.store.getItem(keyOf(session, 'outbox'))) ?? [];
      return { epoch: this.index.epoch, conversations, outbox };
    });
  }

  saveOutbox(items: () => readonly OutboxItem[]): Promise<unknown> {
    return this.inTurn(async () => {
      const { index } = this;
      if (!index) return;
      const waiting = items();
      // Says whose it is before there is anything.
      if (waiting.length > 0 && (await this.store.getItem(INDEX)) === null) await this.store.setItem(INDEX, JSON.stringify(index));
      await this.put(keyOf(index.session, 'outbox'), waiting.length > 0 ? JSON.stringify(waiting) : null);
    });
  }

  saveConversation(uuid: Uuid, stored: StoredConversation | null, epoch: string | null): Promise<unknown> {
    return this.inTurn(async () => {
      const { index } = this;
      if (!index) return;
      const uuids = index.uuids.filter((each) => each !== uuid);
      if (stored) uuids.push(uuid);
      // Known before it is written, so that a sign-out finds it; a record that is missing is skipped.
      if (uuids.length !== index.uuids.length || epoch !== index.epoch) {
        this.index = { ...index, uuids, epoch };
        await this.store.setItem(INDEX, JSON.stringify(this.index));
      }
      await this.put(keyOf(index.session, uuid), stored && JSON.stringify(stored));
    });
  }

  clear(): Promise<unknown> {
    return this.inTurn(async () => {
      const index = this.index ?? parse<Index>(await this.store.getItem(INDEX));
      this.index = null;
      if (index) await this.remove(index);
    });
  }

  settled(): Promise<unknown> {
    return this.work;
  }

  private async remove({ session, uuids }: Index): Promise<void> {
    for (const name of ['outbox', ...uuids]) await this.store.removeItem(keyOf(session, name));
    await this.store.removeItem(INDEX);
  }

  private async put(key: string, value: string | null): Promise<void> {
    await (value === null ? this.store.removeItem(key) : this.store.setItem(key, value));
  }

  private inTurn<Result>(work: () => Promise<Result>): Promise<Result | null> {
    const done = this.work.then(work).catch((error: unknown) => {
      this.failed(error);
      return null;
    });
    this.work = done;
    return done;
  }
}

function keyOf(session: string, name: string): string {
  return `${INDEX}_${session}_${name}`;
}

function parse<Shape>(text: string | null): Shape | null {
  try {
    return JSON.parse(text ?? 'null') as Shape | null;
  } catch {
    return null;
  }
}
