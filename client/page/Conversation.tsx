import { useEffect, useLayoutEffect, useRef, useState } from 'react';

import { useAuth } from '@/contexts/AuthContext';
import type { TimelineMessage } from '@/core/chatClient';
import type { Conversation as ConversationType } from '@/core/types';
import { nameOf, others, titleOf, useChat, usePresence, useTimeline, useTyping } from './chat';
import { Composer, type ComposerMode } from './Composer';
import { Avatar, memberOf } from './ConversationList';
import { useText } from './i18n';
import { Message } from './Message';

export function Conversation({ conversation }: { conversation: ConversationType }) {
  const { uuid } = conversation;
  const { t } = useText();
  const { user } = useAuth();
  const chat = useChat();
  const timeline = useTimeline(uuid);
  const [mode, setMode] = useState<ComposerMode>({ kind: 'write' });

  useEffect(() => void chat.loadNewest(uuid).catch(() => {}), [chat, uuid]);
  useSeen(conversation);

  const editLast = () => {
    const own = timeline.filter((message) => message.sender?.id === user?.id && !message.deleted_at);
    const last = own[own.length - 1];
    if (last?.status === 'stored') setMode({ kind: 'edit', message: last });
  };

  return (
    <main className="conversation" aria-label={titleOf(conversation, user?.id, t)}>
      <Head conversation={conversation} />
      <History conversation={conversation} timeline={timeline} onMode={setMode} />
      <TypingLine conversation={conversation} />
      <Composer conversation={uuid} mode={mode} onMode={setMode} onEditLast={editLast} />
    </main>
  );
}

function Head({ conversation }: { conversation: ConversationType }) {
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
        <h2 dir="auto">{title}</h2>
        <small role="status">{line}</small>
      </div>
    </header>
  );
}

/** The history: the newest at the bottom, older pages as one scrolls up, the place kept when they come. */
function History(props: {
  conversation: ConversationType;
  timeline: readonly TimelineMessage[];
  onMode: (mode: ComposerMode) => void;
}) {
  const { conversation, timeline, onMode } = props;
  const { t } = useText();
  const chat = useChat();
  const box = useRef<HTMLDivElement>(null);
  const top = useRef<HTMLDivElement>(null);
  const place = useRef({ oldest: '', height: 0, atBottom: true });
  const hasOlder = chat.hasOlder(conversation.uuid);

  useLayoutEffect(() => {
    const element = box.current!;
    const oldest = timeline[0]?.uuid ?? '';
    const { oldest: before, height, atBottom } = place.current;
    if (atBottom) element.scrollTop = element.scrollHeight;
    else if (oldest !== before) element.scrollTop += element.scrollHeight - height;
    place.current = { oldest, height: element.scrollHeight, atBottom };
  }, [timeline]);

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
        if (entry!.isIntersecting) void chat.loadOlder(conversation.uuid).catch(() => {});
      },
      { root: box.current, rootMargin: '200px 0px 0px' },
    );
    observer.observe(top.current!);
    return () => observer.disconnect();
  }, [hasOlder, timeline]);

  return (
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

/** What is on the screen, in a window that is looked at, has been seen. */
function useSeen({ uuid, unread_count }: ConversationType): void {
  const chat = useChat();
  useEffect(() => {
    const look = () => {
      if (unread_count > 0 && document.visibilityState === 'visible') chat.markSeen(uuid);
    };
    look();
    document.addEventListener('visibilitychange', look);
    return () => document.removeEventListener('visibilitychange', look);
  }, [chat, uuid, unread_count]);
}
