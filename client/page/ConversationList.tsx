import { useEffect, useState, type FormEvent } from 'react';

import type { Conversation, Page, Person } from 'alviar-client';
import { useAuth, useChat, useConversations, usePresence, useTyping } from 'alviar-client/react';
import { nameOf, others, problemText, titleOf } from './chat';
import { useText } from './i18n';
import { Search } from './Search';

export function ConversationList({ selected }: { selected: string | undefined }) {
  const { t } = useText();
  const { user } = useAuth();
  const all = useConversations();
  const [query, setQuery] = useState('');
  const wanted = query.trim();
  const named = (conversation: Conversation) =>
    wanted.length < 2 || titleOf(conversation, user?.id, t).toLowerCase().includes(wanted.toLowerCase());
  const conversations = all.filter((conversation) => !conversation.archived && named(conversation));
  const [composing, setComposing] = useState(false);
  return (
    <nav className="list" aria-label={t('chats')}>
      <div className="list-head">
        <h1>{t('chats')}</h1>
        <button type="button" className="primary" onClick={() => setComposing(true)}>
          {t('newChat')}
        </button>
      </div>
      {composing && <NewChat onClose={() => setComposing(false)} />}
      <div className="search">
        <input
          type="search"
          dir="auto"
          aria-label={t('searchMessages')}
          placeholder={t('searchMessages')}
          value={query}
          onInput={(event) => setQuery(event.currentTarget.value)}
        />
      </div>
      {wanted.length > 1 && <Search query={wanted} />}
      {all.length === 0 && <p className="hint">{t('noChats')}</p>}
      <ul>
        {conversations.map((conversation) => (
          <li key={conversation.uuid}>
            <Row conversation={conversation} selected={conversation.uuid === selected} />
          </li>
        ))}
      </ul>
      {wanted.length < 2 && <Archived selected={selected} />}
    </nav>
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
      <summary>{t('archived')}</summary>
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
  const { t, time } = useText();
  const { user } = useAuth();
  const { uuid, last_message: last, unread_count: unread } = conversation;
  const typing = useTyping(uuid);
  const partner = conversation.kind === 'direct' ? others(conversation, user?.id)[0]?.user.id : undefined;
  const online = usePresence(partner)?.online ?? false;
  const title = titleOf(conversation, user?.id, t);
  const muted = conversation.muted_until !== null && Date.parse(conversation.muted_until) > Date.now();
  const preview = !last ? '' : last.deleted_at ? t('deletedMessage') : last.content || last.attachments[0]?.name || '';
  return (
    <a className="row" href={`#/chat/${uuid}`} aria-current={selected ? 'true' : undefined}>
      <Avatar name={title} online={online} />
      <span className="row-text">
        <span className="row-title">
          <strong dir="auto">{title}</strong>
          {last && <time dateTime={last.created_at}>{time(last.created_at)}</time>}
        </span>
        <span className="row-preview">
          <span dir="auto">
            {typing.length > 0 ? (
              <em>{t('isTyping', { who: nameOf(memberOf(conversation, typing[0]!), t) })}</em>
            ) : (
              <>
                {last?.sender?.id === user?.id && last && `${t('you')}: `}
                <bdi>{preview}</bdi>
              </>
            )}
          </span>
          {muted && (
            <span role="img" aria-label={t('muted')} title={t('muted')}>
              ⊘
            </span>
          )}
          {conversation.pinned && (
            <span role="img" aria-label={t('pinned')} title={t('pinned')}>
              ★
            </span>
          )}
          {unread > 0 && (
            <span className="badge" aria-label={t('unread', { n: unread })}>
              {unread}
            </span>
          )}
        </span>
      </span>
    </a>
  );
}

export function memberOf(conversation: Conversation, userId: number): Person | null {
  return conversation.members.find(({ user }) => user.id === userId)?.user ?? null;
}

export function Avatar({ name, online = false }: { name: string; online?: boolean }) {
  const { t } = useText();
  const hue = [...name].reduce((sum, letter) => sum + letter.codePointAt(0)!, 0) % 6;
  return (
    <span className={`avatar hue-${hue}`}>
      <span aria-hidden="true">{[...name][0]?.toUpperCase()}</span>
      {online && (
        <span className="dot" role="img" aria-label={t('online')} />
      )}
    </span>
  );
}

function NewChat({ onClose }: { onClose: () => void }) {
  const { t } = useText();
  const { user } = useAuth();
  const chat = useChat();
  const [query, setQuery] = useState('');
  const [found, setFound] = useState<Person[] | null>(null);
  const [chosen, setChosen] = useState<Person[]>([]);
  const [title, setTitle] = useState('');
  const [problem, setProblem] = useState('');

  useEffect(() => {
    if (query.trim().length < 2) return setFound(null);
    const timer = setTimeout(() => {
      chat.searchPeople(query.trim()).then(
        (people) => setFound(people.filter(({ id }) => id !== user?.id)),
        (error: unknown) => setProblem(problemText(error, t)),
      );
    }, 200);
    return () => clearTimeout(timer);
  }, [query]);

  const toggle = (person: Person) =>
    setChosen((before) =>
      before.some(({ id }) => id === person.id) ? before.filter(({ id }) => id !== person.id) : [...before, person],
    );

  const start = async (event: FormEvent) => {
    event.preventDefault();
    if (chosen.length === 0) return;
    try {
      const made =
        chosen.length === 1 && !title
          ? await chat.openDirect(chosen[0]!.id)
          : await chat.createGroup(title || chosen.map((person) => nameOf(person, t)).join(', '), chosen.map(({ id }) => id));
      location.hash = `#/chat/${made.uuid}`;
      onClose();
    } catch (error) {
      setProblem(problemText(error, t));
    }
  };

  const shown = [...chosen, ...(found ?? []).filter(({ id }) => !chosen.some((person) => person.id === id))];
  return (
    <form className="new-chat" aria-label={t('newChat')} onSubmit={start} onKeyDown={(event) => event.key === 'Escape' && onClose()}>
      <label className="field">
        <span>{t('findPeople')}</span>
        <input autoFocus type="search" dir="auto" value={query} onInput={(event) => setQuery(event.currentTarget.value)} />
      </label>
      <ul aria-live="polite">
        {shown.map((person) => (
          <li key={person.id}>
            <label className="check">
              <input
                type="checkbox"
                checked={chosen.some(({ id }) => id === person.id)}
                onChange={() => toggle(person)}
              />
              <span dir="auto">
                {nameOf(person, t)} <small>{person.username}</small>
              </span>
            </label>
          </li>
        ))}
        {found?.length === 0 && <li className="hint">{t('nobodyFound')}</li>}
      </ul>
      {chosen.length > 1 && (
        <label className="field">
          <span>{t('groupTitle')}</span>
          <input maxLength={100} dir="auto" value={title} onInput={(event) => setTitle(event.currentTarget.value)} />
        </label>
      )}
      <p role="alert" className="bad" hidden={!problem}>
        {problem}
      </p>
      <div className="actions">
        <button type="submit" className="primary" disabled={chosen.length === 0}>
          {t('start')}
        </button>
        <button type="button" onClick={onClose}>
          {t('cancel')}
        </button>
      </div>
    </form>
  );
}
