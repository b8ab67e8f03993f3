/** The messages of one conversation: read by HTTP, kept up to date by the frames of the socket. */
import { useCallback, useState } from 'react';

import { useAuth } from '@/contexts/AuthContext';
import type { ServerFrame } from '@/core/frames';
import type { Message } from '@/core/types';

export function useMessages(conversationId: string | undefined) {
  const { fetch } = useAuth();
  const [messages, setMessages] = useState<Message[]>([]);

  const take = useCallback((incoming: Message[]) => {
    setMessages((before) => {
      const byUuid = new Map(before.map((message) => [message.uuid, message]));
      for (const message of incoming) byUuid.set(message.uuid, message);
      return [...byUuid.values()].sort((a, b) => a.seq - b.seq);
    });
  }, []);

  const fetchMessages = useCallback(async () => {
    const response = await fetch(`/api/chat/conversations/${conversationId}/messages/`);
    if (response.ok) take(((await response.json()) as { results: Message[] }).results);
  }, [conversationId, fetch, take]);

  const applyFrame = useCallback(
    (frame: ServerFrame) => {
      if (frame.type === 'gap' && frame.conversation_uuid === conversationId) {
        setMessages([]);
        void fetchMessages();
      }
      if (frame.type !== 'events') return;
      for (const event of frame.events) {
        if (event.conversation_uuid !== conversationId) continue;
        if (event.kind === 'message.created' || event.kind === 'message.edited' || event.kind === 'message.deleted') {
          take([event.data]);
        }
      }
    },
    [conversationId, fetchMessages, take],
  );

  return { messages, fetchMessages, applyFrame };
}
