import type { ChatEvent } from './frames.js';
import type { Uuid } from './types.js';

export interface Hole {
  conversation_uuid: Uuid;
  after_seq: number;
}

/**
 * Hands on each event of a conversation once and in the order of its `seq`, whatever the wire does.
 *
 * `last + 1` is applied, anything up to `last` is ignored, and what lies beyond a hole waits until the hole is
 * filled (`sync`) or given up by the server (`gap`). The first event of a conversation without a cursor sets it,
 * except while a `resume` is answered: then live events may overtake older ones, so they wait for `resumed`.
 */
export class Sequencer {
  epoch: string | null = null;
  private readonly last = new Map<Uuid, number>();
  private readonly held = new Map<Uuid, Map<number, ChatEvent>>();
  /** A `resume` is being answered. A socket that died before `resumed` takes it back: the next one asks again. */
  resuming = false;

  get cursors(): Record<Uuid, number> {
    return Object.fromEntries(this.last);
  }

  cursor(conversation: Uuid): number | undefined {
    return this.last.get(conversation);
  }

  /** Tells what is known from elsewhere (a list read by HTTP). Never moves backwards. */
  advance(conversation: Uuid, seq: number): ChatEvent[] {
    this.last.set(conversation, Math.max(seq, this.last.get(conversation) ?? 0));
    return this.drain(conversation);
  }

  accept(events: readonly ChatEvent[]): ChatEvent[] {
    return events.flatMap((event) => {
      const { conversation_uuid, seq } = event;
      if (!this.resuming && !this.last.has(conversation_uuid)) this.last.set(conversation_uuid, seq - 1);
      let waiting = this.held.get(conversation_uuid);
      if (!waiting) this.held.set(conversation_uuid, (waiting = new Map()));
      waiting.set(seq, event);
      return this.drain(conversation_uuid);
    });
  }

  /** The conversations to ask `sync` for. None while a `resume` is on its way: it may fill them. */
  holes(): Hole[] {
    if (this.resuming) return [];
    return [...this.held.keys()].map((conversation) => ({
      conversation_uuid: conversation,
      after_seq: this.last.get(conversation) ?? 0,
    }));
  }

  /**
   * Ends the catch-up; returns what waited for it, in order.
   *
   * @param since Milliseconds of the server's clock. A conversation that had no cursor is caught up from the day one
   *   joined it; events of before this client's first `hello` only set its cursor, they are history.
   */
  finishResume(since = -Infinity): ChatEvent[] {
    this.resuming = false;
    const ready: ChatEvent[] = [];
    for (const [conversation, waiting] of [...this.held]) {
      if (this.last.has(conversation)) continue;
      this.last.set(conversation, Math.min(...waiting.keys()) - 1);
      ready.push(...this.drain(conversation).filter((event) => Date.parse(event.at) >= since));
    }
    return ready;
  }

  /** Too far behind: go on after `lastSeq`. Returns what had waited beyond it. */
  gap(conversation: Uuid, lastSeq: number): ChatEvent[] {
    this.last.set(conversation, lastSeq);
    return this.drain(conversation);
  }

  forget(conversation: Uuid): void {
    this.last.delete(conversation);
    this.held.delete(conversation);
  }

  clear(): void {
    this.epoch = null;
    this.resuming = false;
    this.last.clear();
    this.held.clear();
  }

  /** What is in turn now. Without a cursor nothing is. */
  private drain(conversation: Uuid): ChatEvent[] {
    const waiting = this.held.get(conversation);
    let last = this.last.get(conversation);
    const ready: ChatEvent[] = [];
    if (!waiting || last === undefined) return ready;
    for (const seq of waiting.keys()) if (seq <= last) waiting.delete(seq);
    for (let next = waiting.get(last + 1); next; next = waiting.get(last + 1)) {
      waiting.delete(++last);
      ready.push(next);
    }
    this.last.set(conversation, last);
    if (waiting.size === 0) this.held.delete(conversation);
    return ready;
  }
}
