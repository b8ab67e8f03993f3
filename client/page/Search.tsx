import { useAuth, useChat } from 'alviar-client/react';
import { identityOf, nameOf, titleOf } from './chat';
import { useText } from './i18n';
import { useResults } from './results';
import { Avatar } from './ui/Avatar';

/** Messages with these words, newest first; following one opens its conversation at that place. */
export function Search({ query }: { query: string }) {
  const { t, shortTime } = useText();
  const { user } = useAuth();
  const chat = useChat();
  const { results, more, problem } = useResults({ q: query }, { delayMs: 250, keep: true });

  return (
    <section aria-label={t('searchResults')} aria-busy={results === null}>
      <h2 className="list-title">{t('searchResults')}</h2>
      <p role="alert" className="bad" hidden={!problem}>
        {problem}
      </p>
      <p role="status" className="hint">
        {results?.length === 0 && t('nothingFound')}
      </p>
      <ul>
        {results?.map(({ message, highlights }) => {
          const conversation = chat.conversation(message.conversation_uuid);
          return (
            <li key={message.uuid}>
              <a className="row" href={`#/chat/${message.conversation_uuid}/${message.seq}`}>
                <Avatar name={conversation ? titleOf(conversation, user?.id, t) : nameOf(message.sender, t)} id={conversation ? identityOf(conversation, user?.id) : message.conversation_uuid} />
                <span className="row-text">
                  <span className="row-title">
                    <strong dir="auto">{conversation ? titleOf(conversation, user?.id, t) : nameOf(message.sender, t)}</strong>
                    <time dateTime={message.created_at}>{shortTime(message.created_at)}</time>
                  </span>
                  <span className="found-text" dir="auto">
                    <small>{nameOf(message.sender, t)}: </small>
                    <Marked text={message.content} ranges={highlights} />
                  </span>
                </span>
              </a>
            </li>
          );
        })}
      </ul>
      {more && (
        <p className="hint">
          <button type="button" onClick={more}>
            {t('more')}
          </button>
        </p>
      )}
    </section>
  );
}

/** Begins a little before the first mark, so that it is in sight. */
function Marked({ text, ranges }: { text: string; ranges: Array<[number, number]> }) {
  const first = ranges[0]?.[0] ?? 0;
  const begin = first > 40 ? text.lastIndexOf(' ', first - 20) + 1 : 0;
  let from = begin;
  const parts = ranges.flatMap(([start, end]) => {
    const before = text.slice(from, start);
    from = end;
    return [before, <mark key={start}>{text.slice(start, end)}</mark>];
  });
  return (
    <>
      {begin > 0 && '…'}
      {parts}
      {text.slice(from)}
    </>
  );
}
