import { useState, type KeyboardEvent } from 'react';

import { ConnectionState, type Conversation, type Page } from 'alviar-client';
import { useAuth, useChat, useConnectionState, useConversations, usePresence, useTyping } from 'alviar-client/react';
import { identityOf, isMuted, memberOf, nameOf, others, problemText, titleOf } from './chat';
import { useDraft } from './drafts';
import { useText } from './i18n';
import { NewChat, Search } from './later';
import { Receipt } from './Message';
import { Avatar } from './ui/Avatar';
import { Icon } from './ui/icons';

export function ConversationList({ selected }: { selected: string | undefined }) {
  const { t } = useText();
  const { user } = useAuth();
  const all = useConversations();
  const connection = useConnectionState();
  const [query, setQuery] = useState('');
  const [composing, setComposing] = useState(false);
  const wanted = query.trim();
  const named = (conversation: Conversation) =>
    wanted.length < 2 || titleOf(conversation, user?.id, t).toLowerCase().includes(wanted.toLowerCase());
  const conversations = all.filter((conversation) => !conversation.archived && named(conversation));
  const waiting = all.length === 0 && connection === ConnectionState.Connecting;
  return (
    <nav className="list" aria-label={t('chats')}>
      <div className="list-head">
        <h1>{t('chats')}</h1>
        <button type="button" data-key="new" className="icon-button" aria-label={t('newChat')} title={t('newChat')} onClick={() => setComposing(true)}>
          <Icon name="edit" />
        </button>
      </div>
      {composing && <NewChat onClose={() => setComposing(false)} />}
      <div className="search-field">
        <Icon name="search" />
        <input
          type="search"
          data-key="search"
          dir="auto"
          aria-label={t('searchMessages')}
          placeholder={t('searchMessages')}
          value={query}
          onInput={(event) => setQuery(event.currentTarget.value)}
          onKeyDown={(event) => event.key === 'Escape' && setQuery('')}
        />
      </div>
      <div className="rows" tabIndex={-1} onKeyDown={walk}>
        {wanted.length > 1 && <Search query={wanted} />}
        {waiting && <Skeletons />}
        {all.length === 0 && !waiting && (
          <div className="empty-state">
            <Icon name="group" />
            <p>{t('noChats')}</p>
            <button type="button" className="primary" onClick={() => setComposing(true)}>
              {t('begin')}
            </button>
          </div>
        )}
        <ul>
          {conversations.map((conversation) => (
            <li key={conversation.uuid}>
              <Row conversation={conversation} selected={conversation.uuid === selected} />
            </li>
          ))}
        </ul>
        {wanted.length < 2 && all.length > 0 && <Archived selected={selected} />}
      </div>
    </nav>
  );
}

/** The arrows go from row to row. */
function walk(event: KeyboardEvent<HTMLDivElement>): void {
  if (event.altKey || (event.key !== 'ArrowDown' && event.key !== 'ArrowUp')) return;
  const rows = [...event.currentTarget.querySelectorAll<HTMLElement>('a.row')].filter((row) => row.checkVisibility());
  const next = rows[rows.indexOf(document.activeElement as HTMLElement) + (event.key === 'ArrowDown' ? 1 : -1)];
  if (!next) return;
  event.preventDefault();
  next.focus();
}

function Skeletons() {
  return (
    <div aria-hidden="true">
      {[60, 45, 70, 50, 62, 40].map((width, index) => (
        <div key={index} className="row">
          <span className="skeleton round-skeleton" />
          <span className="row-text">
            <span className={`skeleton w-${width}`} />
            <span className="skeleton w-75" />
          </span>
        </div>
      ))}
    </div>
  );
}

/** Read when it is opened; what is archived while one looks joins it. */
function Archived({ selected }: { selected: string | undefined }) {
  const { t } = useText();
  const { client } = useAuth();
  const chat = useChat();
  const archived = useConversations().filter((conversation) => conversation.archived);
  const [problem, setProblem] = useState('');
  const load = async () => {
    let next: string | null = '/api/chat/conversations/?archived=true&limit=100';
    while (next) {
      const page: Page<Conversation> = await client.api('GET', next);
      for (const { uuid } of page.results) if (!chat.conversation(uuid)) await chat.reloadConversation(uuid);
      next = page.next;
    }
  };
  return (
    <details
      className="archived"
      onToggle={(event) => event.currentTarget.open && void load().catch((error: unknown) => setProblem(problemText(error, t)))}
    >
      <summary>
        <Icon name="archive" /> {t('archived')}
      </summary>
      <p role="alert" className="bad" hidden={!problem}>
        {problem}
      </p>
      <ul>
        {archived.map((conversation) => (
          <li key={conversation.uuid}>
            <Row conversation={conversation} selected={conversation.uuid === selected} />
          </li>
        ))}
      </ul>
    </details>
  );
}

function Row({ conversation, selected }: { conversation: Conversation; selected: boolean }) {
  const { t, shortTime, time } = useText();
  const { user } = useAuth();
  const { uuid, last_message: last, unread_count: unread, mention_count: mentions, pinned } = conversation;
  const typing = useTyping(uuid);
  const draft = useDraft(uuid);
  const partner = conversation.kind === 'direct' ? others(conversation, user?.id)[0]?.user.id : undefined;
  const online = usePresence(partner)?.online ?? false;
  const title = titleOf(conversation, user?.id, t);
  const muted = isMuted(conversation);
  const mine = last?.sender?.id === user?.id;
  return (
    <a className="row" href={`#/chat/${uuid}`} aria-current={selected ? 'true' : undefined} data-unread={unread > 0 && !muted}>
      <Avatar name={title} id={identityOf(conversation, user?.id)} online={online} />
      <span className="row-text">
        <span className="row-title">
          <strong dir="auto">{title}</strong>
          {muted && <Icon name="mute" label={t('muted')} />}
          {last && (
            <time dateTime={last.created_at} title={time(last.created_at)}>
              {shortTime(last.created_at)}
            </time>
          )}
        </span>
        <span className="row-preview">
          <span dir="auto">
            {typing.length > 0 ? (
              <em>{t('isTyping', { who: nameOf(memberOf(conversation, typing[0]!), t) })}</em>
            ) : draft && !selected ? (
              <>
                <span className="draft">{t('draft')}: </span>
                <bdi>{draft}</bdi>
              </>
            ) : (
              last && (
                <>
                  {mine && !last.deleted_at && <Receipt message={last} conversation={conversation} brief />}
                  {!mine && conversation.kind === 'group' && <span>{nameOf(last.sender, t)}: </span>}
                  <Preview message={last} />
                </>
              )
            )}
          </span>
          {pinned && unread === 0 && <Icon name="pin" label={t('pinned')} />}
          {mentions > 0 && (
            <span className="badge" role="img" aria-label={t('mentioned')}>
              @
            </span>
          )}
          {unread > 0 && (
            <span className={muted ? 'badge quiet-badge' : 'badge'} role="img" aria-label={t('unread', { n: unread })}>
              {unread > 999 ? '999+' : unread}
            </span>
          )}
        </span>
      </span>
    </a>
  );
}

function Preview({ message }: { message: NonNullable<Conversation['last_message']> }) {
  const { t } = useText();
  if (message.deleted_at) return <i>{t('deletedMessage')}</i>;
  const [first] = message.attachments;
  return (
    <>
      {first && <Icon name={first.kind === 'audio' ? 'mic' : first.kind === 'image' ? 'image' : 'file'} />}{' '}
      <bdi>{message.content || (first?.kind === 'audio' ? t('voiceMessage') : first?.kind === 'image' ? t('picture') : (first?.name ?? ''))}</bdi>
    </>
  );
}
