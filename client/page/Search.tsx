import { useEffect, useState } from 'react';

import { searchMessages, type SearchResult } from 'alviar-client/media';
import { useAuth, useChat } from 'alviar-client/react';
import { identityOf, nameOf, problemText, titleOf } from './chat';
import { useText } from './i18n';
import { Avatar } from './ui/Avatar';

/** Messages with these words, newest first; following one opens its conversation at that place. */
export function Search({ query }: { query: string }) {
  const { t, shortTime } = useText();
  const { client, user } = useAuth();
  const chat = useChat();
  const [results, setResults] = useState<SearchResult[] | null>(null);
  const [next, setNext] = useState<string | null>(null);
  const [problem, setProblem] = useState('');

  useEffect(() => {
    let gone = false;
    const timer = setTimeout(() => {
      searchMessages(client, { q: query }).then(
        (page) => {
          if (gone) return;
          setResults(page.results);
          setNext(page.next);
          setProblem('');
        },
        (error: unknown) => !gone && setProblem(problemText(error, t)),
      );
    }, 250);
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [client, query]);

  const more = () =>
    searchMessages(client, { next: next! }).then(
      (page) => {
        setResults([...(results ?? []), ...page.results]);
        setNext(page.next);
      },
      (error: unknown) => setProblem(problemText(error, t)),
    );

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
      {next && (
        <p className="hint">
          <button type="button" onClick={() => void more()}>
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
