import { takeTurns, type Locks } from './locks.js';
import type { OutboxItem } from './outbox.js';
import type { Conversation, Message, Uuid } from './types.js';
import { uuid4 } from './uuid.js';

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

/**
 * Where the chats of one session rest between two starts. Each call is done after those before it; none ever raises.
 * Several tabs may have the same one.
 */
export interface ChatStore {
  /** What was kept for this session. What another one has left is removed first, unless a tab of it is open. */
  load(session: string): Promise<StoredChats | null>;
  /** What tabs that are gone have not sent: it is this tab's from now on. Null where it could not be read. */
  adopt?(): Promise<OutboxItem[] | null>;
  /** @param items Asked for when it is written: what was read before is among them by then. */
  saveOutbox(items: () => readonly OutboxItem[]): Promise<unknown>;
  saveConversation(uuid: Uuid, stored: StoredConversation | null, epoch: string | null): Promise<unknown>;
  /** Nothing of this session stays. */
  clear(): Promise<unknown>;
  /** Resolves when everything asked for so far has been written. */
  settled(): Promise<unknown>;
  /** What is not sent is somebody else's from now on: the next tab's, or the next start's. */
  close?(): void;
}

/** What is kept of one session. */
interface Kept {
  epoch: string | null;
  uuids: Uuid[];
  /** Those that have, or had, something to send. */
  tabs: string[];
}

/** By session. */
type Index = Record<string, Kept | undefined>;

const INDEX = 'alviar_chats';

/**
 * The chats of sessions in a store. What belongs to another session is removed before anything is kept, and never read.
 * One record holds one conversation with its cursor, so that a kill between two writes leaves nothing torn.
 *
 * What is unsent is one record a tab, so that two tabs do not write over each other's. A tab holds a lock as long as it
 * lives; what belongs to a tab without one goes to the tab that finds it. Written there first, then removed here: a kill
 * in between leaves it twice, under one `client_msg_id`.
 */
export class Offline implements ChatStore {
  private session: string | null = null;
  /** What this tab has listed in the index. */
  private uuids = new Set<Uuid>();
  private epoch: string | null = null;
  private listed = false;
  private readonly tab = uuid4();
  private leave: (() => void) | undefined;
  private work: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly store: KeyValueStore,
    private readonly failed: (error: unknown) => void = (error) => console.warn('Chats could not be kept or read', error),
    private readonly locks: Locks | undefined = globalThis.navigator?.locks,
  ) {}

  load(session: string): Promise<StoredChats | null> {
    return this.inTurn(async () => {
      await this.enter();
      const open = await this.openTabs();
      const index = await this.readIndex();
      for (const [other, kept] of Object.entries(index)) {
        if (other !== session && !kept?.tabs.some((tab) => open.has(tab))) await this.remove(other);
      }
      this.session = session;
      this.listed = false;
      const { epoch = null, uuids = [] } = index[session] ?? {};
      this.epoch = epoch;
      this.uuids = new Set(uuids);
      const read = uuids.map(async (uuid) => parse<StoredConversation>(await this.store.getItem(keyOf(session, uuid))));
      const conversations = (await Promise.all(read)).filter((each) => each !== null);
      return { epoch, conversations, outbox: (await this.takeOver(session, open)).outbox };
    });
  }

  adopt(): Promise<OutboxItem[] | null> {
    return this.inTurn(async () => (this.session === null ? [] : (await this.takeOver(this.session, await this.openTabs())).adopted));
  }

  saveOutbox(items: () => readonly OutboxItem[]): Promise<unknown> {
    return this.inTurn(async () => {
      const { session } = this;
      if (session === null) return;
      const waiting = items();
      if (waiting.length > 0) await this.list(session);
      await this.put(keyOf(session, this.tab), waiting.length > 0 ? JSON.stringify(waiting) : null);
    });
  }

  saveConversation(uuid: Uuid, stored: StoredConversation | null, epoch: string | null): Promise<unknown> {
    return this.inTurn(async () => {
      const { session } = this;
      if (session === null) return;
      // Listed before it is written, so that a sign-out finds it; a record that is missing is skipped.
      if (this.uuids.has(uuid) !== (stored !== null) || epoch !== this.epoch) {
        await this.change(session, ({ uuids, ...kept }) => {
          const others = uuids.filter((each) => each !== uuid);
          return { ...kept, epoch, uuids: stored ? [...others, uuid] : others };
        });
        this.epoch = epoch;
        if (stored) this.uuids.add(uuid);
        else this.uuids.delete(uuid);
      }
      await this.put(keyOf(session, uuid), stored && JSON.stringify(stored));
    });
  }

  clear(): Promise<unknown> {
    return this.inTurn(async () => {
      const { session } = this;
      this.session = null;
      if (session !== null) return this.remove(session);
      const open = await this.openTabs();
      for (const [left, kept] of Object.entries(await this.readIndex())) {
        if (!kept?.tabs.some((tab) => open.has(tab))) await this.remove(left);
      }
    });
  }

  settled(): Promise<unknown> {
    return this.work;
  }

  close(): void {
    void this.settled().then(() => {
      this.leave?.();
      this.leave = undefined;
    });
  }

  // Tabs

  /** Takes the lock that says that this tab is open. */
  private async enter(): Promise<void> {
    if (!this.locks || this.leave) return;
    const { locks } = this;
    await new Promise<void>((entered) => {
      const held = locks.request(lockOf(this.tab), {}, () => {
        entered();
        return new Promise<void>((leave) => (this.leave = leave));
      });
      void held.catch(entered);
    });
  }

  private async openTabs(): Promise<Set<string>> {
    const { held = [] } = (await this.locks?.query().catch(() => undefined)) ?? {};
    const names = held.map(({ name = '' }) => name).filter((name) => name.startsWith(lockOf('')));
    return new Set(names.map((name) => name.slice(lockOf('').length)));
  }

  /** Brings the records of tabs that are gone to this tab's, by the time at which they were written. */
  private async takeOver(session: string, open: Set<string>): Promise<{ outbox: OutboxItem[]; adopted: OutboxItem[] }> {
    const { tab, store } = this;
    const read = async (of: string) => parse<OutboxItem[]>(await store.getItem(keyOf(session, of))) ?? [];
    const gone = ((await this.readIndex())[session]?.tabs ?? []).filter((each) => each !== tab && !open.has(each));
    const own = await read(tab);
    const adopted = inOrder(await Promise.all(gone.map(read)));
    const outbox = inOrder([adopted, own]);
    if (gone.length === 0) return { outbox, adopted };
    try {
      if (outbox.length > 0) {
        await this.list(session);
        await this.put(keyOf(session, tab), JSON.stringify(outbox));
      }
      for (const each of gone) await store.removeItem(keyOf(session, each));
      await this.change(session, ({ tabs, ...kept }) => ({ ...kept, tabs: tabs.filter((each) => !gone.includes(each)) }));
    } catch (error) {
      // Where it stands it is found again.
      this.failed(error);
    }
    return { outbox, adopted };
  }

  // The index

  private async readIndex(): Promise<Index> {
    return parse<Index>(await this.store.getItem(INDEX)) ?? {};
  }

  /** Says whose it is before there is anything. */
  private async list(session: string): Promise<void> {
    if (this.listed) return;
    await this.change(session, (kept) => ({ ...kept, tabs: [...kept.tabs.filter((each) => each !== this.tab), this.tab] }));
    this.listed = true;
  }

  private async change(session: string, change: (kept: Kept) => Kept | undefined): Promise<void> {
    const index = await this.readIndex();
    const changed: Index = { ...index, [session]: change(index[session] ?? { epoch: null, uuids: [], tabs: [] }) };
    const empty = Object.values(changed).every((each) => each === undefined);
    await this.put(INDEX, empty ? null : JSON.stringify(changed));
  }

  private async remove(session: string): Promise<void> {
    const { uuids = [], tabs = [] } = (await this.readIndex())[session] ?? {};
    for (const name of new Set([...tabs, this.tab, ...uuids, ...this.uuids])) await this.store.removeItem(keyOf(session, name));
    await this.change(session, () => undefined);
  }

  private async put(key: string, value: string | null): Promise<void> {
    await (value === null ? this.store.removeItem(key) : this.store.setItem(key, value));
  }

  /** One after the other, also over tabs: the index is read and written as one. */
  private inTurn<Result>(work: () => Promise<Result>): Promise<Result | null> {
    const { locks } = this;
    const done = this.work
      .then(() => takeTurns(locks, INDEX, work))
      .catch((error: unknown) => {
        this.failed(error);
        return null;
      });
    this.work = done;
    return done;
  }
}

/** By time over the lists, and within each as it is: a clock may have been set back. Each item once. */
function inOrder(lists: OutboxItem[][]): OutboxItem[] {
  const timed = lists.flatMap((items) => {
    let at = 0;
    return items.map((item) => ({ item, at: (at = Math.max(at, item.createdAt)) }));
  });
  timed.sort((a, b) => a.at - b.at);
  return [...new Map(timed.map(({ item }) => [item.client_msg_id, item])).values()];
}

function keyOf(session: string, name: string): string {
  return `${INDEX}_${session}_${name}`;
}

function lockOf(tab: string): string {
  return `${INDEX} ${tab}`;
}

function parse<Shape>(text: string | null): Shape | null {
  try {
    return JSON.parse(text ?? 'null') as Shape | null;
  } catch {
    return null;
  }
}
