'use client';

import { createContext, useContext, useEffect, useMemo, type ReactNode } from 'react';

import { ChatClient, type ChatClientOptions } from '../core/chatClient.js';
import { useAuth } from './AuthContext.js';

export interface ChatProviderProps extends Omit<ChatClientOptions, 'auth'> {
  /** A ChatClient made elsewhere, connected by whoever made it; the other properties are then ignored. */
  client?: ChatClient;
  children?: ReactNode;
}

const ChatContext = createContext<ChatClient | null>(null);

/** One `ChatClient` for everything below; connected while somebody is signed in. */
export function ChatProvider({ children, client: given, ...options }: ChatProviderProps) {
  const { client: auth, isAuthenticated, sessionId } = useAuth();
  const { url } = options;
  const made = useMemo(() => (given ? null : new ChatClient({ auth, ...options })), [given, auth, url]);

  useEffect(() => {
    if (!made || !isAuthenticated) return;
    void made.connect().catch(() => {});
    return made.disconnect;
  }, [made, isAuthenticated, sessionId]);

  return <ChatContext.Provider value={given ?? made}>{children}</ChatContext.Provider>;
}

export function useChat(): ChatClient {
  const chat = useContext(ChatContext);
  if (!chat) throw new Error('useChat must be used below a ChatProvider');
  return chat;
}
