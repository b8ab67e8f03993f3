import { ACK_TIMEOUT_MS } from './constants.js';
import type { ErrorFrame } from './frames.js';
import { wellFormed } from './text.js';
import type { Attachment, Uuid } from './types.js';
import { uuid4 } from './uuid.js';

export interface Draft {
  conversation_uuid: Uuid;
  content: string;
  reply_to?: Uuid;
  attachments?: Attachment[];
}

export interface OutboxItem extends Draft {
  client_msg_id: Uuid;
  createdAt: number;
  /** The server's final no; null while it is waiting or on its way. */
  problem: string | null;
}

interface Entry extends OutboxItem {
  sentAt: number | null;
}

interface OutboxOptions {
  /** Hands one to the socket; false when there is none. */
  transmit(item: OutboxItem): boolean;
  /** @param stored The server has one more of them. */
  changed(conversation: Uuid, stored: boolean): void;
}

const WINDOW_MS = 10_000;
/** Room for the other tab of the same person's socket and for clocks that differ. */
const WINDOW_SLACK_MS = 250;

/**
 * Messages that the server has not acknowledged, in the order in which they were written.
 *
 * All go again after a reconnect. They are paced to what the server takes in 10 s, so that a long time offline ends
 * in a few seconds' sending and not in refusals.
 */
export class Outbox {
  private readonly entries = new Map<Uuid, Entry>();
  private readonly sentTimes: number[] = [];
  private perWindow = 20;
  private running = false;
  private notBefore = 0;
  /** Conversations in slow mode: their messages wait, all others go on. */
  private readonly slowUntil = new Map<Uuid, number>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: OutboxOptions) {}

  get size(): number {
    return this.entries.size;
  }

  /** Everything that waits, in order. */
  get items(): OutboxItem[] {
    return [...this.entries.values()].map(({ sentAt: _, ...item }) => item);
  }

  /** What waited when the app was killed goes before what has been written since. */
  restore(items: readonly OutboxItem[]): void {
    const since = [...this.entries.values()];
    this.entries.clear();
    for (const entry of [...items.map((item) => ({ ...item, sentAt: null })), ...since]) {
      if (!this.entries.has(entry.client_msg_id)) this.entries.set(entry.client_msg_id, entry);
    }
    for (const conversation of new Set(items.map((item) => item.conversation_uuid))) this.options.changed(conversation, false);
    this.flush();
  }

  add(draft: Draft): Uuid {
    const content = wellFormed(draft.content);
    const entry: Entry = { ...draft, content, client_msg_id: uuid4(), createdAt: Date.now(), problem: null, sentAt: null };
    this.entries.set(entry.client_msg_id, entry);
    this.options.changed(entry.conversation_uuid, false);
    this.flush();
    return entry.client_msg_id;
  }

  waitingIn(conversation: Uuid): OutboxItem[] {
    return [...this.entries.values()].filter((entry) => entry.conversation_uuid === conversation);
  }

  /** The socket is live: everything goes (again). */
  resume(messagesPer10s?: number): void {
    if (messagesPer10s && messagesPer10s > 0) this.perWindow = messagesPer10s;
    this.running = true;
    // The limit is the socket's, and this is another one.
    this.sentTimes.length = 0;
    this.notBefore = 0;
    for (const entry of this.entries.values()) entry.sentAt = null;
    this.flush();
  }

  pause(): void {
    this.running = false;
    clearTimeout(this.timer);
  }

  acknowledge(clientMsgId: Uuid): OutboxItem | undefined {
    const entry = this.entries.get(clientMsgId);
    if (!entry) return undefined;
    this.entries.delete(clientMsgId);
    this.options.changed(entry.conversation_uuid, true);
    this.flush();
    return entry;
  }

  refuse(clientMsgId: Uuid, { retryable, detail, retry_after_ms, reason }: ErrorFrame): void {
    const entry = this.entries.get(clientMsgId);
    if (!entry) return;
    if (retryable) {
      // Those behind it wait as well, so that the order stays.
      const until = Date.now() + (retry_after_ms ?? 1_000);
      if (reason === 'slow_mode') this.slowUntil.set(entry.conversation_uuid, until);
      else this.notBefore = Math.max(this.notBefore, until);
      entry.sentAt = null;
    } else {
      entry.problem = detail;
    }
    this.options.changed(entry.conversation_uuid, false);
    this.flush();
  }

  retry(clientMsgId: Uuid): void {
    const entry = this.entries.get(clientMsgId);
    if (!entry) return;
    entry.problem = null;
    entry.sentAt = null;
    this.options.changed(entry.conversation_uuid, false);
    this.flush();
  }

  discard(clientMsgId: Uuid): void {
    const entry = this.entries.get(clientMsgId);
    this.entries.delete(clientMsgId);
    if (entry) this.options.changed(entry.conversation_uuid, false);
  }

  clear(): void {
    this.pause();
    this.entries.clear();
  }

  private flush(): void {
    clearTimeout(this.timer);
    if (!this.running) return;
    const now = Date.now();
    let wakeAt = Infinity;
    for (const entry of this.entries.values()) {
      if (entry.problem !== null) continue;
      if (entry.sentAt !== null && now - entry.sentAt < ACK_TIMEOUT_MS) {
        wakeAt = Math.min(wakeAt, entry.sentAt + ACK_TIMEOUT_MS);
        continue;
      }
      const slowUntil = this.slowUntil.get(entry.conversation_uuid) ?? 0;
      if (slowUntil > now) {
        wakeAt = Math.min(wakeAt, slowUntil);
        continue;
      }
      const allowedAt = Math.max(this.notBefore, this.windowOpensAt(now));
      if (allowedAt > now) {
        wakeAt = Math.min(wakeAt, allowedAt);
        break;
      }
      if (!this.options.transmit(entry)) return;
      entry.sentAt = now;
      this.sentTimes.push(now);
      wakeAt = Math.min(wakeAt, now + ACK_TIMEOUT_MS);
    }
    if (wakeAt < Infinity) this.timer = setTimeout(() => this.flush(), wakeAt - now);
  }

  private windowOpensAt(now: number): number {
    while (this.sentTimes.length > 0 && this.sentTimes[0]! <= now - WINDOW_MS - WINDOW_SLACK_MS) this.sentTimes.shift();
    const oldest = this.sentTimes[this.sentTimes.length - this.perWindow];
    return oldest === undefined ? now : oldest + WINDOW_MS + WINDOW_SLACK_MS;
  }
}
