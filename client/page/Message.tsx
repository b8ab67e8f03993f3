import { useEffect, useRef, useState } from 'react';

import type { Conversation, TimelineMessage } from 'alviar-client';
import { useAuth, useChat } from 'alviar-client/react';
import { Attachment } from './Attachment';
import { nameOf, others } from './chat';
import type { ComposerMode } from './Composer';
import { Dialog, Field, fieldsOf, useWork } from './form';
import { useText } from './i18n';
import { Words } from './Words';

const EMOJI = ['👍', '❤️', '😂', '😮', '😢', '🙏'];
/** Messages of one person within this time stand together under one name. */
const TOGETHER_MS = 5 * 60_000;

interface MessageProps {
  message: TimelineMessage;
  previous: TimelineMessage | undefined;
  conversation: Conversation;
  onMode: (mode: ComposerMode) => void;
}

export function Message({ message, previous, conversation, onMode }: MessageProps) {
  const { t, time, day } = useText();
  const { user } = useAuth();
  const chat = useChat();
  const [menu, setMenu] = useState(false);
  const [reporting, setReporting] = useState(false);
  const mine = message.sender !== null && message.sender.id === user?.id;
  const follows =
    previous?.sender?.id === message.sender?.id &&
    dayOf(previous?.created_at) === dayOf(message.created_at) &&
    Date.parse(message.created_at) - Date.parse(previous?.created_at ?? '') < TOGETHER_MS;
  const stored = message.status === 'stored';

  const newDay = dayOf(message.created_at) !== dayOf(previous?.created_at);

  return (
    <>
    {newDay && (
      <li className="day">
        <time dateTime={message.created_at}>{day(message.created_at)}</time>
      </li>
    )}
    <li className={`message${mine ? ' mine' : ''}${follows ? ' follows' : ''}`} data-status={message.status} data-seq={stored ? message.seq : undefined}>
      {!mine && !follows && conversation.kind === 'group' && (
        <strong className="sender" dir="auto">
          {nameOf(message.sender, t)}
        </strong>
      )}
      <div className="bubble-line">
        <div className="bubble">
          <span className="hidden">{mine ? t('you') : nameOf(message.sender, t)}: </span>
          {message.reply_to && (
            <blockquote dir="auto">
              <span>
                <strong>{nameOf(message.reply_to.sender, t)}</strong> {message.reply_to.excerpt}
              </span>
            </blockquote>
          )}
          {message.deleted_at ? (
            <em className="gone">{t('deletedMessage')}</em>
          ) : (
            message.content && (
              <p className="content" dir="auto">
                <Words text={message.content} />
              </p>
            )
          )}
          {message.attachments.map((attachment) => (
            <Attachment key={attachment.uuid} attachment={attachment} />
          ))}
          <span className="meta">
            {message.edited_at && !message.deleted_at && <span>{t('edited')}</span>}
            <time dateTime={message.created_at}>{time(message.created_at)}</time>
            {mine && <Receipt message={message} conversation={conversation} />}
          </span>
        </div>
        {stored && !message.deleted_at && (
          <button
            type="button"
            className="more"
            aria-label={`${t('actions')}: ${excerptOf(message)}`}
            aria-expanded={menu}
            onClick={() => setMenu(!menu)}
          >
            ⋯
          </button>
        )}
      </div>
      {message.reactions.length > 0 && (
        <div className="reactions">
          {message.reactions.map(({ emoji, count, mine: own }) => (
            <button
              type="button"
              key={emoji}
              aria-pressed={own ?? false}
              aria-label={t('reactions', { emoji, n: count })}
              onClick={() => void chat.react(message.uuid, emoji, own).catch(() => {})}
            >
              {emoji} {count}
            </button>
          ))}
        </div>
      )}
      {message.status === 'failed' && (
        <p className="bad" role="alert">
          {t('failed')}: {message.problem}{' '}
          <button type="button" className="link" onClick={() => chat.retry(message.uuid)}>
            {t('retry')}
          </button>{' '}
          <button type="button" className="link" onClick={() => chat.discard(message.uuid)}>
            {t('discard')}
          </button>
        </p>
      )}
      {menu && <Menu message={message} mine={mine} onMode={onMode} onClose={() => setMenu(false)} onReport={() => (setMenu(false), setReporting(true))} />}
      {reporting && <Report message={message} onClose={() => setReporting(false)} />}
    </li>
    </>
  );
}

/** The day here, wherever it was written. */
function dayOf(iso: string | undefined): string {
  return iso === undefined ? '' : new Date(iso).toDateString();
}

/** Tells fifty buttons apart for somebody who hears them. */
function excerptOf({ content, attachments }: TimelineMessage): string {
  const text = content || (attachments[0]?.name ?? '');
  return text.length > 40 ? `${[...text].slice(0, 40).join('')}…` : text;
}

function Menu(props: {
  message: TimelineMessage;
  mine: boolean;
  onMode: (mode: ComposerMode) => void;
  onClose: () => void;
  onReport: () => void;
}) {
  const { message, mine, onMode, onClose, onReport } = props;
  const { t } = useText();
  const chat = useChat();
  const element = useRef<HTMLDivElement>(null);

  useEffect(() => {
    element.current?.scrollIntoView({ block: 'nearest' });
    element.current?.querySelector('button')?.focus();
    const leave = (event: Event) => {
      const target = event.target as Element;
      if (!element.current?.contains(target) && !target.closest?.('.more')) onClose();
    };
    document.addEventListener('pointerdown', leave);
    return () => document.removeEventListener('pointerdown', leave);
  }, []);

  const act = (work: () => unknown) => () => {
    void Promise.resolve(work()).catch(() => {});
    onClose();
  };
  return (
    <div
      className="menu"
      role="group"
      aria-label={t('actions')}
      ref={element}
      onKeyDown={(event) => event.key === 'Escape' && onClose()}
    >
      <div className="emoji">
        {EMOJI.map((emoji) => {
          const own = message.reactions.some((reaction) => reaction.emoji === emoji && reaction.mine);
          return (
            <button
              type="button"
              key={emoji}
              aria-label={t('react', { emoji })}
              aria-pressed={own}
              onClick={act(() => chat.react(message.uuid, emoji, own))}
            >
              {emoji}
            </button>
          );
        })}
      </div>
      <button type="button" onClick={act(() => onMode({ kind: 'reply', message }))}>
        {t('reply')}
      </button>
      {mine && (
        <button type="button" onClick={act(() => onMode({ kind: 'edit', message }))}>
          {t('edit')}
        </button>
      )}
      {message.content && (
        <button type="button" onClick={act(() => navigator.clipboard?.writeText(message.content))}>
          {t('copy')}
        </button>
      )}
      {!mine && (
        <button type="button" onClick={onReport}>
          {t('report')}
        </button>
      )}
      {mine && (
        <button type="button" className="bad" onClick={act(() => chat.remove(message.uuid))}>
          {t('delete')}
        </button>
      )}
    </div>
  );
}

/** To those who look after this server; nobody in the conversation learns of it. */
function Report({ message, onClose }: { message: TimelineMessage; onClose: () => void }) {
  const { t } = useText();
  const { client } = useAuth();
  const { busy, run, outcome } = useWork();
  const [done, setDone] = useState(false);
  const send = (reason: string) =>
    run(async () => {
      await client.api('POST', '/api/chat/reports/', { message_uuid: message.uuid, reason });
      setDone(true);
      return t('reported');
    });
  return (
    <Dialog title={t('report')} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void send(fieldsOf(event).reason!);
        }}
      >
        <blockquote dir="auto">
          <span>{excerptOf(message)}</span>
        </blockquote>
        {!done && <Field name="reason" label={t('reportReason')} maxLength={500} />}
        {outcome}
        <div className="actions">
          {!done && (
            <button type="submit" className="primary" disabled={busy}>
              {t('report')}
            </button>
          )}
          <button type="button" onClick={onClose}>
            {t(done ? 'close' : 'cancel')}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** ◷ on its way, ✓ stored, ✓✓ seen. */
function Receipt({ message, conversation }: { message: TimelineMessage; conversation: Conversation }) {
  const { t, list } = useText();
  const { user } = useAuth();
  if (message.status === 'failed') return null;
  if (message.status === 'sending') return <span role="img" aria-label={t('sending')}>◷</span>;
  const readers = others(conversation, user?.id).filter(({ seen_seq }) => (seen_seq ?? 0) >= message.seq);
  const everyone = readers.length > 0 && readers.length === conversation.members_count - 1;
  const label =
    readers.length === 0
      ? t('sent')
      : conversation.kind === 'direct'
        ? t('seen')
        : t('seenBy', { who: list(readers.map((reader) => nameOf(reader.user, t))) });
  return (
    <span role="img" className={everyone ? 'seen' : ''} aria-label={label} title={label}>
      {readers.length > 0 ? '✓✓' : '✓'}
    </span>
  );
}
