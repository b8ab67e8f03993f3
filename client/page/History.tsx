/** The history: the newest at the bottom, older pages as one scrolls up, and of fifty thousand rows only those in view. */
import { useEffect, useLayoutEffect, useMemo, useRef, useState, type KeyboardEvent, type RefObject } from 'react';

import type { Conversation, TimelineMessage } from 'alviar-client';
import { useAuth, useChat } from 'alviar-client/react';
import type { ComposerMode } from './Composer';
import { useText } from './i18n';
import { Message } from './Message';
import { Icon } from './ui/icons';
import { useVirtual } from './virtual';

/** So far from the oldest message the page before it is read. */
const READ_AHEAD_PX = 800;
const FIRST_UNREAD_BELOW_PX = 90;
/** A message so many numbers before the oldest that is held is read with its surroundings alone. */
const FAR = 200;

interface HistoryProps {
  conversation: Conversation;
  timeline: readonly TimelineMessage[];
  hasOlder: boolean;
  loadOlder: () => Promise<void>;
  /** The message to show, by its number. */
  target: number | null;
  onMode: (mode: ComposerMode) => void;
}

const keyOf = (message: TimelineMessage) => message.client_msg_id ?? message.uuid;

export function History({ conversation, timeline, hasOlder, loadOlder, target, onMode }: HistoryProps) {
  const { t } = useText();
  const { user } = useAuth();
  const box = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLOListElement>(null);
  const keys = useMemo(() => timeline.map(keyOf), [timeline]);
  const chat = useChat();
  const hasNewer = chat.hasNewer(conversation.uuid);
  const view = useVirtual(keys, box, list, target === null, !hasNewer);
  const look = useSeen(conversation, box, hasNewer ? -1 : timeline.length - 1);
  const [found, setFound] = useState<number | null>(null);
  const unread = useFirstUnread(conversation, timeline, hasOlder, user?.id);
  const goTo = useJump(conversation.uuid, (index, seq) => {
    view.toRow(index);
    setFound(seq);
  });

  useEffect(() => {
    if (target !== null) goTo((message) => message.seq === target, target);
  }, [target]);

  // Opened with unread messages: their beginning is what one came for, and nothing below it has been seen yet.
  const opened = useRef(target !== null);
  useLayoutEffect(() => {
    if (timeline.length === 0) return;
    const first = !opened.current;
    opened.current = true;
    if (first && unread > 0) view.toRow(unread, FIRST_UNREAD_BELOW_PX);
    else look();
  });

  // Who writes wants to see what they have written.
  const last = timeline[timeline.length - 1];
  const sending = last?.status === 'sending' ? last.uuid : null;
  useLayoutEffect(() => {
    if (sending) view.toEnd();
  }, [sending]);

  const older = useRef(false);
  const readOlder = () => {
    if (!hasOlder || timeline.length === 0 || older.current || box.current!.scrollTop > READ_AHEAD_PX) return;
    older.current = true;
    void loadOlder().finally(() => (older.current = false));
  };
  useEffect(readOlder, [timeline, hasOlder]);
  const readNewer = () => {
    const { scrollTop, clientHeight, scrollHeight } = box.current!;
    if (hasNewer && scrollHeight - scrollTop - clientHeight < READ_AHEAD_PX) void chat.loadNewer(conversation.uuid).catch(() => {});
  };
  // Who leaves the conversation finds it at its newest messages.
  useEffect(() => () => chat.toLatest(conversation.uuid), []);

  // A row that left the document takes no focus with it.
  const hadFocus = useRef(false);
  useLayoutEffect(() => {
    if (hadFocus.current && document.activeElement === document.body) box.current!.focus({ preventScroll: true });
    hadFocus.current = box.current!.contains(document.activeElement);
  });

  const keyDown = (event: KeyboardEvent<HTMLDivElement>) => {
    if (event.key !== 'ArrowUp' && event.key !== 'ArrowDown') return;
    const rows = [...list.current!.querySelectorAll<HTMLElement>(':scope > [data-index]')];
    const here = rows.indexOf(document.activeElement as HTMLElement);
    if (here < 0 && document.activeElement !== box.current) return;
    event.preventDefault();
    const next = here < 0 ? lastInView(rows, box.current!) : rows[here + (event.key === 'ArrowUp' ? -1 : 1)];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: 'nearest' });
  };

  const toLatest = () => {
    chat.toLatest(conversation.uuid);
    view.toEnd();
    box.current!.focus();
  };
  const rows = timeline.slice(view.start, view.end);
  return (
    <div className="history-frame">
      <div
        id="messages"
        className="history"
        role="log"
        aria-label={t('messages')}
        aria-busy={timeline.length === 0 && hasOlder}
        tabIndex={0}
        ref={box}
        onKeyDown={keyDown}
        onScroll={() => {
          view.onScroll();
          readOlder();
          readNewer();
          look();
        }}
      >
        <div className="history-top">
          {timeline.length > 0 ? <small>{t(hasOlder ? 'earlier' : 'beginning')}</small> : hasOlder ? <Skeleton /> : <Nothing />}
        </div>
        <ol ref={list} style={{ paddingTop: view.above, paddingBottom: view.below }}>
          {rows.map((message, offset) => {
            const index = view.start + offset;
            return (
              <Message
                key={keys[index]}
                message={message}
                previous={timeline[index - 1]}
                next={timeline[index + 1]}
                conversation={conversation}
                index={index}
                firstUnread={index === unread}
                found={message.status === 'stored' && message.seq === found}
                onMode={onMode}
                onQuote={(uuid) => goTo((one) => one.uuid === uuid)}
              />
            );
          })}
        </ol>
      </div>
      {!view.atEnd && timeline.length > 0 && (
        <button type="button" className="to-latest" aria-label={t('toLatest')} title={t('toLatest')} onClick={toLatest}>
          <Icon name="down" />
          {conversation.unread_count > 0 && <span className="badge">{conversation.unread_count}</span>}
        </button>
      )}
    </div>
  );
}

function lastInView(rows: HTMLElement[], box: HTMLElement): HTMLElement | undefined {
  const edge = box.getBoundingClientRect().bottom;
  return [...rows].reverse().find((row) => row.getBoundingClientRect().bottom <= edge + 1) ?? rows[rows.length - 1];
}

/** Where the unread messages began when the conversation was opened; -1 where there were none, or it is not known yet. */
function useFirstUnread(conversation: Conversation, timeline: readonly TimelineMessage[], hasOlder: boolean, me: number | undefined): number {
  const [from] = useState(conversation.unread_count > 0 ? conversation.seen_seq : Infinity);
  return useMemo(() => {
    const first = timeline.findIndex(({ seq, sender, deleted_at, status }) => status === 'stored' && seq > from && sender?.id !== me && !deleted_at);
    return first === 0 && hasOlder ? -1 : first;
  }, [timeline, hasOlder, from, me]);
}

/** Reads back as far as the message that is looked for, or only around it where it is far, then shows it. */
function useJump(uuid: string, show: (index: number, seq: number) => void) {
  const chat = useChat();
  const shown = useRef(show);
  shown.current = show;
  const turn = useRef(0);
  useEffect(() => () => void turn.current++, []);
  return (wanted: (message: TimelineMessage) => boolean, notBefore = 0) => {
    const mine = ++turn.current;
    const go = async () => {
      if (!chat.timeline(uuid).some(wanted)) chat.toLatest(uuid);
      await chat.loadNewest(uuid);
      for (;;) {
        const timeline = chat.timeline(uuid);
        const index = timeline.findIndex(wanted);
        if (mine !== turn.current) return;
        if (index >= 0) {
          // Once the rows that were just read are known to the list.
          await new Promise((done) => setTimeout(done));
          return shown.current(index, timeline[index]!.seq);
        }
        if (!chat.hasOlder(uuid) || (timeline[0]?.seq ?? 0) <= notBefore) return;
        if (notBefore > 0 && (timeline[0]?.seq ?? 0) - notBefore > FAR) {
          await chat.loadAround(uuid, notBefore);
          if (chat.timeline(uuid).some(wanted)) continue;
          return chat.toLatest(uuid);
        }
        await chat.loadOlder(uuid);
      }
    };
    void go().catch(() => {});
  };
}

/** What has been displayed, in a window that can be seen, has been seen: up to the lowest message in sight. */
function useSeen({ uuid, last_seq }: Conversation, box: RefObject<HTMLDivElement | null>, newest: number): () => void {
  const chat = useChat();
  const told = useRef(0);
  const look = () => {
    const element = box.current;
    if (!element || document.visibilityState !== 'visible') return;
    const edge = element.getBoundingClientRect().bottom + 1;
    const rows = [...element.querySelectorAll<HTMLElement>('li[data-seq]')];
    for (let index = rows.length - 1; index >= 0; index--) {
      const row = rows[index]!;
      const { top, bottom } = row.getBoundingClientRect();
      // A message taller than the window is seen once its end or the whole window's height of it has been.
      if (bottom > edge && top > edge - element.clientHeight) continue;
      const seq = Number(row.dataset.index) === newest ? last_seq : Number(row.dataset.seq);
      if (seq > told.current) chat.markSeen(uuid, (told.current = seq));
      return;
    }
  };
  const latest = useRef(look);
  latest.current = look;
  useEffect(() => {
    const again = () => latest.current();
    document.addEventListener('visibilitychange', again);
    // What was told to a socket that died is told once more.
    const stop = chat.on('hello', () => {
      told.current = 0;
      again();
    });
    return () => {
      document.removeEventListener('visibilitychange', again);
      stop();
    };
  }, []);
  return look;
}

function Nothing() {
  const { t } = useText();
  return (
    <div className="empty-state">
      <Icon name="chats" />
      <p>{t('noMessages')}</p>
    </div>
  );
}

function Skeleton() {
  return (
    <div className="skeleton-talk" aria-hidden="true">
      {[46, 62, 30, 55, 40].map((width, index) => (
        <span key={index} className={`skeleton${index % 2 ? ' mine' : ''} w-${width}`} />
      ))}
    </div>
  );
}
