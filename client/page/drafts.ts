/** What was begun in each conversation, while the page is open. The list shows it, and nothing of it goes to the server. */
import { useSyncExternalStore } from 'react';

const drafts = new Map<string, string>();
const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

export function draftOf(conversation: string): string {
  return drafts.get(conversation) ?? '';
}

export function keepDraft(conversation: string, text: string): void {
  if (draftOf(conversation) === text) return;
  if (text) drafts.set(conversation, text);
  else drafts.delete(conversation);
  listeners.forEach((listener) => listener());
}

export function dropDraft(conversation: string): void {
  keepDraft(conversation, '');
}

/** Nothing of one person stays for the next. */
export function dropDrafts(): void {
  drafts.clear();
}

export function useDraft(conversation: string): string {
  const read = () => draftOf(conversation);
  return useSyncExternalStore(subscribe, read, read);
}
