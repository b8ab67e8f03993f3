/** Counts what has come since the page was opened: every conversation's numbers must follow each other. */
import { useEffect, useSyncExternalStore } from 'react';

import { useChat } from 'alviar-client/react';

interface Tally {
  received: number;
  missing: number;
  repeated: number;
}

let tally: Tally = { received: 0, missing: 0, repeated: 0 };
const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** One place counts, for as long as somebody is signed in. */
export function useCounting(): void {
  const chat = useChat();
  useEffect(() => {
    tally = { received: 0, missing: 0, repeated: 0 };
    const last = new Map<string, number>();
    const stopGap = chat.on('gap', ({ conversation_uuid, last_seq }) => last.set(conversation_uuid, last_seq));
    const stopEvents = chat.on('event', ({ conversation_uuid, seq }) => {
      const before = last.get(conversation_uuid) ?? seq - 1;
      last.set(conversation_uuid, Math.max(before, seq));
      tally = {
        received: tally.received + 1,
        missing: tally.missing + Math.max(0, seq - before - 1),
        repeated: tally.repeated + (seq <= before ? 1 : 0),
      };
      listeners.forEach((listener) => listener());
    });
    return () => {
      stopGap();
      stopEvents();
    };
  }, [chat]);
}

export function useTally(): Tally {
  return useSyncExternalStore(subscribe, () => tally, () => tally);
}
