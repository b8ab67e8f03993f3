/** The bridge from `ChatClient` to components: a component that calls a hook renders again when its part changes. */
import { createContext, useContext, useEffect, useSyncExternalStore } from 'react';

import type { ChatClient } from '@/core/chatClient';
import type { Conversation, Person } from '@/core/types';
import type { Word } from './i18n';

export const ChatContext = createContext<ChatClient | null>(null);

export function useChat(): ChatClient {
  return useContext(ChatContext)!;
}

export function useConversations(): readonly Conversation[] {
  const chat = useChat();
  return useSyncExternalStore((changed) => chat.on('conversations', changed), () => chat.conversations);
}

export function useTimeline(uuid: string) {
  const chat = useChat();
  return useSyncExternalStore((changed) => chat.on('timeline', changed), () => chat.timeline(uuid));
}

export function useConnectionState() {
  const chat = useChat();
  return useSyncExternalStore((changed) => chat.on('state', changed), () => chat.state);
}

export function useTyping(uuid: string): number[] {
  const chat = useChat();
  const joined = useSyncExternalStore((changed) => chat.on('typing', changed), () => chat.typingIn(uuid).join());
  return joined ? joined.split(',').map(Number) : [];
}

export function usePresence(userId: number | undefined) {
  const chat = useChat();
  return useSyncExternalStore(
    (changed) => chat.on('presence', changed),
    () => (userId === undefined ? undefined : chat.presenceOf(userId)),
  );
}

/** Whose presence the list shows: everybody one has a conversation with, the newest hundred of them. */
export function useWatchedPresence(): void {
  const chat = useChat();
  const people = useConversations().flatMap(({ members }) => members.map(({ user }) => user.id));
  const wanted = [...new Set(people)].slice(0, 100).join();
  useEffect(() => chat.watchPresence(wanted ? wanted.split(',').map(Number) : []), [chat, wanted]);
}

type Words = (word: Word) => string;

export function nameOf(person: Person | null, t: Words): string {
  if (!person) return t('deletedUser');
  return `${person.first_name} ${person.last_name}`.trim() || person.username;
}

export function others(conversation: Conversation, me: number | undefined) {
  return conversation.members.filter(({ user }) => user.id !== me);
}

export function titleOf(conversation: Conversation, me: number | undefined, t: Words): string {
  if (conversation.title) return conversation.title;
  const names = others(conversation, me).map(({ user }) => nameOf(user, t));
  return names.join(', ') || t('deletedUser');
}

/** What the server said, or that it could not be asked. */
export function problemText(error: unknown, t: Words): string {
  if (!(error instanceof Error) || error.name === 'NetworkError' || error instanceof TypeError) return t('offline');
  const fields = 'errors' in error ? Object.values(error.errors as Record<string, Array<{ message: string }>>) : [];
  return fields.flat().map(({ message }) => message).join(' ') || error.message;
}
