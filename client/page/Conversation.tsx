import { useEffect, useLayoutEffect, useRef, useState, type RefObject } from 'react';

import type { Conversation as ConversationType, TimelineMessage } from 'alviar-client';
import { useAuth, useChat, useMessages, usePresence, useTyping } from 'alviar-client/react';
import { nameOf, others, titleOf } from './chat';
import { Composer, type ComposerMode } from './Composer';
import { Avatar, memberOf } from './ConversationList';
import { useText } from './i18n';
import { Info } from './Info';
import { Message } from './Message';
import { ConnectionNotice } from './StatusBar';

export function Conversation({ conversation, place }: { conversation: ConversationType; place: number | null }) {
  const { uuid } = conversation;
  const { t } = useText();
  const { user } = useAuth();
  const { messages: timeline, hasOlder, loadOlder } = useMessages(uuid);
  const [mode, setMode] = useState<ComposerMode>({ kind: 'write' });
  const [info, setInfo] = useState(false);

  const editLast = () => {
    const own = timeline.filter((message) => message.sender?.id === user?.id && !message.deleted_at);
    const last = own[own.length - 1];
    if (last?.status === 'stored') setMode({ kind: 'edit', message: last });
  };

  return (
    <main className="conversation" id="main" tabIndex={-1} data-info={info} aria-label={titleOf(conversation, user?.id, t)}>
      <div className="talk">
        <Head conversation={conversation} info={info} onInfo={() => setInfo(!info)} />
        <ConnectionNotice />
        <History {...{ conversation, timeline, hasOlder, loadOlder }} target={place} onMode={setMode} />
        <TypingLine conversation={conversation} />
        <Composer conversation={uuid} mode={mode} onMode={setMode} onEditLast={editLast} />
      </div>
      {info && <Info conversation={conversation} onClose={() => setInfo(false)} />}
    </main>
  );
}

function Head({ conversation, info, onInfo }: { conversation: ConversationType; info: boolean; onInfo: () => void }) {
  const { t, ago } = useText();
  const { user } = useAuth();
  const partner = conversation.kind === 'direct' ? others(conversation, user?.id)[0]?.user.id : undefined;
  const presence = usePresence(partner);
  const title = titleOf(conversation, user?.id, t);
  const line =
    conversation.kind === 'group'
      ? t('members', { n: conversation.members_count })
      : presence?.online
        ? t('online')
        : presence?.last_seen_at
          ? t('lastSeen', { when: ago(presence.last_seen_at) })
          : '';
  return (
    <header className="conversation-head">
      <a className="back" href="#/chat" aria-label={t('back')} />
      <Avatar name={title} online={presence?.online ?? false} />
      <div>
        <h1 dir="auto">{title}</h1>
        <small role="status">{line}</small>
      </div>
      <button type="button" className="quiet" aria-expanded={info} onClick={onInfo}>
        {t('info')}
      </button>
    </header>
  );
}

/** The history: the newest at the bottom, older pages as one scrolls up, the place kept when they come. */
function History(props: {
  conversation: ConversationType;
  timeline: readonly TimelineMessage[];
  hasOlder: boolean;
  loadOlder: () => Promise<void>;
  /** The message to show, by its number. */
  target: number | null;
  onMode: (mode: ComposerMode) => void;
}) {
  const { conversation, timeline, hasOlder, loadOlder, target, onMode } = props;
  const { t } = useText();
  const box = useRef<HTMLDivElement>(null);
  const top = useRef<HTMLDivElement>(null);
  const place = useRef({ oldest: '', height: 0, atBottom: true });
  const look = useSeen(conversation, box);
  const chat = useChat();
  const [away, setAway] = useState(false);
  const [found, setFound] = useState<number | null>(null);

  useLayoutEffect(() => {
    const element = box.current!;
    const oldest = timeline[0]?.uuid ?? '';
    const { oldest: before, height, atBottom } = place.current;
    if (atBottom) element.scrollTop = element.scrollHeight;
    else if (oldest !== before) element.scrollTop += element.scrollHeight - height;
    place.current = { oldest, height: element.scrollHeight, atBottom };
    look();
  }, [timeline]);

  // Reads back as far as the message that is looked for.
  useEffect(() => {
    if (target === null) return;
    let gone = false;
    const go = async () => {
      place.current.atBottom = false;
      await chat.loadNewest(conversation.uuid);
      while (!gone && chat.hasOlder(conversation.uuid) && (chat.timeline(conversation.uuid)[0]?.seq ?? 0) > target) {
        await chat.loadOlder(conversation.uuid);
      }
      if (!gone) setFound(target);
    };
    void go().catch(() => {});
    return () => {
      gone = true;
    };
  }, [chat, target]);
  useEffect(() => {
    if (found === null) return;
    const row = box.current!.querySelector(`li[data-seq="${found}"]`);
    place.current.atBottom = false;
    row?.scrollIntoView({ block: 'center' });
    row?.classList.add('found');
    return () => row?.classList.remove('found');
  }, [found]);

  const toLatest = () => {
    place.current.atBottom = true;
    box.current!.scrollTop = box.current!.scrollHeight;
    box.current!.focus();
  };

  useEffect(() => {
    const element = box.current!;
    // A keyboard that opens on a phone makes the box smaller: stay at the newest message.
    const observer = new ResizeObserver(() => {
      if (place.current.atBottom) element.scrollTop = element.scrollHeight;
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    if (!hasOlder || timeline.length === 0) return;
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (entry!.isIntersecting) void loadOlder();
      },
      { root: box.current, rootMargin: '200px 0px 0px' },
    );
    observer.observe(top.current!);
    return () => observer.disconnect();
  }, [hasOlder, timeline]);

  return (
    <>
    <div
      id="messages"
      className="history"
      role="log"
      aria-label={t('messages')}
      tabIndex={0}
      ref={box}
      onScroll={(event) => {
        const element = event.currentTarget;
        place.current.atBottom = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
        setAway(!place.current.atBottom);
        look();
      }}
    >
      <div ref={top} className="history-top">
        <small>{hasOlder ? (timeline.length > 0 ? t('earlier') : '') : t('beginning')}</small>
      </div>
      <ol>
        {timeline.map((message, index) => (
          <Message
            key={message.client_msg_id ?? message.uuid}
            message={message}
            previous={timeline[index - 1]}
            conversation={conversation}
            onMode={onMode}
          />
        ))}
      </ol>
    </div>
    {away && (
      <button type="button" className="to-latest" aria-label={t('toLatest')} onClick={toLatest}>
        ↓ {conversation.unread_count > 0 && <span className="badge">{conversation.unread_count}</span>}
      </button>
    )}
    </>
  );
}

function TypingLine({ conversation }: { conversation: ConversationType }) {
  const { t, list } = useText();
  const typing = useTyping(conversation.uuid);
  const who = list(typing.map((id) => nameOf(memberOf(conversation, id), t)));
  return (
    <p className="typing" role="status">
      {typing.length > 0 && t(typing.length === 1 ? 'isTyping' : 'areTyping', { who })}
    </p>
  );
}

/** What has been displayed, in a window that can be seen, has been seen: up to the lowest message in sight. */
function useSeen({ uuid, last_seq }: ConversationType, box: RefObject<HTMLDivElement | null>): () => void {
  const chat = useChat();
  const look = () => {
    const element = box.current;
    if (!element || document.visibilityState !== 'visible') return;
    const edge = element.getBoundingClientRect().bottom + 1;
    const rows = [...element.querySelectorAll<HTMLElement>('li[data-seq]')];
    for (let index = rows.length - 1; index >= 0; index--) {
      const { top, bottom } = rows[index]!.getBoundingClientRect();
      // A message taller than the window is seen once its end or the whole window's height of it has been.
      if (bottom > edge && top > edge - element.clientHeight) continue;
      const newest = index === rows.length - 1;
      return chat.markSeen(uuid, newest ? last_seq : Number(rows[index]!.dataset.seq));
    }
  };
  const latest = useRef(look);
  latest.current = look;
  useEffect(() => {
    const again = () => latest.current();
    document.addEventListener('visibilitychange', again);
    return () => document.removeEventListener('visibilitychange', again);
  }, []);
  return look;
}
