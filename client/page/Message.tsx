import { memo, useRef, useState, type PointerEvent } from 'react';

import type { Conversation, TimelineMessage } from 'alviar-client';
import { useAuth, useChat } from 'alviar-client/react';
import { Attachment } from './Attachment';
import { excerptOf, nameOf, others } from './chat';
import type { ComposerMode } from './Composer';
import { useText } from './i18n';
import { EmojiPicker, Forward, MessageMenu, Report } from './later';
import { Avatar } from './ui/Avatar';
import { Icon } from './ui/icons';
import { Words } from './Words';

/** Messages of one person within this time stand together under one name. */
const TOGETHER_MS = 5 * 60_000;
const LONG_PRESS_MS = 450;

interface MessageProps {
  message: TimelineMessage;
  previous: TimelineMessage | undefined;
  next: TimelineMessage | undefined;
  conversation: Conversation;
  index: number;
  /** The first one that had not been seen when the conversation was opened. */
  firstUnread: boolean;
  found: boolean;
  onMode: (mode: ComposerMode) => void;
  /** To the message that this one answers. */
  onQuote: (uuid: string) => void;
}

type Open = 'menu' | 'emoji' | 'report' | 'forward' | null;

export const Message = memo(function Message(props: MessageProps) {
  const { message, previous, next, conversation, index, firstUnread, found, onMode, onQuote } = props;
  const { t, clock, time, day } = useText();
  const { user } = useAuth();
  const chat = useChat();
  const [open, setOpen] = useState<Open>(null);
  const row = useRef<HTMLLIElement>(null);
  const press = useRef<ReturnType<typeof setTimeout>>(undefined);
  const mine = message.sender !== null && message.sender.id === user?.id;
  const stored = message.status === 'stored';
  const can = stored && !message.deleted_at;
  const newDay = dayOf(message.created_at) !== dayOf(previous?.created_at);
  const follows = !firstUnread && together(previous, message);
  const last = !together(message, next);
  const name = nameOf(message.sender, t);
  const showAvatar = !mine && conversation.kind === 'group';
  const onlyEmoji = /^(?:\p{Extended_Pictographic}[\u{FE0F}\u{1F3FB}-\u{1F3FF}]?(?:\u{200D}\p{Extended_Pictographic}\u{FE0F}?)*\s?){1,3}$/u.test(message.content);

  const close = () => setOpen(null);
  const bubble = () => row.current!.querySelector<HTMLElement>('.bubble')!;
  /** Android and the right button say `contextmenu`; iOS says nothing, so the finger is timed. */
  const begin = (event: PointerEvent) => {
    if (event.pointerType === 'touch' && can) press.current = setTimeout(() => setOpen('menu'), LONG_PRESS_MS);
  };
  const cancel = () => clearTimeout(press.current);

  return (
    <li
      ref={row}
      data-index={index}
      data-seq={stored ? message.seq : undefined}
      data-status={message.status}
      tabIndex={-1}
      className={`message${mine ? ' mine' : ''}${follows ? ' follows' : ''}${last ? ' last' : ''}${found ? ' found' : ''}`}
      onKeyDown={(event) => {
        if (event.target !== event.currentTarget || !can) return;
        if (event.key === 'Enter' || event.key === ' ' || event.key === 'ContextMenu') setOpen('menu');
        else if (event.key === 'r') onMode({ kind: 'reply', message });
        else if (event.key === 'e' && mine) onMode({ kind: 'edit', message });
        else return;
        event.preventDefault();
      }}
    >
      {newDay && (
        <p className="day">
          <time dateTime={message.created_at}>{day(message.created_at)}</time>
        </p>
      )}
      {firstUnread && (
        <p className="unread-line">
          <span>{t('newMessages')}</span>
        </p>
      )}
      <div className="line">
        {showAvatar && (last ? <Avatar name={name} id={message.sender?.id ?? 0} small /> : <span className="avatar small none" />)}
        <div className="stack">
          <div className="bubble-line">
            <div
              className={`bubble${onlyEmoji && !message.reply_to && message.attachments.length === 0 ? ' big' : ''}`}
              onContextMenu={(event) => {
                if (!can || (event.target as Element).closest('a')) return;
                event.preventDefault();
                setOpen('menu');
              }}
              onPointerDown={begin}
              onPointerUp={cancel}
              onPointerMove={(event) => (Math.abs(event.movementX) + Math.abs(event.movementY) > 3) && cancel()}
              onPointerCancel={cancel}
            >
              {!mine && !follows && conversation.kind === 'group' ? (
                <strong className="sender" dir="auto">
                  {name}
                </strong>
              ) : (
                <span className="hidden">{mine ? t('you') : name}: </span>
              )}
              {message.reply_to && (
                <button type="button" tabIndex={-1} className="quote" dir="auto" onClick={() => onQuote(message.reply_to!.uuid)}>
                  <blockquote>
                    <strong>{nameOf(message.reply_to.sender, t)}</strong>
                    <span>{message.reply_to.excerpt || t('attachment')}</span>
                  </blockquote>
                </button>
              )}
              {message.attachments.map((attachment) => (
                <Attachment key={attachment.uuid} attachment={attachment} conversation={message.conversation_uuid} />
              ))}
              {message.deleted_at ? (
                <em className="gone">{t('deletedMessage')}</em>
              ) : (
                message.content && (
                  <p className="content" dir="auto">
                    <Words text={message.content} />
                  </p>
                )
              )}
              <span className="meta">
                {message.edited_at && !message.deleted_at && <span>{t('edited')}</span>}
                <time dateTime={message.created_at} title={time(message.created_at)}>
                  {clock(message.created_at)}
                </time>
                {mine && <Receipt message={message} conversation={conversation} />}
              </span>
            </div>
            {can && (
              <span className="tools">
                <button type="button" tabIndex={-1} className="tool" aria-label={`${t('addReaction')}: ${excerptOf(message)}`} title={t('addReaction')} onClick={() => setOpen('emoji')}>
                  <Icon name="smile" />
                </button>
                <button type="button" tabIndex={-1} className="tool" aria-label={`${t('reply')}: ${excerptOf(message)}`} title={t('reply')} onClick={() => onMode({ kind: 'reply', message })}>
                  <Icon name="reply" />
                </button>
                <button
                  type="button"
                  tabIndex={-1}
                  className="tool"
                  aria-haspopup="menu"
                  aria-label={`${t('actions')}: ${excerptOf(message)}`}
                  title={t('actions')}
                  aria-expanded={open === 'menu'}
                  onClick={() => setOpen('menu')}
                >
                  <Icon name="more" />
                </button>
              </span>
            )}
          </div>
          {message.reactions.length > 0 && (
            <div className="reactions">
              {message.reactions.map(({ emoji, count, mine: own }) => (
                <button
                  type="button"
                  tabIndex={-1}
                  key={emoji}
                  aria-pressed={own ?? false}
                  aria-label={t('reactions', { emoji, n: count })}
                  onClick={() => void chat.react(message.uuid, emoji, own).catch(() => {})}
                >
                  {emoji} <span>{count}</span>
                </button>
              ))}
            </div>
          )}
          {message.status === 'failed' && (
            <p className="failed" role="alert">
              <Icon name="warn" /> {t('failed')}: {message.problem}{' '}
              <button type="button" className="link" onClick={() => chat.retry(message.uuid)}>
                {t('retry')}
              </button>{' '}
              <button type="button" className="link" onClick={() => chat.discard(message.uuid)}>
                {t('discard')}
              </button>
            </p>
          )}
        </div>
      </div>
      {open === 'menu' && <MessageMenu anchor={bubble()} back={row.current!} {...{ message, mine, onMode }} onClose={close} onOpen={setOpen} />}
      {open === 'emoji' && (
        <EmojiPicker
          anchor={bubble()}
          onClose={close}
          onPick={(emoji) => {
            close();
            void chat.react(message.uuid, emoji).catch(() => {});
          }}
        />
      )}
      {open === 'report' && <Report message={message} onClose={close} />}
      {open === 'forward' && <Forward message={message} onClose={close} />}
    </li>
  );
});

function together(one: TimelineMessage | undefined, other: TimelineMessage | undefined): boolean {
  return (
    one !== undefined &&
    other !== undefined &&
    one.sender?.id === other.sender?.id &&
    dayOf(one.created_at) === dayOf(other.created_at) &&
    Date.parse(other.created_at) - Date.parse(one.created_at) < TOGETHER_MS
  );
}

/** The day here, wherever it was written. */
function dayOf(iso: string | undefined): string {
  return iso === undefined ? '' : new Date(iso).toDateString();
}

/** A clock: on its way; one check: stored; two: seen. */
export function Receipt(props: {
  message: Pick<TimelineMessage, 'seq'> & { status?: string };
  conversation: Conversation;
  /** Says that it was seen, and not by whom. */
  brief?: boolean;
}) {
  const { message, conversation, brief = false } = props;
  const { t, list } = useText();
  const { user } = useAuth();
  if (message.status === 'failed') return null;
  if (message.status === 'sending') return <Icon name="clock" label={t('sending')} />;
  const readers = others(conversation, user?.id).filter(({ seen_seq }) => (seen_seq ?? 0) >= message.seq);
  const everyone = readers.length > 0 && readers.length === conversation.members_count - 1;
  const label =
    readers.length === 0
      ? t('sent')
      : brief || conversation.kind === 'direct'
        ? t('seen')
        : t('seenBy', { who: list(readers.map((reader) => nameOf(reader.user, t))) });
  return (
    <span className={everyone ? 'receipt seen' : 'receipt'}>
      <Icon name={readers.length > 0 ? 'checks' : 'check'} label={label} />
    </span>
  );
}
