import { useEffect, useState } from 'react';

import { searchMessages, type SearchResult } from 'alviar-client/media';
import { useAuth } from 'alviar-client/react';
import { problemText } from './chat';
import { useText } from './i18n';

type Query = Extract<Parameters<typeof searchMessages>[1], { q: string }>;

/** Pages of what a search finds, newest first; `results` is null before the first. Another query begins anew. */
export function useResults(query: Query, { delayMs = 0, keep = false, again = '' }: { delayMs?: number; keep?: boolean; again?: string } = {}) {
  const { t } = useText();
  const { client } = useAuth();
  const [results, setResults] = useState<SearchResult[] | null>(null);
  const [next, setNext] = useState<string | null>(null);
  const [problem, setProblem] = useState('');
  const failed = (error: unknown) => setProblem(problemText(error, t));

  useEffect(() => {
    let gone = false;
    if (!keep) setResults(null);
    const timer = setTimeout(() => {
      searchMessages(client, query).then(
        (page) => {
          if (gone) return;
          setResults(page.results);
          setNext(page.next);
          setProblem('');
        },
        (error: unknown) => !gone && failed(error),
      );
    }, delayMs);
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [client, JSON.stringify(query), again]);

  const more = () =>
    searchMessages(client, { next: next! }).then((page) => {
      setResults([...(results ?? []), ...page.results]);
      setNext(page.next);
    }, failed);
  return { results, more: next ? () => void more() : null, problem };
}
