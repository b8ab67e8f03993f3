'use client';

import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from 'react';

import { useChat } from '../contexts/ChatContext.js';
import type { ChatClient, ChatEvents, TimelineMessage } from '../core/chatClient.js';
import type { ConnectionState } from '../core/connection.js';
import type { PresenceRow } from '../core/frames.js';
import type { Draft } from '../core/outbox.js';
import type { Conversation, Uuid } from '../core/types.js';

/** Renders again when this event comes and what is read has changed. */
function useChatValue<Value>(event: keyof ChatEvents, read: (chat: ChatClient) => Value): Value {
  const chat = useChat();
  const subscribe = useCallback((changed: () => void) => chat.on(event, changed), [chat, event]);
  const snapshot = () => read(chat);
  return useSyncExternalStore(subscribe, snapshot, snapshot);
}

/** By last activity, pinned first. A conversation is the same object until it changes. */
export function useConversations(): readonly Conversation[] {
  return useChatValue('conversations', (chat) => chat.conversations);
}

export function useConversation(uuid: Uuid | undefined): Conversation | undefined {
  return useChatValue('conversations', (chat) => (uuid === undefined ? undefined : chat.conversation(uuid)));
}

export interface UseMessagesResult {
  /** By `seq`, then what is on its way. A message is the same object until it changes. */
  messages: readonly TimelineMessage[];
  hasOlder: boolean;
  /** A page is on its way. */
  isLoading: boolean;
  /** Why the last page could not be read. */
  error: Error | null;
  loadOlder: () => Promise<void>;
  /** Shows it at once and sends it as soon as that can be; returns its `client_msg_id`. */
  send: (content: string, extra?: Pick<Draft, 'reply_to' | 'attachments'>) => Uuid;
}

/** Reads the newest page when it is mounted, and follows what happens. */
export function useMessages(uuid: Uuid): UseMessagesResult {
  const chat = useChat();
  const messages = useChatValue('timeline', (client) => client.timeline(uuid));
  const hasOlder = useChatValue('timeline', (client) => client.hasOlder(uuid));
  const [{ loading, error }, setProgress] = useState<{ loading: number; error: Error | null }>({ loading: 0, error: null });

  const load = useCallback(async (read: (uuid: Uuid) => Promise<void>) => {
    setProgress(({ loading }) => ({ loading: loading + 1, error: null }));
    const failure = await read(uuid).then(() => null, (reason: Error) => reason);
    setProgress(({ loading }) => ({ loading: loading - 1, error: failure }));
  }, [uuid]);

  useEffect(() => {
    void load(chat.loadNewest);
    // Opened without a network: read as soon as there is one.
    return chat.on('hello', () => void load(chat.loadNewest));
  }, [chat, load]);

  const actions = useMemo(
    () => ({
      loadOlder: () => load(chat.loadOlder),
      send: (content: string, extra?: Pick<Draft, 'reply_to' | 'attachments'>) => chat.sendMessage(uuid, content, extra),
    }),
    [chat, uuid, load],
  );
  return { messages, hasOlder, isLoading: loading > 0, error, ...actions };
}

/** Who is typing there. */
export function useTyping(uuid: Uuid): readonly number[] {
  return useChatValue('typing', (chat) => chat.typingIn(uuid));
}

/** Watches this person while it is mounted. */
export function usePresence(userId: number | undefined): PresenceRow | undefined {
  const chat = useChat();
  useEffect(() => (userId === undefined ? undefined : chat.addPresence([userId])), [chat, userId]);
  return useChatValue('presence', (client) => (userId === undefined ? undefined : client.presenceOf(userId)));
}

/** How many messages wait to be read, in one conversation or in all that are not archived. */
export function useUnread(uuid?: Uuid): number {
  return useChatValue('conversations', (chat) =>
    uuid === undefined
      ? chat.conversations.reduce((sum, { unread_count, archived }) => sum + (archived ? 0 : unread_count), 0)
      : (chat.conversation(uuid)?.unread_count ?? 0),
  );
}

export function useConnectionState(): ConnectionState {
  return useChatValue('state', (chat) => chat.state);
}
