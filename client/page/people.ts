import { useEffect, useState } from 'react';

import type { Person } from 'alviar-client';
import { useChat } from 'alviar-client/react';

/** People whose name begins like this, once one has stopped typing; null before there is an answer. */
export function usePeople(query: string): Person[] | null {
  const chat = useChat();
  const [found, setFound] = useState<Person[] | null>(null);
  const wanted = query.trim();
  useEffect(() => {
    setFound(null);
    if (wanted.length < 2) return;
    let gone = false;
    const timer = setTimeout(() => {
      chat.searchPeople(wanted).then(
        (people) => !gone && setFound(people),
        () => {},
      );
    }, 200);
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [chat, wanted]);
  return found;
}
